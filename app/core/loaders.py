"""The base of every dataloader: one question, asked for many keys by one statement, within one operation."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Concatenate, Generic, ParamSpec, TypeVar

from aiodataloader import DataLoader
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Snapshot
from app.core.telemetry import LOADER_BATCH_SIZE

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Parameters = ParamSpec("Parameters")


class OneByKey(DataLoader[Key, Value | None], Generic[Key, Value]):
    """Loads at most one value per key; a key without a row gives None."""

    max_batch_size = 10_000

    def __init__(
        self,
        snapshot: Snapshot,
        query: Callable[Concatenate[AsyncConnection, Sequence[Key], Parameters], Awaitable[Mapping[Key, Value]]],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._ask = lambda connection, keys: query(connection, keys, *args, **kwargs)
        self._name = query.__name__

    async def batch_load_fn(self, keys: list[Key]) -> list[Value | None]:
        LOADER_BATCH_SIZE.labels(self._name).observe(len(keys))
        values = await self._snapshot.read(self._ask, keys)
        return [values.get(key) for key in keys]


class ManyByKey(DataLoader[Key, Sequence[Value]], Generic[Key, Value]):
    """Loads a list of values per key; a key without rows gives the empty list."""

    max_batch_size = 10_000

    def __init__(
        self,
        snapshot: Snapshot,
        query: Callable[
            Concatenate[AsyncConnection, Sequence[Key], Parameters], Awaitable[Mapping[Key, Sequence[Value]]]
        ],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._ask = lambda connection, keys: query(connection, keys, *args, **kwargs)
        self._name = query.__name__

    async def batch_load_fn(self, keys: list[Key]) -> list[Sequence[Value]]:
        LOADER_BATCH_SIZE.labels(self._name).observe(len(keys))
        values = await self._snapshot.read(self._ask, keys)
        return [values.get(key, ()) for key in keys]
