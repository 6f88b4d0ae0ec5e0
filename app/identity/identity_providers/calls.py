"""Calls from this server to a provider's: what goes wrong with one is a ProviderAway with a reason for the log."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from app.core.outbound import LARGEST_ANSWER_BYTES, TOTAL_SECONDS, OutsideServiceFailed, client_options
from app.identity.identity_providers import ProviderAway

FORM = "application/x-www-form-urlencoded"

Answered = TypeVar("Answered", bound=BaseModel)


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
    """How the providers' servers are called: trusting whom, for how long, and how much of an answer is read."""

    tls_context: ssl.SSLContext | None = None
    total_seconds: float = TOTAL_SECONDS
    largest_answer_bytes: int = LARGEST_ANSWER_BYTES

    async def get(self, url: str, *, what: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Read an address; raises ProviderAway unless there was a whole answer below 500 that is no redirect."""
        return await self._ask("GET", url, what=what, headers=headers or {}, body=None)

    async def post(self, url: str, body: str, *, what: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Send a form, encoded already; raises ProviderAway unless there was a whole answer below 500, no redirect."""
        sent = {**(headers or {}), "Content-Type": FORM}
        return await self._ask("POST", url, what=what, headers=sent, body=body.encode())

    async def _ask(self, method: str, url: str, *, what: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        try:
            async with self._client() as client:
                response = await client.request(
                    method, url, headers={"Accept": "application/json", **headers}, content=body
                )
        except OutsideServiceFailed as error:
            raise ProviderAway(f"{what} {error.failure.value}") from None
        except httpx.InvalidURL:
            raise ProviderAway(f"{what} has no address that can be called") from None
        status = response.status_code
        if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise ProviderAway(f"{what} answered {status}")
        if httpx.codes.is_redirect(status):
            raise ProviderAway(f"{what} redirects, and is not followed")
        return Answer(status, response.content)

    def _client(self) -> httpx.AsyncClient:
        options = client_options(
            tls_context=self.tls_context,
            total_seconds=self.total_seconds,
            largest_answer_bytes=self.largest_answer_bytes,
        )
        return httpx.AsyncClient(**options)
