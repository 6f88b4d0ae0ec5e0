"""What follows from the columns of a rule alone, and what it looks at."""

from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    Boolean,
    DateTime,
    Interval,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.alerts.models import Rule, RuleTarget
from app.catalogue.models import CardSet, Item, ItemVariant
from app.core.database import OPERATION_TIME

_TARGETS = (
    *(Rule.item_id, Rule.variant_id, Rule.card_set_id, Rule.watchlist_id, Rule.portfolio_id, Rule.tracker_id),
    *(Rule.place_id, Rule.production_run_id, Rule.preorder_id, Rule.want_id),
)
_MINUTE = literal_column("interval '1 minute'", Interval())


def _length(minutes: Any) -> ColumnElement[Any]:
    return type_coerce(minutes * _MINUTE, Interval())


COOLDOWN = _length(Rule.cooldown_minutes)
WINDOW = _length(Rule.window_minutes)
DURATION = _length(Rule.duration_minutes)
# Whether anything is held against it: neither paused nor ended, nor past its expiry, whoever has noticed that.
IS_WATCHING: ColumnElement[bool] = and_(
    Rule.is_active, or_(Rule.expires_at.is_(None), Rule.expires_at > OPERATION_TIME)
)
# Whether it ended because of its expiry, and not because it fired.
HAS_EXPIRED: ColumnElement[bool] = case(
    (Rule.expires_at.is_not(None), Rule.expires_at <= func.coalesce(Rule.ended_at, OPERATION_TIME)),
    else_=literal_column("false", Boolean()),
)
# One that never fired stands before all that did.
LAST_FIRED_AT: ColumnElement[Any] = func.coalesce(
    Rule.last_fired_at, literal_column("timestamptz '1970-01-01 00:00:00+00'", DateTime(timezone=True))
)
_ITEM, _SET = Item.__table__.alias("about_item"), CardSet.__table__.alias("about_set")
_VARIANT = ItemVariant.__table__.alias("about_variant")


def says(pattern: BindParameter[Any]) -> ColumnElement[bool]:
    """Whether the notes of a rule are like that, or the name of the item or card set that it is about.

    What else a rule may be about takes another scope than rules do.
    """
    one: ColumnElement[int] = literal_column("1")
    item = select(one).where(_ITEM.c.id == Rule.item_id, _ITEM.c.name.ilike(pattern))
    of_variant = select(one).where(
        _VARIANT.c.id == Rule.variant_id, _ITEM.c.id == _VARIANT.c.item_id, _ITEM.c.name.ilike(pattern)
    )
    card_set = select(one).where(_SET.c.id == Rule.card_set_id, _SET.c.name.ilike(pattern))
    named = [found.correlate_except(_ITEM, _VARIANT, _SET).exists() for found in (item, of_variant, card_set)]
    return or_(func.coalesce(Rule.notes.ilike(pattern), literal_column("false", Boolean())), *named)


def looks_at(target: BindParameter[Any]) -> ColumnElement[bool]:
    """Whether a rule is about what has this key, or about a variant of the item that has it."""
    variants = select(ItemVariant.id).where(ItemVariant.item_id == target)
    return or_(*(column == target for column in _TARGETS), Rule.variant_id.in_(variants))


async def target_of_rule(connection: AsyncConnection, rule_id: UUID, *, owner_id: UUID) -> RuleTarget | None:
    """What a rule of somebody's looks at, which never changes; None where there is none."""
    target = await connection.scalar(select(Rule.target).where(Rule.id == rule_id, Rule.owner_id == owner_id))
    return None if target is None else RuleTarget(target)
