"""What goes out to one destination, and what those who send it have to say."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from app.alerts.models import Severity
from app.notifications.models import ChannelKind, EventType


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A notification for one destination; `id` is the delivery's, the same at each attempt.

    `digest_id` is that of the digest which it is a part of, the same at each attempt, whatever has left it meanwhile.
    `destination_id` is the browser's, the webhook's or the service's; a mail goes to the account's address. `attempt`
    counts from 1.
    """

    id: UUID
    owner_id: UUID
    notification_id: UUID
    channel: ChannelKind
    destination_id: UUID | None
    attempt: int
    event_type: EventType
    severity: Severity
    title: str = field(repr=False)
    body: str | None = field(repr=False)
    alert_id: UUID | None
    told_at: datetime
    digest_id: UUID | None = None


class NotDelivered(Exception):
    """A delivery did not arrive. The message is shown to its owner: it holds nothing of secrets or of addresses.

    It is tried again unless `is_permanent`, after `retry_after` at the earliest where the other side asked for that.
    `is_gone`: the destination says that it is there no longer. `status` is that of HTTP or SMTP. After `most_attempts`
    it is given up, however many the plan has.
    """

    def __init__(
        self,
        message: str,
        *,
        is_permanent: bool = False,
        is_gone: bool = False,
        status: int | None = None,
        retry_after: timedelta | None = None,
        most_attempts: int | None = None,
    ) -> None:
        super().__init__(message)
        self.is_permanent = is_permanent
        self.is_gone = is_gone
        self.status = status
        self.retry_after = retry_after
        self.most_attempts = most_attempts


class ProviderAway(NotDelivered):
    """What carries all deliveries of a kind, such as the mail server, cannot be reached or takes nothing from us.

    The others need not find that out one by one: they wait a moment. Nothing is given up for it within days.
    """


class Sender(Protocol):
    """Sends by one kind of channel. It reads the destination by itself, and holds no connection while it sends."""

    async def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Send these to their one destination: those of a digest together, else there is just one.

        Raises NotDelivered.
        """
        ...


class OurFailure(NotDelivered):
    """We have failed, and not the destination, which is not to be blamed for it."""


class PayloadNotMade(OurFailure):
    """Nothing was sent, since what was to be sent could not be made."""


class DocumentNotAnswered(NotDelivered):
    """Nothing was sent, since the webhook's document asks for too much, or for what is there no longer.

    Its owner has to change it, so it counts as a failure of the webhook.
    """
