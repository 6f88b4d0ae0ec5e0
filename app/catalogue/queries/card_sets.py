"""How much of a set of cards the catalogue knows."""

from typing import Any

from sqlalchemy import Double, Text, case, cast, distinct, func, select
from sqlalchemy.sql.selectable import Subquery

from app.catalogue.models import Card, CardSet

# Prints of one number, as in several languages, are one card of the set; one without a number is a card of its own.
_KNOWN: Any = func.count(distinct(func.coalesce(Card.number, cast(Card.item_id, Text))))
COMPLETION: Subquery = (
    select(
        CardSet.id.label("set_id"),
        _KNOWN.label("known_count"),
        case((CardSet.card_count > 0, cast(_KNOWN, Double) / CardSet.card_count)).label("share"),
    )
    .outerjoin(Card, Card.set_id == CardSet.id)
    .group_by(CardSet.id)
    .subquery("set_completion")
)
