"""What follows for a destination from what became of a delivery to it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, case, delete, func, literal, not_, or_, select, update

from app.alerts.models import Severity
from app.core.database import Transaction
from app.identity.actions import AuditAction
from app.identity.viewer import Caller
from app.notifications.commands.audit import record_destination
from app.notifications.commands.notify import NewNotification, notify
from app.notifications.models import ChannelKind, EventType, PushSubscription, Service, Webhook
from app.notifications.sending import NotDelivered, OurFailure, Outgoing

# Push services answer 403 to a key that they do not take; once may be a mistake of theirs.
REFUSED_STATUS = 403
REFUSALS_AT_MOST = 3
FAILS_AT_MOST = timedelta(days=1)
LONGEST_ERROR = 500


# The table of each kind of destination.
_TABLES: Mapping[ChannelKind, Any] = {
    ChannelKind.WEB_PUSH: PushSubscription,
    ChannelKind.WEBHOOK: Webhook,
    ChannelKind.SERVICE: Service,
}


async def hold_destination(transaction: Transaction, outgoing: Outgoing) -> None:
    """Hold where something went before its deliveries are changed.

    Who removes a destination holds it first too, and its deliveries go with it: the other way round each of the two
    would wait for the other.
    """
    await hold(transaction, outgoing.channel, outgoing.destination_id)


async def hold(transaction: Transaction, channel: ChannelKind, destination_id: UUID | None) -> None:
    """The same, by the kind of the destination and its key."""
    table = _TABLES.get(channel)
    if table is not None:
        held = select(table.id).where(table.id == destination_id).with_for_update(key_share=True)
        await transaction.connection.execute(held)


async def after_delivery(transaction: Transaction, outgoing: Outgoing, *, now: datetime) -> None:
    """Note that a destination was reached."""
    if outgoing.destination_id is None:
        return
    statements = {
        ChannelKind.WEB_PUSH: update(PushSubscription)
        .where(PushSubscription.id == outgoing.destination_id)
        .values(last_delivered_at=now, refusals=0),
        ChannelKind.WEBHOOK: update(Webhook)
        .where(Webhook.id == outgoing.destination_id)
        .values(last_delivered_at=now, failing_since=None),
        ChannelKind.SERVICE: update(Service).where(Service.id == outgoing.destination_id).values(last_delivered_at=now),
    }
    statement = statements.get(outgoing.channel)
    if statement is not None:
        await transaction.connection.execute(statement)


async def after_failure(transaction: Transaction, outgoing: Outgoing, failure: NotDelivered, *, now: datetime) -> None:
    """Count a failure: what is gone is removed, and what failed for a day is disabled, with a notice.

    The last step before the commit, since the notice is. A browser is removed together with its deliveries, that of
    `outgoing` among them.
    """
    if outgoing.destination_id is None:
        return
    if outgoing.channel is ChannelKind.WEB_PUSH:
        await _count_refusal(transaction, outgoing.destination_id, failure)
    elif outgoing.channel is ChannelKind.WEBHOOK and not isinstance(failure, OurFailure):
        await _count_failure(transaction, outgoing, outgoing.destination_id, failure, now)


async def _count_refusal(transaction: Transaction, subscription_id: UUID, failure: NotDelivered) -> None:
    subscription = PushSubscription.id == subscription_id
    is_gone = failure.is_gone
    if not is_gone and failure.status == REFUSED_STATUS:
        counted = update(PushSubscription).where(subscription).values(refusals=PushSubscription.refusals + 1)
        refusals = await transaction.connection.scalar(counted.returning(PushSubscription.refusals))
        is_gone = (refusals or 0) >= REFUSALS_AT_MOST
    if is_gone:
        shown = (PushSubscription.owner_id, PushSubscription.host, PushSubscription.name)
        removed = (
            await transaction.connection.execute(delete(PushSubscription).where(subscription).returning(*shown))
        ).one_or_none()
        if removed is not None:
            await record_destination(
                transaction,
                AuditAction.PUSH_SUBSCRIPTION_REMOVED,
                "pushSubscription",
                subscription_id,
                caller=Caller(),
                owner_id=removed.owner_id,
                before={"host": removed.host, "name": removed.name},
            )


async def _count_failure(
    transaction: Transaction, outgoing: Outgoing, webhook_id: UUID, failure: NotDelivered, now: datetime
) -> None:
    first = func.coalesce(Webhook.failing_since, now)
    # The first attempt after days in which nothing happened proves nothing yet; the next one does, and so does one
    # after which there is no next.
    is_proof = outgoing.attempt > 1 or failure.is_permanent
    has_failed_long = and_(literal(is_proof), first <= now - FAILS_AT_MOST)
    is_over = or_(literal(failure.is_gone), has_failed_long)
    counted = (
        update(Webhook)
        .where(Webhook.id == webhook_id, Webhook.is_enabled)
        .values(
            failing_since=first,
            is_enabled=not_(is_over),
            disabled_at=case((is_over, now)),
            version=case((is_over, Webhook.version + 1), else_=Webhook.version),
            updated_at=case((is_over, now), else_=Webhook.updated_at),
        )
        .returning(Webhook.name, Webhook.is_enabled, Webhook.owner_id)
    )
    row = (await transaction.connection.execute(counted)).one_or_none()
    if row is not None and not row.is_enabled:
        await record_destination(
            transaction,
            AuditAction.WEBHOOK_DISABLED,
            "webhook",
            webhook_id,
            caller=Caller(),
            owner_id=row.owner_id,
            after={"name": row.name, "lastError": str(failure)[:LONGEST_ERROR]},
        )
        await _tell(transaction, webhook_id, row.name, row.owner_id, failure, now=now)


async def _tell(
    transaction: Transaction, webhook_id: UUID, name: str, owner_id: UUID, failure: NotDelivered, *, now: datetime
) -> None:
    why = f"All that was to be sent to it for a day has failed. The last error: {str(failure)[:LONGEST_ERROR]}"
    if failure.is_gone:
        why = "It answered that it is gone."
    await notify(
        transaction,
        [
            NewNotification(
                owner_id=owner_id,
                key=f"webhook_disabled:{webhook_id}:{now.isoformat()}",
                event_type=EventType.ACCOUNT,
                severity=Severity.WARNING,
                title=f"The webhook {name} was disabled",
                body=f"{why} Nothing is sent to it any longer; enable it again once it works.",
            )
        ],
    )
