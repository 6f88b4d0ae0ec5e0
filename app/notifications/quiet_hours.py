"""When something may go out: after quiet hours, and for mails that are gathered when their digest is made."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from app.notifications.models import Digest

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """When somebody wants to be left alone and how their mails are gathered, on the clock of a time zone.

    Where the clock jumps over a time, the moment of the jump stands for it; of a time that comes twice, quiet hours
    begin at the first and end at the second.
    """

    time_zone: str = "UTC"
    quiet_from: time | None = None
    quiet_until: time | None = None
    digest: Digest = Digest.NONE
    digest_at: time = time(8)

    def end_of_quiet(self, now: datetime) -> datetime | None:
        """Until when nothing may go out that is not critical; None where it may now."""
        if self.quiet_from is None or self.quiet_until is None:
            return None
        zone = zone_of(self.time_zone)
        nights = _DAY if self.quiet_until <= self.quiet_from else timedelta(0)
        today = now.astimezone(zone).date()
        for day in (today - _DAY, today):
            begin = instant_of(day, self.quiet_from, zone)
            end = instant_of(day + nights, self.quiet_until, zone, is_second=True)
            if begin <= now < end:
                return end
        return None

    def next_digest(self, now: datetime) -> datetime | None:
        """When mails of now are sent together; None where each goes alone.

        What falls into quiet hours is sent at their end, with all that comes until then.
        """
        if self.digest is Digest.NONE:
            return None
        moments = self._full_hours(now) if self.digest is Digest.HOURLY else self._times_of_day(now)
        return next(sent_at for moment in moments if (sent_at := self.end_of_quiet(moment) or moment) > now)

    def _full_hours(self, now: datetime) -> Iterator[datetime]:
        """The full hours of the clock from the last one on."""
        local = now.astimezone(zone_of(self.time_zone))
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return (now.astimezone(UTC) - past + hours * _HOUR for hours in range(2))

    def _times_of_day(self, now: datetime) -> Iterator[datetime]:
        """The times of daily digests from yesterday's on."""
        zone = zone_of(self.time_zone)
        today = now.astimezone(zone).date()
        return (instant_of(today + days * _DAY, self.digest_at, zone) for days in range(-1, 3))


def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name; UTC where there is none such any more."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def instant_of(day: date, clock: time, zone: ZoneInfo, *, is_second: bool = False) -> datetime:
    """When the clocks of a zone show a time of a day, in UTC; of two such moments the first unless `is_second`."""
    shown = datetime.combine(day, clock.replace(tzinfo=None, fold=int(is_second)), zone)
    instant = shown.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == shown.replace(tzinfo=None):
        return instant
    return _jump_near(instant, zone)


def _jump_near(instant: datetime, zone: ZoneInfo) -> datetime:
    """The moment at which the clocks jump, within a day before or after an instant (UTC)."""
    before, after = instant - _DAY, instant + _DAY
    offset = before.astimezone(zone).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    # Clocks jump at whole seconds; the search ends within one of these.
    return after.replace(microsecond=0)
