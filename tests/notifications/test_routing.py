"""Where a notification goes and when: by routes, a rule's own channels, quiet hours and digests."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alerts.models import Severity
from app.core.ids import new_id
from app.notifications.models import ChannelKind, Digest, EventType
from app.notifications.quiet_hours import Hours
from app.notifications.routing import (
    OUTSIDE,
    Destination,
    NotificationToRoute,
    Owner,
    PlannedDelivery,
    planned_deliveries,
)

EMAIL, PUSH, WEBHOOK, SERVICE = ChannelKind.EMAIL, ChannelKind.WEB_PUSH, ChannelKind.WEBHOOK, ChannelKind.SERVICE
INFO, WARNING, CRITICAL = Severity.INFO, Severity.WARNING, Severity.CRITICAL
NOON = datetime(2026, 1, 15, 12, tzinfo=UTC)
ONE_OF_EACH = [Destination(id=new_id(), channel=kind) for kind in (PUSH, WEBHOOK, SERVICE)]
BERLIN = "Europe/Berlin"


def told(severity: Severity = WARNING, *, channels: list[ChannelKind] | None = None) -> NotificationToRoute:
    """A notification about a price."""
    return NotificationToRoute(event_type=EventType.PRICE, severity=severity, channels=channels)


def kinds(planned: list[PlannedDelivery]) -> set[ChannelKind]:
    """By which kinds of channels something goes."""
    return {one.channel for one in planned}


def at(text: str) -> datetime:
    """An instant, such as `2026-03-29 02:30 UTC` without the zone."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


ANY_OWNER: dict[str, Any] = {"destinations": ONE_OF_EACH, "has_address": True}
WAYS: dict[str, tuple[Owner, NotificationToRoute, set[ChannelKind]]] = {
    "what matters little comes by all but mail": (Owner(**ANY_OWNER), told(INFO), {PUSH, WEBHOOK, SERVICE}),
    "a warning comes by mail too": (Owner(**ANY_OWNER), told(WARNING), {EMAIL, PUSH, WEBHOOK, SERVICE}),
    "without a verified address no mail": (Owner(destinations=ONE_OF_EACH), told(CRITICAL), {PUSH, WEBHOOK, SERVICE}),
    "the profile turns mails off": (Owner(**ANY_OWNER, wants_mails=False), told(), {PUSH, WEBHOOK, SERVICE}),
    "the profile turns pushes off": (Owner(**ANY_OWNER, wants_pushes=False), told(), {EMAIL, WEBHOOK, SERVICE}),
    "a route is chosen apart from the profile": (
        Owner(**ANY_OWNER, wants_mails=False, routes={(EventType.PRICE, EMAIL): INFO}),
        told(INFO),
        {EMAIL, PUSH, WEBHOOK, SERVICE},
    ),
    "a route asks for more severity": (
        Owner(**ANY_OWNER, routes={(EventType.PRICE, PUSH): CRITICAL}),
        told(),
        {EMAIL, WEBHOOK, SERVICE},
    ),
    "a route of another type says nothing": (
        Owner(**ANY_OWNER, routes={(EventType.TRACKER, PUSH): CRITICAL}),
        told(),
        {EMAIL, PUSH, WEBHOOK, SERVICE},
    ),
    "never is never": (
        Owner(**ANY_OWNER, routes={(EventType.PRICE, EMAIL): None, (EventType.PRICE, WEBHOOK): None}),
        told(CRITICAL),
        {PUSH, SERVICE},
    ),
    "the rule's channels take the place of routes": (
        Owner(**ANY_OWNER, routes={(EventType.PRICE, EMAIL): CRITICAL}, wants_pushes=False),
        told(INFO, channels=[EMAIL, PUSH]),
        {EMAIL, PUSH},
    ),
    "the rule's channels are none": (Owner(**ANY_OWNER), told(CRITICAL, channels=[]), set()),
    "the rule's channels do not bring back who unsubscribed": (
        Owner(**ANY_OWNER, routes={(EventType.PRICE, EMAIL): None}),
        told(CRITICAL, channels=[EMAIL, PUSH]),
        {PUSH},
    ),
    "a webhook gets the types that it asks for": (
        Owner(destinations=[Destination(id=new_id(), channel=WEBHOOK, event_types=[EventType.TRACKER])]),
        told(CRITICAL),
        set(),
    ),
    "a webhook gets the severity that it asks for": (
        Owner(destinations=[Destination(id=new_id(), channel=WEBHOOK, minimum_severity=CRITICAL)]),
        told(WARNING, channels=[WEBHOOK]),
        set(),
    ),
}


@pytest.mark.parametrize("name", WAYS)
def test_a_notification_goes_where_its_owner_wants_it(name: str) -> None:
    owner, notification, expected = WAYS[name]
    assert kinds(planned_deliveries(notification, owner, switched_on=OUTSIDE, now=NOON)) == expected


def test_nothing_goes_by_a_channel_that_is_switched_off() -> None:
    owner = Owner(destinations=ONE_OF_EACH, has_address=True)
    planned = planned_deliveries(told(CRITICAL), owner, switched_on={PUSH, ChannelKind.IN_APP}, now=NOON)
    assert kinds(planned) == {PUSH}


def test_each_destination_of_a_kind_gets_its_own_delivery() -> None:
    browsers = [Destination(id=new_id(), channel=PUSH) for _ in range(3)]
    planned = planned_deliveries(told(), Owner(destinations=browsers), switched_on=OUTSIDE, now=NOON)
    assert [one.destination_id for one in planned] == [one.id for one in browsers]


NIGHT: dict[str, Any] = {"quiet_from": time(22), "quiet_until": time(7)}
QUIET: dict[str, tuple[Hours, str, str | None]] = {
    "no quiet hours": (Hours(), "2026-01-15 23:00", None),
    "before them": (Hours(**NIGHT), "2026-01-15 21:59:59", None),
    "at their beginning": (Hours(**NIGHT), "2026-01-15 22:00", "2026-01-16 07:00"),
    "after midnight": (Hours(**NIGHT), "2026-01-16 03:00", "2026-01-16 07:00"),
    "at their end": (Hours(**NIGHT), "2026-01-16 07:00", None),
    "within a day": (Hours(quiet_from=time(12), quiet_until=time(13, 30)), "2026-01-15 13:29", "2026-01-15 13:30"),
    "beside a day's": (Hours(quiet_from=time(12), quiet_until=time(13, 30)), "2026-01-15 11:59", None),
    "at midnight": (Hours(quiet_from=time(0), quiet_until=time(6)), "2026-01-15 00:00", "2026-01-15 06:00"),
    "up to midnight": (Hours(quiet_from=time(18), quiet_until=time(0)), "2026-01-15 23:00", "2026-01-16 00:00"),
    "elsewhere": (Hours(time_zone="Asia/Tokyo", **NIGHT), "2026-01-15 13:00", "2026-01-15 22:00"),
    "elsewhere by day": (Hours(time_zone="Asia/Tokyo", **NIGHT), "2026-01-15 23:00", None),
    "across the line of dates": (
        Hours(time_zone="Pacific/Kiritimati", **NIGHT),
        "2026-01-15 08:30",
        "2026-01-15 17:00",
    ),
    # The night in which 02:00 becomes 03:00, at 01:00 UTC.
    "a shorter night": (Hours(time_zone=BERLIN, **NIGHT), "2026-03-28 23:00", "2026-03-29 05:00"),
    "ending in the gap": (
        Hours(time_zone=BERLIN, quiet_from=time(22), quiet_until=time(2, 30)),
        "2026-03-29 00:59",
        "2026-03-29 01:00",
    ),
    "beginning in the gap": (
        Hours(time_zone=BERLIN, quiet_from=time(2, 30), quiet_until=time(6)),
        "2026-03-29 01:00",
        "2026-03-29 04:00",
    ),
    "before a beginning in the gap": (
        Hours(time_zone=BERLIN, quiet_from=time(2, 30), quiet_until=time(6)),
        "2026-03-29 00:59",
        None,
    ),
    "all within the gap": (
        Hours(time_zone=BERLIN, quiet_from=time(2, 15), quiet_until=time(2, 45)),
        "2026-03-29 01:00",
        None,
    ),
    # The night in which 03:00 becomes 02:00, at 01:00 UTC.
    "a longer night": (Hours(time_zone=BERLIN, **NIGHT), "2026-10-24 20:00", "2026-10-25 06:00"),
    "ending in the hour that comes twice": (
        Hours(time_zone=BERLIN, quiet_from=time(22), quiet_until=time(2, 30)),
        "2026-10-25 00:45",
        "2026-10-25 01:30",
    ),
    "beginning in the hour that comes twice": (
        Hours(time_zone=BERLIN, quiet_from=time(2, 30), quiet_until=time(6)),
        "2026-10-25 01:05",
        "2026-10-25 05:00",
    ),
    "a zone that is gone": (Hours(time_zone="Europe/Atlantis", **NIGHT), "2026-01-15 23:00", "2026-01-16 07:00"),
    # Half an hour, at 15:30 UTC: clocks of 02:00 jump to 02:30.
    "a gap of half an hour": (
        Hours(time_zone="Australia/Lord_Howe", quiet_from=time(22), quiet_until=time(2, 15)),
        "2026-10-03 15:00",
        "2026-10-03 15:30",
    ),
}


@pytest.mark.parametrize("name", QUIET)
def test_quiet_hours_are_those_of_the_clock_where_somebody_lives(name: str) -> None:
    hours, now, until = QUIET[name]
    assert hours.end_of_quiet(at(now)) == (None if until is None else at(until))


@given(
    zone=st.sampled_from([BERLIN, "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]),
    begin=st.times().map(lambda one: one.replace(second=0, microsecond=0)),
    end=st.times().map(lambda one: one.replace(second=0, microsecond=0)),
    now=st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_quiet_hours_end_and_agree_with_the_clock_on_days_without_a_jump(
    zone: str, begin: time, end: time, now: datetime
) -> None:
    if begin == end:
        return
    until = Hours(time_zone=zone, quiet_from=begin, quiet_until=end).end_of_quiet(now)
    if until is not None:
        assert now < until <= now + timedelta(hours=26)
        assert Hours(time_zone=zone, quiet_from=begin, quiet_until=end).end_of_quiet(until) is None
    around = [(now + timedelta(hours=hours)).astimezone(ZoneInfo(zone)).utcoffset() for hours in range(-48, 49, 4)]
    if len(set(around)) == 1:
        clock = now.astimezone(ZoneInfo(zone)).time()
        shown = begin <= clock < end if begin < end else clock >= begin or clock < end
        assert (until is not None) == shown


DIGESTS: dict[str, tuple[Hours, str, str | None]] = {
    "no digest": (Hours(), "2026-01-15 12:00", None),
    "the next full hour": (Hours(digest=Digest.HOURLY), "2026-01-15 12:00:01", "2026-01-15 13:00"),
    "the next full hour whatever fraction of a second has passed": (
        Hours(digest=Digest.HOURLY),
        "2026-01-15 12:59:59.999999",
        "2026-01-15 13:00",
    ),
    "at a full hour the one after": (Hours(digest=Digest.HOURLY), "2026-01-15 12:00", "2026-01-15 13:00"),
    "full hours of a zone with half ones": (
        Hours(time_zone="Asia/Kolkata", digest=Digest.HOURLY),
        "2026-01-15 12:10",
        "2026-01-15 12:30",
    ),
    "later today": (Hours(digest=Digest.DAILY), "2026-01-15 07:59", "2026-01-15 08:00"),
    "tomorrow": (Hours(digest=Digest.DAILY), "2026-01-15 08:00", "2026-01-16 08:00"),
    "tomorrow elsewhere": (Hours(time_zone="Asia/Tokyo", digest=Digest.DAILY), "2026-01-15 23:00", "2026-01-16 23:00"),
    "on the day of the jump": (
        Hours(time_zone=BERLIN, digest=Digest.DAILY, digest_at=time(2, 30)),
        "2026-03-28 12:00",
        "2026-03-29 01:00",
    ),
    "once on the day of the hour that comes twice": (
        Hours(time_zone=BERLIN, digest=Digest.DAILY, digest_at=time(2, 30)),
        "2026-10-25 00:30",
        "2026-10-26 01:30",
    ),
    "hours within a night come after it": (
        Hours(digest=Digest.HOURLY, **NIGHT),
        "2026-01-15 23:10",
        "2026-01-16 07:00",
    ),
    "the last hour before a night": (Hours(digest=Digest.HOURLY, **NIGHT), "2026-01-15 20:10", "2026-01-15 21:00"),
    "a day's within a night": (
        Hours(digest=Digest.DAILY, digest_at=time(6), **NIGHT),
        "2026-01-15 12:00",
        "2026-01-16 07:00",
    ),
    "after a day's that waits for the end of the night": (
        Hours(digest=Digest.DAILY, digest_at=time(6), **NIGHT),
        "2026-01-16 06:30",
        "2026-01-16 07:00",
    ),
    "after midnight, with that of the evening": (
        Hours(digest=Digest.DAILY, digest_at=time(23), **NIGHT),
        "2026-01-16 01:00",
        "2026-01-16 07:00",
    ),
    "in the evening, with that of the evening": (
        Hours(digest=Digest.DAILY, digest_at=time(23), **NIGHT),
        "2026-01-15 23:30",
        "2026-01-16 07:00",
    ),
    "once the night is over, with the next evening's": (
        Hours(digest=Digest.DAILY, digest_at=time(23), **NIGHT),
        "2026-01-16 07:00",
        "2026-01-17 07:00",
    ),
}


@pytest.mark.parametrize("name", DIGESTS)
def test_mails_are_gathered_for_the_next_digest(name: str) -> None:
    hours, now, then = DIGESTS[name]
    assert hours.next_digest(at(now)) == (None if then is None else at(then))


def planned_at_night(severity: Severity, digest: Digest) -> dict[ChannelKind, tuple[datetime, datetime | None]]:
    """When a push and a mail go that are about something of 23:00, in a night from 22:00 to 07:00."""
    owner = Owner(
        hours=Hours(quiet_from=time(22), quiet_until=time(7), digest=digest),
        destinations=[Destination(id=UUID(int=1), channel=PUSH)],
        has_address=True,
    )
    now = at("2026-01-15 23:00")
    planned = planned_deliveries(told(severity), owner, switched_on=OUTSIDE, now=now)
    return {one.channel: (one.goes_at, one.digest_at) for one in planned}


def test_in_quiet_hours_everything_waits_but_what_is_critical() -> None:
    morning, now = at("2026-01-16 07:00"), at("2026-01-15 23:00")
    assert planned_at_night(WARNING, Digest.NONE) == {PUSH: (morning, None), EMAIL: (morning, None)}
    assert planned_at_night(CRITICAL, Digest.NONE) == {PUSH: (now, None), EMAIL: (now, None)}


def test_a_digest_gathers_mails_alone_and_nothing_critical() -> None:
    morning, eight, now = at("2026-01-16 07:00"), at("2026-01-16 08:00"), at("2026-01-15 23:00")
    assert planned_at_night(WARNING, Digest.DAILY) == {PUSH: (morning, None), EMAIL: (eight, eight)}
    assert planned_at_night(CRITICAL, Digest.DAILY) == {PUSH: (now, None), EMAIL: (now, None)}
