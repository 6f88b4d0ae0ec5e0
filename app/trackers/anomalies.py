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
from typing import NamedTuple, Protocol

from app.trackers.points import Point, distance_meters

NEIGHBOURS = 5
FASTEST_METERS_PER_SECOND = 1_000_000 / 3600
TIMES_THE_MEDIAN = 3


class Placed(Protocol):
    """Where a tracker was in the bucket that begins then."""

    @property
    def bucket(self) -> datetime:
        """The start of the bucket."""

    @property
    def point(self) -> Point:
        """Where it was."""


class PlacedAt(NamedTuple):
    """A place and the start of a bucket, and nothing else."""

    bucket: datetime
    point: Point


def anomalous(fixes: Sequence[Placed]) -> list[bool]:
    """Which of these neighbouring fixes, in the order of time, are anomalous.

    The marks of the first and of the last five hold only where no other fixes come before or after these.
    """
    speeds = [_speed(before, after) for before, after in pairwise(fixes)]
    if max(speeds, default=0.0) <= FASTEST_METERS_PER_SECOND:
        return [False] * len(fixes)
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


def _speed(before: Placed, after: Placed) -> float:
    return distance_meters(before.point, after.point) / (after.bucket - before.bucket).total_seconds()
