"""Tells what happened to trackers."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.core.database import Transaction


@dataclass(frozen=True, slots=True)
class NewTrackerEvent:
    """Nothing yet."""


async def record_events(transaction: Transaction, events: Sequence[NewTrackerEvent]) -> None:
    """Nothing yet."""
