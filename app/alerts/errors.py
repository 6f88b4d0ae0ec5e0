"""What the room of alerts refuses."""

from enum import StrEnum

from app.core.errors import ReasonedRefusal


class AlertErrorCode(StrEnum):
    """Why something about rules or alerts was refused."""

    INVALID_INPUT = "invalid_input"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_MANY = "too_many"
    RATE_LIMITED = "rate_limited"
    ILLEGAL_STATE = "illegal_state"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"


class AlertRefused(ReasonedRefusal[AlertErrorCode]):
    """A refusal about rules or alerts that the caller can act on."""
