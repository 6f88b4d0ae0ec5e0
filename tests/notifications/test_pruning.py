"""Notifications are kept for a year, of one person the newest alone, and go some in each transaction."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select, update

from app.core.clock import utc_now
from app.core.database import Database
from app.notifications.commands.prune_notifications import (
    owners_of_too_many,
    prune_notifications,
    prune_notifications_of,
)
from app.notifications.models import Notification
from tests.notifications.outbox_builders import deliveries, noted, somebody, told, webhook_of


async def titles(database: Database) -> Sequence[str]:
    """What is still told, in its order."""
    async with database.transaction() as transaction:
        found = await transaction.connection.scalars(select(Notification.title).order_by(Notification.position))
        return found.all()


async def made_old(database: Database, days: int, *those: str) -> None:
    """Make these so many days old."""
    async with database.transaction() as transaction:
        old = update(Notification).where(Notification.title.in_(those))
        await transaction.connection.execute(old.values(created_at=utc_now() - timedelta(days=days)))


async def test_what_nobody_read_goes_after_a_year_too_some_at_a_time(database: Database) -> None:
    ada = await somebody(database, address=None)
    await noted(database, ada, "one", "two", "three", "new")
    await made_old(database, 366, "one", "two", "three")
    await made_old(database, 364, "new")
    counts = []
    for _ in range(3):
        async with database.transaction() as transaction:
            counts.append(await prune_notifications(transaction, now=utc_now(), limit=2))
    assert counts == [2, 1, 0]
    assert await titles(database) == ["new"]


async def test_of_one_person_the_newest_are_kept_and_what_is_to_go_elsewhere(database: Database) -> None:
    ada, bob = [await somebody(database, address=None) for _ in range(2)]
    await webhook_of(database, ada)
    await told(database, ada, "on its way")
    await told(database, ada, *(f"{number}" for number in range(6)), channels=())
    await told(database, bob, "of Bob", "also of Bob", channels=())
    await noted(database, ada, "not routed")
    assert [row.title for row in await deliveries(database)] == ["on its way"]
    async with database.transaction() as transaction:
        assert await owners_of_too_many(transaction, most=3) == [ada]
    counts = []
    for _ in range(3):
        async with database.transaction() as transaction:
            counts.append(await prune_notifications_of(transaction, ada, most=3, limit=3))
    assert counts == [3, 1, 0]
    assert await titles(database) == ["on its way", "4", "5", "of Bob", "also of Bob", "not routed"]
