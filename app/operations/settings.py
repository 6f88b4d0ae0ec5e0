"""What can be set at run time: each key with what it means, its default, and how a stored value is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from app.core.errors import BadUserInput
from app.operations.schedules import Schedule

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class SettingKind(Generic[Value]):
    """A value that staff may set while everything runs.

    `parse` makes it of JSON and raises a Refusal for what it cannot be; `write` makes JSON of it.
    """

    key: str
    description: str
    default: Value
    parse: Callable[[object], Value]
    write: Callable[[Value], object]


def schedule_of(job: str, default: Schedule) -> SettingKind[Schedule]:
    """When a job runs; by default as the code says."""
    return SettingKind(f"schedule:{job}", f"When the job {job} runs.", default, parse_schedule, write_schedule)


def parse_schedule(value: object) -> Schedule:
    """A schedule of its JSON; raises InvalidSchedule, and BadUserInput for what is none at all."""
    match value:
        case {"cron": str() | None as cron, "timeZone": str(zone), "isEnabled": bool(is_enabled)}:
            return Schedule(cron, zone, is_enabled)
    raise BadUserInput("A schedule has `cron`, `timeZone` and `isEnabled`.")


def write_schedule(schedule: Schedule) -> object:
    """The JSON of a schedule."""
    return {"cron": schedule.cron, "timeZone": schedule.time_zone, "isEnabled": schedule.is_enabled}
