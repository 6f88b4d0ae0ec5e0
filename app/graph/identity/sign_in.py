"""Signing up and in with an address: by password, or by a link in a mail."""

from dataclasses import dataclass, field

import strawberry

from app.core.origins import allowed_return
from app.graph.context import Context, Info
from app.graph.fields import attribute
from app.graph.identity.errors import IdentityError, changes
from app.graph.identity.sign_in_payload import (
    DELIVER,
    DEVICE,
    Delivery,
    ShownSignIn,
    SignInPayload,
    cookies_of,
    require_delivery,
    show_sign_in,
)
from app.graph.user_errors import USER_ERRORS, Done
from app.identity.access import ANYBODY
from app.identity.browser_tokens import browser_of, know_browser, new_browser_token
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.services import IdentityServices
from app.identity.sign_up import NewAccount

RETURN_TO = (
    "Where the link leads in the end: an address on an origin that the operator allows, which gets "
    "`signed_in=1`, `second_factor=<challenge>` or `error=<code>`. By default a plain page says what came of it."
)


@strawberry.input(description="A new account with an address and a password.")
class SignUpInput:
    email: str = strawberry.field(description="The address; it gets a link to confirm it.")
    password: str = strawberry.field(description="The password: 8 to 256 characters that are hard to guess.")
    username: str = strawberry.field(description="The username, unique whatever the case.")
    display_name: str | None = strawberry.field(default=None, description="The name to show.")
    return_to: str | None = strawberry.field(default=None, description=RETURN_TO)
    deliver: Delivery = strawberry.field(
        default=Delivery.COOKIE,
        description="How to hand over the token of the browser. Without it the link makes the account all the same, "
        "but leaves the password out: whoever opens it cannot know whose it is.",
    )


@strawberry.input(description="The link that a new address got.")
class ConfirmSignUpInput:
    token: str = strawberry.field(description="The `token` of the link.")
    browser_token: str | None = strawberry.field(
        default=None, description="What `signUp` gave; by default the cookie that it set."
    )
    device: str | None = strawberry.field(default=None, description=DEVICE)
    deliver: Delivery = strawberry.field(default=Delivery.COOKIE, description=DELIVER)


@strawberry.input(description="An address and its password.")
class SignInInput:
    email: str = strawberry.field(description="The address.")
    password: str = strawberry.field(description="The password.")
    device: str | None = strawberry.field(default=None, description=DEVICE)
    deliver: Delivery = strawberry.field(default=Delivery.COOKIE, description=DELIVER)


@strawberry.input(description="An address to send a link to.")
class RequestMagicLinkInput:
    email: str = strawberry.field(description="The address.")
    return_to: str | None = strawberry.field(default=None, description=RETURN_TO)
    deliver: Delivery = strawberry.field(
        default=Delivery.COOKIE, description="How to hand over the token of the browser, without which no link holds."
    )


@strawberry.input(description="A link in a mail, opened where it was asked for.")
class SignInWithMagicLinkInput:
    token: str = strawberry.field(description="The `token` of the link.")
    browser_token: str | None = strawberry.field(
        default=None, description="What `requestMagicLink` gave; by default the cookie that it set."
    )
    device: str | None = strawberry.field(default=None, description=DEVICE)
    deliver: Delivery = strawberry.field(default=Delivery.COOKIE, description=DELIVER)


@strawberry.type(description="A mail is on its way, if it was not refused.")
class SignUpPayload:
    browser_token: str | None = attribute(
        "What to give with the link, with `deliver: BODY`; null where a cookie holds it."
    )
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="A mail is on its way, if it was not refused.")
class RequestMagicLinkPayload:
    browser_token: str | None = attribute(
        "What to give with the link, with `deliver: BODY`; null where a cookie holds it."
    )
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class Sent(Done):
    """The payload of what ends in a mail."""

    browser_token: str | None = field(default=None, repr=False)


@strawberry.type
class SignInMutations:
    @changes(
        "Ask for an account with an address and a password: the address gets a link that makes it. "
        "The answer is the same for an address that has one; only the mail says so.",
        type=SignUpPayload,
        access=ANYBODY,
    )
    @staticmethod
    async def sign_up(info: Info, input: SignUpInput) -> Sent:
        context = info.context
        identity = writing_service(context)
        account = NewAccount(
            email=input.email, password=input.password, username=input.username, display_name=input.display_name
        )
        is_in_cookie = input.deliver is Delivery.COOKIE
        browser = remembered_browser(context) if is_in_cookie else new_browser_token()
        await identity.sign_up.begin(
            account,
            caller=context.caller,
            public_url=identity.require_public_url(),
            browser=browser,
            return_to=checked_return(context, input.return_to),
        )
        return Sent(None if is_in_cookie else browser)

    @changes("Make the account behind a link, and sign in.", type=SignInPayload, access=ANYBODY)
    @staticmethod
    async def confirm_sign_up(info: Info, input: ConfirmSignUpInput) -> ShownSignIn:
        context = info.context
        await require_delivery(context, input.deliver)
        arrived = await context.resources.identity.sign_up.confirm(
            input.token,
            browser=input.browser_token or browser_by_cookie(context),
            caller=context.caller,
            device=input.device,
        )
        return await show_sign_in(context, arrived.outcome, deliver=input.deliver)

    @changes(
        "Sign in by address and password. What is wrong is not told: neither whether the address is known here.",
        type=SignInPayload,
        access=ANYBODY,
    )
    @staticmethod
    async def sign_in(info: Info, input: SignInInput) -> ShownSignIn:
        context = info.context
        await require_delivery(context, input.deliver)
        outcome = await context.resources.identity.sign_in.with_password(
            email=input.email, password=input.password, caller=context.caller, device=input.device
        )
        return await show_sign_in(context, outcome, deliver=input.deliver)

    @changes(
        "Ask for a link to sign in, good once, for a quarter of an hour, and where it was asked for. "
        "The answer is the same for every address; one that is unknown here gets an account when the link is opened.",
        type=RequestMagicLinkPayload,
        access=ANYBODY,
    )
    @staticmethod
    async def request_magic_link(info: Info, input: RequestMagicLinkInput) -> Sent:
        context = info.context
        identity = writing_service(context)
        return_to = checked_return(context, input.return_to)
        is_in_cookie = input.deliver is Delivery.COOKIE
        browser = know_browser(cookies_of(context)) if is_in_cookie else new_browser_token()
        await identity.magic_links.request(
            input.email,
            caller=context.caller,
            public_url=identity.require_public_url(),
            browser=browser,
            return_to=return_to,
        )
        return Sent(None if is_in_cookie else browser)

    @changes("Sign in by a link in a mail.", type=SignInPayload, access=ANYBODY)
    @staticmethod
    async def sign_in_with_magic_link(info: Info, input: SignInWithMagicLinkInput) -> ShownSignIn:
        context = info.context
        await require_delivery(context, input.deliver)
        arrived = await context.resources.identity.magic_links.open(
            input.token,
            browser=input.browser_token or browser_by_cookie(context),
            caller=context.caller,
            device=input.device,
        )
        return await show_sign_in(context, arrived.outcome, deliver=input.deliver)


def writing_service(context: Context) -> IdentityServices:
    """The services, where this server can write mails with links to itself; raises ServiceUnavailable."""
    identity = context.resources.identity
    identity.require_mail()
    return identity


def browser_by_cookie(context: Context) -> str | None:
    """The token of the browser that asks; None of programs, over sockets and of pages that may not."""
    return None if context.cookies is None else browser_of(context.cookies)


def remembered_browser(context: Context) -> str | None:
    """The same, and the browser is known from now on: there its link need not ask whether it is meant."""
    if context.cookies is None or not context.cookies.is_from_page_allowed:
        return None
    return know_browser(context.cookies)


def checked_return(context: Context, return_to: str | None) -> str | None:
    """The address that a link leads back to; raises IdentityRefused for one that is not allowed."""
    if return_to is None:
        return None
    allowed = allowed_return(context.resources.settings, return_to)
    if allowed is None:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT,
            "`returnTo` is no address of an origin that is allowed here; its operator sets TROVE_ALLOWED_ORIGINS.",
            field=["returnTo"],
        )
    return allowed
