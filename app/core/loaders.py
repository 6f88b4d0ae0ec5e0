"""The base of every dataloader: one question, asked for many keys by one statement, within one operation."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from aiodataloader import DataLoader

from app.core.database import Snapshot
from app.core.telemetry import LOADER_BATCH_SIZE

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

KeyedQuery = Callable[..., Awaitable[Mapping[Key, Value]]]
Ask = Callable[[list[Key]], Awaitable[Mapping[Key, Value]]]


class ByKey(DataLoader[Key, Value], Generic[Key, Value]):
    """Asks once for the keys of a turn, all at a time; keys without an answer get `missing`."""

    max_batch_size = 10_000

    def __init__(self, ask: Ask[Key, Value], missing: Value, name: str) -> None:
        super().__init__()
        self._ask = ask
        self._missing = missing
        self._batch_size = LOADER_BATCH_SIZE.labels(name)

    async def batch_load_fn(self, keys: list[Key]) -> list[Value]:
        """One value per key, in the keys' order."""
        self._batch_size.observe(len(keys))
        values = await self._ask(keys)
        return [values.get(key, self._missing) for key in keys]


# Of the event loop: as many as the rows of several lists need until all of them have asked.
TURNS = 3


def _hear(answer: "asyncio.Future[Any]") -> None:
    """Take note of a failure: when the operation has ended meanwhile, nobody waits for the answer any more."""
    if not answer.cancelled():
        answer.exception()


class _Gathering:
    """Keys that are asked for together."""

    answer: "asyncio.Future[Mapping[Any, Any]]"

    def __init__(self) -> None:
        self.keys: dict[Any, None] = {}


class Loaders:
    """The loaders of one operation, made when first asked: one per question."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._loaders: dict[Hashable, ByKey[Any, Any]] = {}
        self._gathering: dict[Hashable, _Gathering] = {}

    async def several(self, query: KeyedQuery[Key, Value], keys: Sequence[Key]) -> list[Value | None]:
        """What a room's query maps each key to, in the keys' order, None where there is nothing."""

        async def ask(asked: list[Key]) -> Mapping[Key, Value | None]:
            found: Mapping[Key, Value | None] = await self._snapshot.read(query, asked)
            return found

        return await self.by_key(query, ask, None, query.__name__).load_many(list(keys))

    def by_key(self, question: Hashable, ask: Ask[Key, Value], missing: Value, name: str) -> ByKey[Key, Value]:
        """The loader of a question; `ask` is what it asks when it is new, `name` its name in the metrics."""
        loader = self._loaders.get(question)
        if loader is None:
            loader = self._loaders[question] = ByKey(ask, missing, name)
        return loader

    def forget(self) -> None:
        """Let go of what was loaded: loaders and what they ask refer to each other, and would wait to be collected."""
        self._loaders.clear()

    async def together(self, question: Hashable, ask: Ask[Key, Value], keys: Iterable[Key]) -> Mapping[Key, Value]:
        """What the question maps many keys to; those who ask it in the same turns are answered by one statement."""
        gathering = self._gathering.get(question)
        if gathering is None:
            gathering = self._gathering[question] = _Gathering()
            gathering.answer = asyncio.ensure_future(self._answer(question, gathering, ask))
            gathering.answer.add_done_callback(_hear)
        gathering.keys.update(dict.fromkeys(keys))
        answer: Mapping[Key, Value] = await asyncio.shield(gathering.answer)
        return answer

    async def _answer(self, question: Hashable, gathering: "_Gathering", ask: Ask[Any, Any]) -> Mapping[Any, Any]:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        del self._gathering[question]
        return await ask(list(gathering.keys))
