"""Tokens by which a browser is known again: what it began ends there and in no other."""

from datetime import timedelta

from app.core.cookies import BROWSER, Cookies
from app.identity.tokens import is_token, new_token

BROWSER_TOKEN = "trove_browser"  # noqa: S105  # what such tokens begin with
# As long as the longest challenge.
BROWSER_KNOWN_FOR = timedelta(hours=24)


def new_browser_token() -> str:
    """A token for who begins something without cookies, to show with what ends it."""
    return new_token(BROWSER_TOKEN).text


def browser_of(cookies: Cookies) -> str | None:
    """The token by which we know the browser again; None where it has none of ours."""
    token = cookies.get(BROWSER)
    return token if token is not None and is_token(token, BROWSER_TOKEN) else None


def know_browser(cookies: Cookies) -> str:
    """The token of the browser, which it keeps for a day from now; what it began before stays bound to it."""
    token = browser_of(cookies) or new_browser_token()
    cookies.set(BROWSER, token, lasts=BROWSER_KNOWN_FOR)
    return token
