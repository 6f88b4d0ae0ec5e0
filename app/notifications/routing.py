"""Where a notification goes beside the app, and when: a function of what its owner has chosen."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from app.alerts.models import Severity
from app.notifications.models import ChannelKind, EventType
from app.notifications.quiet_hours import Hours

OUTSIDE: Sequence[ChannelKind] = tuple(kind for kind in ChannelKind if kind is not ChannelKind.IN_APP)
_ORDER = tuple(Severity)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A browser, a webhook or another service of somebody; `event_types` is None where it takes all."""

    id: UUID
    channel: ChannelKind
    event_types: Collection[EventType] | None = None
    minimum_severity: Severity = Severity.INFO


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """What somebody has chosen.

    `routes` has the least severity by type of event and kind of channel, None for never. Where it says nothing,
    `wants_mails` and `wants_pushes` of the profile count, and mails come from `warning` on. Who has no verified address
    gets no mails.
    """

    hours: Hours = field(default_factory=Hours)
    routes: Mapping[tuple[EventType, ChannelKind], Severity | None] = field(default_factory=dict)
    destinations: Sequence[Destination] = ()
    has_address: bool = False
    wants_mails: bool = True
    wants_pushes: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationToRoute:
    """What of a notification decides where it goes; `channels` are those of its rule, in place of routes."""

    event_type: EventType
    severity: Severity
    channels: Collection[ChannelKind] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedDelivery:
    """That a notification goes to a destination (None: the account's address) at a time, or in the digest of then."""

    channel: ChannelKind
    destination_id: UUID | None
    goes_at: datetime
    digest_at: datetime | None = None


def planned_deliveries(
    told: NotificationToRoute, owner: Owner, *, switched_on: Collection[ChannelKind], now: datetime
) -> list[PlannedDelivery]:
    """The deliveries of a notification, by the kinds of channels that are switched on."""
    chosen = [kind for kind in OUTSIDE if kind in switched_on and is_wanted(told, owner, kind)]
    waits_until = None if told.severity is Severity.CRITICAL else owner.hours.end_of_quiet(now)
    planned = [
        PlannedDelivery(channel=one.channel, destination_id=one.id, goes_at=waits_until or now)
        for kind in chosen
        for one in _taking(told, owner, kind)
    ]
    if ChannelKind.EMAIL in chosen and owner.has_address:
        digest_at = None if told.severity is Severity.CRITICAL else owner.hours.next_digest(now)
        goes_at = digest_at or waits_until or now
        planned.append(
            PlannedDelivery(channel=ChannelKind.EMAIL, destination_id=None, goes_at=goes_at, digest_at=digest_at)
        )
    return planned


def is_wanted(told: NotificationToRoute, owner: Owner, kind: ChannelKind) -> bool:
    """Whether somebody wants to be told of this by a kind of channel.

    What they never want by it, they do not get by a rule's own channels either: who has unsubscribed has done so.
    """
    way = (told.event_type, kind)
    least = owner.routes[way] if way in owner.routes else _least_unless_chosen(owner, kind)
    if told.channels is not None:
        return kind in told.channels and (least is not None or way not in owner.routes)
    return least is not None and _is_at_least(told.severity, least)


def _least_unless_chosen(owner: Owner, kind: ChannelKind) -> Severity | None:
    if kind is ChannelKind.EMAIL:
        return Severity.WARNING if owner.wants_mails else None
    if kind is ChannelKind.WEB_PUSH and not owner.wants_pushes:
        return None
    return Severity.INFO


def _taking(told: NotificationToRoute, owner: Owner, kind: ChannelKind) -> Iterator[Destination]:
    for one in owner.destinations:
        takes_type = one.event_types is None or told.event_type in one.event_types
        if one.channel is kind and takes_type and _is_at_least(told.severity, one.minimum_severity):
            yield one


def _is_at_least(severity: Severity, least: Severity) -> bool:
    return _ORDER.index(severity) >= _ORDER.index(least)
