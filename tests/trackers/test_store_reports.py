"""What a batch knows of its own reports is what reading them from the table would tell."""

from datetime import timedelta
from random import Random
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.core.database import Database
from app.trackers.commands.recompute_histories import recompute_histories
from app.trackers.commands.store_reports import NewReport, StoredReports, store_reports
from app.trackers.history_models import ReportSource
from app.trackers.reports import Report
from tests.trackers.history_builders import history_of, minutes, save_client, save_tracker

NOW = minutes(200)
# The minute, and how far to the north; a minute has few places, so that some come twice. Most share a bucket.
seen = st.tuples(st.integers(0, 45), st.integers(0, 3), st.sampled_from((None, 8.0, 40.0)))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=st.lists(seen, min_size=5, max_size=40), shuffle=st.randoms(use_true_random=False))
async def test_fixes_are_the_same_in_one_batch_or_in_many_with_repeats(
    database: Database, told: list[tuple[int, int, float | None]], shuffle: Random
) -> None:
    async with database.transaction() as transaction:
        client_id = await save_client(transaction)
        at_once = await save_tracker(transaction, client_id)
        in_pieces = await save_tracker(transaction, client_id)

    await _take_in(database, [_report(at_once, client_id, *one) for one in told])
    repeated = [_report(in_pieces, client_id, *one) for one in [*told, *shuffle.sample(told, len(told) // 3)]]
    shuffle.shuffle(repeated)
    while repeated:
        size = shuffle.randint(1, 10)
        await _take_in(database, repeated[:size])
        del repeated[:size]

    assert await history_of(database, in_pieces) == await history_of(database, at_once)


async def test_only_buckets_that_are_all_new_are_known_without_reading(database: Database) -> None:
    async with database.transaction() as transaction:
        client_id = await save_client(transaction)
        tracker_id = await save_tracker(transaction, client_id)
    first, second, third = (_report(tracker_id, client_id, minute, 0, 8.0) for minute in (0, 1, 10))

    await _take_in(database, [first])
    stored = await _take_in(database, [first, second, third])

    assert stored.count == 2
    assert {tracker_id: {minutes(10)}} == {key: set(fixes) for key, fixes in stored.fixes.items()}
    assert stored.touched == {tracker_id: {minutes(0), minutes(10)}}


def _report(tracker_id: UUID, client_id: UUID, minute: int, north: int, accuracy: float | None) -> NewReport:
    report = Report(
        500_000_000 + north * 1_000,
        100_000_000,
        minutes(minute) + timedelta(microseconds=minute),
        accuracy,
        None,
        None,
        ReportSource.PARTNER,
        None,
    )
    return NewReport(tracker_id.bytes, tracker_id, client_id, NOW, report)


async def _take_in(database: Database, reports: list[NewReport]) -> StoredReports:
    async with database.transaction() as transaction:
        stored = await store_reports(transaction.connection, reports)
        await recompute_histories(transaction, stored.touched, now=NOW, fixes=stored.fixes)
    return stored
