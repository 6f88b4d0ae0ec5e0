"""Sessions after signing in: refreshed, and ended."""

from dataclasses import dataclass
from uuid import UUID

import strawberry

from app.core.cookies import REFRESH_TOKEN
from app.core.ids import PublicIdTag
from app.graph.context import Context, Info
from app.graph.fields import attribute
from app.graph.identity.errors import IdentityError, changes
from app.graph.identity.sign_in_payload import Delivery, ShownSignIn, SignInPayload, require_delivery, show_sign_in
from app.graph.relay import key_of
from app.graph.user_errors import USER_ERRORS, Done
from app.identity.access import ANYBODY, OWN_SESSIONS
from app.identity.commands.sessions import EndReason, end_session, end_sessions_of, refresh_session, sign_out
from app.identity.errors import IdentityErrorCode, IdentityRefused
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


@strawberry.type(description="What came of signing out.")
class SignOutPayload:
    ended_sessions: int | None = attribute("How many sessions were ended; null when it was refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class Ended(Done):
    """The payload of what ends sessions."""

    ended_sessions: int


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


def _forget_cookie(context: Context) -> None:
    if context.cookies is not None and context.cookies.is_from_page_allowed:
        context.cookies.delete(REFRESH_TOKEN)


async def _leave(context: Context) -> None:
    """Take the cookie back, and go on as anybody."""
    _forget_cookie(context)
    await context.become(ANYONE)
