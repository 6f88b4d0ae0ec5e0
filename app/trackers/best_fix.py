"""Where a tracker was in a bucket of time: the best estimate that the bucket's reports allow.

The reports that lie farther from the median point than three times the median of those distances are dropped; the
others are averaged, weighted by 1/max(accuracy, 5)². Everything is summed in an order of the reports' own, so that the
order in which they came cannot change a digit.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from math import isfinite, sqrt
from typing import NamedTuple
from uuid import UUID

from app.trackers.points import LONGITUDES_E7, Point, as_stored, distance_meters, wrapped_longitude_e7

UNKNOWN_ACCURACY_METERS = 100.0
BEST_ACCURACY_METERS = 5.0
# Half way round the earth: nothing is known less well than that.
WORST_ACCURACY_METERS = 20_000_000.0
DEVIATIONS_ALLOWED = 3
FEWEST_TO_DROP_FROM = 2


class SeenAt(NamedTuple):
    """What a report says of a tracker; an accuracy that was not told is None."""

    reported_at: datetime
    point: Point
    accuracy_meters: float | None = None
    confidence: int | None = None


class BestFix(NamedTuple):
    """The best estimate of a bucket, from `report_count` reports of which `dropped_count` lay too far off.

    The accuracy is what the reports that count say of theirs, and how far they lie apart: the root of the mean square.
    The confidence is the greatest of them.
    """

    point: Point
    accuracy_meters: float
    confidence: int | None
    last_reported_at: datetime
    report_count: int
    dropped_count: int


# Of trackers, by the starts of buckets.
FixesOfBuckets = Mapping[UUID, Mapping[datetime, BestFix]]


def best_fix(reports: Iterable[SeenAt]) -> BestFix:
    """The fix of a bucket's reports, of which there is at least one."""
    ordered = sorted(reports, key=_order)
    points = _neighbours([point for _, point, _, _ in ordered])
    kept: Sequence[tuple[SeenAt, Point]] = list(zip(ordered, points, strict=True))
    # Two are both as far from the middle between them.
    if len(kept) > FEWEST_TO_DROP_FROM:
        center = _median_point(points)
        distances = [distance_meters(point, center) for point in points]
        allowed = DEVIATIONS_ALLOWED * _median(sorted(distances))
        if max(distances) > allowed:
            kept = [pair for pair, distance in zip(kept, distances, strict=True) if distance <= allowed]
    total = north = east = 0.0
    weighed: list[tuple[float, float, Point]] = []
    for report, point in kept:
        accuracy = _accuracy(report)
        weight = 1 / max(accuracy, BEST_ACCURACY_METERS) ** 2
        total += weight
        north += weight * point[0]
        east += weight * point[1]
        weighed.append((weight, accuracy, point))
    mean = Point(round(north / total), round(east / total))
    square = 0.0
    for weight, accuracy, point in weighed:
        square += weight * (accuracy**2 + distance_meters(point, mean) ** 2)
    return BestFix(
        point=Point(mean.latitude_e7, wrapped_longitude_e7(mean.longitude_e7)),
        accuracy_meters=as_stored(sqrt(square / total)),
        confidence=max([report.confidence for report, _ in kept if report.confidence is not None], default=None),
        last_reported_at=ordered[-1].reported_at,
        report_count=len(ordered),
        dropped_count=len(ordered) - len(kept),
    )


def _order(report: SeenAt) -> tuple[datetime, Point, float, int]:
    reported_at, point, _, confidence = report
    return reported_at, point, _accuracy(report), -1 if confidence is None else confidence


def _neighbours(points: Sequence[Point]) -> Sequence[Point]:
    """The points with longitudes that can be compared: across the antimeridian those to the west of it go on."""
    longitudes = [longitude_e7 for _, longitude_e7 in points]
    if max(longitudes) - min(longitudes) <= LONGITUDES_E7 // 2:
        return points
    return [
        Point(point.latitude_e7, point.longitude_e7 + LONGITUDES_E7 if point.longitude_e7 < 0 else point.longitude_e7)
        for point in points
    ]


def _median_point(points: Sequence[Point]) -> Point:
    return Point(
        round(_median(sorted([latitude_e7 for latitude_e7, _ in points]))),
        round(_median(sorted([longitude_e7 for _, longitude_e7 in points]))),
    )


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def _accuracy(report: SeenAt) -> float:
    accuracy = report.accuracy_meters
    if accuracy is None or not isfinite(accuracy):
        return UNKNOWN_ACCURACY_METERS
    return min(accuracy, WORST_ACCURACY_METERS)
