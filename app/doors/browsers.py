"""Browsers at the doors: who they are, the cookies they bring and take along, and where they go on."""

from html import escape
from http import HTTPStatus
from urllib.parse import urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.core.cookies import REFRESH_TOKEN, Cookies, read_cookies
from app.core.errors import ErrorCode, Refusal
from app.core.origins import allowed_return, is_allowed_origin
from app.core.settings import Settings
from app.doors.callers import client_of
from app.identity.commands.sessions import REFRESHABLE_FOR, OpenSession
from app.identity.errors import IdentityRefused
from app.identity.sign_in import SecondFactorNeeded, SignInOutcome, SignInRefused
from app.identity.viewer import Caller

GUARDS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_STATUSES = {
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.SERVICE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}


def caller_of(request: Request) -> Caller:
    """Who comes through a door in a browser: anybody, from somewhere. `Authorization` is not looked at."""
    return Caller(client=client_of(request))


def cookies_of(request: Request) -> Cookies:
    """The cookies of the exchange; a page of a foreign origin that sends a form here does nothing by them."""
    settings: Settings = request.app.state.settings
    origin = request.headers.get("origin")
    own_host = request.headers.get("host", "")
    return Cookies(
        read_cookies(", ".join(request.headers.getlist("cookie"))),
        is_secure=settings.has_secure_cookies,
        is_from_page_allowed=origin is None or is_allowed_origin(origin, settings, own_host=own_host),
    )


def finish(request: Request, outcome: SignInOutcome | Refusal, *, return_to: str | None, cookies: Cookies) -> Response:
    """The answer to a browser that has come to sign in: its cookie, and the way back with what came of it.

    `return_to` gets `?signed_in=1`, `?second_factor=<challenge>` or `?error=<code>`; where it is missing or not
    allowed, a plain page says the same.
    """
    back = allowed_return(request.app.state.settings, return_to)
    if isinstance(outcome, OpenSession):
        cookies.set(REFRESH_TOKEN, outcome.refresh_token, lasts=REFRESHABLE_FOR)
        return _answer(back, {"signed_in": "1"}, "You are signed in. You can close this page.", cookies)
    if isinstance(outcome, SecondFactorNeeded):
        sentence = "One step is left: go back to where you began to sign in, and begin again there."
        return _answer(back, {"second_factor": outcome.challenge}, sentence, cookies)
    refusal = outcome.refusal if isinstance(outcome, SignInRefused) else outcome
    return refused(refusal, back=back, cookies=cookies)


def refused(refusal: Refusal, *, back: str | None, cookies: Cookies, error: str | None = None) -> Response:
    """The answer to a browser whose wish is refused; `back` is where it may go, as `allowed_return` gave it.

    `error` is for a refusal that has a word of its own.
    """
    code = refusal.reason.value if isinstance(refusal, IdentityRefused) else refusal.code.value.lower()
    code = error or code
    status = _STATUSES.get(refusal.code, HTTPStatus.BAD_REQUEST)
    response = _answer(back, {"error": code}, refusal.message, cookies, status=status)
    if back is None and refusal.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(refusal.retry_after_seconds)
    return response


def done(parameter: str, sentence: str, *, back: str | None, cookies: Cookies) -> Response:
    """The answer to a browser whose wish is fulfilled, but that is no sign-in: `?<parameter>=1`, or the sentence."""
    return _answer(back, {parameter: "1"}, sentence, cookies)


def page(sentence: str, *, cookies: Cookies, status: HTTPStatus = HTTPStatus.OK, form: str = "") -> Response:
    """A plain page that says one thing, with a form beneath where there is one (HTML)."""
    content = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f'<meta name="robots" content="noindex"><title>Trove</title><p>{escape(sentence)}</p>{form}</html>'
    )
    # Without any referrer a browser would not say either that the form comes from a page of ours.
    headers = GUARDS | {"Referrer-Policy": "same-origin"} if form else GUARDS
    return with_cookies(HTMLResponse(content, status_code=status, headers=headers), cookies)


def with_cookies(response: Response, cookies: Cookies) -> Response:
    """The response with the cookies that it is to set."""
    for written in cookies.to_set.values():
        response.headers.append("Set-Cookie", written)
    return response


def _answer(
    back: str | None, told: dict[str, str], sentence: str, cookies: Cookies, *, status: HTTPStatus = HTTPStatus.OK
) -> Response:
    if back is None:
        return page(sentence, cookies=cookies, status=status)
    response = RedirectResponse(_with_query(back, told), status_code=HTTPStatus.SEE_OTHER, headers=GUARDS)
    return with_cookies(response, cookies)


def _with_query(url: str, told: dict[str, str]) -> str:
    parts = urlsplit(url)
    query = "&".join(part for part in (parts.query, urlencode(told)) if part)
    return urlunsplit(parts._replace(query=query))
