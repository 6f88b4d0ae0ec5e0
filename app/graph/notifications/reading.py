"""What people do with what they were told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import strawberry
from strawberry import UNSET

from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.notifications.errors import NOTIFICATIONS_WRITE, NotificationError, notification_changes
from app.graph.notifications.inputs import key_of, own_key
from app.graph.notifications.notifications import Notification
from app.graph.reads.fields import Reference, refer
from app.graph.user_errors import USER_ERRORS, Done
from app.notifications.commands.reading import LONGEST_SNOOZE, Meant, dismiss, mark_all_read, mark_read, snooze
from app.notifications.given import MOST_AT_ONCE, not_found, refuse_long_list, refused

_IDS = f"The notifications, or the alerts that they tell of, {MOST_AT_ONCE} at most."
_CHANGED = "The notifications as they are now, each once; null when refused."


@strawberry.input(description="What was read: some notifications, or all up to one.")
class MarkReadInput:
    ids: list[strawberry.ID] | None = strawberry.field(default=None, description=_IDS)
    up_to_id: strawberry.ID | None = strawberry.field(
        default=None, description="A notification: it is marked, and all that were told before it but what is put off."
    )


@strawberry.input(description="What to take off the list.")
class DismissInput:
    ids: list[strawberry.ID] = strawberry.field(description=_IDS)


@strawberry.input(description="What to put off, and until when.")
class SnoozeInput:
    ids: list[strawberry.ID] = strawberry.field(description=_IDS)
    until: datetime | None = strawberry.field(
        default=UNSET,
        description=f"When they are to be unread again, within {LONGEST_SNOOZE.days} days; null has them back at once.",
    )


@strawberry.type(description="What became of what was read.")
class MarkReadPayload:
    notifications: list[Notification] | None = attribute(
        "The notifications that were named, each once; null when refused, and of all up to one."
    )
    marked_count: int | None = attribute("How many were marked, of all up to one; null otherwise.")
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of what was dismissed.")
class DismissPayload:
    notifications: list[Notification] | None = attribute(_CHANGED)
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of what was put off.")
class SnoozePayload:
    notifications: list[Notification] | None = attribute(_CHANGED)
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class NotificationsChanged(Done):
    """The payload of notifications that were changed."""

    notifications: Sequence[Reference] | None = None
    marked_count: int | None = None


@strawberry.type
class ReadingMutations:
    @notification_changes(
        "Mark as read. What was read before stays as it was.", type=MarkReadPayload, access=NOTIFICATIONS_WRITE
    )
    @staticmethod
    async def mark_read(info: Info, input: MarkReadInput) -> NotificationsChanged:
        owner_id = info.context.viewer.own_id
        if (input.ids is None) == (input.up_to_id is None):
            raise refused("Give `ids` or `upToId`, one of them.", "ids")
        if input.up_to_id is not None:
            up_to = own_key(input.up_to_id, PublicIdTag.NOTIFICATION, "notification", "upToId")
            async with info.context.transaction() as transaction:
                marked = await mark_all_read(transaction, up_to, owner_id=owner_id)
            return NotificationsChanged(marked_count=marked)
        meant = _meant(input.ids or [])
        async with info.context.transaction() as transaction:
            keys = await mark_read(transaction, meant, owner_id=owner_id)
        return NotificationsChanged([refer(Notification, key) for key in keys])

    @notification_changes("Take notifications off the list.", type=DismissPayload, access=NOTIFICATIONS_WRITE)
    @staticmethod
    async def dismiss(info: Info, input: DismissInput) -> NotificationsChanged:
        meant = _meant(input.ids)
        async with info.context.transaction() as transaction:
            keys = await dismiss(transaction, meant, owner_id=info.context.viewer.own_id)
        return NotificationsChanged([refer(Notification, key) for key in keys])

    @notification_changes(
        "Put notifications off: until then they are not unread, and then they are again.",
        type=SnoozePayload,
        access=NOTIFICATIONS_WRITE,
    )
    @staticmethod
    async def snooze(info: Info, input: SnoozeInput) -> NotificationsChanged:
        meant = _meant(input.ids)
        if input.until is UNSET:
            raise refused("Say until when; null has them back at once.", "until")
        async with info.context.transaction() as transaction:
            keys = await snooze(
                transaction, meant, until=input.until, owner_id=info.context.viewer.own_id, now=info.context.now
            )
        return NotificationsChanged([refer(Notification, key) for key in keys])


def _meant(ids: Sequence[str]) -> list[Meant]:
    """What ids of notifications and of alerts mean; refuses others."""
    refuse_long_list(ids, "ids")
    meant = []
    for place, id_ in enumerate(ids):
        notification, alert = key_of(id_, PublicIdTag.NOTIFICATION), key_of(id_, PublicIdTag.ALERT)
        if notification is not None:
            meant.append(Meant(notification))
        elif alert is not None:
            meant.append(Meant(alert, is_alert=True))
        else:
            raise not_found("notification", "ids", str(place))
    return meant
