"""Sessions after signing in: refreshed, ended; and what their owner changes of how they get in."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import strawberry

from app.core.cookies import REFRESH_TOKEN
from app.core.ids import PublicIdTag
from app.graph.context import Context, Info
from app.graph.fields import attribute
from app.graph.identity.accounts import Account
from app.graph.identity.errors import USER_ERRORS, IdentityError, changes
from app.graph.identity.sessions import Delivery, ShownSignIn, SignInPayload, require_delivery, show_sign_in
from app.graph.identity.sign_in import RETURN_TO, checked_return, remembered_browser, writing_service
from app.graph.reads.fields import Reference, refer
from app.graph.relay import key_of
from app.identity.access import ANYBODY, OWN_CREDENTIALS, OWN_SESSIONS
from app.identity.commands.sessions import EndReason, end_session, end_sessions_of, refresh_session, sign_out
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.sign_in import SignInRefused
from app.identity.viewer import ANYONE


@strawberry.input(description="A session to refresh.")
class RefreshSessionInput:
    refresh_token: str | None = strawberry.field(
        default=None, description="The refresh token; by default the one in the cookie."
    )
    deliver: Delivery | None = strawberry.field(
        default=None, description="How to hand over the next refresh token; by default as this one came."
    )


@strawberry.input(description="Which sessions to end.")
class SignOutEverywhereInput:
    except_this: bool = strawberry.field(default=False, description="Whether the session that asks goes on.")


@strawberry.input(description="A session to end.")
class EndSessionInput:
    id: strawberry.ID = strawberry.field(description="Its id, as `viewer { sessions }` shows it.")


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


@strawberry.type(description="What came of signing out.")
class SignOutPayload:
    ended_sessions: int | None = attribute("How many sessions were ended; null when it was refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What came of a change to one's own account.")
class OwnAccountPayload:
    viewer: Account | None = attribute("The account as it is now; null when it was refused, or nobody is signed in.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="What came of confirming an address.")
class ConfirmEmailChangePayload:
    is_confirmed: bool | None = attribute("True when the address is that of its account now; null when it was refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class Ended:
    """The payload of what ends sessions."""

    ended_sessions: int
    user_errors: Sequence[IdentityError] = ()


@dataclass(frozen=True, slots=True)
class Changed:
    """The payload of a change to one's own account."""

    viewer: Reference | None
    user_errors: Sequence[IdentityError] = ()


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The payload of a confirmed address."""

    is_confirmed: bool = True
    user_errors: Sequence[IdentityError] = ()


@strawberry.type
class OwnSessionMutations:
    @changes(
        "Get the next access token, and the next refresh token: each is good once. Send no `Authorization` with it. "
        "A refresh token that comes a second time ends its session, since somebody else may have it.",
        type=SignInPayload,
        access=ANYBODY,
    )
    @staticmethod
    async def refresh_session(info: Info, input: RefreshSessionInput | None = None) -> ShownSignIn:
        context = info.context
        given = input or RefreshSessionInput()
        in_body = given.refresh_token is not None
        deliver = given.deliver or (Delivery.BODY if in_body else Delivery.COOKIE)
        await require_delivery(context, deliver)
        cookie = None if context.cookies is None else context.cookies.get(REFRESH_TOKEN)
        token = given.refresh_token if in_body else cookie
        session = None
        if token:
            async with context.authentication() as transaction:
                session = await refresh_session(transaction, token, caller=context.caller)
        if session is None:
            if not in_body and cookie is not None:
                _forget_cookie(context)
            raise IdentityRefused(
                IdentityErrorCode.INVALID_TOKEN,
                "No session can be refreshed by this: sign in again.",
                field=["refreshToken"] if in_body else [],
            )
        return await show_sign_in(context, session, deliver=deliver)

    @changes("End the session that asks; its access tokens hold no longer.", type=SignOutPayload, access=OWN_SESSIONS)
    @staticmethod
    async def sign_out(info: Info) -> Ended:
        context = info.context
        async with context.authentication() as transaction:
            await sign_out(transaction, caller=context.caller)
        await _leave(context)
        return Ended(1)

    @changes("End all of one's sessions.", type=SignOutPayload, access=OWN_SESSIONS)
    @staticmethod
    async def sign_out_everywhere(info: Info, input: SignOutEverywhereInput | None = None) -> Ended:
        context = info.context
        viewer = context.viewer
        stays = input is not None and input.except_this
        if viewer.user_id is None:
            raise ValueError("access lets nobody else come here")
        async with context.authentication() as transaction:
            ended = await end_sessions_of(
                transaction,
                viewer.user_id,
                EndReason.ENDED_BY_OWNER,
                caller=context.caller,
                except_id=viewer.credential_id if stays else None,
            )
        if not stays:
            await _leave(context)
        return Ended(ended)

    @changes("End one of one's own sessions, such as that of a lost device.", type=SignOutPayload, access=OWN_SESSIONS)
    @staticmethod
    async def end_session(info: Info, input: EndSessionInput) -> Ended:
        context = info.context
        key = key_of(input.id, PublicIdTag.SESSION, argument="id")
        if not isinstance(key, UUID):
            raise IdentityRefused(IdentityErrorCode.NOT_FOUND, "This is not the id of a session.", field=["id"])
        async with context.authentication() as transaction:
            await end_session(transaction, key, caller=context.caller)
        if key == context.viewer.credential_id:
            await _leave(context)
        return Ended(1)

    @changes(
        "Set a password, or another one. All other sessions end, and the address gets a notice.",
        type=OwnAccountPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def change_password(info: Info, input: ChangePasswordInput) -> Changed:
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
    async def request_email_change(info: Info, input: RequestEmailChangeInput) -> Changed:
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


def _changed(context: Context) -> Changed:
    user_id = context.viewer.user_id
    return Changed(None if user_id is None else refer(Account, user_id))


def _forget_cookie(context: Context) -> None:
    if context.cookies is not None and context.cookies.is_from_page_allowed:
        context.cookies.delete(REFRESH_TOKEN)


async def _leave(context: Context) -> None:
    """Take the cookie back, and go on as anybody."""
    _forget_cookie(context)
    await context.become(ANYONE)
