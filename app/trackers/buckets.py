"""Buckets of time: ten minutes, half-open, labelled by their start in UTC. A tracker has one fix a bucket."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

BUCKET = timedelta(minutes=10)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bucket_of(instant: datetime) -> datetime:
    """The start of the bucket that the instant, which knows its time zone, is in."""
    return instant.astimezone(UTC) - (instant - _EPOCH) % BUCKET


def bucket_number(bucket: datetime) -> int:
    """How many buckets lie between 1970 and this one."""
    return (bucket - _EPOCH) // BUCKET


def silent_from(last_bucket: datetime, silent_after_minutes: int) -> datetime:
    """When a tracker falls silent whose last fix is of this bucket: its end, and the silence in whole buckets.

    Silence begins where a bucket begins, so that a fix is either before it or after it.
    """
    return last_bucket + _until_silent(silent_after_minutes)


@lru_cache
def _until_silent(silent_after_minutes: int) -> timedelta:
    silence = -(-timedelta(minutes=silent_after_minutes) // BUCKET) * BUCKET
    return BUCKET + silence
