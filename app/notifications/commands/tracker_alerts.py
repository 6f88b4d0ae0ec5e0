"""Tells those whose rules fire at what became of trackers."""

from collections.abc import Sequence
from datetime import datetime

from app.alerts.commands.record_alerts import record_alerts
from app.alerts.commands.watch_trackers import watch_trackers
from app.core.database import Transaction
from app.notifications.commands.notify import notify_of_alerts
from app.trackers.commands.tracker_events import NewTrackerEvent


async def tell_of_trackers(transaction: Transaction, events: Sequence[NewTrackerEvent], known_at: datetime) -> None:
    """Make alerts of the rules that fire at these events, and tell their owners in the app.

    As `WatchEvents` is called: the last step before the commit, since others queue for its lock.
    """
    fired = await watch_trackers(transaction, events, known_at=known_at)
    await notify_of_alerts(transaction, await record_alerts(transaction, fired))
