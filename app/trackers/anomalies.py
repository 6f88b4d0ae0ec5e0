"""Marks fixes that cannot be: those a tracker would have had to reach, and to leave again, faster than it can go.

A fix is anomalous when the speeds from the fix before and to the one after are both above 1000 km/h, and above three
times the median of the other speeds between neighbours from five fixes before to five after. So whether it is follows
from those ten neighbours alone, and a new fix changes no mark farther off. The first and the last fix are never marked:
nothing is known beyond them. Speeds are counted between the starts of buckets.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from app.trackers.points import Point, distance_meters

NEIGHBOURS = 5
FASTEST_METERS_PER_SECOND = 1_000_000 / 3600
TIMES_THE_MEDIAN = 3


class PlacedAt(NamedTuple):
    """Where a tracker was in the bucket that begins then."""

    bucket: datetime
    point: Point


def anomalous(fixes: Sequence[PlacedAt]) -> list[bool]:
    """Which of these neighbouring fixes, in the order of time, are anomalous.

    The marks of the first and of the last five hold only where no other fixes come before or after these.
    """
    speeds = [_speed(before, after) for before, after in pairwise(fixes)]
    return [
        0 < index < len(fixes) - 1
        and min(speeds[index - 1], speeds[index]) > FASTEST_METERS_PER_SECOND
        and min(speeds[index - 1], speeds[index]) > TIMES_THE_MEDIAN * _usual_speed(speeds, index)
        for index in range(len(fixes))
    ]


def _usual_speed(speeds: Sequence[float], index: int) -> float:
    """The median of the speeds around a fix, without those to it and from it."""
    others = [*speeds[max(0, index - NEIGHBOURS) : index - 1], *speeds[index + 1 : index + NEIGHBOURS]]
    return median(others) if others else 0.0


def _speed(before: PlacedAt, after: PlacedAt) -> float:
    return distance_meters(before.point, after.point) / (after.bucket - before.bucket).total_seconds()
