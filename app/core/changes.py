"""Tables of changes, which are followed by position: rows become visible in the order of their positions."""

from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.events import Topic


class Change(Protocol):
    """A row of a table of changes, which become visible in the order of their positions."""

    @property
    def position(self) -> int:
        """Its place in the order of commits."""
        ...

    @property
    def watched_by(self) -> Collection[UUID]:
        """The keys under which somebody may wait for it."""
        ...

    @property
    def subject(self) -> Hashable:
        """What it is news of: a slow reader is sent only the latest of each."""
        ...


ChangeType = TypeVar("ChangeType", bound=Change)
ReadType = TypeVar("ReadType", bound=Change, covariant=True)


class ReadChanges(Protocol[ReadType]):
    """Reads changes beyond a position, in order."""

    def __call__(self, connection: AsyncConnection, *, position: int, limit: int) -> Awaitable[Sequence[ReadType]]:
        """Up to `limit` of them."""
        ...


class ReadMissed(Protocol[ReadType]):
    """Reads those of a subscriber's changes that lie between two positions, in order."""

    def __call__(
        self, connection: AsyncConnection, *, after: int, up_to: int, limit: int
    ) -> Awaitable[Sequence[ReadType]]:
        """Up to `limit` of them with `after < position <= up_to`."""
        ...


@dataclass(frozen=True, slots=True)
class ChangeTable(Generic[ChangeType]):
    """A table of changes: how it is followed, and what hints at news in it."""

    name: str
    topic: Topic
    last_position: Callable[[AsyncConnection], Awaitable[int]]
    changes_after: ReadChanges[ChangeType]
