"""What people change of themselves: their profile, and how they want things shown."""

from typing import Any, cast

import strawberry
from strawberry import UNSET, Parent

from app.graph.context import Info
from app.graph.fields import attribute, resolved
from app.graph.identity.accounts import VIEWER_READS, Account
from app.graph.identity.errors import IdentityError, changes
from app.graph.identity.payloads import ViewerChanged
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import URL, CurrencyCode
from app.graph.user_errors import USER_ERRORS
from app.identity.access import needs
from app.identity.commands.profile import PreferenceChanges, ProfileChanges, update_preferences, update_profile
from app.identity.models import NsfwVisibility
from app.identity.scopes import Scope

ACCOUNT_WRITES = needs(Scope.ACCOUNT_WRITE)


@strawberry.input(description="What others see of a person. What is left out stays as it is.")
class UpdateProfileInput:
    username: str | None = strawberry.field(
        default=UNSET, description="3 to 30 of the letters A to Z, digits, `_` and `-`; nobody else's in any case."
    )
    display_name: str | None = strawberry.field(
        default=UNSET, description="The name to show, of 60 characters at most; null for none."
    )
    avatar_url: URL | None = strawberry.field(
        default=UNSET, description="A picture, by an address that begins with `https://`; null for none."
    )


@strawberry.input(description="How a person wants things shown and told. What is left out stays as it is.")
class UpdatePreferencesInput:
    currency: CurrencyCode | None = strawberry.field(default=UNSET, description="The currency to show values in.")
    timezone: str | None = strawberry.field(default=UNSET, description="The time zone, by its IANA name.")
    locale: str | None = strawberry.field(
        default=UNSET, description="The language, script, region and variant to write in (BCP 47), such as `pt-BR`."
    )
    notifies_by_email: bool | None = strawberry.field(
        default=UNSET, description="Whether news come by e-mail unless chosen apart."
    )
    notifies_by_push: bool | None = strawberry.field(
        default=UNSET, description="Whether news come by push unless chosen apart."
    )
    nsfw_visibility: NsfwVisibility | None = strawberry.field(
        default=UNSET, description="What becomes of pictures not safe for work."
    )
    is_inventory_public: bool | None = strawberry.field(
        default=UNSET, description="Whether everybody may see what they own."
    )
    is_marketplace_enabled: bool | None = strawberry.field(
        default=UNSET, description="Whether they take part in the market."
    )
    shares_analytics: bool | None = strawberry.field(default=UNSET, description="Whether their use may be counted.")


@strawberry.type(description="What became of the profile.")
class UpdateProfilePayload:
    user_errors: list[IdentityError] = attribute(USER_ERRORS)

    @resolved("The account as it is now; null when refused.", type=Account | None, access=VIEWER_READS)
    @staticmethod
    def viewer(root: Parent[ViewerChanged]) -> Reference | None:
        return root.viewer


@strawberry.type(description="What became of the preferences.")
class UpdatePreferencesPayload:
    user_errors: list[IdentityError] = attribute(USER_ERRORS)

    @resolved("The account as it is now; null when refused.", type=Account | None, access=VIEWER_READS)
    @staticmethod
    def viewer(root: Parent[ViewerChanged]) -> Reference | None:
        return root.viewer


def _given(input: UpdateProfileInput | UpdatePreferencesInput) -> dict[str, Any]:
    """The fields that were sent, null among them."""
    return {name: value for name, value in vars(input).items() if value is not UNSET}


@strawberry.type
class ProfileMutations:
    @changes("Change what others see of oneself.", type=UpdateProfilePayload, access=ACCOUNT_WRITES)
    @staticmethod
    async def update_profile(info: Info, input: UpdateProfileInput) -> ViewerChanged:
        user_id = info.context.viewer.own_id
        async with info.context.transaction() as transaction:
            await update_profile(
                transaction, cast("ProfileChanges", _given(input)), caller=info.context.caller, user_id=user_id
            )
        return ViewerChanged(refer(Account, user_id))

    @changes("Change how one wants things shown and told.", type=UpdatePreferencesPayload, access=ACCOUNT_WRITES)
    @staticmethod
    async def update_preferences(info: Info, input: UpdatePreferencesInput) -> ViewerChanged:
        user_id = info.context.viewer.own_id
        async with info.context.transaction() as transaction:
            await update_preferences(
                transaction, cast("PreferenceChanges", _given(input)), caller=info.context.caller, user_id=user_id
            )
        return ViewerChanged(refer(Account, user_id))
