"""How people want to be told things, and how much there is that they have not read."""

import strawberry

from app.alerts.models import Severity
from app.graph.access import private
from app.graph.alerts import words  # noqa: F401  # shows the enums
from app.graph.fields import show_enum
from app.graph.notifications import channels  # noqa: F401  # as above
from app.graph.notifications.errors import OWNER_ALONE
from app.graph.reads.fields import column, edges, shows
from app.notifications.models import ChannelKind, Digest, EventType
from app.notifications.models import Route as RouteRow
from app.notifications.queries.notifications import COUNTS, PREFERENCES

show_enum(
    Digest,
    "How mails are gathered.",
    {
        Digest.NONE: "Each notification is a mail of its own.",
        Digest.HOURLY: "One mail at each full hour.",
        Digest.DAILY: "One mail a day.",
    },
    name="NotificationDigest",
)


@strawberry.type(description="From which severity on its owner wants a type of event by a kind of channel.")
@private(OWNER_ALONE)
@shows(RouteRow)
class NotificationRoute:
    event_type: EventType = column(RouteRow.event_type, "The type of event.")
    channel: ChannelKind = column(RouteRow.channel, "The kind of channel.")
    minimum_severity: Severity | None = column(RouteRow.minimum_severity, "From which severity on; null for never.")


@strawberry.type(description="How a person wants to be told things outside of the app.")
@private(OWNER_ALONE)
@shows(PREFERENCES, key=PREFERENCES.c.owner_id)
class NotificationPreferences:
    time_zone: str = column(
        PREFERENCES.c.time_zone, "The time zone of these times, by its IANA name; the account's until it is chosen."
    )
    quiet_from: str | None = column(
        PREFERENCES.c.quiet_from,
        "From when on, such as `22:30`, only what is critical goes out; the rest waits. Null without quiet hours.",
    )
    quiet_until: str | None = column(PREFERENCES.c.quiet_until, "Until when; null without quiet hours.")
    digest: Digest = column(PREFERENCES.c.digest, "How mails are gathered.")
    digest_at: str = column(PREFERENCES.c.digest_at, "When a daily mail is sent.")
    version: int = column(PREFERENCES.c.version, "How often they were changed, from 0; give it with an edit.")
    routes: list[NotificationRoute] = edges(
        "What they chose. Without a choice push and services tell everything, mails what is a warning or critical, "
        "both unless the preferences of the account say no, and webhooks what they ask for themselves.",
        on=PREFERENCES.c.owner_id,
        to=RouteRow.owner_id,
        order=[RouteRow.event_type, RouteRow.channel],
    )


@strawberry.type(description="How much there is that its owner has not read.")
@private(OWNER_ALONE)
@shows(COUNTS)
class NotificationCounts:
    unread: int = column(COUNTS.c.unread, "How many are unread: neither read, nor dismissed, nor put off.")
    critical: int = column(COUNTS.c.critical, "How many of these are critical.")
    snoozed: int = column(COUNTS.c.snoozed, "How many are put off until later.")
