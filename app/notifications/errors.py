"""What the room of notifications refuses."""

from enum import StrEnum

from app.core.errors import ReasonedRefusal


class NotificationErrorCode(StrEnum):
    """Why something about notifications was refused."""

    INVALID_INPUT = "invalid_input"
    NOT_FOUND = "not_found"
    NOT_GRANTED = "not_granted"
    CONFLICT = "conflict"
    TOO_MANY = "too_many"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"


class NotificationRefused(ReasonedRefusal[NotificationErrorCode]):
    """A refusal about notifications that the caller can act on."""
