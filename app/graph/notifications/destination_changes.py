"""The mutations by which people keep where they are told outside of the app."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pkgutil import resolve_name
from typing import Any

import strawberry

from app.alerts.models import Severity
from app.core.errors import TooManyAttempts
from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.notifications.destinations import NotificationService, PushSubscription, Webhook
from app.graph.notifications.errors import NOTIFICATIONS_WRITE, NotificationError, notification_changes
from app.graph.notifications.inputs import EXPECTED_VERSION, IDEMPOTENCY_KEY, given, key_of, own_key, sent
from app.graph.notifications.notifications import Notification, NotificationDelivery
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import URL
from app.graph.user_errors import USER_ERRORS, Done
from app.identity.scopes import Scope
from app.notifications.commands.push_subscriptions import (
    MOST_PUSH_SUBSCRIPTIONS,
    add_push_subscription,
    remove_push_subscription,
)
from app.notifications.commands.redeliver import REDELIVERIES, redeliver
from app.notifications.commands.services import (
    MOST_SERVICES,
    add_service,
    edit_service,
    read_service_address,
    remove_service,
)
from app.notifications.commands.trials import MOST_TRIALS_PER_HOUR, Destination, send_trial
from app.notifications.commands.webhooks import (
    LONGEST_DOCUMENT,
    MOST_WEBHOOKS,
    create_webhook,
    delete_webhook,
    disable_webhook,
    edit_webhook,
    enable_webhook,
    rotate_webhook_secret,
)
from app.notifications.given import LONGEST_NAME, checked, not_found, too_many
from app.notifications.models import ChannelKind, EventType
from app.notifications.service_addresses import LONGEST_SERVICE_ADDRESS
from app.notifications.webhook_urls import LONGEST_WEBHOOK_URL

# By its name: it holds documents against the schema, which this module is a part of.
DOCUMENT_CHECK = "app.graph.webhook_payloads:check_webhook_document"
_NAME = f"The name, of {LONGEST_NAME} characters at most."
_URL = f"Where to tell it: an address that everybody can reach by https, of {LONGEST_WEBHOOK_URL:,} characters at most."
_DOCUMENT = (
    f"The query of GraphQL whose answer to send, of {LONGEST_DOCUMENT:,} characters at most, with the variable "
    "`$notificationId: ID!` if it takes one; null for the usual answer."
)
_SCOPES = (
    "What the document may read beside alerts and notifications, as far as one, or one's token, may: `ACCOUNT_READ`, "
    "`PORTFOLIOS_READ` and `TRACKERS_READ`."
)
_EVENT_TYPES = "What to tell it of; null for everything."
_SEVERITY = "From which severity on to tell it."
_ADDRESS = (
    f"Its address as Apprise writes it, such as `ntfys://ntfy.sh/topic`, of {LONGEST_SERVICE_ADDRESS:,} characters at "
    "most. It is kept encrypted, and shown to nobody again."
)
_SECRET = "By which what it is told is signed. It is shown this once; keep it. Null when refused"  # noqa: S105  # words
_WEBHOOK = "The webhook as it is now; null when refused."


@strawberry.input(description="A browser, by what it gave when its owner allowed it to be told.")
class AddPushSubscriptionInput:
    endpoint: URL = strawberry.field(description="Where its maker takes what it is to be told.")
    p256dh: str = strawberry.field(description="Its public key on P-256: 65 bytes in base64url.")
    auth: str = strawberry.field(description="Its authentication secret: 16 bytes in base64url.")
    name: str | None = strawberry.field(default=None, description=f"What to call it. {_NAME}")


@strawberry.input(description="The browser to tell no more.")
class RemovePushSubscriptionInput:
    id: strawberry.ID = strawberry.field(description="The browser.")


@strawberry.input(description="A new webhook.")
class CreateWebhookInput:
    name: str = strawberry.field(description=_NAME)
    url: URL = strawberry.field(description=_URL)
    document: str | None = strawberry.field(default=None, description=_DOCUMENT)
    scopes: list[Scope] = strawberry.field(default_factory=list, description=_SCOPES)
    event_types: list[EventType] | None = strawberry.field(default=None, description=_EVENT_TYPES)
    minimum_severity: Severity = strawberry.field(default=Severity.INFO, description=_SEVERITY)
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="What to change of a webhook. What is left out stays as it is.")
class EditWebhookInput:
    id: strawberry.ID = strawberry.field(description="The webhook.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)
    name: str | None = given(_NAME)
    url: URL | None = given(_URL)
    document: str | None = given(_DOCUMENT)
    scopes: list[Scope] | None = given(_SCOPES)
    event_types: list[EventType] | None = given(_EVENT_TYPES)
    minimum_severity: Severity | None = given(_SEVERITY)


@strawberry.input(description="The webhook to give another secret.")
class RotateWebhookSecretInput:
    id: strawberry.ID = strawberry.field(description="The webhook.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(description="The webhook to tell again.")
class EnableWebhookInput:
    id: strawberry.ID = strawberry.field(description="The webhook.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(description="The webhook to tell nothing.")
class DisableWebhookInput:
    id: strawberry.ID = strawberry.field(description="The webhook.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(description="The webhook to delete.")
class DeleteWebhookInput:
    id: strawberry.ID = strawberry.field(description="The webhook.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(description="Another service to be told by.")
class AddNotificationServiceInput:
    name: str = strawberry.field(description=_NAME)
    address: str = strawberry.field(description=_ADDRESS)
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="What to change of a service. What is left out stays as it is.")
class EditNotificationServiceInput:
    id: strawberry.ID = strawberry.field(description="The service.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)
    name: str | None = given(_NAME)
    address: str | None = given(_ADDRESS)
    is_enabled: bool | None = given("Whether it is to be told at all.")


@strawberry.input(description="The service to forget.")
class RemoveNotificationServiceInput:
    id: strawberry.ID = strawberry.field(description="The service.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(description="A notification that means nothing, to see whether it arrives.")
class SendTestNotificationInput:
    severity: Severity = strawberry.field(default=Severity.INFO, description="How much it is to matter.")
    destination_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The browser, webhook or service to send it to; left out, it goes where its like goes.",
    )


@strawberry.input(description="The delivery to send again.")
class RedeliverInput:
    id: strawberry.ID = strawberry.field(description="The delivery.")


@strawberry.type(description="What became of the browser.")
class AddPushSubscriptionPayload:
    push_subscription: PushSubscription | None = attribute("The browser; null when refused.")
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="The browser that is told no more.")
class RemovePushSubscriptionPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="The new webhook.")
class CreateWebhookPayload:
    webhook: Webhook | None = attribute("The webhook; null when refused.")
    secret: str | None = attribute(f"{_SECRET}, and of a repeat.")
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the webhook.")
class EditWebhookPayload:
    webhook: Webhook | None = attribute(_WEBHOOK)
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="The webhook with its new secret.")
class RotateWebhookSecretPayload:
    webhook: Webhook | None = attribute(_WEBHOOK)
    secret: str | None = attribute(f"{_SECRET}.")
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="The webhook that is told again.")
class EnableWebhookPayload:
    webhook: Webhook | None = attribute(_WEBHOOK)
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="The webhook that is told nothing.")
class DisableWebhookPayload:
    webhook: Webhook | None = attribute(_WEBHOOK)
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="The webhook that was deleted.")
class DeleteWebhookPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the new service.")
class AddNotificationServicePayload:
    service: NotificationService | None = attribute("The service; null when refused.")
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the service.")
class EditNotificationServicePayload:
    service: NotificationService | None = attribute("The service as it is now; null when refused.")
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="The service that was forgotten.")
class RemoveNotificationServicePayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="The test that was sent.")
class SendTestNotificationPayload:
    notification: Notification | None = attribute("The notification, with its deliveries; null when refused.")
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@strawberry.type(description="The delivery that is sent again.")
class RedeliverPayload:
    delivery: NotificationDelivery | None = attribute("The delivery as it is now; null when refused.")
    user_errors: list[NotificationError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class BrowserAdded(Done):
    """The payload of a browser that is told from now on."""

    push_subscription: Reference


@dataclass(frozen=True, slots=True)
class WebhookChanged(Done):
    """The payload of a webhook that was made or changed, with its secret if it has a new one."""

    webhook: Reference
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ServiceChanged(Done):
    """The payload of a service that was added or changed."""

    service: Reference


@dataclass(frozen=True, slots=True)
class DestinationRemoved(Done):
    """The payload of a browser or a service that is told no more."""

    deleted_id: str


@dataclass(frozen=True, slots=True)
class WebhookDeleted(Done):
    """The payload of a webhook that was deleted."""

    deleted_id: str


@dataclass(frozen=True, slots=True)
class TestSent(Done):
    """The payload of a test."""

    notification: Reference


@dataclass(frozen=True, slots=True)
class SentAgain(Done):
    """The payload of a delivery that is sent again."""

    delivery: Reference


@strawberry.type
class DestinationMutations:
    @notification_changes(
        f"Have a browser told by Web Push; {MOST_PUSH_SUBSCRIPTIONS} at most. The same endpoint again replaces its "
        "keys, and of somebody else's browser takes it over: a browser tells who is signed in there.",
        type=AddPushSubscriptionPayload,
        access=NOTIFICATIONS_WRITE,
    )
    @staticmethod
    async def add_push_subscription(info: Info, input: AddPushSubscriptionInput) -> BrowserAdded:
        async with info.context.transaction() as transaction:
            key = await add_push_subscription(
                transaction,
                info.context.resources.identity.secrets,
                caller=info.context.caller,
                endpoint=input.endpoint,
                p256dh=input.p256dh,
                auth=input.auth,
                name=input.name,
                is_development=info.context.resources.settings.is_development,
            )
        return BrowserAdded(refer(PushSubscription, key))

    @notification_changes("Tell a browser no more.", type=RemovePushSubscriptionPayload, access=NOTIFICATIONS_WRITE)
    @staticmethod
    async def remove_push_subscription(info: Info, input: RemovePushSubscriptionInput) -> DestinationRemoved:
        key = own_key(input.id, PublicIdTag.PUSH_SUBSCRIPTION, "browser", "id")
        async with info.context.transaction() as transaction:
            await remove_push_subscription(transaction, key, caller=info.context.caller)
        return DestinationRemoved(input.id)

    @notification_changes(
        f"Make a webhook; {MOST_WEBHOOKS} at most. Its secret is in the answer, and nowhere else afterwards.",
        type=CreateWebhookPayload,
        access=NOTIFICATIONS_WRITE,
    )
    @staticmethod
    async def create_webhook(info: Info, input: CreateWebhookInput) -> WebhookChanged:
        changes = _with_checked_document(sent(input, "idempotency_key"))
        async with info.context.transaction() as transaction:
            created = await create_webhook(
                transaction,
                info.context.resources.identity.secrets,
                changes,
                caller=info.context.caller,
                idempotency_key=input.idempotency_key,
                is_development=info.context.resources.settings.is_development,
            )
        return WebhookChanged(refer(Webhook, created.id), created.secret)

    @notification_changes("Change a webhook.", type=EditWebhookPayload, access=NOTIFICATIONS_WRITE)
    @staticmethod
    async def edit_webhook(info: Info, input: EditWebhookInput) -> WebhookChanged:
        key = own_key(input.id, PublicIdTag.WEBHOOK, "webhook", "id")
        changes = _with_checked_document(sent(input, "id", "expected_version"))
        async with info.context.transaction() as transaction:
            await edit_webhook(
                transaction,
                key,
                changes,
                caller=info.context.caller,
                expected_version=input.expected_version,
                is_development=info.context.resources.settings.is_development,
            )
        return WebhookChanged(refer(Webhook, key))

    @notification_changes(
        "Give a webhook another secret. It signs from now on; the old one does no more.",
        type=RotateWebhookSecretPayload,
        access=NOTIFICATIONS_WRITE,
    )
    @staticmethod
    async def rotate_webhook_secret(info: Info, input: RotateWebhookSecretInput) -> WebhookChanged:
        key = own_key(input.id, PublicIdTag.WEBHOOK, "webhook", "id")
        async with info.context.transaction() as transaction:
            secret = await rotate_webhook_secret(
                transaction,
                info.context.resources.identity.secrets,
                key,
                caller=info.context.caller,
                expected_version=input.expected_version,
            )
        return WebhookChanged(refer(Webhook, key), secret)

    @notification_changes(
        "Tell a webhook again that was disabled; its failures are forgotten.",
        type=EnableWebhookPayload,
        access=NOTIFICATIONS_WRITE,
    )
    @staticmethod
    async def enable_webhook(info: Info, input: EnableWebhookInput) -> WebhookChanged:
        key = own_key(input.id, PublicIdTag.WEBHOOK, "webhook", "id")
        async with info.context.transaction() as transaction:
            await enable_webhook(transaction, key, caller=info.context.caller, expected_version=input.expected_version)
        return WebhookChanged(refer(Webhook, key))

    @notification_changes(
        "Tell a webhook nothing until it is enabled again.", type=DisableWebhookPayload, access=NOTIFICATIONS_WRITE
    )
    @staticmethod
    async def disable_webhook(info: Info, input: DisableWebhookInput) -> WebhookChanged:
        key = own_key(input.id, PublicIdTag.WEBHOOK, "webhook", "id")
        async with info.context.transaction() as transaction:
            await disable_webhook(transaction, key, caller=info.context.caller, expected_version=input.expected_version)
        return WebhookChanged(refer(Webhook, key))

    @notification_changes(
        "Delete a webhook, with what is on its way to it.", type=DeleteWebhookPayload, access=NOTIFICATIONS_WRITE
    )
    @staticmethod
    async def delete_webhook(info: Info, input: DeleteWebhookInput) -> WebhookDeleted:
        key = own_key(input.id, PublicIdTag.WEBHOOK, "webhook", "id")
        async with info.context.transaction() as transaction:
            await delete_webhook(transaction, key, caller=info.context.caller, expected_version=input.expected_version)
        return WebhookDeleted(input.id)

    @notification_changes(
        f"Be told by another service; {MOST_SERVICES} at most.",
        type=AddNotificationServicePayload,
        access=NOTIFICATIONS_WRITE,
    )
    @staticmethod
    async def add_notification_service(info: Info, input: AddNotificationServiceInput) -> ServiceChanged:
        address = await read_service_address(input.address, info.context.resources.settings)
        async with info.context.transaction() as transaction:
            key = await add_service(
                transaction,
                info.context.resources.identity.secrets,
                caller=info.context.caller,
                name=input.name,
                address=address,
                idempotency_key=input.idempotency_key,
            )
        return ServiceChanged(refer(NotificationService, key))

    @notification_changes("Change a service.", type=EditNotificationServicePayload, access=NOTIFICATIONS_WRITE)
    @staticmethod
    async def edit_notification_service(info: Info, input: EditNotificationServiceInput) -> ServiceChanged:
        key = own_key(input.id, PublicIdTag.NOTIFICATION_SERVICE, "service", "id")
        changes = sent(input, "id", "expected_version")
        if "address" in changes:
            changes["address"] = await read_service_address(changes["address"], info.context.resources.settings)
        async with info.context.transaction() as transaction:
            await edit_service(
                transaction,
                info.context.resources.identity.secrets,
                key,
                changes,
                caller=info.context.caller,
                expected_version=input.expected_version,
            )
        return ServiceChanged(refer(NotificationService, key))

    @notification_changes(
        "Forget a service, with what is on its way to it.",
        type=RemoveNotificationServicePayload,
        access=NOTIFICATIONS_WRITE,
    )
    @staticmethod
    async def remove_notification_service(info: Info, input: RemoveNotificationServiceInput) -> DestinationRemoved:
        key = own_key(input.id, PublicIdTag.NOTIFICATION_SERVICE, "service", "id")
        async with info.context.transaction() as transaction:
            await remove_service(transaction, key, caller=info.context.caller, expected_version=input.expected_version)
        return DestinationRemoved(input.id)

    @notification_changes(
        f"Send oneself a test, {MOST_TRIALS_PER_HOUR} in an hour of the clock at most. It stands in the app too.",
        type=SendTestNotificationPayload,
        access=NOTIFICATIONS_WRITE,
    )
    @staticmethod
    async def send_test_notification(info: Info, input: SendTestNotificationInput) -> TestSent:
        destination = None if input.destination_id is None else _destination(input.destination_id)
        async with info.context.transaction() as transaction:
            key = await send_trial(
                transaction,
                owner_id=info.context.viewer.own_id,
                severity=input.severity,
                now=info.context.now,
                destination=destination,
            )
        return TestSent(refer(Notification, key))

    @notification_changes(
        "Send a delivery again, now, with the same id, whatever became of it; what is tried within five minutes anyway "
        f"is left to that. {REDELIVERIES.tries} in an hour at most.",
        type=RedeliverPayload,
        access=NOTIFICATIONS_WRITE,
    )
    @staticmethod
    async def redeliver(info: Info, input: RedeliverInput) -> SentAgain:
        key = own_key(input.id, PublicIdTag.DELIVERY, "delivery", "id")
        owner_id = info.context.viewer.own_id
        async with info.context.transaction() as transaction:
            await redeliver(transaction, key, owner_id=owner_id, now=info.context.now)
            try:
                await info.context.resources.identity.attempts.check_and_count(REDELIVERIES, str(owner_id))
            except TooManyAttempts as refusal:
                raise too_many(refusal.message) from None
        return SentAgain(refer(NotificationDelivery, key))


def _with_checked_document(changes: dict[str, Any]) -> dict[str, Any]:
    """The changes of a webhook, whose document is one that can be asked."""
    document: str | None = changes.get("document")
    if document is not None:
        check: Callable[[str], str] = resolve_name(DOCUMENT_CHECK)
        checked(lambda: check(document), "document")
    return changes


_CHANNELS = {
    PublicIdTag.PUSH_SUBSCRIPTION: ChannelKind.WEB_PUSH,
    PublicIdTag.WEBHOOK: ChannelKind.WEBHOOK,
    PublicIdTag.NOTIFICATION_SERVICE: ChannelKind.SERVICE,
}


def _destination(id: str) -> Destination:
    for tag, channel in _CHANNELS.items():
        key = key_of(id, tag)
        if key is not None:
            return Destination(channel, key)
    raise not_found("destination", "destinationId")
