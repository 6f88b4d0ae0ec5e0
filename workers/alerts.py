"""Makes alerts of what only time brings about, and deletes those that are kept no longer."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial

import structlog

from app.alerts.commands.due_rules import EXPIRED_AT_A_TIME, Looked, end_expired_rules
from app.alerts.commands.look_at_portfolios import look_at_portfolios
from app.alerts.commands.look_at_silences import look_at_silences
from app.alerts.commands.look_at_windows import look_at_windows
from app.alerts.commands.prune_alerts import prune_alerts
from app.alerts.commands.record_alerts import record_alerts
from app.alerts.fired import Fired
from app.core.clock import utc_now
from app.core.database import Database, Transaction
from app.notifications.commands.notify import notify_of_alerts
from app.notifications.commands.prune_notifications import (
    owners_of_too_many,
    prune_notifications,
    prune_notifications_of,
)
from workers.runner import Runner

logger = structlog.get_logger(__name__)

# What is left over is looked at the next time.
WINDOWS_AT_A_TIME = 500

Look = Callable[[Transaction, datetime], Awaitable[Looked]]


class AlertClock(Runner):
    """Ends rules that expired, and looks at those to which time alone may bring something."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__()
        self._database = database
        self._clock = clock

    async def work(self, stopping: asyncio.Event) -> None:
        """Look at what is due now."""
        await end_all_expired(self._database, now=self._clock(), stopping=stopping)
        for look in LOOKS:
            await look_at_all(self._database, look, now=self._clock(), stopping=stopping)


async def end_all_expired(database: Database, *, now: datetime, stopping: asyncio.Event | None = None) -> int:
    """End all rules that have expired, some in each transaction; gives how many there were."""
    ended = 0
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            count = await end_expired_rules(transaction, now=now)
        ended += count
        if count < EXPIRED_AT_A_TIME:
            break
    if ended:
        logger.info("alert_rules_expired", count=ended)
    return ended


async def look_at_all(database: Database, look: Look, *, now: datetime, stopping: asyncio.Event | None = None) -> int:
    """Look at all rules that are due, some in each transaction, and make their alerts; gives how many fired."""
    fired = 0
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            looked = await look(transaction, now)
            await _alert(transaction, looked.fired)
        fired += len(looked.fired)
        if looked.is_finished:
            break
    return fired


async def prune_old_alerts(database: Database) -> None:
    """Delete alerts and notifications that are kept no longer: some in each transaction."""
    now = utc_now()
    alerts = await _prune_all(database, lambda transaction: prune_alerts(transaction, now=now))
    notifications = await _prune_all(database, lambda transaction: prune_notifications(transaction, now=now))
    async with database.transaction() as transaction:
        crowded = await owners_of_too_many(transaction)
    for owner_id in crowded:
        notifications += await _prune_all(database, partial(prune_notifications_of, owner_id=owner_id))
    if alerts or notifications:
        logger.info("alerts_pruned", alerts=alerts, notifications=notifications)


async def _prune_all(database: Database, prune: Callable[[Transaction], Awaitable[int]]) -> int:
    deleted = 0
    while True:
        async with database.transaction() as transaction:
            count = await prune(transaction)
        if not count:
            return deleted
        deleted += count


async def _alert(transaction: Transaction, fired: Sequence[Fired]) -> None:
    await notify_of_alerts(transaction, await record_alerts(transaction, fired))


async def _look_at_windows(transaction: Transaction, now: datetime) -> Looked:
    return Looked(await look_at_windows(transaction, limit=WINDOWS_AT_A_TIME, now=now))


# Each looks at some rules of a kind that are due, and has them look again later.
LOOKS: Sequence[Look] = (
    lambda transaction, now: look_at_silences(transaction, now=now),
    lambda transaction, now: look_at_portfolios(transaction, now=now),
    _look_at_windows,
)
