"""The base of every dataloader: one question, asked for many keys by one statement, within one operation."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from aiodataloader import DataLoader
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Snapshot
from app.core.telemetry import LOADER_BATCH_SIZE

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

KeyedQuery = Callable[..., Awaitable[Mapping[Key, Value]]]


class ByKey(DataLoader[Key, Value], Generic[Key, Value]):
    """Asks `query(connection, keys, **arguments)` once for the keys of a turn; keys without an answer get `missing`."""

    max_batch_size = 10_000

    def __init__(
        self, snapshot: Snapshot, query: KeyedQuery[Key, Value], arguments: Mapping[str, object], missing: Value
    ) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._query = query
        self._arguments = arguments
        self._missing = missing

    async def batch_load_fn(self, keys: list[Key]) -> list[Value]:
        """One value per key, in the keys' order."""
        LOADER_BATCH_SIZE.labels(self._query.__name__).observe(len(keys))
        values = await self._snapshot.read(self._ask, keys)
        return [values.get(key, self._missing) for key in keys]

    async def _ask(self, connection: AsyncConnection, keys: list[Key]) -> Mapping[Key, Value]:
        return await self._query(connection, keys, **self._arguments)


class Loaders:
    """The loaders of one operation, made when first asked: one per query and set of arguments."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._loaders: dict[Hashable, ByKey[Any, Any]] = {}

    async def one(self, query: KeyedQuery[Key, Value], key: Key, **arguments: Hashable) -> Value | None:
        """What `query` maps the key to, or None."""
        value: Value | None = await self._loader(query, arguments, None).load(key)
        return value

    async def several(self, query: KeyedQuery[Key, Value], keys: Sequence[Key]) -> list[Value | None]:
        """What `query` maps each key to, in the keys' order, None where there is nothing."""
        values: list[Value | None] = await self._loader(query, {}, None).load_many(list(keys))
        return values

    async def many(self, query: KeyedQuery[Key, Sequence[Value]], key: Key, **arguments: Hashable) -> Sequence[Value]:
        """The rows that `query` maps the key to, none when it has none."""
        rows = await self._loader(query, arguments, ()).load(key)
        return cast("Sequence[Value]", rows)

    def _loader(self, query: Callable[..., Any], arguments: Mapping[str, Hashable], missing: object) -> ByKey[Any, Any]:
        question = (query, tuple(sorted(arguments.items())))
        loader = self._loaders.get(question)
        if loader is None:
            loader = self._loaders[question] = ByKey(self._snapshot, query, arguments, missing)
        return loader
