"""What the worker does for trackers by itself, and what it deletes when nobody can ask for it any more."""

import asyncio
from datetime import timedelta

from sqlalchemy import text

from app.core.clock import utc_now
from app.core.database import Database
from app.trackers.buckets import bucket_of
from app.trackers.commands.partitions import make_partitions_ahead
from tests.trackers.history_builders import (
    TestPlace,
    Told,
    history_of,
    minutes,
    save_client,
    save_place,
    save_tracker,
    take_in,
)
from workers.trackers import HistoryRunner, prune_tracker_events


async def test_the_runner_makes_waiting_histories_anew_and_tells_who_fell_silent(database: Database) -> None:
    now = utc_now()
    async with database.transaction() as transaction:
        client_id = await save_client(transaction)
        silent, seen = [
            await save_tracker(transaction, client_id, created_at=now - timedelta(days=5)) for _ in range(2)
        ]
    await take_in(database, [Told(silent, now - timedelta(days=2), 50, 10)], now=now - timedelta(days=2))
    await take_in(database, [Told(seen, now, 50, 10)], now=now)
    async with database.transaction() as transaction:
        yard = await save_place(transaction, client_id, TestPlace(50, 10))
        await transaction.connection.execute(text("UPDATE trackers.places SET is_changed = true"))

    await HistoryRunner(database).work(asyncio.Event())

    assert [row[2:] for row in (await history_of(database, silent)).statuses] == [
        ("created", None),
        ("in_storage", yard),
        ("silent", None),
    ]
    assert (await history_of(database, seen)).tracker[0][:3] == ("in_storage", bucket_of(now), yard)
    async with database.transaction() as transaction:
        told = await transaction.connection.execute(
            text("SELECT tracker_id FROM trackers.tracker_events WHERE kind = 'silent'")
        )
        assert [row.tracker_id for row in told] == [silent]


async def test_news_of_a_week_ago_and_reports_that_nobody_claimed_in_90_days_go(database: Database) -> None:
    async with database.transaction() as transaction:
        client_id = await save_client(transaction)
        tracker_id = await save_tracker(transaction, client_id)
        for days in (6, 8):
            await transaction.connection.execute(
                text("""
                    INSERT INTO trackers.tracker_events (client_id, tracker_id, kind, occurred_at, recorded_at)
                    VALUES (:client, :tracker, 'moved', now(), now() - make_interval(days => :days))
                """),
                {"client": client_id, "tracker": tracker_id, "days": days},
            )
        for days in (89, 91):
            await transaction.connection.execute(
                text("""
                    INSERT INTO trackers.orphan_reports (hashed_key, content_hash, content, received_at)
                    VALUES (:hash, :hash, '{}', now() - make_interval(days => :days))
                """),
                {"hash": bytes([days]) * 32, "days": days},
            )
    await prune_tracker_events(database)
    async with database.transaction() as transaction:
        for table, column, left in (("tracker_events", "recorded_at", 6), ("orphan_reports", "received_at", 89)):
            ages = await transaction.connection.execute(
                text(f"SELECT CAST(extract(day FROM now() - {column}) AS integer) FROM trackers.{table}")
            )
            assert [row[0] for row in ages] == [left]


async def test_partitions_of_this_month_and_the_next_two_are_made_once(database: Database) -> None:
    now = minutes(0).replace(year=2041, month=11, day=30)
    async with database.transaction() as transaction:
        made = await make_partitions_ahead(transaction, now=now)
        names = await transaction.connection.scalars(
            text("SELECT relname FROM pg_class WHERE relname LIKE 'location_%_p_204%' AND relkind = 'r' ORDER BY 1")
        )
        months = ("204111", "204112", "204201")
        assert list(names) == [f"location_{kind}_p_{month}" for kind in ("fixes", "reports") for month in months]
        assert made == 6
        assert await make_partitions_ahead(transaction, now=now) == 0
