"""Cookies of a browser: those it sent, and those that the answer sets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from http.cookies import CookieError, SimpleCookie

REFRESH_TOKEN = "trove_refresh"  # noqa: S105  # the name of the cookie
BROWSER = "trove_browser"
LARGEST_COOKIES = 16 * 1024


@dataclass(slots=True)
class Cookies:
    """The cookies of one exchange.

    Ours are HttpOnly, for the whole of this host and no other, and over HTTPS where browsers reach us by it: then their
    names begin with `__Host-`, so that no other host can have set them. `is_from_page_allowed` says whether the page
    that sent them is one of ours or of the origins allowed: others may cause no change by them.
    """

    given: Mapping[str, str]
    is_secure: bool
    is_from_page_allowed: bool = True
    to_set: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> str | None:
        """The value that the browser sent, if the page that had it sent may."""
        return self.given.get(self._full(name)) if self.is_from_page_allowed else None

    def set(self, name: str, value: str, *, lasts: timedelta) -> None:
        """Set a cookie with the answer."""
        self.to_set[name] = self._written(name, value, int(lasts.total_seconds()))

    def delete(self, name: str) -> None:
        """Take a cookie back."""
        self.to_set[name] = self._written(name, "", 0)

    def _full(self, name: str) -> str:
        return f"__Host-{name}" if self.is_secure else name

    def _written(self, name: str, value: str, seconds: int) -> str:
        # Lax: a link in a mail, or a site that sends somebody back to us, comes with the cookie; its forms do not.
        secure = "; Secure" if self.is_secure else ""
        return f"{self._full(name)}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}"


def read_cookies(header: str) -> Mapping[str, str]:
    """The cookies of a `Cookie` header; none where it is too large or cannot be read."""
    if not header or len(header) > LARGEST_COOKIES:
        return {}
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(header).items()}
    except CookieError:
        return {}
