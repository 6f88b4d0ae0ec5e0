"""Candle resolutions and the buckets they cut time into: half-open, in UTC, labelled by their start."""

from datetime import UTC, datetime, timedelta
from enum import IntEnum

# A Monday at midnight: from here on every resolution up to a week begins where people expect it to.
BUCKET_ORIGIN = datetime(2001, 1, 1, tzinfo=UTC)
# Beyond every price, and still far enough from the end of Python's calendar.
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)


class Resolution(IntEnum):
    """The length of a bucket, in seconds."""

    ONE_MINUTE = 60
    FIVE_MINUTES = 300
    FIFTEEN_MINUTES = 900
    ONE_HOUR = 3600
    FOUR_HOURS = 14_400
    ONE_DAY = 86_400
    ONE_WEEK = 604_800


# Rolled up from points when they are stored; every other resolution is derived when read.
ROLLED_UP = (Resolution.ONE_MINUTE, Resolution.ONE_HOUR, Resolution.ONE_DAY)


def bucket_start(instant: datetime, resolution: int) -> datetime:
    """The start of the bucket that holds `instant`."""
    return instant - (instant - BUCKET_ORIGIN) % timedelta(seconds=resolution)


def first_bucket_from(instant: datetime, resolution: int) -> datetime:
    """The start of the first bucket that does not begin before `instant`."""
    start = bucket_start(instant, resolution)
    if start == instant:
        return start
    width = timedelta(seconds=resolution)
    return start + width if start < END_OF_TIME - width else END_OF_TIME
