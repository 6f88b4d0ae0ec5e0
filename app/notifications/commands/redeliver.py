"""Deliveries that are sent again because their owner asks, such as of a webhook that was mended."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import case, select, update

from app.core.attempts import AttemptLimit
from app.core.database import Transaction
from app.notifications.commands.destinations import hold
from app.notifications.commands.outbox import LEASE
from app.notifications.commands.route_notifications import DELIVER
from app.notifications.given import not_found, refused
from app.notifications.models import ChannelKind, Delivery, DeliveryStatus, Service, Webhook

# Of one person.
REDELIVERIES = AttemptLimit("redeliveries", tries=60, seconds=3_600)


async def redeliver(transaction: Transaction, key: UUID, *, owner_id: UUID, now: datetime) -> None:
    """Send a delivery again, now, and retry it as if it were new; its id is the same, so that who has it can tell.

    It goes also where it was read in the app meanwhile, and in quiet hours; one of a digest goes by itself. What waits
    and is tried within minutes is left to that, since it may be under way.

    Raises NotificationRefused for one that is not the owner's, and where its destination is disabled.
    """
    connection = transaction.connection
    is_own = (Delivery.id == key, Delivery.owner_id == owner_id)
    found = (
        await connection.execute(
            select(Delivery.channel, Webhook.is_enabled, Service.is_enabled, *_DESTINATIONS)
            .outerjoin(Webhook, Webhook.id == Delivery.webhook_id)
            .outerjoin(Service, Service.id == Delivery.service_id)
            .where(*is_own)
        )
    ).one_or_none()
    if found is None:
        raise not_found("delivery", "id")
    channel, of_webhook, of_service, *destinations = found
    if False in (of_webhook, of_service):
        raise refused(f"The {channel} that it goes to is disabled; enable it first.", "id")
    destination_id = next((one for one in destinations if one is not None), None)
    await hold(transaction, ChannelKind(channel), destination_id)
    is_waiting = Delivery.status == DeliveryStatus.WAITING.value
    # Whoever has taken it holds it for less.
    may_be_under_way = is_waiting & (Delivery.next_attempt_at <= now + LEASE)
    await connection.execute(
        update(Delivery)
        .where(*is_own, ~may_be_under_way)
        .values(
            status=DeliveryStatus.WAITING.value,
            attempts=case((is_waiting, Delivery.attempts), else_=0),
            next_attempt_at=now,
            digest_at=None,
            digest_id=None,
            asked_at=now,
            delivered_at=None,
        )
    )
    transaction.enqueue(DELIVER)


_DESTINATIONS = (Delivery.push_subscription_id, Delivery.webhook_id, Delivery.service_id)
