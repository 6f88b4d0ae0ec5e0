"""Ways in by outside identity providers: which there are, and those that one links and unlinks."""

from dataclasses import dataclass, field
from uuid import UUID

import strawberry

from app.core.cookies import Cookies
from app.core.errors import BadUserInput, Forbidden
from app.core.ids import PublicIdTag
from app.core.origins import allowed_return
from app.graph.context import Context, Info
from app.graph.fields import attribute, resolved
from app.graph.identity.errors import IdentityError, changes
from app.graph.relay import key_of
from app.graph.scalars import URL
from app.graph.user_errors import USER_ERRORS, Done
from app.identity.access import ANYBODY, OWN_CREDENTIALS
from app.identity.browser_tokens import know_browser
from app.identity.commands.identities import no_such_identity, unlink_identity
from app.identity.errors import IdentityErrorCode, IdentityRefused


@strawberry.type(description="An outside identity provider that people may sign in with.")
class IdentityProvider:
    code: str = attribute("Its code, as `Identity.provider` says it.")
    name: str = attribute("What people call it.")
    url: URL = attribute(
        "Where a browser goes to sign in with it. Add `?returnTo=` with an address of an allowed origin; the browser "
        "comes back there with `signed_in=1`, `second_factor=<challenge>` or `error=<code>`."
    )


@strawberry.input(description="The provider to link to one's account.")
class LinkIdentityInput:
    provider: str = strawberry.field(description="The code of the provider.")
    return_to: URL | None = strawberry.field(
        default=None,
        description="Where the browser goes at last, with `linked=1` or `error=<code>`: an address of an allowed "
        "origin. Without it there is a plain page.",
    )


@strawberry.input(description="The way in to unlink.")
class UnlinkIdentityInput:
    id: strawberry.ID = strawberry.field(description="The id of the way in.")


@strawberry.type(description="The beginning of a link.")
class LinkIdentityPayload:
    url: URL | None = attribute("Where to send this very browser, within a quarter of an hour. Null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of unlinking.")
class UnlinkIdentityPayload:
    unlinked_id: strawberry.ID | None = attribute("The id of the way in that is gone; null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class ShownLink(Done):
    """The payload of `linkIdentity`; its address holds the secret of the attempt."""

    url: str = field(repr=False)


@strawberry.type
class WaysInQueries:
    @resolved(
        "Whom one may sign in with, in the operator's order; empty where the server does not know its own address.",
        access=ANYBODY,
    )
    @staticmethod
    def identity_providers(info: Info) -> list[IdentityProvider]:
        identity = info.context.resources.identity
        if identity.public_url is None:
            return []
        return [
            IdentityProvider(
                code=provider.code, name=provider.name, url=URL(f"{identity.public_url}/auth/{provider.code}")
            )
            for provider in identity.providers.values()
        ]


@strawberry.type
class WaysInMutations:
    @changes(
        "Begin to link an outside provider to one's account; the browser that asks has to go to `url` itself. "
        "A person may have several accounts of one provider.",
        type=LinkIdentityPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def link_identity(info: Info, input: LinkIdentityInput) -> ShownLink:
        context = info.context
        resources = context.resources
        if input.provider not in resources.identity.providers:
            raise IdentityRefused(
                IdentityErrorCode.NOT_FOUND,
                "There is no such identity provider; `identityProviders` lists those there are.",
                field=["provider"],
            )
        return_to = allowed_return(resources.settings, input.return_to)
        if input.return_to is not None and return_to is None:
            raise IdentityRefused(
                IdentityErrorCode.INVALID_INPUT,
                "This leads to an origin that is not allowed here; the operator allows it by name.",
                field=["returnTo"],
            )
        url = await resources.identity.arrivals.depart(
            input.provider,
            browser=know_browser(_cookies_of(context)),
            return_to=return_to,
            caller=context.caller,
            links=True,
        )
        return ShownLink(url)

    @changes(
        "Unlink a way in; with `password` the password goes, too. An outside one does not come back by its address, "
        "only by `linkIdentity`. The last way in stays, and so do links by mail to a verified address.",
        type=UnlinkIdentityPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def unlink_identity(info: Info, input: UnlinkIdentityInput) -> UnlinkIdentityPayload:
        key = key_of(input.id, PublicIdTag.IDENTITY, argument="id")
        if not isinstance(key, UUID):
            raise no_such_identity()
        async with info.context.authentication() as transaction:
            await unlink_identity(
                transaction,
                key,
                caller=info.context.caller,
                providers=info.context.resources.identity.providers_that_let_in,
            )
        return UnlinkIdentityPayload(unlinked_id=input.id, user_errors=[])


def _cookies_of(context: Context) -> Cookies:
    if context.cookies is None:
        raise BadUserInput("No cookie can be set over a socket, and a link is bound to its browser: send it by HTTP.")
    if not context.cookies.is_from_page_allowed:
        raise Forbidden("Pages of this origin may not link by cookie; the operator allows it origin by origin.")
    return context.cookies
