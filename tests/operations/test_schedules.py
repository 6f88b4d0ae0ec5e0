"""Cron expressions in time zones: which moments come, and which expressions are refused with what to do."""

from datetime import UTC, datetime

import pytest

from app.core.errors import BadUserInput
from app.operations.errors import InvalidSchedule
from app.operations.schedules import Schedule
from app.operations.settings import parse_schedule, write_schedule
from workers.scheduled import JOBS


def at(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "after", "comes"),
    [
        ("15 16,17 * * 1-5", "Europe/Berlin", "2026-03-09 15:14", "2026-03-09 15:15"),
        ("15 16,17 * * 1-5", "Europe/Berlin", "2026-03-09 15:15", "2026-03-09 16:15"),
        # Friday evening; on Monday summer time has begun.
        ("15 16,17 * * 1-5", "Europe/Berlin", "2026-03-27 20:00", "2026-03-30 14:15"),
        # The clock goes from 2 to 3: what was to be at half past two comes right after.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28 23:00", "2026-03-29 01:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-03-29 01:00", "2026-03-30 00:30"),
        # Half past two comes twice, and counts once.
        ("30 2 * * *", "Europe/Berlin", "2026-10-24 22:00", "2026-10-25 00:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 00:30", "2026-10-26 01:30"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25 01:05", "2026-10-26 01:30"),
        ("0,30 2 * * *", "Europe/Berlin", "2026-10-25 01:00", "2026-10-26 01:00"),
        ("30 1 * * *", "America/New_York", "2026-11-01 06:10", "2026-11-02 06:30"),
        # What comes each hour comes in both.
        ("*/20 * * * *", "Europe/Berlin", "2026-10-25 01:05", "2026-10-25 01:20"),
        ("0 0 29 2 *", "UTC", "2026-03-01 00:00", "2028-02-29 00:00"),
        ("*/20 * * * *", "Asia/Kathmandu", "2026-03-01 00:00", "2026-03-01 00:15"),
        ("0 0 L * *", "UTC", "2026-02-01 00:00", "2026-02-28 00:00"),
    ],
)
def test_the_next_moment_is_that_of_the_clock_on_the_wall(cron: str, zone: str, after: str, comes: str) -> None:
    assert Schedule(cron, zone).next_after(at(after)) == at(comes)


def test_without_a_time_or_turned_off_nothing_comes() -> None:
    assert Schedule(None).next_after(at("2026-03-09 00:00")) is None
    assert Schedule("* * * * *", is_enabled=False).next_after(at("2026-03-09 00:00")) is None


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "0 0 30 2 *",
        "nine in the morning every day",
        "0 9 * * \0",
        "٩ * * * *",
        "* " * 200,
        "@daily",
        "0 0 * * 1#6",
        "*/0 * * * *",
    ],
)
def test_what_is_no_cron_expression_is_refused_with_an_example(cron: str) -> None:
    with pytest.raises(InvalidSchedule, match="15 16") as refused:
        Schedule(cron)
    assert refused.value.part == "cron"


@pytest.mark.parametrize(
    "zone", ["", "Europe", "Europe/Nowhere", "../../etc/passwd", "/etc/passwd", "UTC\0", "x" * 500, "localtime"]
)
def test_what_is_no_time_zone_is_refused_with_an_example(zone: str) -> None:
    with pytest.raises(InvalidSchedule, match="Europe/Berlin") as refused:
        Schedule("0 9 * * *", zone)
    assert refused.value.part == "timeZone"


def test_a_schedule_is_kept_as_json_and_read_back() -> None:
    schedule = Schedule("0 9 * * *", "Asia/Tokyo", is_enabled=False)
    assert parse_schedule(write_schedule(schedule)) == schedule
    odd: list[object] = [{}, [], "0 9 * * *", {"cron": 1, "timeZone": "UTC", "isEnabled": True}]
    for nonsense in odd:
        with pytest.raises(BadUserInput, match="`cron`"):
            parse_schedule(nonsense)


def test_the_jobs_of_the_server_have_schedules_that_can_be_and_names_of_their_own() -> None:
    assert len({job.name for job in JOBS}) == len(JOBS)
    schedules = [Schedule(job.cron, job.time_zone) for job in JOBS if job.cron is not None]
    assert all(schedule.next_after(at("2026-03-09 00:00")) for schedule in schedules)
