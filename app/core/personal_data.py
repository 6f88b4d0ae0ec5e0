"""What a room keeps of a person: how it is given to them, and how it goes when they go.

A lower room may not call a higher one, so each room says this of itself, and the worker has the list of all rooms.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.ids import PublicIdTag, public_id

ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class ExportPart:
    """One file of an export: the rows of `table` that are a person's, as far as they are theirs to know.

    `rows` gives the select for a person's key. Its columns become the names of the file; one that is called `id` is
    shown as a public id with the tag, or left out where there is none. Nothing that proves who somebody is may be
    selected. `about` tells the reader in a sentence what the file holds.
    """

    file: str
    about: str
    table: Table
    rows: Callable[[UUID], Select[*tuple[Any, ...]]]
    tag: PublicIdTag | None = None

    async def read(self, connection: AsyncConnection, user_id: UUID) -> AsyncIterator[Mapping[str, Any]]:
        """The entries of the file, read as they are asked for."""
        result = await connection.stream(self.rows(user_id), execution_options={"yield_per": ROWS_AT_ONCE})
        async for row in result.mappings():
            yield self._shown(row)

    def _shown(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        shown = {} if self.tag is None else {"id": public_id(self.tag, row["id"])}
        return shown | {_camel(name): value for name, value in row.items() if name != "id"}


Erase = Callable[[Transaction, UUID], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PersonalData:
    """What one room keeps of people. `erase` takes a person out of it, and may be called again at any time."""

    room: str
    erase: Erase
    parts: Sequence[ExportPart]


def table_of(model: type[Any]) -> Table:
    """The table of a model, as a part of an export names it."""
    table: Table = model.__table__
    return table


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
