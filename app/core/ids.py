"""Primary keys of user-facing rows: UUID version 7, made by the application, ordered by time of creation."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A fresh time-ordered UUID (version 7)."""
    return uuid7()
