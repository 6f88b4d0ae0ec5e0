"""What rules look at: looked up among what their owner may see, and held so that it does not go meanwhile."""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.given import Target, not_found, refusing_as_alerts
from app.alerts.models import RuleTarget
from app.catalogue.models import CardSet
from app.portfolios.commands.wished_items import hold_wished_item, hold_wished_variant
from app.portfolios.models import Portfolio
from app.portfolios.wish_models import Preorder, Want, Watchlist
from app.trackers.models import Membership, Place, ProductionRun, Tracker


class _Named(NamedTuple):
    """A table of targets, what one of them is called, and the field that names it."""

    table: Any
    what: str
    field: str


_OWN: Mapping[RuleTarget, _Named] = {
    RuleTarget.WATCHLIST: _Named(Watchlist, "watchlist", "watchlistId"),
    RuleTarget.PORTFOLIO: _Named(Portfolio, "portfolio", "portfolioId"),
    RuleTarget.PREORDER: _Named(Preorder, "preorder", "preorderId"),
    RuleTarget.WANT: _Named(Want, "want", "wantId"),
}
_OF_CLIENTS: Mapping[RuleTarget, _Named] = {
    RuleTarget.TRACKER: _Named(Tracker, "tracker", "trackerId"),
    RuleTarget.PLACE: _Named(Place, "place", "placeId"),
    RuleTarget.PRODUCTION_RUN: _Named(ProductionRun, "production run", "productionRunId"),
}


async def require_target(connection: AsyncConnection, target: Target, *, user_id: UUID) -> UUID | None:
    """The key of what a rule is to look at: of an item that was merged, that of the one which it became part of.

    Raises AlertRefused where there is no such thing, or it is somebody else's.
    """
    if target.key is None:
        return None
    if target.kind in {RuleTarget.ITEM, RuleTarget.VARIANT}:
        return await _of_catalogue(connection, target)
    if target.kind is RuleTarget.CARD_SET:
        named = _Named(CardSet, "card set", "cardSetId")
        condition: Any = CardSet.id == target.key
    elif target.kind in _OWN:
        named = _OWN[target.kind]
        condition = (named.table.id == target.key) & (named.table.owner_id == user_id)
    else:
        named = _OF_CLIENTS[target.kind]
        is_member = exists().where(Membership.client_id == named.table.client_id, Membership.user_id == user_id)
        condition = (named.table.id == target.key) & is_member
    if named.table in {Want, Place}:
        condition &= named.table.deleted_at.is_(None)
    if await connection.scalar(select(named.table.id).where(condition)) is None:
        raise not_found(named.what, "target", named.field)
    return target.key


async def _of_catalogue(connection: AsyncConnection, target: Target) -> UUID:
    assert target.key is not None  # noqa: S101  # asked for by the one caller
    with refusing_as_alerts("target"):
        if target.kind is RuleTarget.ITEM:
            return await hold_wished_item(connection, target.key, field="itemId")
        await hold_wished_variant(connection, target.key, field="variantId")
    return target.key
