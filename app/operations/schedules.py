"""When jobs run: cron expressions in a time zone, and the moment that comes next."""

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from app.operations.errors import InvalidSchedule

EXAMPLE = "`15 16 * * 1-5` for 16:15 from Monday to Friday"
FIELDS = 5
LONGEST_CRON = 100
# What these mean, each machine says for itself.
OF_THE_MACHINE = {"localtime", "posixrules"}


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cron expression in a named time zone. Without one, or not enabled, nothing runs by itself."""

    cron: str | None = None
    time_zone: str = "UTC"
    is_enabled: bool = True

    def __post_init__(self) -> None:
        zone = _zone(self.time_zone)
        if self.cron is not None:
            _next(self.cron, datetime(2026, 1, 1, tzinfo=zone))

    def next_after(self, instant: datetime) -> datetime | None:
        """The first moment after an instant, in UTC; None where nothing runs by itself.

        As in Debian's cron: a time of day that the clock skips in spring comes right after, one that it repeats in
        autumn comes once.
        """
        if self.cron is None or not self.is_enabled:
            return None
        return _next(self.cron, instant.astimezone(_zone(self.time_zone)))


def _zone(name: str) -> ZoneInfo:
    try:
        if name not in OF_THE_MACHINE:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    message = f"“{name[:40]}” is no time zone that is known; give one such as `UTC` or `Europe/Berlin`."
    raise InvalidSchedule(message, part="timeZone")


def _next(cron: str, after: datetime) -> datetime:
    """The first moment after another, by the clock of that one's time zone, in UTC."""
    if len(cron) > LONGEST_CRON or len(cron.split()) != FIELDS or not cron.isascii():
        raise InvalidSchedule(
            "A cron expression has five fields (minute, hour, day of the month, month, day of the week), such as "
            f"{EXAMPLE}.",
            part="cron",
        )
    try:
        moments = (moment.astimezone(UTC) for moment in CronSim(cron, after))
        # In the hour that the clock repeats, what follows on the wall has been already the first time round.
        return next(moment for moment in moments if moment > after)
    except (CronSimError, ValueError) as error:
        reason = f"{error}"[:1].lower() + f"{error}"[1:]
        message = f"“{cron}” is no cron expression ({reason}); give one such as {EXAMPLE}."
    except StopIteration:
        message = f"“{cron}” is a moment that never comes; give one such as {EXAMPLE}."
    raise InvalidSchedule(message, part="cron")
