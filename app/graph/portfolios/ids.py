"""Ids that a client sends of what is its own: an id of anything else is as if there were no such thing."""

from typing import Any
from uuid import UUID

from strawberry import UNSET

from app.core.ids import PublicIdTag, parse_public_id
from app.portfolios.given_wishes import not_found


def own_key(id: str, tag: PublicIdTag, what: str, *field: str) -> UUID:
    """The key in an id; raises PortfolioRefused (NOT_FOUND) for one that is of something else."""
    parsed = parse_public_id(id)
    if parsed is None or parsed[0] is not tag or not isinstance(parsed[1], UUID):
        raise not_found(what, *field)
    return parsed[1]


def key_if_given(id: str | None, tag: PublicIdTag, what: str, *field: str) -> UUID | None:
    """The same of an id that may be left out."""
    return own_key(id, tag, what, *field) if id else None


def sent(input: object, *names: str) -> dict[str, Any]:
    """Those of the fields that were sent, null among them."""
    values = {name: getattr(input, name) for name in names}
    return {name: value for name, value in values.items() if value is not UNSET}
