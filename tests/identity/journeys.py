"""A browser's way to a provider and back, and what a refusal may not show."""

import secrets
import traceback
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import pytest

from app.core.clock import utc_now
from app.identity.identity_providers import (
    Departure,
    IdentityProvider,
    ProvenIdentity,
    ProviderAway,
    ProviderRefused,
    read_parameters,
)

CALLBACK_URL = "https://trove.example.com/sign-in/callback"
SHORT = 15
Failure = TypeVar("Failure", ProviderRefused, ProviderAway)


async def visit(url: str) -> Mapping[str, str]:
    """The parameters that a browser comes back with from a provider that has no questions."""
    async with httpx.AsyncClient() as browser:
        answer = await browser.get(url)
    assert answer.status_code == 302
    return read_parameters(urlsplit(answer.headers["Location"]).query)


@dataclass(slots=True)
class Journey:
    """One attempt to sign in, after the browser has come back; a test may change any part of it before it ends."""

    provider: IdentityProvider
    state: str
    departure: Departure
    parameters: dict[str, str]
    callback_url: str = CALLBACK_URL

    @classmethod
    async def begin(cls, provider: IdentityProvider) -> "Journey":
        """Depart, and come back."""
        state = secrets.token_urlsafe(24)
        departure = await provider.depart(state=state, callback_url=CALLBACK_URL)
        return cls(provider, state, departure, dict(await visit(departure.url)))

    async def end(self, *, kept: Mapping[str, str] | None = None, now: datetime | None = None) -> ProvenIdentity:
        """Arrive with what there is."""
        return await self.provider.arrive(
            parameters=self.parameters,
            state=self.state,
            kept=self.departure.kept if kept is None else kept,
            callback_url=self.callback_url,
            now=now or utc_now(),
        )

    @property
    def secrets(self) -> list[str]:
        """What must never be shown of this attempt."""
        named = (self.parameters.get(name, "") for name in ("code", "state", "openid.sig", "openid.response_nonce"))
        values = [self.state, *self.departure.kept.values(), *named]
        # A test may have put something short in the place of one.
        return [value for value in values if len(value) > SHORT]


async def failure_of(
    call: Awaitable[object], expected: type[Failure], *, hidden: Iterable[str], caplog: pytest.LogCaptureFixture
) -> Failure:
    """The failure that the call ends with; nothing that is hidden stands in it, in its trace or in the logs."""
    caplog.clear()
    with caplog.at_level("DEBUG"), pytest.raises(expected) as caught:
        await call
    failure: Failure = caught.value
    shown = "\n".join((str(failure), repr(failure), failure.reason, *traceback.format_exception(failure), caplog.text))
    leaked = [secret for secret in hidden if secret in shown]
    assert leaked == []
    return failure
