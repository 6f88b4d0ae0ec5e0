"""What the room refuses."""

from enum import StrEnum

from app.core.errors import ReasonedRefusal


class PortfolioErrorCode(StrEnum):
    """Why something about a portfolio was refused."""

    INVALID_INPUT = "invalid_input"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_MANY = "too_many"
    NAME_TAKEN = "name_taken"
    NOT_EMPTY = "not_empty"
    INSUFFICIENT_QUANTITY = "insufficient_quantity"
    AMBIGUOUS_HOLDING = "ambiguous_holding"
    UNKNOWN_LOT = "unknown_lot"
    IN_THE_FUTURE = "in_the_future"
    NO_EXCHANGE_RATE = "no_exchange_rate"
    HAS_BAD_ROWS = "has_bad_rows"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    ALREADY_LISTED = "already_listed"
    ILLEGAL_STATE = "illegal_state"


class PortfolioRefused(ReasonedRefusal[PortfolioErrorCode]):
    """A refusal about a portfolio that the caller can act on."""
