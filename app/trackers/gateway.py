"""Gateways to the network of finders: asked for hashed keys, they answer with what strangers' phones reported of them.

The shape is that of macless-haystack: `POST /` with `{"ids": [hashed keys in base64], "days": 7}` is answered with
`{"results": [{"id", "payload", "datePublished", "description", "statusCode"}], "statusCode": "200"}`. The time is in
thousandths of a second since 1970; where the network did not tell it, the gateway puts the report's own, in seconds.
"""

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import orjson
from pydantic import SecretStr

from app.core.errors import Conflict
from app.core.outbound import client_options
from app.core.public_addresses import PublicAddresses
from app.core.settings import Settings
from app.providers.client import ProviderClient, Question
from app.providers.known import KnownProvider
from app.providers.models import AuthMethod
from app.trackers.errors import BadReport
from app.trackers.find_my import read_hashed_key
from app.trackers.reports import CLOCK_TOLERANCE, EARLIEST

PROVIDER = "find-my-gateway"
# The network forgets after so long. Asked for less, reports would be missed that phones publish days later.
DAYS_ASKED_FOR = 7
# Of reports of the same second a gateway may keep one alone, whatever their keys: so few together, and of one tracker.
KEYS_AT_A_TIME = 20
TOTAL_SECONDS = 45.0
LARGEST_ANSWER_BYTES = 32 * 1024 * 1024
# A report has 120 characters.
LONGEST_PAYLOAD = 1_000
SUCCESS = "200"
# Larger numbers are thousandths of a second since 1970, smaller ones seconds.
_FIRST_MILLISECONDS = 100_000_000_000
_LAST_MILLISECONDS = 100_000_000_000_000


class GatewayMissing(Conflict):
    """No gateway is set, so there is nobody to ask."""

    def __init__(self) -> None:
        super().__init__("There is no gateway to ask for reports: give its address in TROVE_TRACKER_GATEWAY_URL.")


class GatewayNotUnderstood(Exception):
    """An answer of a gateway has another shape; the message is ours, and has nothing of the answer."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """The operator's gateway. `is_private` lets it stand outside of the public network; `login` is `user:password`."""

    url: str
    login: SecretStr | None = field(default=None, repr=False)
    is_private: bool = False
    every: timedelta = timedelta(minutes=30)

    @property
    def provider(self) -> KnownProvider:
        """The gateway as one of the providers, with a pace that does not wear out the account behind it."""
        return KnownProvider(
            code=PROVIDER,
            name="Gateway to Find My",
            base_url=self.url,
            docs_url="https://github.com/dchristl/macless-haystack",
            window_seconds=60,
            request_count=30,
            auth_method=AuthMethod.NONE if self.login is None else AuthMethod.BASIC,
        )

    def http(self, addresses: PublicAddresses | None = None) -> httpx.AsyncClient:
        """A client for it, which leads to `addresses` alone unless it is private; whoever makes it closes it."""
        return httpx.AsyncClient(
            **client_options(
                total_seconds=TOTAL_SECONDS,
                largest_answer_bytes=LARGEST_ANSWER_BYTES,
                addresses=None if self.is_private else addresses or PublicAddresses(),
                reads_compressed=True,
            )
        )


@dataclass(frozen=True, slots=True)
class FoundReports:
    """What an answer holds: rows of a batch, each once and in an order of their own, and what was left out.

    `foreign` counts reports of keys that were not asked for, `unreadable` what is no report at all.
    """

    rows: Sequence[bytes] = field(repr=False)
    foreign: int = 0
    unreadable: int = 0


def gateway_of(settings: Settings) -> Gateway | None:
    """The gateway of the settings; None where there is none."""
    if settings.tracker_gateway_url is None:
        return None
    return Gateway(
        url=settings.tracker_gateway_url,
        login=settings.tracker_gateway_login,
        is_private=settings.tracker_gateway_is_private,
        every=timedelta(minutes=settings.tracker_gateway_minutes),
    )


def require_gateway(settings: Settings) -> Gateway:
    """The gateway of the settings; raises GatewayMissing."""
    gateway = gateway_of(settings)
    if gateway is None:
        raise GatewayMissing
    return gateway


async def ask_gateway(client: ProviderClient, gateway: Gateway, hashed_keys: Sequence[bytes]) -> object:
    """The JSON that it answers for the keys of one tracker; raises as `ProviderClient.ask_json` does."""
    headers = {}
    if gateway.login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(gateway.login.get_secret_value().encode()).decode()}"
    return await client.ask_json(
        Question(
            endpoint="reports",
            path="/",
            method="POST",
            headers=headers,
            body={"ids": [_spelled(key) for key in hashed_keys], "days": DAYS_ASKED_FOR},
            is_idempotent=True,
        )
    )


def read_answer(answer: object, asked: Collection[bytes], *, now: datetime) -> FoundReports:
    """The reports of an answer, of the keys that were asked for; raises GatewayNotUnderstood.

    A report whose time of publication makes no sense is one all the same, without it.
    """
    rows: set[bytes] = set()
    foreign = unreadable = 0
    for result in _results(answer):
        try:
            hashed_key, row = _read(result, now)
        except BadReport:
            unreadable += 1
            continue
        if hashed_key in asked:
            rows.add(row)
        else:
            foreign += 1
    return FoundReports(sorted(rows), foreign, unreadable)


def _results(answer: object) -> Sequence[object]:
    if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
        raise GatewayNotUnderstood("The gateway answered JSON without a list of results.")
    results: Sequence[object] = answer["results"]
    if not results and str(answer.get("statusCode", SUCCESS)) != SUCCESS:
        raise GatewayNotUnderstood("The gateway says by its statusCode that it failed.")
    return results


def _read(result: object, now: datetime) -> tuple[bytes, bytes]:
    """The key and the row of a report. Whether the payload is one is for the batch to say, which keeps what is not."""
    if not isinstance(result, dict):
        raise BadReport("A result is no object.")
    named, payload = result.get("id"), result.get("payload")
    if not isinstance(named, str) or not isinstance(payload, str) or not 0 < len(payload) <= LONGEST_PAYLOAD:
        raise BadReport("A result lacks a key or a payload.")
    hashed_key = read_hashed_key(named)
    row = {"hashedKey": _spelled(hashed_key), "payload": payload}
    published_at = _instant(result.get("datePublished"), now)
    if published_at is not None:
        row["publishedAt"] = published_at.isoformat()
    try:
        return hashed_key, orjson.dumps(row)
    except orjson.JSONEncodeError:
        raise BadReport("A payload is no text.") from None


def _instant(value: object, now: datetime) -> datetime | None:
    if (type(value) is not int and type(value) is not float) or not 0 < value < _LAST_MILLISECONDS:
        return None
    seconds = value / 1000 if value >= _FIRST_MILLISECONDS else value
    if seconds > (now + CLOCK_TOLERANCE).timestamp():
        return None
    published_at = datetime.fromtimestamp(seconds, UTC)
    return published_at if published_at >= EARLIEST else None


def _spelled(hashed_key: bytes) -> str:
    return base64.b64encode(hashed_key).decode()
