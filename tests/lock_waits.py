"""Waiting until somebody waits: for tests of what two do at once."""

import asyncio

from sqlalchemy import text

from app.core.database import Database

# Of this test's own database: others stand beside it on the same server. Who waits for a row waits for a transaction,
# which is of no database; but they hold other locks in theirs.
_WAITING = """
SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid IN (
    SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database WHERE datname = current_database()
)
"""


async def until_somebody_waits(database: Database, *, count: int = 1) -> None:
    """Until so many wait for locks that others hold."""
    for _ in range(1_000):
        async with database.transaction() as transaction:
            if int((await transaction.connection.execute(text(_WAITING))).scalar_one()) >= count:
                return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")
