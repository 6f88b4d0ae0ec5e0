"""What the room keeps of a person's wishes: what they watch, want and have ordered ahead."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, select

from app.catalogue.models import Item, ItemVariant
from app.core.database import Transaction
from app.core.ids import PublicIdTag
from app.core.personal_data import ExportPart, PersonalData, table_of
from app.portfolios.models import Portfolio, Store
from app.portfolios.wish_models import (
    Preorder,
    PreorderDateChange,
    PreorderStatusChange,
    Want,
    Watchlist,
    WatchlistItem,
)


async def erase(transaction: Transaction, user_id: UUID) -> None:
    """Delete all that a person wishes for; nobody else has anything of it."""
    for table in (Watchlist, Want, Preorder):
        await transaction.connection.execute(delete(table).where(table.__table__.c.owner_id == user_id))


def _watchlists(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            *(Watchlist.id, Watchlist.name, Watchlist.is_default, Watchlist.position, Watchlist.version),
            *(Watchlist.created_at, Watchlist.updated_at),
        )
        .where(Watchlist.owner_id == user_id)
        .order_by(Watchlist.position, Watchlist.id)
    )


def _watchlist_items(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            WatchlistItem.id,
            Watchlist.name.label("watchlist"),
            Item.slug.label("item"),
            ItemVariant.key.label("variant"),
            WatchlistItem.notes,
            WatchlistItem.position,
            WatchlistItem.created_at,
        )
        .join(Watchlist, Watchlist.id == WatchlistItem.watchlist_id)
        .join(Item, Item.id == WatchlistItem.item_id)
        .outerjoin(ItemVariant, ItemVariant.id == WatchlistItem.variant_id)
        .where(WatchlistItem.owner_id == user_id)
        .order_by(Watchlist.position, WatchlistItem.position, WatchlistItem.id)
    )


def _wants(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            *(Want.id, Item.slug.label("item"), ItemVariant.key.label("variant"), Want.accepts_any_print),
            *(Want.minimum_condition, Want.maximum_price, Want.currency, Want.priority, Want.notes, Want.version),
            *(Want.created_at, Want.updated_at, Want.deleted_at),
        )
        .join(ItemVariant, ItemVariant.id == Want.variant_id)
        .join(Item, Item.id == ItemVariant.item_id)
        .where(Want.owner_id == user_id)
        .order_by(Want.created_at, Want.id)
    )


def _preorders(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            *(Preorder.id, Item.slug.label("item"), ItemVariant.key.label("variant"), Preorder.status),
            *(Portfolio.name.label("portfolio"), Store.name.label("store"), Preorder.price, Preorder.shipping),
            *(Preorder.deposit, Preorder.refund, Preorder.currency, Preorder.exchange_rate, Preorder.rate_currency),
            *(Preorder.rate_date, Preorder.original_date, Preorder.original_precision, Preorder.release_date),
            *(Preorder.release_precision, Preorder.tracking_url, Preorder.shipped_at, Preorder.received_at),
            *(Preorder.estimated_delivery_days, Preorder.notes, Preorder.request_key, Preorder.version),
            *(Preorder.created_at, Preorder.updated_at),
        )
        .join(ItemVariant, ItemVariant.id == Preorder.variant_id)
        .join(Item, Item.id == ItemVariant.item_id)
        .outerjoin(Portfolio, Portfolio.id == Preorder.portfolio_id)
        .outerjoin(Store, Store.id == Preorder.store_id)
        .where(Preorder.owner_id == user_id)
        .order_by(Preorder.created_at, Preorder.id)
    )


def _steps(user_id: UUID) -> Select[*tuple[Any, ...]]:
    log = PreorderStatusChange
    return (
        select(Item.slug.label("item"), log.previous_status, log.status, log.note, log.created_at)
        .join(Preorder, Preorder.id == log.preorder_id)
        .join(ItemVariant, ItemVariant.id == Preorder.variant_id)
        .join(Item, Item.id == ItemVariant.item_id)
        .where(log.owner_id == user_id)
        .order_by(log.created_at, log.id)
    )


def _slips(user_id: UUID) -> Select[*tuple[Any, ...]]:
    log = PreorderDateChange
    return (
        select(
            *(Item.slug.label("item"), log.previous_date, log.previous_precision, log.new_date, log.new_precision),
            *(log.source, log.note, log.created_at),
        )
        .join(Preorder, Preorder.id == log.preorder_id)
        .join(ItemVariant, ItemVariant.id == Preorder.variant_id)
        .join(Item, Item.id == ItemVariant.item_id)
        .where(log.owner_id == user_id)
        .order_by(log.created_at, log.id)
    )


WISHES = PersonalData(
    "wishes",
    erase,
    (
        ExportPart(
            "watchlists.json",
            "Your watchlists, in their order.",
            table_of(Watchlist),
            _watchlists,
            tag=PublicIdTag.WATCHLIST,
        ),
        ExportPart(
            "watchlist-items.json",
            "What you watch, by the names of your lists and the slugs of the items.",
            table_of(WatchlistItem),
            _watchlist_items,
            tag=PublicIdTag.WATCHLIST_ITEM,
        ),
        ExportPart(
            "wants.json",
            "What you want, and what you wanted and removed.",
            table_of(Want),
            _wants,
            tag=PublicIdTag.WANT,
        ),
        ExportPart(
            "preorders.json",
            "What you ordered before it came out, with what you paid ahead.",
            table_of(Preorder),
            _preorders,
            tag=PublicIdTag.PREORDER,
        ),
        ExportPart("preorder-steps.json", "How your preorders came along.", table_of(PreorderStatusChange), _steps),
        ExportPart(
            "preorder-dates.json", "How the dates of your preorders were moved.", table_of(PreorderDateChange), _slips
        ),
    ),
)
