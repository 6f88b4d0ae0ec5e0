"""Tells those whose rules fire at a release that is put off."""

from app.alerts.commands.record_alerts import record_alerts
from app.alerts.commands.watch_preorders import watch_preorders
from app.core.database import Transaction
from app.notifications.commands.notify import notify_of_alerts
from app.portfolios.commands.preorders import ReleaseChange


async def tell_of_release(transaction: Transaction, change: ReleaseChange) -> None:
    """Make alerts of the rules that fire at this change, and tell their owner in the app.

    The last step before the commit: others queue for its lock.
    """
    fired = await watch_preorders(transaction, change)
    await notify_of_alerts(transaction, await record_alerts(transaction, fired))
