"""COPY of lines that are in PostgreSQL's text format already, the fastest way in."""

from collections.abc import AsyncIterator, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import asyncpg_connection


async def copy_lines(
    connection: AsyncConnection, lines: Sequence[str], *, table: str, columns: Sequence[str], schema: str | None = None
) -> None:
    """Copy the lines, each with its newline, into a table, or without a schema into a temporary one."""
    if not lines:
        return
    driver_connection = await asyncpg_connection(connection)
    source = _in_one_piece("".join(lines).encode())
    await driver_connection.copy_to_table(table, schema_name=schema, columns=list(columns), source=source)


async def _in_one_piece(content: bytes) -> AsyncIterator[bytes]:
    # From a file the driver would take small pieces and come back to Python for each.
    yield content
