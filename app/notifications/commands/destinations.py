"""What follows for a destination from what became of a delivery to it."""

from datetime import datetime

from app.core.database import Transaction
from app.notifications.sending import NotDelivered, Outgoing


async def after_delivery(transaction: Transaction, outgoing: Outgoing, *, now: datetime) -> None:
    """Note that a destination was reached."""


async def after_failure(transaction: Transaction, outgoing: Outgoing, failure: NotDelivered, *, now: datetime) -> None:
    """Count a failure: what is gone is removed, and what failed for a day is disabled, with a notice."""
