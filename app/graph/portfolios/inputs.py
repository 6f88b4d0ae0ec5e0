"""What the mutations of portfolios read from their inputs."""

from typing import Any
from uuid import UUID

import strawberry
from strawberry import UNSET

from app.core.ids import PublicIdTag, parse_public_id
from app.portfolios.texts import no_such

EXPECTED_VERSION = "The version that one has seen: refused if there is a newer one."
IDEMPOTENCY_KEY = "A repeat with the same key and input within 24 hours gives the first one again."


def given(description: str) -> Any:
    """A field that may be left out, which is not the same as null."""
    return strawberry.field(default=UNSET, description=description)


def sent(input: object, *others: str) -> dict[str, Any]:
    """The fields that were sent, null among them; without the `others`."""
    return {name: value for name, value in vars(input).items() if value is not UNSET and name not in others}


def own_key(id: str, tag: PublicIdTag, what: str, *field: str) -> UUID:
    """The key behind the id of something of one's own; refuses one that cannot be that."""
    found = key_of(id, tag)
    if found is None:
        raise no_such(what, *field)
    return found


def key_if_given(id: str | None, tag: PublicIdTag, what: str, *field: str) -> UUID | None:
    """The same of an id that may be left out."""
    return None if id is None else own_key(id, tag, what, *field)


def key_of(id: str, tag: PublicIdTag) -> UUID | None:
    """The key behind an id; None of one that is no id, or of something else."""
    parsed = parse_public_id(id)
    return parsed[1] if parsed is not None and parsed[0] is tag and isinstance(parsed[1], UUID) else None
