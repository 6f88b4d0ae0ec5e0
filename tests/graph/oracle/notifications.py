"""What the people of a world were told, and how they want to be told it."""

from datetime import time
from itertools import product
from random import Random
from uuid import UUID

from app.alerts.models import Severity
from app.identity.models import User
from app.notifications.models import (
    Channel,
    ChannelKind,
    Delivery,
    DeliveryStatus,
    Digest,
    EventType,
    Notification,
    Preferences,
    PushSubscription,
    Route,
    Service,
    Webhook,
)
from tests.graph.oracle.rows import Row, World, any_instant, any_key, maybe
from tests.graph.oracle.texts import any_text

COUNTS = (0, 1, 7, 2**31 - 1)
TIMES = (time(0, 0), time(7, 5), time(22, 30), time(23, 59))
OUTSIDE = (ChannelKind.EMAIL, ChannelKind.WEB_PUSH, ChannelKind.WEBHOOK, ChannelKind.SERVICE)
# By the column of a delivery that leads there.
DESTINATIONS = {
    "push_subscription_id": (ChannelKind.WEB_PUSH, PushSubscription),
    "webhook_id": (ChannelKind.WEBHOOK, Webhook),
    "service_id": (ChannelKind.SERVICE, Service),
}


def add_notifications(world: World) -> None:
    """Tell some people something, by chances of their own as possessions are."""
    random = Random(f"notifications {world.now} {world.column(User, 'username')}")
    for kind in random.sample(list(ChannelKind), random.choice((0, 1, 5, 5))):
        world.add(
            Channel,
            kind=kind.value,
            is_enabled=kind is ChannelKind.IN_APP or random.random() < 0.7,
            version=random.choice(COUNTS),
            updated_at=any_instant(world, random),
        )
    for owner_id in world.column(User, "id"):
        if random.random() < 0.6:
            _add_choices(world, random, owner_id)
        if random.random() < 0.7:
            _add_destinations(world, random, owner_id)
        for _ in range(random.choice((0, 1, 2, 5))):
            _add_notification(world, random, owner_id)


def _any_severity(random: Random) -> str:
    return random.choice(list(Severity)).value


def _short_text(random: Random) -> str:
    return any_text(random)[:100].strip() or "?"


def _add_choices(world: World, random: Random, owner_id: UUID) -> None:
    quiet = random.sample(TIMES, 2) if random.random() < 0.5 else (None, None)
    world.add(
        Preferences,
        owner_id=owner_id,
        time_zone=random.choice(("UTC", "Europe/Berlin", any_text(random))),
        quiet_from=quiet[0],
        quiet_until=quiet[1],
        digest=random.choice(list(Digest)).value,
        digest_at=random.choice(TIMES),
        version=random.choice(COUNTS),
        updated_at=any_instant(world, random),
    )
    for event_type, channel in random.sample(list(product(EventType, OUTSIDE)), random.choice((0, 1, 4))):
        world.add(
            Route,
            owner_id=owner_id,
            event_type=event_type.value,
            channel=channel.value,
            minimum_severity=maybe(random, _any_severity(random)),
        )


def _add_destinations(world: World, random: Random, owner_id: UUID) -> None:
    for _ in range(random.choice((0, 1, 2))):
        world.add(
            PushSubscription,
            id=any_key(random),
            owner_id=owner_id,
            endpoint_hash=random.randbytes(32),
            host=any_text(random),
            subscription=random.randbytes(8),
            name=maybe(random, any_text(random)),
            refusals=random.choice(COUNTS),
            last_delivered_at=maybe(random, any_instant(world, random)),
            created_at=any_instant(world, random),
        )
    for _ in range(random.choice((0, 1, 2))):
        types = random.sample([event_type.value for event_type in EventType], random.choice((0, 1, 3)))
        world.add(
            Webhook,
            id=any_key(random),
            owner_id=owner_id,
            name=_short_text(random),
            url="https://hooks.example/" + any_text(random),
            secret=random.randbytes(8),
            document=maybe(random, any_text(random)),
            scopes=random.sample(["account:read", "portfolios:read", "trackers:read"], random.choice((0, 1, 3))),
            event_types=maybe(random, types),
            minimum_severity=_any_severity(random),
            is_enabled=random.random() < 0.7,
            failing_since=maybe(random, any_instant(world, random)),
            disabled_at=maybe(random, any_instant(world, random)),
            last_delivered_at=maybe(random, any_instant(world, random)),
            version=random.choice(COUNTS),
            created_at=any_instant(world, random),
            updated_at=any_instant(world, random),
        )
    for _ in range(random.choice((0, 1, 2))):
        world.add(
            Service,
            id=any_key(random),
            owner_id=owner_id,
            name=_short_text(random),
            kind=random.choice(("ntfys", "discord", any_text(random))),
            address=random.randbytes(8),
            is_enabled=random.random() < 0.7,
            last_delivered_at=maybe(random, any_instant(world, random)),
            version=random.choice(COUNTS),
            created_at=any_instant(world, random),
            updated_at=any_instant(world, random),
        )


def _add_notification(world: World, random: Random, owner_id: UUID) -> None:
    told = world.add(
        Notification,
        id=any_key(random),
        position=len(world.rows[Notification]) + 1,
        owner_id=owner_id,
        key=str(any_key(random)),
        event_type=random.choice(list(EventType)).value,
        severity=_any_severity(random),
        alert_id=None,
        title=any_text(random),
        body=maybe(random, any_text(random)),
        channels=None,
        read_at=any_instant(world, random) if random.random() < 0.4 else None,
        dismissed_at=any_instant(world, random) if random.random() < 0.2 else None,
        snoozed_until=any_instant(world, random) if random.random() < 0.3 else None,
        routed_at=maybe(random, any_instant(world, random)),
        created_at=any_instant(world, random),
    )
    if random.random() < 0.5:
        _add_delivery(world, random, told, ChannelKind.EMAIL, None)
    for column, (channel, table) in DESTINATIONS.items():
        for row in world.rows[table]:
            if row["owner_id"] == owner_id and random.random() < 0.6:
                _add_delivery(world, random, told, channel, column, row["id"])


def _add_delivery(
    world: World, random: Random, told: Row, channel: ChannelKind, column: str | None, key: UUID | None = None
) -> None:
    world.add(
        Delivery,
        id=any_key(random),
        owner_id=told["owner_id"],
        notification_id=told["id"],
        channel=channel.value,
        **{name: key if name == column else None for name in DESTINATIONS},
        status=random.choice(list(DeliveryStatus)).value,
        attempts=random.choice(COUNTS),
        next_attempt_at=any_instant(world, random),
        digest_at=maybe(random, any_instant(world, random)),
        last_status=maybe(random, random.choice((200, 410, 550, -1))),
        last_error=maybe(random, any_text(random)),
        delivered_at=maybe(random, any_instant(world, random)),
        created_at=any_instant(world, random),
    )
