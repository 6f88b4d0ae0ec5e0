"""What a resolver can reach: the operation's snapshot and loaders, the viewer, and the process's own resources."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import strawberry

from app.core.clock import utc_now
from app.core.database import Database, Snapshot, Transaction
from app.core.errors import NotSignedIn, QueryTooComplex
from app.core.loaders import Loaders
from app.core.settings import Settings
from app.graph.live import PriceFeed


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who is asking: anyone, or a holder of the ingest token."""

    may_ingest: bool = False


ANYONE = Viewer()
MAXIMUM_CANDLES_PER_OPERATION = 200_000


@dataclass(frozen=True, slots=True)
class Resources:
    """What belongs to the process and outlives every operation."""

    database: Database
    settings: Settings
    price_feed: PriceFeed


class Context:
    """One operation: one snapshot, fresh loaders, one idea of now."""

    def __init__(self, resources: Resources, viewer: Viewer) -> None:
        self.resources = resources
        self.viewer = viewer
        self.now: datetime = utc_now()
        self.statements = 0
        self._candles = 0
        self._begin()

    def _begin(self) -> None:
        self.snapshot: Snapshot = self.resources.database.snapshot()
        self.loaders = Loaders(self.snapshot)

    async def close(self) -> None:
        """Give the connection back at the operation's end."""
        await self.snapshot.close()
        self.loaders.forget()
        self.statements += self.snapshot.statements

    async def begin_again(self) -> None:
        """Take a fresh snapshot and fresh loaders."""
        await self.close()
        self._candles = 0
        self._begin()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """The read-write transaction of one mutation field; what the payload reads afterwards is what it committed."""
        async with self.resources.database.transaction() as transaction:
            yield transaction
        await self.begin_again()

    def spend_candles(self, asked: int) -> None:
        """Count the candles that the operation asks for, whether or not there are so many; refuse too many of them."""
        self._candles += asked
        if self._candles > MAXIMUM_CANDLES_PER_OPERATION:
            raise QueryTooComplex(
                f"The operation asks for more than {MAXIMUM_CANDLES_PER_OPERATION:,} candles in all; "
                "ask for fewer series at a time, or for a smaller `last`.",
                argument="last",
                allowed=[f"{MAXIMUM_CANDLES_PER_OPERATION:,} candles an operation"],
            )

    def require_ingest(self) -> None:
        """Refuse viewers who did not give the ingest token."""
        if not self.viewer.may_ingest:
            raise NotSignedIn(
                "This needs the ingest token: send it as the header `Authorization: Bearer …` "
                "(or in the payload of `connection_init` on a socket)."
            )


Info = strawberry.Info[Context, None]
