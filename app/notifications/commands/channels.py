"""Kinds of channels, which staff switch on and off for everybody."""

from sqlalchemy import func, select, update

from app.core.database import Transaction
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.viewer import Caller
from app.notifications.errors import NotificationErrorCode, NotificationRefused
from app.notifications.given import refuse_another_version, refused
from app.notifications.models import Channel, ChannelKind


async def edit_channel(
    transaction: Transaction,
    kind: ChannelKind,
    *,
    caller: Caller,
    is_enabled: bool,
    expected_version: int | None = None,
) -> None:
    """Switch a kind of channel on or off for everybody; what waits to be sent by it waits.

    Raises NotificationRefused for who may not, for the app itself, and for another version than expected.
    """
    if kind is ChannelKind.IN_APP and not is_enabled:
        raise refused("In the app everything is told: this channel cannot be switched off.", "kind")
    connection = transaction.connection
    switched = await connection.execute(
        update(Channel)
        .where(Channel.kind == kind.value)
        .values(is_enabled=is_enabled, version=Channel.version + 1, updated_at=func.now())
        .returning(Channel.version)
    )
    version: int | None = switched.scalar_one_or_none()
    if version is not None:
        refuse_another_version(version - 1, expected_version)
        await record(
            transaction,
            AuditAction.NOTIFICATION_CHANNEL_SWITCHED,
            caller=caller,
            subject_id=None,
            after={"channel": kind.value, "isEnabled": is_enabled},
        )
        return
    # The policies let nobody else change one that everybody sees.
    if await connection.scalar(select(Channel.kind).where(Channel.kind == kind.value)) is not None:
        raise NotificationRefused(
            NotificationErrorCode.NOT_GRANTED, "Nobody has granted you to switch channels; ask an admin."
        )
    raise NotificationRefused(NotificationErrorCode.NOT_FOUND, "There is no such channel.", field=["kind"])
