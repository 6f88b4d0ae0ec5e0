"""What people change of how they get in: their password and their address."""

from dataclasses import dataclass

import strawberry

from app.graph.context import Context, Info
from app.graph.fields import attribute
from app.graph.identity.accounts import Account
from app.graph.identity.errors import IdentityError, changes
from app.graph.identity.payloads import ViewerChanged
from app.graph.identity.sign_in import RETURN_TO, checked_return, remembered_browser, writing_service
from app.graph.reads.fields import refer
from app.graph.user_errors import USER_ERRORS, Done
from app.identity.access import ANYBODY, OWN_CREDENTIALS
from app.identity.sign_in import SignInRefused


@strawberry.input(description="A new password.")
class ChangePasswordInput:
    current_password: str | None = strawberry.field(
        default=None,
        description="The current one, where there is one and one has not just signed in by a link in a mail.",
    )
    new_password: str = strawberry.field(description="The new one: 8 to 256 characters that are hard to guess.")


@strawberry.input(description="A new address.")
class RequestEmailChangeInput:
    email: str = strawberry.field(description="The new address; it gets a link.")
    return_to: str | None = strawberry.field(
        default=None, description=RETURN_TO.replace("`signed_in=1`, `second_factor=<challenge>`", "`email_changed=1`")
    )


@strawberry.input(description="The link that a new address got.")
class ConfirmEmailChangeInput:
    token: str = strawberry.field(description="The `token` of the link.")


@strawberry.type(description="What came of a change to one's own account.")
class OwnAccountPayload:
    viewer: Account | None = attribute("The account as it is now; null when it was refused, or nobody is signed in.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What came of confirming an address.")
class ConfirmEmailChangePayload:
    is_confirmed: bool | None = attribute("True when the address is that of its account now; null when it was refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class Confirmed(Done):
    """The payload of a confirmed address."""

    is_confirmed: bool = True


@strawberry.type
class OwnCredentialMutations:
    @changes(
        "Set a password, or another one. All other sessions end, and the address gets a notice.",
        type=OwnAccountPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def change_password(info: Info, input: ChangePasswordInput) -> ViewerChanged:
        context = info.context
        identity = writing_service(context)
        await identity.own_credentials.change_password(
            current=input.current_password,
            new=input.new_password,
            caller=context.caller,
            public_url=identity.require_public_url(),
        )
        await context.begin_again()
        return _changed(context)

    @changes(
        "Ask for another address: it gets a link that makes it that of the account, as long as the session that asks "
        "goes on and the password stays. The present address gets a notice. "
        "The answer is the same for an address that another account has; only the mail says so.",
        type=OwnAccountPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def request_email_change(info: Info, input: RequestEmailChangeInput) -> ViewerChanged:
        context = info.context
        identity = writing_service(context)
        await identity.own_credentials.request_email_change(
            input.email,
            caller=context.caller,
            public_url=identity.require_public_url(),
            browser=remembered_browser(context),
            return_to=checked_return(context, input.return_to),
        )
        return _changed(context)

    @changes(
        "Make the address behind a link that of the account which asked for it; the address before gets a notice.",
        type=ConfirmEmailChangePayload,
        access=ANYBODY,
    )
    @staticmethod
    async def confirm_email_change(info: Info, input: ConfirmEmailChangeInput) -> Confirmed:
        context = info.context
        identity = writing_service(context)
        outcome = await identity.own_credentials.confirm_email_change(
            input.token, caller=context.caller, public_url=identity.require_public_url()
        )
        if isinstance(outcome, SignInRefused):
            raise outcome.refusal
        await context.begin_again()
        return Confirmed()


def _changed(context: Context) -> ViewerChanged:
    user_id = context.viewer.user_id
    return ViewerChanged(None if user_id is None else refer(Account, user_id))
