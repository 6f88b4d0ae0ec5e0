"""Fixes of trackers over time, the lines through them, and how far that is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    SmallInteger,
    Uuid,
    bindparam,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.errors import BadUserInput

TRACKER_IDS = "tracker_ids"
MOST_FIXES = 10_000
MOST_FIXES_IN_ALL = 100_000
DEFAULT_SPAN = timedelta(days=30)

_PARAMETERS = (
    bindparam("tracker_ids", type_=ARRAY(Uuid)),
    bindparam("since", type_=DateTime(timezone=True)),
    bindparam("until", type_=DateTime(timezone=True)),
    bindparam("has_anomalies", type_=Boolean),
    bindparam("most", type_=Integer),
    bindparam("most_in_all", type_=Integer),
)
# One more than there may be tells that there are too many; without an order, for then they are not shown.
_FOUND = """
    SELECT numbered.*, count(*) OVER () > :most_in_all OR max(place) OVER () > :most AS is_too_much
    FROM (
        SELECT fix.*, CAST(fix.position AS geometry) AS point,
            row_number() OVER (PARTITION BY fix.tracker_id ORDER BY fix.bucket) AS place
        FROM (
            SELECT within.*
            FROM (SELECT DISTINCT id FROM unnest(:tracker_ids) AS asked (id)) AS tracker CROSS JOIN LATERAL (
                SELECT * FROM trackers.location_fixes
                WHERE tracker_id = tracker.id AND bucket >= :since AND bucket < :until
                    AND (:has_anomalies OR NOT is_anomalous)
                ORDER BY bucket LIMIT :most + 1
            ) AS within
            LIMIT :most_in_all + 1
        ) AS fix
    ) AS numbered
"""
# Douglas and Peucker on a map in the projection of Mercator, where a metre is never longer than one on the ground: what
# lies within the tolerance there does so on earth. A track that crosses the antimeridian goes on beyond it there.
_FIXES = text(f"""
WITH found AS (
    {_FOUND}
), turned AS (
    SELECT tracker_id, place, ST_X(point) AS longitude, ST_Y(point) AS latitude,
        CASE
            WHEN ST_X(point) - lag(ST_X(point)) OVER by_time > 180 THEN -360
            WHEN ST_X(point) - lag(ST_X(point)) OVER by_time < -180 THEN 360
            ELSE 0
        END AS turn
    FROM found
    WINDOW by_time AS (PARTITION BY tracker_id ORDER BY place)
), mapped AS (
    SELECT tracker_id, place,
        6378137 * radians(longitude + sum(turn) OVER (PARTITION BY tracker_id ORDER BY place)) AS x,
        6378137 * ln(tan(radians(45 + least(greatest(latitude, -85), 85) / 2))) AS y
    FROM turned
), simplified AS (
    SELECT tracker_id,
        ST_Simplify(ST_MakeLine(ST_MakePointM(x, y, place) ORDER BY place), :tolerance, true) AS line
    FROM mapped
    GROUP BY tracker_id
), kept AS (
    SELECT simplified.tracker_id, CAST(ST_M(dumped.geom) AS bigint) AS place
    FROM simplified CROSS JOIN LATERAL ST_DumpPoints(simplified.line) AS dumped
)
SELECT tracker_id, bucket, accuracy_meters, confidence, last_reported_at, report_count, dropped_count, is_anomalous,
    city_id, is_too_much, CAST(round(CAST(ST_Y(point) AS numeric), 7) AS double precision) AS latitude,
    CAST(round(CAST(ST_X(point) AS numeric), 7) AS double precision) AS longitude
FROM found
WHERE :tolerance IS NULL OR place = 1 OR (tracker_id, place) IN (SELECT tracker_id, place FROM kept)
""").bindparams(*_PARAMETERS, bindparam("tolerance", type_=Double))  # noqa: S608  # our own words
# The fixes of the trackers in `tracker_ids`; the other parameters are those of `AskedFixes.values`.
FIXES = _FIXES.columns(
    Column("tracker_id", Uuid, nullable=False),
    Column("bucket", DateTime(timezone=True), nullable=False),
    Column("accuracy_meters", Double, nullable=False),
    Column("confidence", SmallInteger),
    Column("last_reported_at", DateTime(timezone=True), nullable=False),
    Column("report_count", Integer, nullable=False),
    Column("dropped_count", Integer, nullable=False),
    Column("is_anomalous", Boolean, nullable=False),
    Column("city_id", Integer),
    Column("is_too_much", Boolean, nullable=False),
    Column("latitude", Double, nullable=False),
    Column("longitude", Double, nullable=False),
).subquery("location_fix")
_LINES = select(FIXES.c.tracker_id, FIXES.c.longitude, FIXES.c.latitude, FIXES.c.is_too_much).order_by(
    FIXES.c.tracker_id, FIXES.c.bucket
)

_DISTANCES = text(f"""
WITH found AS (
    {_FOUND}
)
SELECT tracker_id, bool_or(is_too_much) AS is_too_much, coalesce(sum(step), 0) AS meters
FROM (
    SELECT tracker_id, is_too_much,
        ST_Distance(position, lag(position) OVER (PARTITION BY tracker_id ORDER BY place)) AS step
    FROM found
) AS stepped
GROUP BY tracker_id
""").bindparams(*_PARAMETERS)  # noqa: S608  # our own words


@dataclass(frozen=True, slots=True)
class AskedFixes:
    """Which fixes of a tracker: `since <= bucket < until`, as few as a tolerance in metres allows if there is one."""

    since: datetime
    until: datetime
    tolerance: float | None = None
    has_anomalies: bool = False

    @property
    def values(self) -> dict[str, Any]:
        """The parameters of `FIXES` beside the trackers."""
        return {
            "since": self.since,
            "until": self.until,
            "has_anomalies": self.has_anomalies,
            "most": MOST_FIXES,
            "most_in_all": MOST_FIXES_IN_ALL,
            "tolerance": self.tolerance,
        }


class AskedTrack(NamedTuple):
    """The fixes of one tracker that a line or a distance is made of."""

    tracker_id: UUID
    fixes: AskedFixes


Position = tuple[float, float]


def too_many_fixes() -> BadUserInput:
    """The refusal of more fixes than are read at once."""
    return BadUserInput(
        f"There are more than {MOST_FIXES:,} fixes of one tracker from `from` to `to`, or more than "
        f"{MOST_FIXES_IN_ALL:,} of all trackers asked for; ask for a shorter time, or for fewer trackers at once.",
        argument="from",
        allowed=[f"{MOST_FIXES:,} fixes of a tracker", f"{MOST_FIXES_IN_ALL:,} in all"],
    )


async def distances_of(connection: AsyncConnection, asked: Sequence[AskedTrack]) -> Mapping[AskedTrack, float]:
    """Metres along the fixes of each track, on the ellipsoid; nothing of one without fixes. Raises BadUserInput."""
    distances: dict[AskedTrack, float] = {}
    for fixes, ids in _by_fixes(asked).items():
        values = {name: value for name, value in fixes.values.items() if name != "tolerance"}
        found = (await connection.execute(_DISTANCES, {**values, TRACKER_IDS: ids})).all()
        if any(row.is_too_much for row in found):
            raise too_many_fixes()
        distances |= {AskedTrack(row.tracker_id, fixes): row.meters for row in found}
    return distances


async def lines_of(connection: AsyncConnection, asked: Sequence[AskedTrack]) -> Mapping[AskedTrack, list[Position]]:
    """The positions of each track in order, longitude first; nothing of one without fixes. Raises BadUserInput."""
    lines: dict[AskedTrack, list[Position]] = {}
    for fixes, ids in _by_fixes(asked).items():
        found = (await connection.execute(_LINES, {**fixes.values, TRACKER_IDS: ids})).all()
        if any(row.is_too_much for row in found):
            raise too_many_fixes()
        for row in found:
            lines.setdefault(AskedTrack(row.tracker_id, fixes), []).append((row.longitude, row.latitude))
    return lines


def _by_fixes(asked: Sequence[AskedTrack]) -> dict[AskedFixes, list[UUID]]:
    """The trackers of each question: one statement each, of which a selection asks as many as it has arguments."""
    questions: dict[AskedFixes, list[UUID]] = {}
    for track in asked:
        questions.setdefault(track.fixes, []).append(track.tracker_id)
    return questions
