"""How long trackers were on their way and in storage, and how long that takes those of a production run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Boolean, Column, DateTime, Integer, Interval, Uuid, bindparam, func, text, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.core.database import OPERATION_TIME
from app.trackers.history_models import Visit
from app.trackers.models import TrackerStatus

# Statistics of a production run tell something from so many deliveries on.
RELIABLE_FROM = 3
RUN_IDS = "production_run_ids"

# How long a stay has lasted; one that goes on ends now.
DWELL: ColumnElement[timedelta] = type_coerce(
    func.coalesce(Visit.departed_at, OPERATION_TIME) - Visit.arrived_at, Interval()
)

# The times of a status, within the range that is asked for; the one that lasts ends now.
_STATUS_TIMES = text("""
    SELECT asked.place, change.status, sum(
        least(coalesce(change.ended_at, :now), coalesce(asked.until, 'infinity'))
        - greatest(change.started_at, coalesce(asked.since, '-infinity'))
    ) AS duration
    FROM unnest(CAST(:ids AS uuid[]), CAST(:since AS timestamptz[]), CAST(:until AS timestamptz[]))
        WITH ORDINALITY AS asked (tracker_id, since, until, place)
    JOIN trackers.status_changes AS change ON change.tracker_id = asked.tracker_id
    WHERE change.status IN ('in_transit', 'in_storage')
        AND greatest(change.started_at, coalesce(asked.since, '-infinity'))
            < least(coalesce(change.ended_at, :now), coalesce(asked.until, 'infinity'))
    GROUP BY asked.place, change.status
""").bindparams(bindparam("now", type_=DateTime(timezone=True)))
_NEVER = timedelta(0)


class AskedTimes(NamedTuple):
    """The statuses of one tracker in a range, where there is one; what goes on ends `now`."""

    tracker_id: UUID
    since: datetime | None
    until: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True)
class StatusTimes:
    """How long a tracker was on its way, and in storage."""

    in_transit: timedelta = _NEVER
    in_storage: timedelta = _NEVER


async def status_times_of(connection: AsyncConnection, asked: Sequence[AskedTimes]) -> Mapping[AskedTimes, StatusTimes]:
    """The times of each tracker in its range; nothing of one that was neither on its way nor in storage."""
    wanted = list(dict.fromkeys(asked))
    rows = await connection.execute(
        _STATUS_TIMES,
        {
            "ids": [times.tracker_id for times in wanted],
            "since": [times.since for times in wanted],
            "until": [times.until for times in wanted],
            "now": wanted[0].now,
        },
    )
    durations: dict[AskedTimes, dict[str, timedelta]] = {}
    for row in rows:
        durations.setdefault(wanted[row.place - 1], {})[row.status] = row.duration
    return {
        times: StatusTimes(
            found.get(TrackerStatus.IN_TRANSIT.value, _NEVER), found.get(TrackerStatus.IN_STORAGE.value, _NEVER)
        )
        for times, found in durations.items()
    }


_COUNTS = ", ".join(
    f"CAST(count(*) FILTER (WHERE status = '{status.value}') AS integer) AS of_{status.value}"
    for status in TrackerStatus
)
# A journey is from when a tracker first set off until it was first delivered after that. The median of an even number
# is the mean of the two in the middle; the p80 is the shortest time that four of five do not exceed.
_RUN_STATISTICS = text(f"""
    SELECT run.id AS production_run_id, counted.*, taken.*
    FROM trackers.production_runs AS run
    CROSS JOIN LATERAL (
        SELECT CAST(count(*) AS integer) AS tracker_count, {_COUNTS}
        FROM trackers.trackers WHERE production_run_id = run.id
    ) AS counted
    CROSS JOIN LATERAL (
        SELECT CAST(count(*) AS integer) AS sample_size, count(*) >= {RELIABLE_FROM} AS is_reliable,
            percentile_cont(0.5) WITHIN GROUP (ORDER BY delivered.at - set_off.at) AS median_transit_time,
            percentile_disc(0.8) WITHIN GROUP (ORDER BY delivered.at - set_off.at) AS p80_transit_time
        FROM trackers.trackers AS tracker
        CROSS JOIN LATERAL (
            SELECT started_at AS at FROM trackers.status_changes
            WHERE tracker_id = tracker.id AND status = 'in_transit' ORDER BY started_at LIMIT 1
        ) AS set_off
        CROSS JOIN LATERAL (
            SELECT started_at AS at FROM trackers.status_changes
            WHERE tracker_id = tracker.id AND status = 'delivered' AND started_at > set_off.at
            ORDER BY started_at LIMIT 1
        ) AS delivered
        WHERE tracker.production_run_id = run.id
    ) AS taken
    WHERE run.id = ANY(:production_run_ids)
""").bindparams(bindparam(RUN_IDS, type_=ARRAY(Uuid)))  # noqa: S608  # our own words
# One row for each of the production runs in `production_run_ids`.
RUN_STATISTICS = _RUN_STATISTICS.columns(
    Column("production_run_id", Uuid, nullable=False),
    Column("tracker_count", Integer, nullable=False),
    *(Column(f"of_{status.value}", Integer, nullable=False) for status in TrackerStatus),
    Column("sample_size", Integer, nullable=False),
    Column("is_reliable", Boolean, nullable=False),
    Column("median_transit_time", Interval),
    Column("p80_transit_time", Interval),
).subquery("production_run_statistics")
