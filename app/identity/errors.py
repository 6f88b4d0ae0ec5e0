"""What identity refuses, each with the word that a client acts upon."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from app.core.errors import BadUserInput, ReasonedRefusal


class IdentityErrorCode(StrEnum):
    """Why something about an account was refused."""

    INVALID_CREDENTIALS = "invalid_credentials"
    INVALID_TOKEN = "invalid_token"  # noqa: S105  # a word of the graph
    INVALID_CODE = "invalid_code"
    INVALID_PASSKEY = "invalid_passkey"
    INVALID_INPUT = "invalid_input"
    WEAK_PASSWORD = "weak_password"  # noqa: S105  # a word of the graph
    USERNAME_TAKEN = "username_taken"
    EMAIL_TAKEN = "email_taken"
    IDENTITY_TAKEN = "identity_taken"
    LAST_WAY_IN = "last_way_in"
    NOT_FOUND = "not_found"
    NOT_GRANTED = "not_granted"
    TOO_MANY = "too_many"
    ALREADY_DONE = "already_done"


class IdentityRefused(ReasonedRefusal[IdentityErrorCode]):
    """A refusal about an account that the caller can act on."""


@contextmanager
def refusing_field(name: str, reason: IdentityErrorCode = IdentityErrorCode.INVALID_INPUT) -> Iterator[None]:
    """Turn what is refused about one input into an IdentityRefused that names it."""
    try:
        yield
    except BadUserInput as refusal:
        raise IdentityRefused(reason, refusal.message, field=[name]) from None
