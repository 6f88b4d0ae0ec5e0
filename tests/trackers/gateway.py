"""A gateway on loopback that answers as macless-haystack does, over reports that phones have encrypted."""

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import SecretStr

from app.core.clock import utc_now
from app.core.database import Database
from app.core.retrying import ONCE, Retries
from app.trackers.commands.poll_gateway import PollOutcome, poll_gateway
from app.trackers.find_my import EPOCH, KeyPair
from app.trackers.gateway import Gateway
from tests.prices.connectors.fakes import Asked, FakeProvider, said
from tests.providers.builders import answer
from tests.trackers.sending import hashed, sealed_payload

LOGIN = "trove:very-secret"
UNAUTHORIZED = answer(b"", status="401 Unauthorized", headers='WWW-Authenticate: Basic realm="Auth Realm"\r\n')


@dataclass(slots=True)
class FakeGateway(FakeProvider):
    """`reports` are those of the network. As the real one it keeps one report of a second, and gives the newest first.

    `instead` changes what it says of them.
    """

    reports: list[dict[str, Any]] = field(default_factory=list)
    instead: Callable[[Asked], bytes] | None = None

    def says(self, asked: Asked) -> bytes:
        if asked.headers.get("authorization") != f"Basic {base64.b64encode(LOGIN.encode()).decode()}":
            return UNAUTHORIZED
        return self.answers(asked) if self.instead is None else self.instead(asked)

    def answers(self, asked: Asked) -> bytes:
        assert (asked.method, asked.path) == ("POST", "/")
        body = json.loads(asked.body)
        since = utc_now() - timedelta(days=body["days"])
        by_second = {}
        for report in self.reports:
            seen_at = time_of(report)
            if report["id"] in body["ids"] and seen_at > since:
                # Where the network does not say it, the gateway does, in seconds.
                by_second[seen_at] = {"datePublished": round(seen_at.timestamp()), **report}
        newest_first = [by_second[second] for second in sorted(by_second, reverse=True)]
        return said({"results": newest_first, "statusCode": "200"})

    @property
    def asked_for(self) -> list[list[str]]:
        """The keys of each question."""
        return [json.loads(asked.body)["ids"] for asked in self.asked]


def found(pair: KeyPair, *, at: datetime, published_after: timedelta | None = timedelta(minutes=7), **more: Any) -> Any:
    """A report as the network has it."""
    report: dict[str, Any] = {
        "id": hashed(pair),
        "payload": base64.b64encode(sealed_payload(pair, at=at, **more)).decode(),
        "description": "found",
        "statusCode": 0,
    }
    if published_after is not None:
        report["datePublished"] = round((at + published_after).timestamp() * 1000)
    return report


def time_of(report: dict[str, Any]) -> datetime:
    """When the tag was seen."""
    return EPOCH + timedelta(seconds=int.from_bytes(base64.b64decode(report["payload"])[:4], "big"))


def gateway_at(port: int, *, is_private: bool = True) -> Gateway:
    """The operator's gateway on loopback."""
    return Gateway(url=f"http://127.0.0.1:{port}", login=SecretStr(LOGIN), is_private=is_private)


async def poll(
    database: Database, fake: FakeProvider, *, at: datetime | None = None, retries: Retries = ONCE, **how: Any
) -> PollOutcome:
    """A round, at this time."""
    patience = how.pop("patience_seconds", 1.0)
    gateway = how.pop("gateway", None) or gateway_at(fake.port)
    return await poll_gateway(
        database, gateway, retries=retries, patience_seconds=patience, clock=lambda: at or utc_now(), **how
    )


def together(reports: Iterable[dict[str, Any]]) -> bytes:
    """An answer with just these results."""
    return said({"results": list(reports), "statusCode": "200"})
