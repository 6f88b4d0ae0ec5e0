"""What the mutations of notifications read from their inputs."""

from uuid import UUID

from app.core.ids import PublicIdTag
from app.graph.portfolios.inputs import EXPECTED_VERSION, IDEMPOTENCY_KEY, given, key_of, sent
from app.notifications.given import not_found

__all__ = ["EXPECTED_VERSION", "IDEMPOTENCY_KEY", "given", "key_of", "own_key", "sent"]


def own_key(id: str, tag: PublicIdTag, what: str, *field: str) -> UUID:
    """The key behind the id of something of one's own; refuses one that cannot be that."""
    found = key_of(id, tag)
    if found is None:
        raise not_found(what, *field)
    return found
