"""Candle resolutions and the buckets they cut time into: half-open, in UTC, labelled by their start."""

from datetime import UTC, datetime, timedelta
from enum import IntEnum

# A Monday at midnight: from here on every resolution up to a week begins where people expect it to.
BUCKET_ORIGIN = datetime(2001, 1, 1, tzinfo=UTC)
# A Monday, too.
BEGINNING_OF_TIME = BUCKET_ORIGIN.replace(year=1)
# Beyond every price, and still far enough from the end of Python's calendar.
END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)
_MONTHS_IN_YEAR = 12


class Resolution(IntEnum):
    """The length of a bucket, in seconds.

    A month has no such length: it stands here by its mean, and its buckets are those of the calendar.
    """

    ONE_MINUTE = 60
    FIVE_MINUTES = 300
    FIFTEEN_MINUTES = 900
    ONE_HOUR = 3600
    FOUR_HOURS = 14_400
    ONE_DAY = 86_400
    ONE_WEEK = 604_800
    ONE_MONTH = 2_629_746


# Rolled up from points when they are stored; every other resolution is derived when read.
ROLLED_UP = (Resolution.ONE_MINUTE, Resolution.ONE_HOUR, Resolution.ONE_DAY)
LONGEST_MONTH_IN_DAYS = 31


def bucket_start(instant: datetime, resolution: int) -> datetime:
    """The start of the bucket that holds `instant`; of the calendar's month for `Resolution.ONE_MONTH` itself."""
    # By identity: a source may provide candles of as many seconds, which are no months.
    if resolution is Resolution.ONE_MONTH:
        return instant.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return instant - (instant - BUCKET_ORIGIN) % timedelta(seconds=resolution)


def first_bucket_from(instant: datetime, resolution: int) -> datetime:
    """The start of the first bucket that does not begin before `instant`."""
    start = bucket_start(instant, resolution)
    return start if start == instant else next_bucket(start, resolution)


def next_bucket(start: datetime, resolution: int) -> datetime:
    """The start of the bucket after the one that begins at `start`."""
    if resolution is Resolution.ONE_MONTH:
        if start >= END_OF_TIME:
            return END_OF_TIME
        return start.replace(year=start.year + start.month // _MONTHS_IN_YEAR, month=start.month % _MONTHS_IN_YEAR + 1)
    width = timedelta(seconds=resolution)
    return start + width if start < END_OF_TIME - width else END_OF_TIME


def last_bucket_before(instant: datetime, resolution: int) -> datetime:
    """The start of the last bucket that begins before `instant`, or `BEGINNING_OF_TIME` where there is none."""
    return bucket_start(instant - timedelta.resolution, resolution) if instant > BEGINNING_OF_TIME else instant
