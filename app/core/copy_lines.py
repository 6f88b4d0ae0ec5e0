"""COPY of lines that are in PostgreSQL's text format already, the fastest way in."""

from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import islice

from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import asyncpg_connection

# Few and large: for each piece the driver comes back to Python.
LINES_IN_A_PIECE = 10_000


async def copy_lines(
    connection: AsyncConnection, lines: Iterable[str], *, table: str, columns: Sequence[str], schema: str | None = None
) -> None:
    """Copy the lines, each with its newline, into a table, or without a schema into a temporary one."""
    driver_connection = await asyncpg_connection(connection)
    await driver_connection.copy_to_table(table, schema_name=schema, columns=list(columns), source=_in_pieces(lines))


async def _in_pieces(lines: Iterable[str]) -> AsyncIterator[bytes]:
    remaining = iter(lines)
    while piece := "".join(islice(remaining, LINES_IN_A_PIECE)):
        yield piece.encode()
