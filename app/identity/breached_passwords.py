"""Lists of passwords that were stolen elsewhere, asked without telling them which password is meant."""

import asyncio
import hashlib
import re
from typing import Protocol

import httpx

from app.core.outbound import OutsideServiceFailed, fetch

PREFIX_LENGTH = 5
DEADLINE_SECONDS = 3.0

_LINE = re.compile(r"([0-9A-F]{35}):([0-9]{1,15})")


class BreachedPasswordsUnavailable(Exception):
    """The list could not be asked, or its answer not understood; `reason` has nothing of the password in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the list of breached passwords did not answer: {reason}")
        self.reason = reason


class BreachedPasswords(Protocol):
    """A list of stolen passwords."""

    async def count(self, password: str) -> int:
        """How often the password was stolen; raises BreachedPasswordsUnavailable."""
        ...


class BreachedPasswordRanges:
    """A list that speaks the range protocol of Pwned Passwords (k-anonymity).

    The first five hexadecimal digits of the password's SHA-1 are sent; what comes back is the rest of every hash that
    begins so, with padding lines of count 0 among them that hide from an observer how many there are. The client is
    one of `outside_client`, which bounds answers and keeps the digits out of logs.
    """

    def __init__(self, url: str, *, client: httpx.AsyncClient, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._url = url.rstrip("/")
        self._client = client
        self._deadline_seconds = deadline_seconds

    async def count(self, password: str) -> int:
        """How often the password was stolen; raises BreachedPasswordsUnavailable."""
        digest = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                answer = await self._range(digest[:PREFIX_LENGTH])
        except OutsideServiceFailed as failed:
            raise BreachedPasswordsUnavailable(failed.failure.value) from None
        except httpx.InvalidURL:
            raise BreachedPasswordsUnavailable("its address is none") from None
        except TimeoutError:
            raise BreachedPasswordsUnavailable("it takes too long") from None
        return _count_in(answer, digest[PREFIX_LENGTH:])

    async def _range(self, prefix: str) -> bytes:
        headers = {"Add-Padding": "true", "Accept": "text/plain"}
        answer = await fetch(self._client, "GET", f"{self._url}/{prefix}", headers=headers)
        return answer.content


def _count_in(answer: bytes, suffix: str) -> int:
    count = 0
    for line in answer.decode("ascii", "replace").upper().split():
        match = _LINE.fullmatch(line)
        if match is None:
            raise BreachedPasswordsUnavailable("the answer is no range")
        if match[1] == suffix:
            count = int(match[2])
    return count
