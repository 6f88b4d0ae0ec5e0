"""`GET /auth/{provider}` and its callback: a browser goes to an identity provider, and comes back from it."""

from collections.abc import Awaitable, Callable

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app.core.cookies import BROWSER, REFRESH_TOKEN, Cookies
from app.core.database import DATABASE_FAILURES, is_database_away
from app.core.errors import BadUserInput, Refusal, ServiceUnavailable
from app.core.origins import allowed_return
from app.core.settings import Settings
from app.doors.browsers import GUARDS, caller_of, cookies_of, done, finish, refused, with_cookies
from app.identity.arrivals import Arrival, ArrivalCancelled, Arrivals, Linked, browser_of
from app.identity.errors import IdentityRefused
from app.identity.identity_providers import ProviderAway

logger = structlog.get_logger(__name__)

Endpoint = Callable[[Request, Cookies], Awaitable[Response]]


async def depart(request: Request, cookies: Cookies) -> Response:
    """Send a browser to a provider, and bind it to the attempt by a cookie; `?returnTo=` is where it goes at last."""
    settings: Settings = request.app.state.settings
    given = request.query_params.get("returnTo")
    return_to = allowed_return(settings, given)
    if given is not None and return_to is None:
        raise BadUserInput("`returnTo` leads to an origin that is not allowed here; the operator allows it by name.")
    url = await _arrivals_of(request).depart(
        request.path_params["provider"],
        browser=browser_of(cookies),
        return_to=return_to,
        caller=caller_of(request),
    )
    return with_cookies(RedirectResponse(url, status_code=303, headers=GUARDS), cookies)


async def arrive(request: Request, cookies: Cookies) -> Response:
    """Take a browser back from a provider, and send it on with what came of it."""
    arrival = await _arrivals_of(request).arrive(
        request.path_params["provider"],
        # What stands there twice is for the reader of parameters to refuse.
        query=request.url.query,
        browser=cookies.get(BROWSER),
        refresh_token=cookies.get(REFRESH_TOKEN),
        caller=caller_of(request),
    )
    return _show(request, arrival, cookies)


def _show(request: Request, arrival: Arrival, cookies: Cookies) -> Response:
    back = allowed_return(request.app.state.settings, arrival.return_to)
    match arrival.outcome:
        case Linked():
            return done("linked", "The way in is yours now. You can close this page.", back=back, cookies=cookies)
        case ArrivalCancelled() as cancelled:
            return refused(cancelled, back=back, cookies=cookies, error="cancelled")
        case ProviderAway() as away:
            return refused(away, back=back, cookies=cookies, error="unavailable")
        case IdentityRefused() as refusal:
            return refused(refusal, back=back, cookies=cookies)
        case outcome:
            return finish(request, outcome, return_to=arrival.return_to, cookies=cookies)


def _arrivals_of(request: Request) -> Arrivals:
    arrivals: Arrivals = request.app.state.identity.arrivals
    return arrivals


def _answering(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint with an answer to whatever it refuses. A question by HEAD begins nothing and ends nothing."""

    async def answer(request: Request) -> Response:
        cookies = cookies_of(request)
        if request.method == "HEAD":
            return Response(headers=GUARDS)
        try:
            return await endpoint(request, cookies)
        except Refusal as refusal:
            return refused(refusal, back=None, cookies=cookies)
        except DATABASE_FAILURES as error:
            if not is_database_away(error):
                raise
            logger.warning("sign_in_without_database", reason=type(error).__name__)
            away = ServiceUnavailable("The database cannot be reached; begin again in a moment.")
            return refused(away, back=None, cookies=cookies)

    return answer


def routes() -> list[BaseRoute]:
    """The way to each provider, and back."""
    return [
        Route("/auth/{provider}", _answering(depart), methods=["GET"]),
        Route("/auth/{provider}/callback", _answering(arrive), methods=["GET"]),
    ]
