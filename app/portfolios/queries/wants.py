"""Which wants are fulfilled by what their owners hold."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Integer, Select, Text, and_, any_, case, func, literal_column, or_, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from app.catalogue.models import Card, ItemVariant
from app.portfolios.models import Holding, HoldingDetails
from app.portfolios.wish_models import Condition, Want

# By what collectors write for each condition; case, and all that is no letter, are left aside. “Light played” is what
# Cardmarket ranks below good, “lightly played” what TCGplayer ranks right below near mint.
WORDS: Mapping[Condition, tuple[str, ...]] = {
    Condition.MINT: ("mint", "m", "gem mint", "new", "sealed", "factory sealed", "misb", "mint in box", "unopened"),
    Condition.NEAR_MINT: ("near mint", "nm", "nm m", "near mint mint", "like new"),
    Condition.EXCELLENT: ("excellent", "ex", "lightly played", "lp", "slightly played", "sp"),
    Condition.GOOD: ("good", "gd", "very good", "vg", "light played", "moderately played", "mp"),
    Condition.PLAYED: ("played", "pl", "heavily played", "hp", "used"),
    Condition.POOR: ("poor", "po", "damaged", "dmg", "d"),
}


def _rank(condition: Any) -> ColumnElement[Any]:
    """How far down in the order a condition stands, from 0; null for words that are not known."""
    letters = func.regexp_replace(func.lower(condition), literal_column("'[^a-z]+'"), " ", literal_column("'g'"))
    words = func.trim(letters, type_=Text())
    return case(
        *(
            (words == any_(literal_column(f"CAST('{{{','.join(known)}}}' AS text[])", ARRAY(Text))), _whole(rank))
            for rank, known in enumerate(WORDS.values())
        ),
        else_=literal_column("CAST(NULL AS integer)", Integer()),
    )


def _whole(number: int) -> ColumnElement[Any]:
    return literal_column(str(number), Integer())


_HELD = Holding.__table__.alias("held_holding")
_DETAILS = HoldingDetails.__table__.alias("held_details")
_HELD_VARIANT = ItemVariant.__table__.alias("held_variant")
_WANTED_VARIANT = ItemVariant.__table__.alias("wanted_variant")
_HELD_CARD = Card.__table__.alias("held_card")
_WANTED_CARD = Card.__table__.alias("wanted_card")
_TABLES = (_HELD, _DETAILS, _HELD_VARIANT, _WANTED_VARIANT, _HELD_CARD, _WANTED_CARD)
_OWN: FromClause = _HELD.outerjoin(_DETAILS, _DETAILS.c.holding_id == _HELD.c.id)
_IS_GOOD_ENOUGH = or_(Want.minimum_condition.is_(None), _rank(_DETAILS.c.condition) <= _rank(Want.minimum_condition))


def _is_there(source: FromClause, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    held: Select[Any] = select(literal_column("1")).select_from(source)
    met = held.where(_HELD.c.owner_id == Want.owner_id, _HELD.c.quantity > _whole(0), _IS_GOOD_ENOUGH, *conditions)
    # All but the want itself, in whichever statement it stands.
    return met.correlate_except(*_TABLES).exists()


_HAS_THE_VARIANT = _is_there(_OWN, _HELD.c.variant_id == Want.variant_id)
_HAS_A_VARIANT = _is_there(
    _WANTED_VARIANT.join(_HELD_VARIANT, _HELD_VARIANT.c.item_id == _WANTED_VARIANT.c.item_id).join(
        _OWN, _HELD.c.variant_id == _HELD_VARIANT.c.id
    ),
    _WANTED_VARIANT.c.id == Want.variant_id,
)
_HAS_A_PRINT = _is_there(
    _WANTED_VARIANT.join(_WANTED_CARD, _WANTED_CARD.c.item_id == _WANTED_VARIANT.c.item_id)
    .join(
        _HELD_CARD,
        and_(_HELD_CARD.c.oracle_id == _WANTED_CARD.c.oracle_id, _HELD_CARD.c.game == _WANTED_CARD.c.game),
    )
    .join(_HELD_VARIANT, _HELD_VARIANT.c.item_id == _HELD_CARD.c.item_id)
    .join(_OWN, _HELD.c.variant_id == _HELD_VARIANT.c.id),
    _WANTED_VARIANT.c.id == Want.variant_id,
)
# Whether its owner holds something in a portfolio that meets it; a condition that is not told meets no minimum.
IS_FULFILLED: ColumnElement[bool] = or_(
    _HAS_THE_VARIANT, and_(Want.accepts_any_print, or_(_HAS_A_VARIANT, _HAS_A_PRINT))
)
IS_WANTED: ColumnElement[bool] = Want.deleted_at.is_(None)
