"""Calls from this server to a provider's: bounded in time and size, never redirected, silent on what they carry."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from app.identity.identity_providers import ProviderAway

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
MAXIMUM_BYTES = 1024 * 1024
FORM = "application/x-www-form-urlencoded"

Answered = TypeVar("Answered", bound=BaseModel)


@cache
def _tls() -> ssl.SSLContext:
    # Reading the trusted certificates takes longer than a call.
    return httpx.create_ssl_context()


def open_client() -> httpx.AsyncClient:
    """A client for a few calls: certificates are checked, and redirects are not followed."""
    return httpx.AsyncClient(
        verify=_tls(),
        timeout=httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS),
        follow_redirects=False,
        headers={"User-Agent": f"Trove/{version('trove')}"},
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider's server said: its status, and its body, which may hold tokens."""

    status: int
    body: bytes = field(repr=False)

    def parse(self, shape: type[Answered], *, what: str) -> Answered:
        """The body as this shape; raises ProviderAway that names `what` was not understood."""
        try:
            return shape.model_validate_json(self.body)
        except ValidationError:
            raise ProviderAway(f"{what} is not understood") from None


@dataclass(frozen=True, slots=True)
class ProviderCalls:
    """How the providers' servers are called: with which client, for how long, and how much of an answer is read."""

    open_client: Callable[[], httpx.AsyncClient] = open_client
    total_seconds: float = TOTAL_SECONDS
    maximum_bytes: int = MAXIMUM_BYTES

    async def get(self, url: str, *, what: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Read an address; raises ProviderAway unless there was a whole answer below 500 that is no redirect."""
        return await self._ask("GET", url, what=what, headers=headers or {}, body=None)

    async def post(self, url: str, body: str, *, what: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a form, encoded already; raises ProviderAway unless there was a whole answer below 500, no redirect."""
        sent = {**(headers or {}), "Content-Type": FORM}
        return await self._ask("POST", url, what=what, headers=sent, body=body.encode())

    async def _ask(self, method: str, url: str, *, what: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        try:
            # The client's own timeouts are for each piece; a server that trickles would never meet them.
            async with asyncio.timeout(self.total_seconds), self.open_client() as client:
                answer = await self._read(client, method, url, what=what, headers=headers, body=body)
        except TimeoutError:
            raise ProviderAway(f"{what} took too long") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise ProviderAway(f"{what} cannot be reached ({type(error).__name__})") from None
        if answer.status == httpx.codes.TOO_MANY_REQUESTS or answer.status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise ProviderAway(f"{what} answered {answer.status}")
        if httpx.codes.is_redirect(answer.status):
            raise ProviderAway(f"{what} redirects, and is not followed")
        return answer

    async def _read(
        self,
        client: httpx.AsyncClient,
        method: str,
        url: str,
        *,
        what: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Answer:
        # Compressed, a small answer could become a large one before it is measured.
        sent = {"Accept": "application/json", **headers, "Accept-Encoding": "identity"}
        async with client.stream(method, url, headers=sent, content=body, follow_redirects=False) as response:
            if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
                raise ProviderAway(f"{what} is compressed, which was not asked for")
            content = bytearray()
            async for piece in response.aiter_raw():
                content += piece
                if len(content) > self.maximum_bytes:
                    raise ProviderAway(f"{what} is longer than {self.maximum_bytes} bytes")
            return Answer(response.status_code, bytes(content))
