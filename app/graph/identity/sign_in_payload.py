"""What signing in comes to: a session, or the question for a second factor."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

import strawberry

from app.core.cookies import REFRESH_TOKEN, Cookies
from app.core.errors import BadUserInput, Forbidden
from app.graph.context import Context
from app.graph.fields import attribute
from app.graph.identity.accounts import Account
from app.graph.identity.errors import IdentityError
from app.graph.reads.fields import Reference, refer
from app.graph.user_errors import USER_ERRORS, Done
from app.identity.commands.sessions import REFRESHABLE_FOR, OpenSession
from app.identity.sign_in import SecondFactorNeeded, SignInOutcome, SignInRefused

DEVICE = "What to call this device among one's sessions; by default “Firefox on Windows”."
DELIVER = "How to hand over the refresh token."


@strawberry.enum(description="How the refresh token of a session is handed over.")
class Delivery(Enum):
    COOKIE = strawberry.enum_value("cookie", description="In a cookie that no script can read: for pages in a browser.")
    BODY = strawberry.enum_value("body", description="In the answer: for programs that keep secrets.")


@strawberry.enum(description="A way to give the second factor to `completeSignIn`.")
class SecondFactorMethod(Enum):
    TOTP = strawberry.enum_value("totp", description="A one-time code of an app.")
    RECOVERY_CODE = strawberry.enum_value("recovery_code", description="One of the recovery codes.")
    PASSKEY = strawberry.enum_value("passkey", description="A passkey.")


@strawberry.type(description="A session that is open.")
class SignedIn:
    access_token: str = attribute("What to send as `Authorization: Bearer …`; a JWT of a quarter of an hour.")
    access_token_expires_at: datetime = attribute("When that ends; get the next one by `refreshSession` before.")
    refresh_token: str | None = attribute("What gets the next access token, once; null where a cookie holds it.")
    refreshable_until: datetime = attribute("When the session ends, unless it is refreshed before.")
    viewer: Account = attribute("Who has signed in.")


@strawberry.type(description="The second factor that is asked for.")
class SecondFactor:
    challenge: str = attribute("The token to give with it to `completeSignIn`, within ten minutes.")
    methods: list[SecondFactorMethod] = attribute("What may be given; one is enough.")


@strawberry.type(description="What came of signing in: a session, a question for the second factor, or errors.")
class SignInPayload:
    session: SignedIn | None = attribute("The session; null where a second factor is asked for, or it was refused.")
    second_factor: SecondFactor | None = attribute("The second factor that is asked for; null where none is.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class ShownSession:
    """A session as `SignedIn` shows it, to its holder alone."""

    access_token: str = field(repr=False)
    access_token_expires_at: datetime
    refresh_token: str | None = field(repr=False)
    refreshable_until: datetime
    viewer: Reference


@dataclass(frozen=True, slots=True)
class ShownSecondFactor:
    """The question for a second factor as `SecondFactor` shows it."""

    challenge: str = field(repr=False)
    methods: Sequence[SecondFactorMethod]


@dataclass(frozen=True, slots=True)
class ShownSignIn(Done):
    """The payload of whatever signs in."""

    session: ShownSession | None = None
    second_factor: ShownSecondFactor | None = None


async def require_delivery(context: Context, deliver: Delivery) -> None:
    """Refuse, before anything is done, what could not be handed over: it would be lost, and a refresh token with it."""
    if deliver is Delivery.COOKIE:
        cookies_of(context)
    await context.resources.identity.authentication.require_signing_key()


def cookies_of(context: Context) -> Cookies:
    """The cookies of the exchange; raises BadUserInput where there are none, and Forbidden for pages of others."""
    if context.cookies is None:
        raise BadUserInput(
            "No cookie can be set over a socket: send this by HTTP, or ask for `deliver: BODY`.",
            argument="deliver",
            allowed=["BODY"],
        )
    if not context.cookies.is_from_page_allowed:
        raise Forbidden("Pages of this origin may not sign in by cookie; the operator allows it origin by origin.")
    return context.cookies


async def show_sign_in(context: Context, outcome: SignInOutcome, *, deliver: Delivery) -> ShownSignIn:
    """The payload of an outcome, once that is committed; sets the cookie, and goes on as who has signed in.

    Raises IdentityRefused for SignInRefused, which `changes` turns into `userErrors`.
    """
    match outcome:
        case SignInRefused():
            raise outcome.refusal
        case SecondFactorNeeded():
            methods = [SecondFactorMethod.TOTP, SecondFactorMethod.RECOVERY_CODE]
            if outcome.has_passkey:
                methods.append(SecondFactorMethod.PASSKEY)
            return ShownSignIn(second_factor=ShownSecondFactor(outcome.challenge, methods))
        case OpenSession():
            return ShownSignIn(session=await _show_session(context, outcome, deliver))


async def _show_session(context: Context, session: OpenSession, deliver: Delivery) -> ShownSession:
    authentication = context.resources.identity.authentication
    token = await authentication.access_token(session)
    if deliver is Delivery.COOKIE:
        cookies_of(context).set(REFRESH_TOKEN, session.refresh_token, lasts=REFRESHABLE_FOR)
    await context.become(authentication.viewer_with(session))
    return ShownSession(
        access_token=token.text,
        access_token_expires_at=token.expires_at,
        refresh_token=session.refresh_token if deliver is Delivery.BODY else None,
        refreshable_until=session.refreshable_until,
        viewer=refer(Account, session.user_id),
    )
