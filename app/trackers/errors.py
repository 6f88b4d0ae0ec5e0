"""What the room of trackers refuses, and what it says of reports that it does not take in."""

from enum import StrEnum

from app.core.errors import ReasonedRefusal
from app.ingestion.errors import BadRow


class BadReport(BadRow):
    """A report is not taken in; the message says why, and what would be."""


class TrackerErrorCode(StrEnum):
    """Why something about trackers was refused."""

    INVALID_INPUT = "invalid_input"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_MANY = "too_many"
    NAME_TAKEN = "name_taken"
    NOT_EMPTY = "not_empty"
    NOT_ALLOWED = "not_allowed"
    LAST_OWNER = "last_owner"
    KEY_TAKEN = "key_taken"
    INVALID_SHAPE = "invalid_shape"
    ALREADY_ATTACHED = "already_attached"
    ILLEGAL_STATE = "illegal_state"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"


class TrackerRefused(ReasonedRefusal[TrackerErrorCode]):
    """A refusal about trackers that the caller can act on."""
