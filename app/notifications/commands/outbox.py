"""The outbox: takes deliveries that are due, by a lease, and writes down what became of them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CursorResult,
    Row,
    Select,
    Text,
    and_,
    cast,
    delete,
    exists,
    false,
    func,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.alerts.models import Severity
from app.core.database import Transaction, among
from app.identity.models import User
from app.notifications.commands.destinations import (
    LONGEST_ERROR,
    after_delivery,
    after_failure,
    hold_destination,
)
from app.notifications.commands.route_notifications import DESTINATION_COLUMNS
from app.notifications.models import (
    Channel,
    ChannelKind,
    Delivery,
    DeliveryStatus,
    EventType,
    Notification,
    Preferences,
    PushSubscription,
    Route,
    Service,
    Webhook,
)
from app.notifications.quiet_hours import Hours
from app.notifications.retry_plans import KEPT_FOR, pause_after
from app.notifications.sending import NotDelivered, Outgoing

# Longer than any sending takes. What was taken and neither delivered nor failed comes again after it: its worker is
# gone.
LEASE = timedelta(minutes=5)
DELIVERIES_KEPT_FOR = timedelta(days=90)
# One look at a time at the deliveries of a channel, so that a digest is taken whole; the channel's place is added.
OUTBOX_LOCK = 7_209_463_141_910
# How many are looked at for those that may go.
CANDIDATES = 200
# What is older than that is not sent any more: it may have waited a day for a digest, and that for the end of a night.
DAYS_IN_ALL = KEPT_FOR + timedelta(days=2)

_WAITING = Delivery.status == DeliveryStatus.WAITING.value
_SETTLED = "It was read, dismissed or put off in the app before it went out."
_SWITCHED_OFF = "What it should go to was removed or switched off, or its owner wants none of it any more."


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many parcels of one lane, and of one person, may be under way at once; None for as many as there are."""

    in_lane: int | None = None
    of_owner: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """What is sent to one destination at once: one notification, or those of a digest in their order.

    `lane` is what parcels share that get into each other's way: the host of a webhook or of a push service, the kind of
    a service, the person who gets mails. `meant_for` is when the first was told, or when its digest was to go.
    """

    channel: ChannelKind
    lane: str = field(repr=False)
    outgoing: Sequence[Outgoing]
    meant_for: datetime
    held_until: datetime
    is_digest: bool = False

    @property
    def owner_id(self) -> UUID:
        """Who is told."""
        return self.outgoing[0].owner_id


class _Places:
    """The places that are taken in each lane and by each person."""

    def __init__(self, bounds: Bounds, under_way: Iterable[Parcel]) -> None:
        self._bounds = bounds
        self._lanes: Counter[str] = Counter()
        self._owners: Counter[UUID] = Counter()
        for parcel in under_way:
            self.take(parcel.lane, parcel.owner_id)

    def take(self, lane: str, owner_id: UUID) -> None:
        """Take a place."""
        self._lanes[lane] += 1
        self._owners[owner_id] += 1

    def has_room(self, lane: str, owner_id: UUID) -> bool:
        """Whether there is a place for one more."""
        return not (
            _is_full(self._lanes[lane], self._bounds.in_lane) or _is_full(self._owners[owner_id], self._bounds.of_owner)
        )

    @property
    def full_lanes(self) -> list[str]:
        """The lanes without a place."""
        return [lane for lane, count in self._lanes.items() if _is_full(count, self._bounds.in_lane)]

    @property
    def full_owners(self) -> list[UUID]:
        """The people without a place."""
        return [owner_id for owner_id, count in self._owners.items() if _is_full(count, self._bounds.of_owner)]


def _is_full(count: int, most: int | None) -> bool:
    return most is not None and count >= most


async def claim_due(
    transaction: Transaction,
    channel: ChannelKind,
    *,
    now: datetime,
    limit: int,
    under_way: Iterable[Parcel] = (),
    bounds: Bounds | None = None,
) -> list[Parcel]:
    """Take parcels of a channel that are due, at most so many, those first that have waited longest.

    They are held for `LEASE`, past the commit: whoever takes them sends them within that. `under_way` are those
    that are being sent already, which count in the `bounds`. What has become needless is dropped, and what falls into
    quiet hours put off. While staff have the channel switched off nothing is taken.
    """
    connection = transaction.connection
    await connection.execute(_LOCK, {"lock": OUTBOX_LOCK + list(ChannelKind).index(channel)})
    if await connection.scalar(select(Channel.is_enabled).where(Channel.kind == channel.value)) is False:
        return []
    places = _Places(bounds or Bounds(), under_way)
    chosen: list[Row[Any]] = []
    while not chosen:
        rows = (await connection.execute(_candidates(channel, now, places))).all()
        if not rows:
            return []
        ready = await _without_needless(connection, rows, now)
        chosen = _chosen(ready, places)[:limit]
        if ready and not chosen:
            return []
    whole = [*chosen, *await _others_of_digests(connection, chosen, now)]
    taken = set(
        await connection.scalars(
            update(Delivery)
            .where(among(Delivery.id, [row.id for row in whole]), _WAITING, Delivery.next_attempt_at <= now)
            .values(attempts=Delivery.attempts + 1, next_attempt_at=now + LEASE)
            .returning(Delivery.id)
        )
    )
    parcels = _parcels(channel, [row for row in whole if row.id in taken], held_until=now + LEASE)
    return [await _with_digest_id(connection, parcel) for parcel in parcels]


async def _with_digest_id(connection: AsyncConnection, parcel: Parcel) -> Parcel:
    """The parcel, as what it stays from its first attempt on: what joins its digest later is another mail."""
    first = parcel.outgoing[0]
    if not parcel.is_digest or first.digest_id is not None:
        return parcel
    await connection.execute(
        update(Delivery).where(among(Delivery.id, [one.id for one in parcel.outgoing])).values(digest_id=first.id)
    )
    return replace(parcel, outgoing=[replace(one, digest_id=first.id) for one in parcel.outgoing])


async def mark_delivered(transaction: Transaction, parcel: Parcel, *, now: datetime) -> None:
    """Write down that a parcel has arrived."""
    await hold_destination(transaction, parcel.outgoing[0])
    await transaction.connection.execute(
        update(Delivery)
        .where(among(Delivery.id, [one.id for one in parcel.outgoing]), _WAITING)
        .values(status=DeliveryStatus.DELIVERED.value, delivered_at=now, last_error=None, last_status=None)
    )
    await after_delivery(transaction, parcel.outgoing[0], now=now)


async def mark_not_delivered(
    transaction: Transaction, parcel: Parcel, failure: NotDelivered, *, now: datetime
) -> DeliveryStatus | None:
    """Write down a failure and when to try again, or that it is given up; gives which of these.

    None where somebody else has taken the parcel since, because its lease was over: then theirs counts.
    """
    first = parcel.outgoing[0]
    await hold_destination(transaction, first)
    pause = pause_after(parcel.channel, failure, attempt=first.attempt, age=now - parcel.meant_for)
    status = DeliveryStatus.FAILED if pause is None else DeliveryStatus.WAITING
    marked: CursorResult[tuple[()]] = await transaction.connection.execute(
        update(Delivery)
        .where(
            among(Delivery.id, [one.id for one in parcel.outgoing]),
            Delivery.next_attempt_at == parcel.held_until,
            _WAITING,
        )
        .values(
            status=status.value,
            next_attempt_at=now + (pause or timedelta(0)),
            last_status=failure.status,
            last_error=str(failure)[:LONGEST_ERROR],
        )
    )
    if not marked.rowcount:
        return None
    await after_failure(transaction, first, failure, now=now)
    return status


async def prune_deliveries(transaction: Transaction, *, now: datetime) -> int:
    """Delete deliveries that are over for 90 days; gives how many."""
    deleted: CursorResult[tuple[()]] = await transaction.connection.execute(
        delete(Delivery).where(~_WAITING, Delivery.created_at < now - DELIVERIES_KEPT_FOR)
    )
    return deleted.rowcount


async def _without_needless(connection: AsyncConnection, rows: Sequence[Row[Any]], now: datetime) -> list[Row[Any]]:
    """Those that may go now: what is needless is dropped, what is too old given up, what is in quiet hours put off."""
    wanted = [row for row in rows if not row.is_settled and row.is_on]
    left = [row for row in wanted if row.since >= now - DAYS_IN_ALL]
    settled = [row for row in rows if row.is_settled]
    switched_off = [row for row in rows if not row.is_settled and not row.is_on]
    old = [row for row in wanted if row.since < now - DAYS_IN_ALL]
    quiet = {row.id: end for row in left if (end := _quiet_until(row, now)) is not None}
    for dropped, reason in ((settled, _SETTLED), (switched_off, _SWITCHED_OFF)):
        await _change(connection, dropped, status=DeliveryStatus.DROPPED.value, last_error=reason)
    error = func.coalesce(Delivery.last_error, "It could not be sent for days.")
    await _change(connection, old, status=DeliveryStatus.FAILED.value, last_error=error)
    for end in set(quiet.values()):
        await _change(connection, [row for row in left if quiet.get(row.id) == end], next_attempt_at=end)
    return [row for row in left if row.id not in quiet]


async def _change(connection: AsyncConnection, rows: Sequence[Row[Any]], **values: object) -> None:
    if rows:
        await connection.execute(
            update(Delivery).where(among(Delivery.id, [row.id for row in rows]), _WAITING).values(**values)
        )


def _lane(channel: ChannelKind) -> ColumnElement[str]:
    match channel:
        case ChannelKind.WEBHOOK:
            return func.lower(func.substring(Webhook.url, "^[^:/]*://(?:[^/?#]*@)?([^/?#]*)"), type_=Text)
        case ChannelKind.WEB_PUSH:
            return cast(PushSubscription.host, Text)
        case ChannelKind.SERVICE:
            return cast(Service.kind, Text)
        case _:
            return cast(Delivery.owner_id, Text)


def _reading(channel: ChannelKind, now: datetime) -> Select[Any]:
    """The deliveries of a channel that are due, with all that matters for sending them."""
    statement = (
        select(
            *(Delivery.id, Delivery.owner_id, Delivery.notification_id, Delivery.attempts),
            *(Delivery.digest_at, Delivery.digest_id, Delivery.asked_at),
            *(getattr(Delivery, name) for name in DESTINATION_COLUMNS.values()),
            func.coalesce(Delivery.asked_at, Delivery.created_at).label("since"),
            *(Notification.event_type, Notification.severity, Notification.title, Notification.body),
            *(Notification.alert_id, Notification.position, Notification.created_at.label("told_at")),
            *(Preferences.quiet_from, Preferences.quiet_until),
            func.coalesce(Preferences.time_zone, User.timezone).label("time_zone"),
            _lane(channel).label("lane"),
            and_(
                Delivery.asked_at.is_(None),
                or_(
                    Notification.read_at.is_not(None),
                    Notification.dismissed_at.is_not(None),
                    func.coalesce(Notification.snoozed_until > now, false()),
                ),
            ).label("is_settled"),
            and_(
                func.coalesce(Webhook.is_enabled, Service.is_enabled, true()),
                ~_is_never_wanted(),
            ).label("is_on"),
        )
        .join(Notification, Notification.id == Delivery.notification_id)
        .join(User, User.id == Delivery.owner_id)
        .outerjoin(Preferences, Preferences.owner_id == Delivery.owner_id)
        .outerjoin(PushSubscription, PushSubscription.id == Delivery.push_subscription_id)
        .outerjoin(Webhook, Webhook.id == Delivery.webhook_id)
        .outerjoin(Service, Service.id == Delivery.service_id)
    )
    return statement.where(Delivery.channel == channel.value, _WAITING, Delivery.next_attempt_at <= now)


def _is_never_wanted() -> ColumnElement[bool]:
    """Whether its owner has said never since it was planned, as by the link in a mail; tests of one destination go."""
    chosen = select(Route.owner_id).where(
        Route.owner_id == Delivery.owner_id,
        Route.event_type == Notification.event_type,
        Route.channel == Delivery.channel,
    )
    turned_off = or_(
        and_(Delivery.channel == ChannelKind.EMAIL.value, ~User.notifies_by_email),
        and_(Delivery.channel == ChannelKind.WEB_PUSH.value, ~User.notifies_by_push),
    )
    is_test = func.coalesce(func.cardinality(Notification.channels) == 0, false())
    is_by_a_rules_own_way = Notification.channels.is_not(None)
    return or_(
        and_(exists(chosen.where(Route.minimum_severity.is_(None))), ~is_test),
        and_(turned_off, ~exists(chosen), ~is_by_a_rules_own_way),
    )


def _candidates(channel: ChannelKind, now: datetime, places: _Places) -> Select[Any]:
    """Those that have waited longest, without those that there is no place for."""
    statement = _reading(channel, now).order_by(Delivery.next_attempt_at, Delivery.id).limit(CANDIDATES)
    if places.full_lanes:
        statement = statement.where(~among(_lane(channel), places.full_lanes))
    if places.full_owners:
        statement = statement.where(~among(Delivery.owner_id, places.full_owners))
    return statement


def _quiet_until(row: Row[Any], now: datetime) -> datetime | None:
    """Until when it may not go; preferences may be others than when it was planned, and retries come at any hour."""
    if row.severity == Severity.CRITICAL.value or row.asked_at is not None:
        return None
    return Hours(time_zone=row.time_zone, quiet_from=row.quiet_from, quiet_until=row.quiet_until).end_of_quiet(now)


def _chosen(rows: Iterable[Row[Any]], places: _Places) -> list[Row[Any]]:
    """One row for each parcel that there is a place for, and takes it; the first stands for its digest."""
    together: set[object] = set()
    chosen: list[Row[Any]] = []
    for row in rows:
        if not places.has_room(row.lane, row.owner_id) or _goes_with(row) in together:
            continue
        places.take(row.lane, row.owner_id)
        together.add(_goes_with(row))
        chosen.append(row)
    return chosen


def _goes_with(row: Row[Any]) -> object:
    """What is the same for all that go in one parcel, and for nothing else."""
    if row.digest_at is None:
        return row.id
    return row.digest_id or (row.owner_id, row.digest_at)


async def _others_of_digests(connection: AsyncConnection, chosen: Sequence[Row[Any]], now: datetime) -> list[Row[Any]]:
    """What goes together with these rows."""
    digests = {(row.owner_id, row.digest_at) for row in chosen if row.digest_at is not None}
    if not digests:
        return []
    known = {row.id for row in chosen}
    rows = await connection.execute(
        _reading(ChannelKind.EMAIL, now).where(
            among(Delivery.owner_id, {owner_id for owner_id, _ in digests}),
            among(Delivery.digest_at, {digest_at for _, digest_at in digests}),
        )
    )
    together = {_goes_with(row) for row in chosen}
    same = [row for row in rows if _goes_with(row) in together and row.id not in known]
    return await _without_needless(connection, same, now)


def _parcels(channel: ChannelKind, rows: Sequence[Row[Any]], *, held_until: datetime) -> list[Parcel]:
    together: dict[object, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        together[_goes_with(row)].append(row)
    return [
        Parcel(
            channel=channel,
            lane=ordered[0].lane,
            outgoing=[_outgoing(channel, row) for row in ordered],
            meant_for=ordered[0].digest_at or ordered[0].asked_at or ordered[0].told_at,
            held_until=held_until,
            is_digest=ordered[0].digest_at is not None,
        )
        for ordered in (sorted(group, key=lambda row: (row.position, row.id)) for group in together.values())
    ]


def _outgoing(channel: ChannelKind, row: Row[Any]) -> Outgoing:
    return Outgoing(
        id=row.id,
        owner_id=row.owner_id,
        notification_id=row.notification_id,
        channel=channel,
        destination_id=row.push_subscription_id or row.webhook_id or row.service_id,
        attempt=row.attempts + 1,
        event_type=EventType(row.event_type),
        severity=Severity(row.severity),
        title=row.title,
        body=row.body,
        alert_id=row.alert_id,
        told_at=row.told_at,
        digest_id=row.digest_id,
    )


_LOCK = text("SELECT pg_advisory_xact_lock(:lock)")
