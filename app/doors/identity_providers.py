"""`GET /auth/{provider}` and its callback: a browser goes to an identity provider, and comes back from it."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from app.core.cookies import REFRESH_TOKEN, Cookies
from app.core.errors import BadUserInput
from app.core.origins import allowed_return
from app.core.settings import Settings
from app.doors.browsers import GUARDS, caller_of, done, finish, refused, with_cookies
from app.doors.sign_in import door
from app.identity.arrivals import Arrival, ArrivalCancelled, Arrivals, Linked
from app.identity.browser_tokens import browser_of, know_browser
from app.identity.errors import IdentityRefused
from app.identity.identity_providers import ProviderAway


async def depart(request: Request, cookies: Cookies) -> Response:
    """Send a browser to a provider, and bind it to the attempt by a cookie; `?returnTo=` is where it goes at last."""
    settings: Settings = request.app.state.settings
    given = request.query_params.get("returnTo")
    return_to = allowed_return(settings, given)
    if given is not None and return_to is None:
        raise BadUserInput("`returnTo` leads to an origin that is not allowed here; the operator allows it by name.")
    url = await _arrivals_of(request).depart(
        request.path_params["provider"],
        browser=know_browser(cookies),
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
        browser=browser_of(cookies),
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


def routes() -> list[BaseRoute]:
    """The way to each provider, and back."""
    return [
        Route("/auth/{provider}", door(depart), methods=["GET"]),
        Route("/auth/{provider}/callback", door(arrive), methods=["GET"]),
    ]
