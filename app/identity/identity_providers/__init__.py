"""Signing in by an outside identity provider: the browser departs to it, and arrives again with a proof.

No database and no HTTP server: the caller keeps what a departure says, bound to the browser, and hands it back at the
arrival. May call: core.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from urllib.parse import parse_qsl

from app.core.errors import ErrorCode, Refusal, ServiceUnavailable

MAXIMUM_PARAMETERS = 64
CANCELLED = "the person cancelled"


@dataclass(frozen=True, slots=True)
class ProvenIdentity:
    """Who somebody is to a provider: `subject` is theirs for good within `issuer`; the rest may change.

    Where `nonce` is set, the caller stores it as used with the issuer, and refuses one that is stored already.
    """

    provider: str
    issuer: str
    subject: str
    email: str | None = field(repr=False)
    is_email_verified: bool
    display_name: str | None = field(repr=False)
    avatar_url: str | None = field(repr=False)
    nonce: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser goes, and what the server keeps, encrypted and bound to this browser, until it comes back."""

    url: str = field(repr=False)
    kept: Mapping[str, str] = field(repr=False)


class ProviderRefused(Refusal):
    """The person cancelled, or what came back is forged, too late or not theirs.

    The message is for the person; `reason` is for the audit log, and is made of our own words only. It is `CANCELLED`
    where the person changed their mind.
    """

    code = ErrorCode.UNAUTHENTICATED

    def __init__(self, reason: str) -> None:
        super().__init__("The provider did not confirm who you are; begin again, or sign in another way.")
        self.reason = reason


class ProviderAway(ServiceUnavailable):
    """The provider cannot be reached or answers what cannot be understood; `reason` is for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__("The provider cannot be used at the moment; try again later, or sign in another way.")
        self.reason = reason


class IdentityProvider(Protocol):
    """One way in through somebody else's door."""

    @property
    def code(self) -> str:
        """The slug that stands in addresses and in the table of identities."""

    @property
    def name(self) -> str:
        """What people call it."""

    async def depart(self, *, state: str, callback_url: str) -> Departure:
        """Begin: `state` is the caller's random word for this attempt; raises ProviderAway."""

    async def arrive(
        self, *, parameters: Mapping[str, str], state: str, kept: Mapping[str, str], callback_url: str, now: datetime
    ) -> ProvenIdentity:
        """Check what the browser brought back; raises ProviderRefused and ProviderAway.

        `parameters` are those of the callback, read by `read_parameters`; `state`, `kept` and `callback_url` are those
        of the departure.
        """


def read_parameters(query: str) -> Mapping[str, str]:
    """The parameters of a callback's query string; raises ProviderRefused where one stands there twice."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=MAXIMUM_PARAMETERS)
    except ValueError:
        raise ProviderRefused("the parameters cannot be read") from None
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        raise ProviderRefused("a parameter was sent more than once")
    return parameters


def check_state(parameters: Mapping[str, str], state: str) -> None:
    """Refuse what does not come from the departure that had this state."""
    if not state or not hmac.compare_digest(parameters.get("state", "").encode(errors="replace"), state.encode()):
        raise ProviderRefused("the state is not the one of the departure")
