"""Cookies of a browser: those it sent, and those that the answer sets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

REFRESH_TOKEN = "trove_refresh"  # noqa: S105  # the name of the cookie
BROWSER = "trove_browser"
LARGEST_COOKIES = 16 * 1024
_VALUE = re.compile(r"[A-Za-z0-9._~+/=-]+")


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
        """Set a cookie with the answer; the value is of letters, digits and what else needs no quotes."""
        if not _VALUE.fullmatch(value):
            raise ValueError("the value of a cookie would have to be quoted")
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
    """The cookies of a `Cookie` header, by name; none where it is too large.

    What is no cookie is passed over: pages and other programs of the same host set cookies of any shape, and none of
    them may hide ours. Of two by one name the first counts, as browsers send the one with the longest path first.
    """
    cookies: dict[str, str] = {}
    if len(header) > LARGEST_COOKIES:
        return cookies
    for pair in header.split(";"):
        name, separator, value = pair.partition("=")
        if separator and name.strip():
            cookies.setdefault(name.strip(), value.strip())
    return cookies
