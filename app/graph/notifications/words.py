"""The words of notifications: kinds of channels, and what they tell of."""

from app.graph.fields import show_enum
from app.notifications.models import ChannelKind, EventType

show_enum(
    ChannelKind,
    "A way to reach people.",
    {
        ChannelKind.IN_APP: "In the app: what stands there is the truth.",
        ChannelKind.EMAIL: "By e-mail, to the address of the account.",
        ChannelKind.WEB_PUSH: "By Web Push, to browsers.",
        ChannelKind.WEBHOOK: "To an address of one's own, signed.",
        ChannelKind.SERVICE: "By another service: ntfy, Discord, Telegram, …",
    },
    name="NotificationChannelKind",
)
show_enum(
    EventType,
    "What a notification is about.",
    {
        EventType.PRICE: "A price.",
        EventType.PORTFOLIO: "A portfolio.",
        EventType.TRACKER: "A tracker, or a place or a production run with its trackers.",
        EventType.PREORDER: "A preorder.",
        EventType.WANT: "A want that can be met.",
        EventType.ACCOUNT: "The account itself, such as a webhook that was disabled.",
    },
    name="NotificationEventType",
)
