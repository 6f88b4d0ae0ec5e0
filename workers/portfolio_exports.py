"""Writes the exports of portfolios that people wait for, row by row, and lets go of old ones."""

import asyncio

import structlog
from sqlalchemy import text

from app.core.database import Database, is_database_away
from app.core.secrets import Secrets
from app.portfolios.commands.expire_imports import expire_imports
from app.portfolios.commands.portfolio_exports import (
    ExportToWrite,
    expire_portfolio_exports,
    finish_portfolio_export,
    next_export,
    note_export_failure,
    note_rows,
)
from app.portfolios.exported_rows import FileWriter, count_rows, select_rows
from workers.runner import Runner

logger = structlog.get_logger(__name__)

ROWS_BETWEEN_NOTES = 5_000
# A row of PostgreSQL holds less than 1 GiB, and a worker holds a file several times over.
LARGEST_FILE = 200 * 1024 * 1024


class FileTooLarge(Exception):
    """There is more in a portfolio than one file may hold."""


class PortfolioExportRunner(Runner):
    """Writes all exports that wait, and lets go of files and previews whose time is over."""

    def __init__(self, database: Database, secrets: Secrets) -> None:
        super().__init__()
        self._database = database
        self._secrets = secrets

    async def work(self, stopping: asyncio.Event) -> None:
        """Write what waits now."""
        await write_exports(self._database, self._secrets, stopping=stopping)
        async with self._database.transaction() as transaction:
            exports, imports = await expire_portfolio_exports(transaction), await expire_imports(transaction)
        if exports or imports:
            logger.info("portfolio_files_expired", exports=exports, imports=imports)


async def write_exports(database: Database, secrets: Secrets, *, stopping: asyncio.Event | None = None) -> int:
    """Write exports one after the other until none is due; gives how many are ready.

    Raises what the database driver raises when it is away.
    """
    done = 0
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            taken = await next_export(transaction)
        if taken is None:
            break
        done += await _write(database, secrets, taken)
    return done


async def _write(database: Database, secrets: Secrets, taken: ExportToWrite) -> bool:
    try:
        content, rows = await _file_of(database, taken)
        async with database.transaction() as transaction:
            await finish_portfolio_export(transaction, secrets, taken.id, content, rows=rows)
    except Exception as error:
        if is_database_away(error):
            raise
        reason = type(error).__name__
        async with database.transaction() as transaction:
            is_passing = not isinstance(error, FileTooLarge)
            status = await note_export_failure(transaction, taken, reason, is_passing=is_passing)
        logger.warning("portfolio_export_not_written", export=str(taken.id), status=status.value, reason=reason)
        return False
    logger.info("portfolio_export_ready", export=str(taken.id), rows=rows)
    return True


async def _file_of(database: Database, taken: ExportToWrite) -> tuple[bytes, int]:
    writer = FileWriter(taken.what, taken.format)
    done = 0
    async with database.transaction() as reading:
        # One picture of everything.
        await reading.connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        total = await count_rows(reading.connection, taken.what, taken.portfolio_id)
        rows = await reading.connection.stream(select_rows(taken.what, taken.portfolio_id))
        async for row in rows:
            if done % ROWS_BETWEEN_NOTES == 0:
                async with database.transaction() as transaction:
                    await note_rows(transaction, taken.id, done=done, total=total)
            writer.write(row)
            done += 1
            if writer.size > LARGEST_FILE:
                raise FileTooLarge
    return writer.content, done
