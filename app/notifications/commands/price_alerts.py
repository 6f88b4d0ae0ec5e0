"""Takes prices in, and tells those whose rules they cross."""

from functools import partial

from app.alerts.commands.watch_prices import watch_prices
from app.core.database import Transaction
from app.ingestion.processing import BatchHandlers
from app.notifications.commands.notify import notify_of_alerts
from app.prices.commands.price_batches import price_batches
from app.prices.observations import LastStep, Observations


async def tell_of_prices(transaction: Transaction, observations: Observations) -> LastStep:
    """Make alerts of the rules that new prices cross; the last step tells their owners in the app."""
    return partial(notify_of_alerts, alerts=await watch_prices(transaction, observations))


WATCHED_PRICE_BATCHES: BatchHandlers = price_batches(tell_of_prices)
