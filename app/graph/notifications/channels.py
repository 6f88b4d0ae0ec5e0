"""Kinds of channels, and whether staff have switched them on."""

import base64
from datetime import datetime
from enum import Enum

import strawberry

from app.graph.context import Info
from app.graph.fields import resolved
from app.graph.notifications import words  # noqa: F401  # shows the enums
from app.graph.notifications.errors import NOTIFICATIONS_READ
from app.graph.reads.arguments import Orders
from app.graph.reads.fields import column, connection, shows
from app.graph.relay import Connection
from app.notifications.commands.vapid_keys import vapid_key
from app.notifications.models import Channel as ChannelRow
from app.notifications.models import ChannelKind
from app.notifications.queries.vapid_keys import newest_public_key


class ChannelOrder(Enum):
    """What channels are ordered by."""

    KIND = "kind"


CHANNEL_ORDERS = Orders("notification-channels", {ChannelOrder.KIND: ChannelRow.kind}, tie=ChannelRow.kind)


@strawberry.type(description="A kind of channel, which staff switch on and off for everybody.")
@shows(ChannelRow, key=ChannelRow.kind)
class NotificationChannel:
    kind: ChannelKind = column(ChannelRow.kind, "Which one it is.")
    is_enabled: bool = column(ChannelRow.is_enabled, "Whether it is there for anybody.")
    version: int = column(ChannelRow.version, "How often it was switched, from 1; give it with an edit.")
    updated_at: datetime = column(ChannelRow.updated_at, "When it was last switched.")


@strawberry.type
class ChannelQueries:
    notification_channels: Connection[NotificationChannel] | None = connection(
        "The kinds of channels, and which of them are there.", orders=CHANNEL_ORDERS, access=NOTIFICATIONS_READ
    )

    @resolved(
        "The key by which push services know this server, in base64url: what browsers take as `applicationServerKey`.",
        access=NOTIFICATIONS_READ,
    )
    @staticmethod
    async def vapid_public_key(info: Info) -> str:
        key = await info.context.snapshot.read(newest_public_key)
        if key is None:
            resources = info.context.resources
            # Whoever asks first makes it.
            async with resources.database.transaction(viewer=info.context.viewer.in_database) as transaction:
                key = await vapid_key(transaction, resources.identity.secrets)
        return base64.urlsafe_b64encode(key).decode().rstrip("=")
