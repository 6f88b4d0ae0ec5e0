"""Routes notifications, and sends what is due: each kind of channel by itself, so that none waits for another."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import structlog

from app.core.clock import utc_now
from app.core.database import DATABASE_FAILURES, Database
from app.core.ids import PublicIdTag, public_id
from app.core.telemetry import DELIVERIES, DELIVERIES_WAITING, DELIVERY_LAG_SECONDS, NOTIFICATIONS_TO_ROUTE
from app.notifications.commands.outbox import (
    LEASE,
    Bounds,
    Parcel,
    claim_due,
    mark_delivered,
    mark_not_delivered,
    prune_deliveries,
)
from app.notifications.commands.route_notifications import route_notifications
from app.notifications.models import ChannelKind, DeliveryStatus
from app.notifications.queries.waiting_deliveries import notifications_to_route, waiting_deliveries
from app.notifications.sending import NotDelivered, OurFailure, ProviderAway, Sender
from workers.runner import Runner

logger = structlog.get_logger(__name__)

NOTIFICATIONS_AT_A_TIME = 500
# Of any one sending; well within the lease.
SENDING_SECONDS = LEASE.total_seconds() / 3
# What was begun has so long to end when the worker stops; what does not comes again after its lease.
GRACE_SECONDS = 15.0
SECONDS_BETWEEN_MEASURES = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """How many parcels of a channel are under way at once, how many of one lane, such as one host, and how many of one
    person, who may have many hosts.

    `pause_seconds` is for how long nothing is tried after what carries all of them was away.
    """

    at_once: int
    in_lane: int
    of_owner: int | None = None
    pause_seconds: float = 30.0


CAPACITIES: Mapping[ChannelKind, Capacity] = {
    ChannelKind.EMAIL: Capacity(at_once=4, in_lane=1),
    ChannelKind.WEB_PUSH: Capacity(at_once=16, in_lane=8, of_owner=5),
    ChannelKind.WEBHOOK: Capacity(at_once=24, in_lane=3, of_owner=8),
    # A lane is all services of a kind: those at one host that hangs leave room for the other kinds.
    ChannelKind.SERVICE: Capacity(at_once=8, in_lane=6, of_owner=3),
}


class RouteRunner(Runner):
    """Decides of all new notifications where they go."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def work(self, stopping: asyncio.Event) -> None:
        """Route what there is now."""
        await route_all_notifications(self._database, stopping=stopping)


async def route_all_notifications(database: Database, *, stopping: asyncio.Event | None = None) -> int:
    """Route notifications, some in each transaction, until there is none; gives how many there were."""
    routed = 0
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            count = await route_notifications(transaction, limit=NOTIFICATIONS_AT_A_TIME, now=utc_now())
        routed += count
        if not count:
            break
    return routed


class ChannelRunner(Runner):
    """Sends all that is due by one kind of channel, some at once."""

    def __init__(
        self,
        database: Database,
        channel: ChannelKind,
        sender: Sender,
        *,
        capacity: Capacity | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self._database = database
        self._channel = channel
        self._sender = sender
        self._capacity = capacity or CAPACITIES[channel]
        self._clock = clock
        self._under_way: dict[asyncio.Task[None], Parcel] = {}
        self._has_room = asyncio.Event()
        # While the way is closed nothing is tried until `_opens_at`, and then one parcel alone.
        self._is_closed = False
        self._opens_at = 0.0

    async def work(self, stopping: asyncio.Event) -> None:
        """Begin to send what is due now, as far as there is room; `keep_looking` begins the next as that ends."""
        while not stopping.is_set() and (room := self._room()):
            async with self._database.transaction() as transaction:
                parcels = await claim_due(
                    transaction,
                    self._channel,
                    now=utc_now(),
                    limit=room,
                    under_way=self._under_way.values(),
                    bounds=Bounds(in_lane=self._capacity.in_lane, of_owner=self._capacity.of_owner),
                )
            if not parcels:
                break
            for parcel in parcels:
                task = asyncio.create_task(self._send(parcel))
                self._under_way[task] = parcel
                task.add_done_callback(self._ended)

    async def keep_looking(self) -> None:
        """Send what is due, again and again, and at once when there is room for more."""
        while not self._stopping.is_set():
            self._has_room.clear()
            await self.run()
            try:
                await asyncio.wait_for(self._has_room.wait(), self.seconds_between_looks)
            except TimeoutError:
                continue

    async def send_all(self) -> None:
        """Send all that is due, and what becomes due meanwhile; returns when nothing is left that may go now."""
        while True:
            await self.run()
            if not self._under_way:
                return
            await asyncio.wait(self._under_way)
            # Those that have ended are let go of first.
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """Begin nothing more; what does not end within a moment comes again, by any worker."""
        self._has_room.set()
        await super().stop()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=GRACE_SECONDS)
        late = list(self._under_way)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    def _room(self) -> int:
        if not self._is_closed:
            return self._capacity.at_once - len(self._under_way)
        return 0 if self._under_way or self._clock() < self._opens_at else 1

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._has_room.set()
        mistake = None if task.cancelled() else task.exception()
        if mistake is not None:
            # It comes again after its lease.
            logger.error("delivery_not_marked", channel=self._channel.value, reason=type(mistake).__name__)

    async def _send(self, parcel: Parcel) -> None:
        try:
            failure = await self._failure(parcel)
            async with self._database.transaction() as transaction:
                if failure is None:
                    await mark_delivered(transaction, parcel, now=utc_now())
                    status: DeliveryStatus | None = DeliveryStatus.DELIVERED
                else:
                    status = await mark_not_delivered(transaction, parcel, failure, now=utc_now())
        except DATABASE_FAILURES as error:
            # It comes again after its lease.
            logger.warning("delivery_not_marked", channel=self._channel.value, reason=type(error).__name__)
            return
        self._tell(parcel, status, failure)

    async def _failure(self, parcel: Parcel) -> NotDelivered | None:
        """Send a parcel; gives why it did not arrive, and None where it did."""
        try:
            async with asyncio.timeout(SENDING_SECONDS):
                await self._sender.send(parcel.outgoing)
        except ProviderAway as failure:
            self._close()
            return failure
        except NotDelivered as failure:
            self._is_closed = False
            return failure
        except TimeoutError:
            return NotDelivered("It was not taken in time.")
        except Exception as error:  # noqa: BLE001  # one that we cannot send must not keep the others from going out
            return OurFailure(f"Sending failed by a mistake of ours: {type(error).__name__}.")
        self._is_closed = False
        return None

    def _close(self) -> None:
        if not self._is_closed or self._clock() >= self._opens_at:
            logger.warning("deliveries_pause", channel=self._channel.value, seconds=self._capacity.pause_seconds)
        self._is_closed = True
        self._opens_at = self._clock() + self._capacity.pause_seconds

    def _tell(self, parcel: Parcel, status: DeliveryStatus | None, failure: NotDelivered | None) -> None:
        outcome = "overtaken" if status is None else "postponed" if status is DeliveryStatus.WAITING else status.value
        DELIVERIES.labels(self._channel.value, outcome).inc(len(parcel.outgoing))
        if failure is not None:
            logger.warning(
                "not_delivered",
                channel=self._channel.value,
                delivery=public_id(PublicIdTag.DELIVERY, parcel.outgoing[0].id),
                attempt=parcel.outgoing[0].attempt,
                outcome=outcome,
                reason=str(failure),
            )


class DeliveryRunner(Runner):
    """Sends by all kinds of channels, each with a loop of its own; what has no sender waits."""

    def __init__(self, channels: Sequence[Runner]) -> None:
        super().__init__()
        self._channels = channels

    async def work(self, stopping: asyncio.Event) -> None:
        """Have each channel look."""
        await asyncio.gather(*(channel.run() for channel in self._channels))

    async def keep_looking(self) -> None:
        """Have each channel look again and again, by itself."""
        await asyncio.gather(*(channel.keep_looking() for channel in self._channels))

    async def stop(self) -> None:
        """Stop all of them."""
        await super().stop()
        await asyncio.gather(*(channel.stop() for channel in self._channels))


class DeliveryMeter(Runner):
    """Keeps the gauges of what waits to be sent up to date."""

    seconds_between_looks: ClassVar[float] = SECONDS_BETWEEN_MEASURES

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def work(self, stopping: asyncio.Event) -> None:
        """Measure once."""
        snapshot = self._database.snapshot()
        try:
            waiting = await snapshot.read(waiting_deliveries, now=utc_now())
            NOTIFICATIONS_TO_ROUTE.set(await snapshot.read(notifications_to_route))
        finally:
            await snapshot.close()
        for channel, one in waiting.items():
            DELIVERIES_WAITING.labels(channel.value).set(one.count)
            DELIVERY_LAG_SECONDS.labels(channel.value).set(one.overdue_seconds)


def delivery_runner(database: Database, senders: Mapping[ChannelKind, Sender]) -> DeliveryRunner:
    """What sends by these kinds of channels."""
    return DeliveryRunner([ChannelRunner(database, channel, sender) for channel, sender in senders.items()])


async def prune_old_deliveries(database: Database) -> None:
    """Delete deliveries that were over long ago."""
    async with database.transaction() as transaction:
        deleted = await prune_deliveries(transaction, now=utc_now())
    if deleted:
        logger.info("deliveries_pruned", count=deleted)
