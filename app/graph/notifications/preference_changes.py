"""What people change of how they want to be told things, and staff of how anybody can be."""

from dataclasses import dataclass

import strawberry

from app.alerts.models import Severity
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.notifications.channels import NotificationChannel
from app.graph.notifications.errors import NOTIFICATIONS_WRITE, NotificationError, notification_changes
from app.graph.notifications.inputs import EXPECTED_VERSION, given, sent
from app.graph.notifications.preferences import NotificationPreferences
from app.graph.reads.fields import Reference, refer
from app.graph.user_errors import USER_ERRORS, Done
from app.identity.access import needs
from app.identity.scopes import Scope
from app.notifications.commands.channels import edit_channel
from app.notifications.commands.preferences import edit_preferences
from app.notifications.commands.routes import GivenRoute
from app.notifications.models import ChannelKind, Digest, EventType

STAFF_WRITE = needs(Scope.OPERATIONS_WRITE)


@strawberry.input(description="A choice: what type of event by which kind of channel.")
class NotificationRouteInput:
    event_type: EventType = strawberry.field(description="The type of event.")
    channel: ChannelKind = strawberry.field(description="The kind of channel; in the app everything is told anyway.")
    minimum_severity: Severity | None = strawberry.field(
        default=None, description="From which severity on; null, or left out, for never."
    )


@strawberry.input(description="How to be told things outside of the app. What is left out stays as it is.")
class EditNotificationPreferencesInput:
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)
    time_zone: str | None = given("The time zone of these times, by its IANA name.")
    quiet_from: str | None = given("From when on it is to be quiet, such as `22:30`; null for no quiet hours.")
    quiet_until: str | None = given("Until when, maybe of the next day; null for no quiet hours.")
    digest: Digest | None = given("How mails are gathered.")
    digest_at: str | None = given("When a daily mail is sent, such as `08:00`.")
    routes: list[NotificationRouteInput] | None = given(
        "What goes where, in place of all choices that there are; an empty list takes them back."
    )


@strawberry.input(description="A kind of channel to switch on or off for everybody.")
class EditNotificationChannelInput:
    kind: ChannelKind = strawberry.field(description="Which one.")
    is_enabled: bool = strawberry.field(description="Whether it is to be there for anybody.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.type(description="What became of the preferences.")
class EditNotificationPreferencesPayload:
    notification_preferences: NotificationPreferences | None = attribute(
        "The preferences as they are now; null when refused."
    )
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the channel.")
class EditNotificationChannelPayload:
    channel: NotificationChannel | None = attribute("The channel as it is now; null when refused.")
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class PreferencesChanged(Done):
    """The payload of preferences that were changed."""

    notification_preferences: Reference


@dataclass(frozen=True, slots=True)
class ChannelChanged(Done):
    """The payload of a channel that was switched."""

    channel: Reference


@strawberry.type
class PreferenceMutations:
    @notification_changes(
        "Choose how to be told things outside of the app: quiet hours, digests of mails, and what goes where.",
        type=EditNotificationPreferencesPayload,
        access=NOTIFICATIONS_WRITE,
    )
    @staticmethod
    async def edit_notification_preferences(info: Info, input: EditNotificationPreferencesInput) -> PreferencesChanged:
        owner_id = info.context.viewer.own_id
        changes = sent(input, "expected_version")
        if changes.get("routes") is not None:
            changes["routes"] = [
                GivenRoute(route.event_type, route.channel, route.minimum_severity) for route in changes["routes"]
            ]
        async with info.context.transaction() as transaction:
            await edit_preferences(transaction, changes, owner_id=owner_id, expected_version=input.expected_version)
        return PreferencesChanged(refer(NotificationPreferences, owner_id))

    @notification_changes(
        "Switch a kind of channel on or off for everybody. What is on its way by it waits until it is on again.",
        type=EditNotificationChannelPayload,
        access=STAFF_WRITE,
    )
    @staticmethod
    async def edit_notification_channel(info: Info, input: EditNotificationChannelInput) -> ChannelChanged:
        async with info.context.transaction() as transaction:
            await edit_channel(
                transaction,
                input.kind,
                caller=info.context.caller,
                is_enabled=input.is_enabled,
                expected_version=input.expected_version,
            )
        return ChannelChanged(refer(NotificationChannel, input.kind.value))
