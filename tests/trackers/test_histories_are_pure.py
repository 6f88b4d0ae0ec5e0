"""The same reports in any order, any batches and with repeats give one history: the one worked out from scratch."""

from collections.abc import Iterable, Sequence
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app.core.database import Database
from app.trackers import histories
from app.trackers.anomalies import PlacedAt, anomalous
from app.trackers.best_fix import BestFix, SeenAt, best_fix
from app.trackers.buckets import bucket_of
from app.trackers.journey import Journey, JourneyFix, Nearness, PlaceRules
from app.trackers.models import PlaceKind
from app.trackers.points import Point
from tests.trackers.history_builders import (
    TestPlace,
    Told,
    history_of,
    minutes,
    north,
    save_client,
    save_place,
    save_tracker,
    take_in,
)

NOW = minutes(1300)
CREATED_AT = minutes(35)
SILENT_AFTER_MINUTES = 65
PLACES = (
    TestPlace(50, 10),
    TestPlace(50 + north(60), 10, radius_meters=150, dwell_fixes=2, dwell_minutes=20),
    TestPlace(50 + north(5000), 10, kind="delivery", active_until=minutes(400)),
    TestPlace(
        50 + north(5100),
        10.01,
        radius_meters=0,
        reach_meters=900,
        shape="POLYGON((10 50.04, 10.02 50.04, 10.02 50.05, 10 50.05, 10 50.04))",
    ),
)
# Metres to the north of the yard: within places, at their edges, between them, and where nothing gets so fast.
METERS = (0, 20, 60, 90, 110, 140, 200, 330, 900, 2500, 4900, 5000, 5090, 5500, 900_000, -3_000_000)

told = st.tuples(
    st.integers(0, 1000),
    st.sampled_from(METERS),
    st.sampled_from((10.0, 10.0004, 10.002)),
    st.sampled_from((None, 0.0, 8.0, 40.0, 300.0)),
    st.sampled_from((None, 1, 3)),
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(reports=st.lists(told, min_size=1, max_size=60), shuffle=st.randoms(use_true_random=False), data=st.data())
async def test_the_history_depends_on_the_reports_alone_and_not_on_how_they_came(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    reports: list[tuple[int, int, float, float | None, int | None]],
    shuffle: Random,
    data: st.DataObject,
) -> None:
    monkeypatch.setattr(histories, "FIXES_PER_CHECKPOINT", 4)
    async with database.transaction() as transaction:
        client_id = await save_client(transaction, silent_after_minutes=SILENT_AFTER_MINUTES)
        at_once = await save_tracker(transaction, client_id, created_at=CREATED_AT)
        in_pieces = await save_tracker(transaction, client_id, created_at=CREATED_AT)
        await transaction.connection.execute(text("DELETE FROM trackers.places"))
        for place in PLACES:
            await save_place(transaction, client_id, place)
    others = _of(in_pieces, reports)
    repeated = [*others, *data.draw(st.lists(st.sampled_from(others), max_size=10))]
    shuffle.shuffle(repeated)

    await take_in(database, _of(at_once, reports), now=NOW)
    while repeated:
        size = data.draw(st.integers(1, 20))
        await take_in(database, repeated[:size], now=NOW)
        del repeated[:size]

    expected = await history_of(database, at_once)
    assert await history_of(database, in_pieces) == expected
    fixes, statuses, visits = await _from_scratch(database, _of(at_once, reports))
    assert [row[:8] for row in expected.fixes] == fixes
    assert expected.statuses == statuses
    assert expected.visits == visits


def _of(tracker_id: UUID, reports: Iterable[tuple[int, int, float, float | None, int | None]]) -> list[Told]:
    """The reports, one for each place and minute: a second one with another accuracy would be a repeat."""
    told_of = {
        (minute, meters, longitude): Told(
            tracker_id, minutes(minute), 50 + north(meters), longitude, accuracy, confidence
        )
        for minute, meters, longitude, accuracy, confidence in reversed(list(reports))
    }
    return list(told_of.values())


async def _from_scratch(
    database: Database, reports: Sequence[Told]
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Fixes, status changes and visits, worked out from all reports at once."""
    buckets: dict[Any, list[SeenAt]] = {}
    for report in reports:
        point = Point(round(report.latitude * 10_000_000), round(report.longitude * 10_000_000))
        seen = SeenAt(report.reported_at, point, report.accuracy_meters, report.confidence)
        buckets.setdefault(bucket_of(report.reported_at), []).append(seen)
    fixes = {bucket: best_fix(buckets[bucket]) for bucket in sorted(buckets)}
    marks = anomalous([PlacedAt(bucket, fix.point) for bucket, fix in fixes.items()])
    journey = Journey(
        {
            place.id: PlaceRules(
                id=place.id,
                kind=PlaceKind(place.kind),
                radius_meters=place.radius_meters,
                reach_meters=place.reach_meters or place.radius_meters,
                dwell_fixes=place.dwell_fixes,
                dwell_minutes=place.dwell_minutes,
                active_until=place.active_until,
            )
            for place in PLACES
        },
        SILENT_AFTER_MINUTES,
    )
    rows: list[tuple[Any, ...]] = []
    for (bucket, fix), is_anomalous in zip(fixes.items(), marks, strict=True):
        near, spelled = await _measured(database, fix)
        rows.append(
            (
                bucket,
                spelled,
                fix.accuracy_meters,
                fix.confidence,
                fix.last_reported_at,
                fix.report_count,
                fix.dropped_count,
                is_anomalous,
            )
        )
        if not is_anomalous:
            journey.go_on(JourneyFix(bucket, fix.point, fix.accuracy_meters, near))
    spans = journey.statuses(created_at=CREATED_AT, now=NOW)
    statuses = [(span.started_at, span.ended_at, span.status.value, span.place_id) for span in spans]
    departures = [*(stay.since for stay in journey.stays[1:]), None]
    visits = [
        (stay.since, departed_at, stay.place_id, stay.fix_count)
        for stay, departed_at in zip(journey.stays, departures, strict=True)
        if stay.place_id is not None
    ]
    return rows, statuses, visits


async def _measured(database: Database, fix: BestFix) -> tuple[list[Nearness], str]:
    """How far the fix is from all places, however far, and how PostGIS spells it."""
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(
            text("""
                SELECT id, ST_Distance(shape, at), ST_Distance(center, at), ST_AsText(at, 17)
                FROM trackers.places, CAST(ST_SetSRID(ST_MakePoint(:longitude, :latitude), 4326) AS geography) AS at
            """),
            {"latitude": fix.point.latitude, "longitude": fix.point.longitude},
        )
        rows = [tuple(row) for row in found]
    return [Nearness(*row[:3]) for row in rows], rows[0][3]
