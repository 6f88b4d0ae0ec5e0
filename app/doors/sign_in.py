"""Links of mails, opened in a browser, and the keys by which others verify our access tokens."""

from collections.abc import Awaitable, Callable
from html import escape
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.core.cookies import Cookies
from app.core.database import DATABASE_FAILURES, is_database_away
from app.core.errors import Forbidden, Refusal
from app.core.origins import allowed_return
from app.doors.browsers import GUARDS, caller_of, cookies_of, done, finish, page, refused
from app.doors.refusals import refusing_without_database
from app.identity.browser_tokens import browser_of
from app.identity.services import IdentityServices
from app.identity.sign_in import SignInRefused

KEYS_KEPT_FOR_SECONDS = 300
# What browsers send with what nobody has asked for yet: "prefetch", "prefetch;prerender", and Safari "preview".
PREFETCH_HEADERS = ("sec-purpose", "purpose", "x-purpose", "x-moz")
PREFETCH_WORDS = ("prefetch", "prerender", "preview")
ASKED_BY_POST = "POST"
DATABASE_AWAY = "The database cannot be reached right now; try again in a moment."

Open = Callable[[Request, Cookies], Awaitable[Response]]


def routes() -> list[BaseRoute]:
    """The doors that links lead to, and `/.well-known/jwks.json`."""
    return [
        Route("/auth/magic-link", door(_open_magic_link), methods=["GET"]),
        Route("/auth/sign-up", door(_open_sign_up), methods=["GET", "POST"]),
        Route("/auth/email", door(_open_email), methods=["GET", "POST"]),
        Route("/.well-known/jwks.json", _keys, methods=["GET"]),
    ]


def door(open_link: Open) -> Callable[[Request], Awaitable[Response]]:
    """A door that only those go through who mean to: no HEAD, and nothing that is fetched ahead."""

    async def serve(request: Request) -> Response:
        if request.method == "HEAD":
            return Response(headers=GUARDS)
        if _is_fetched_ahead(request):
            # Neither kept nor shown: whoever then opens it asks anew.
            return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE, headers=GUARDS)
        cookies = cookies_of(request)
        try:
            with refusing_without_database("door_without_database", DATABASE_AWAY):
                return await open_link(request, cookies)
        except Refusal as refusal:
            return refused(refusal, back=None, cookies=cookies)

    return serve


def _is_fetched_ahead(request: Request) -> bool:
    purposes = [request.headers.get(name, "").lower() for name in PREFETCH_HEADERS]
    return any(word in purpose for word in PREFETCH_WORDS for purpose in purposes)


async def _open_magic_link(request: Request, cookies: Cookies) -> Response:
    identity: IdentityServices = request.app.state.identity
    arrived = await identity.magic_links.open(_token(request), browser=browser_of(cookies), caller=caller_of(request))
    return finish(request, arrived.outcome, return_to=arrived.return_to, cookies=cookies)


async def _open_sign_up(request: Request, cookies: Cookies) -> Response:
    identity: IdentityServices = request.app.state.identity
    token = _token(request)
    if not await _is_meant(request, cookies, identity.sign_up.was_begun_in):
        return _ask(token, "Make your account at Trove, and sign in here?", "Make my account", cookies)
    arrived = await identity.sign_up.confirm(token, browser=browser_of(cookies), caller=caller_of(request))
    return finish(request, arrived.outcome, return_to=arrived.return_to, cookies=cookies)


async def _open_email(request: Request, cookies: Cookies) -> Response:
    identity: IdentityServices = request.app.state.identity
    token = _token(request)
    if not await _is_meant(request, cookies, identity.own_credentials.was_begun_in):
        return _ask(token, "Make this the address of your account at Trove?", "Use this address", cookies)
    outcome = await identity.own_credentials.confirm_email_change(
        token, caller=caller_of(request), public_url=identity.require_public_url()
    )
    if isinstance(outcome, SignInRefused):
        return refused(outcome.refusal, back=None, cookies=cookies)
    back = allowed_return(request.app.state.settings, outcome.return_to)
    return done(
        "email_changed", "Your account has this address now. You can close this page.", back=back, cookies=cookies
    )


async def _is_meant(
    request: Request, cookies: Cookies, was_begun_in: Callable[[str, str | None], Awaitable[bool]]
) -> bool:
    """Whether a link is to be used up: its own browser has opened it, or somebody has pressed the button.

    Mail servers open links to look behind them; they have no cookie, and press nothing.
    """
    if request.method == ASKED_BY_POST:
        if not cookies.is_from_page_allowed:
            raise Forbidden("This form was sent from a page that may not; open the link in the mail again.")
        return True
    return await was_begun_in(_token(request), browser_of(cookies))


def _ask(token: str, question: str, answer: str, cookies: Cookies) -> Response:
    form = f'<form method="post" action="?token={escape(token)}"><button>{escape(answer)}</button></form>'
    return page(question, cookies=cookies, form=form)


def _token(request: Request) -> str:
    return request.query_params.get("token", "")


async def _keys(request: Request) -> Response:
    identity: IdentityServices = request.app.state.identity
    try:
        keys = await identity.authentication.key_set()
    except DATABASE_FAILURES as error:
        if not is_database_away(error):
            raise
        return JSONResponse({"error": DATABASE_AWAY}, status_code=HTTPStatus.SERVICE_UNAVAILABLE)
    return JSONResponse(
        keys,
        headers={"Cache-Control": f"public, max-age={KEYS_KEPT_FOR_SECONDS}"},
        media_type="application/jwk-set+json",
    )
