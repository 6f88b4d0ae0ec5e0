"""Reads the inventories that people wait for, at the pace that the provider allows."""

import asyncio

import httpx
import structlog

from app.core.database import Database, is_database_away
from app.core.errors import Refusal
from app.core.retrying import Retries
from app.portfolios.commands.inventory_imports import (
    READING_FAILED,
    InventoryToRead,
    next_inventory,
    note_unreadable,
    preview_inventory,
)
from app.portfolios.imports.steam import PROVIDER, InventoryUnreadable, read_inventory
from app.providers.client import PATIENCE_SECONDS, ProviderClient
from workers.runner import Runner

logger = structlog.get_logger(__name__)


class InventoryRunner(Runner):
    """Reads all inventories that wait and are due."""

    def __init__(self, database: Database, http: httpx.AsyncClient) -> None:
        super().__init__()
        self._database = database
        self._http = http

    async def work(self, stopping: asyncio.Event) -> None:
        """Read what waits now."""
        await read_inventories(self._database, self._http, stopping=stopping)


async def read_inventories(
    database: Database,
    http: httpx.AsyncClient,
    *,
    retries: Retries | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    stopping: asyncio.Event | None = None,
) -> int:
    """Read inventories one after the other until none is due; gives how many were read.

    Raises what the database driver raises when it is away.
    """
    client = ProviderClient(database, PROVIDER, http, retries=retries, patience_seconds=patience_seconds)
    done = 0
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            taken = await next_inventory(transaction)
        if taken is None:
            break
        done += await _read(database, client, taken)
    return done


async def _read(database: Database, client: ProviderClient, taken: InventoryToRead) -> bool:
    try:
        assets = await read_inventory(client, taken.steam_id)
        async with database.transaction() as transaction:
            return await preview_inventory(transaction, taken.import_id, assets)
    except InventoryUnreadable as error:
        await _note(database, taken, str(error), is_passing=error.is_passing)
    except Refusal as error:
        await _note(database, taken, error.message, is_passing=False)
    except Exception as error:
        if is_database_away(error):
            raise
        # One inventory that we cannot read must not keep the others waiting.
        logger.exception("inventory_failed", portfolio_import=str(taken.import_id))
        await _note(database, taken, READING_FAILED, is_passing=False)
    return False


async def _note(database: Database, taken: InventoryToRead, reason: str, *, is_passing: bool) -> None:
    async with database.transaction() as transaction:
        status = await note_unreadable(transaction, taken, reason, is_passing=is_passing)
    logger.warning(
        "inventory_not_read", portfolio_import=str(taken.import_id), attempt=taken.attempts, status=status.value
    )
