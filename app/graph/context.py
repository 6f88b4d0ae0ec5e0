"""What a resolver can reach: the operation's snapshot and loaders, the viewer, and the process's own resources."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import NoReturn

import strawberry

from app.core.clock import utc_now
from app.core.cookies import Cookies
from app.core.database import Database, Snapshot, Transaction
from app.core.errors import QueryTooComplex
from app.core.loaders import Loaders
from app.core.settings import Settings
from app.core.storage import Storage, storage_of
from app.graph.feeds import Feeds
from app.identity.services import IdentityServices
from app.identity.viewer import Caller, Viewer

MAXIMUM_CANDLES_PER_OPERATION = 200_000
MAXIMUM_VALUATIONS_PER_OPERATION = 250


@dataclass(frozen=True)
class Resources:
    """What belongs to the process and outlives every operation."""

    database: Database
    settings: Settings
    feeds: Feeds
    identity: IdentityServices

    @cached_property
    def storage(self) -> Storage:
        """Where photos are kept, by the settings; raises ServiceUnavailable where they name no store."""
        return storage_of(self.settings, self.identity.secrets)


class Context:
    """One operation: one caller, one snapshot, fresh loaders, one idea of now.

    What `is_public` is the same for everybody, so it is read as anybody. `cookies` are there where a browser may ask.
    """

    def __init__(
        self, resources: Resources, caller: Caller, *, cookies: Cookies | None = None, is_public: bool = False
    ) -> None:
        self.resources = resources
        self.caller = caller
        self.cookies = cookies
        self.now: datetime = utc_now()
        self.statements = 0
        self._is_public = is_public
        self._candles = 0
        self._valuations = 0
        # Why the operation asks for more than one may.
        self.overspent: QueryTooComplex | None = None
        self._begin()

    @property
    def viewer(self) -> Viewer:
        """Who asks."""
        return self.caller.viewer

    def _begin(self) -> None:
        viewer = None if self._is_public else self.viewer.in_database
        self.snapshot: Snapshot = self.resources.database.snapshot(viewer=viewer)
        self.loaders = Loaders(self.snapshot)

    async def close(self) -> None:
        """Give the connection back at the operation's end."""
        await self.snapshot.close()
        self.loaders.forget()
        self.statements += self.snapshot.statements

    async def begin_again(self) -> None:
        """Take a fresh snapshot and fresh loaders; no connection is held until something is read."""
        await self.close()
        self._candles = 0
        self._valuations = 0
        self.overspent = None
        self._begin()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """The read-write transaction of one mutation field; what the payload reads afterwards is what it committed."""
        await self.begin_again()
        async with self.resources.database.transaction(viewer=self.viewer.in_database) as transaction:
            yield transaction
        await self.begin_again()

    @asynccontextmanager
    async def authentication(self) -> AsyncIterator[Transaction]:
        """The same, as the one role that may see what proves who somebody is."""
        await self.begin_again()
        async with self.resources.database.authentication() as transaction:
            yield transaction
        await self.begin_again()

    async def become(self, viewer: Viewer) -> None:
        """Go on as somebody who has just signed in, or as nobody once they signed out."""
        self.caller = Caller(viewer, self.caller.client)
        await self.begin_again()

    def spend_candles(self, asked: int) -> None:
        """Count the candles that the operation asks for, whether or not there are so many; refuse too many of them."""
        self._candles += asked
        if self._candles > MAXIMUM_CANDLES_PER_OPERATION:
            self._overspent(
                f"The operation asks for more than {MAXIMUM_CANDLES_PER_OPERATION:,} candles in all; "
                "ask for fewer series at a time, or for a smaller `last`.",
                argument="last",
                allowed=f"{MAXIMUM_CANDLES_PER_OPERATION:,} candles an operation",
            )

    def spend_valuations(self, asked: int) -> None:
        """Count the variants that the operation has valued as of some instant; refuse too many of them."""
        self._valuations += asked
        if self._valuations > MAXIMUM_VALUATIONS_PER_OPERATION:
            self._overspent(
                f"The operation asks for more than {MAXIMUM_VALUATIONS_PER_OPERATION} valuations as of an instant; "
                "ask for fewer variants at a time, or for the stored ones, without `asOf`.",
                argument="asOf",
                allowed=f"{MAXIMUM_VALUATIONS_PER_OPERATION} valuations an operation",
            )

    def _overspent(self, message: str, *, argument: str, allowed: str) -> NoReturn:
        # Which of its fields came too late is a matter of chance, so it is the whole operation that is refused.
        self.overspent = self.overspent or QueryTooComplex(message, argument=argument, allowed=[allowed])
        raise self.overspent


Info = strawberry.Info[Context, None]
