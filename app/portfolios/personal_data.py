"""What the room keeps of a person: all that they own, what they paid for it, and what became of it."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, select

from app.catalogue.models import Item, ItemVariant
from app.core.database import Transaction
from app.core.ids import PublicIdTag
from app.core.personal_data import ExportPart, PersonalData, table_of
from app.portfolios.commands.remove_trades import remove_trades
from app.portfolios.models import (
    CreationKey,
    Holding,
    HoldingDetails,
    HoldingPhoto,
    HoldingTurntable,
    ImportRow,
    Lot,
    LotDisposal,
    Portfolio,
    PortfolioExport,
    PortfolioImport,
    Snapshot,
    Store,
    Trade,
    TradeLotChoice,
    TradeRevision,
    TurntableFrame,
)

_NAME_OF_PORTFOLIO = Portfolio.name.label("portfolio")


async def erase(transaction: Transaction, user_id: UUID) -> None:
    """Delete all that a person owns; nobody else has anything of it."""
    connection = transaction.connection
    await remove_trades(connection, select(Holding.id).where(Holding.owner_id == user_id))
    for table in (Portfolio, Store, CreationKey):
        await connection.execute(delete(table).where(table.__table__.c.owner_id == user_id))


def _portfolios(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            *(Portfolio.id, Portfolio.name, Portfolio.description, Portfolio.base_currency, Portfolio.method),
            *(Portfolio.visibility, Portfolio.shared_parts, Portfolio.link_key, Portfolio.is_default),
            *(Portfolio.version, Portfolio.created_at, Portfolio.updated_at),
        )
        .where(Portfolio.owner_id == user_id)
        .order_by(Portfolio.created_at, Portfolio.id)
    )


def _stores(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(Store.id, Store.name, Store.slug, Store.url, Store.created_at)
        .where(Store.owner_id == user_id)
        .order_by(Store.name, Store.id)
    )


def _holdings(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            *(Holding.id, _NAME_OF_PORTFOLIO, *_item()),
            *(Holding.position, Holding.quantity, Holding.cost, Portfolio.base_currency, Holding.realized_gain),
            *(Holding.missing_quantity, Holding.external_source, Holding.external_id, Holding.archived_at),
            *(Holding.version, Holding.created_at, Holding.updated_at),
        )
        .join(Portfolio, Portfolio.id == Holding.portfolio_id)
        .join(ItemVariant, ItemVariant.id == Holding.variant_id)
        .join(Item, Item.id == ItemVariant.item_id)
        .where(Holding.owner_id == user_id)
        .order_by(Portfolio.created_at, Portfolio.id, Holding.position, Holding.id)
    )


def _details(user_id: UUID) -> Select[*tuple[Any, ...]]:
    details = HoldingDetails
    return (
        select(
            *(details.holding_id.label("id"), details.condition, details.grade, details.grader, details.serial),
            *(details.float_value, details.pattern, details.place, Store.name.label("store"), details.acquired_on),
            details.notes,
        )
        .join(Store, Store.id == details.store_id, isouter=True)
        .where(details.owner_id == user_id)
        .order_by(details.holding_id)
    )


def _trades(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            *(Trade.id, _NAME_OF_PORTFOLIO, *_item(), Trade.kind, Trade.occurred_at, Trade.quantity, Trade.price),
            *(Trade.fee, Trade.currency, Trade.exchange_rate, Trade.rate_date, Trade.exchange, Trade.tags),
            *(Trade.notes, Trade.may_lack_acquisitions, Trade.external_source, Trade.external_id),
            *(Trade.version, Trade.created_at, Trade.updated_at),
        )
        .join(Portfolio, Portfolio.id == Trade.portfolio_id)
        .join(Holding, Holding.id == Trade.holding_id)
        .join(ItemVariant, ItemVariant.id == Holding.variant_id)
        .join(Item, Item.id == ItemVariant.item_id)
        .where(Trade.owner_id == user_id)
        .order_by(Trade.occurred_at, Trade.id)
    )


def _choices(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(TradeLotChoice.trade_id.label("id"), Trade.occurred_at.label("lot_acquired_at"), TradeLotChoice.quantity)
        .join(Trade, Trade.id == TradeLotChoice.lot_id)
        .where(TradeLotChoice.owner_id == user_id)
        .order_by(TradeLotChoice.trade_id, TradeLotChoice.lot_id)
    )


def _revisions(user_id: UUID) -> Select[*tuple[Any, ...]]:
    revision = TradeRevision
    return (
        select(revision.trade_id.label("id"), revision.number, revision.action, revision.before, revision.created_at)
        .where(revision.owner_id == user_id)
        .order_by(revision.created_at, revision.id)
    )


def _imports(user_id: UUID) -> Select[*tuple[Any, ...]]:
    found = PortfolioImport
    return (
        select(
            *(
                found.id,
                _NAME_OF_PORTFOLIO,
                found.source,
                found.steam_id,
                found.status,
                found.failure,
                found.created_at,
            ),
            *(found.previewed_at, found.applied_at, found.undone_at, found.expires_at),
        )
        .join(Portfolio, Portfolio.id == found.portfolio_id)
        .where(found.owner_id == user_id)
        .order_by(found.created_at, found.id)
    )


def _exports(user_id: UUID) -> Select[*tuple[Any, ...]]:
    found = PortfolioExport
    return (
        select(
            *(found.id, _NAME_OF_PORTFOLIO, found.format, found.what, found.status, found.rows_done, found.created_at),
            *(found.finished_at, found.expires_at, found.last_error),
        )
        .join(Portfolio, Portfolio.id == found.portfolio_id)
        .where(found.owner_id == user_id)
        .order_by(found.created_at, found.id)
    )


def _import_rows(user_id: UUID) -> Select[*tuple[Any, ...]]:
    row = ImportRow
    return (
        select(
            *(row.import_id.label("id"), row.number, row.line, row.change, row.subject, row.reason, row.asset_id),
            *(row.holding_name, row.kind, row.occurred_at, row.quantity, row.price, row.fee, row.currency),
            *(row.exchange_rate, row.exchange, row.tags, row.notes, row.external_id),
        )
        .where(row.owner_id == user_id)
        .order_by(row.import_id, row.number)
    )


def _lots(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(Lot.id, *_item(), Lot.acquired_at, Lot.quantity, Lot.cost, Lot.remaining_quantity, Lot.remaining_cost)
        .join(Holding, Holding.id == Lot.holding_id)
        .join(ItemVariant, ItemVariant.id == Holding.variant_id)
        .join(Item, Item.id == ItemVariant.item_id)
        .where(Lot.owner_id == user_id)
        .order_by(Lot.acquired_at, Lot.id)
    )


def _disposals(user_id: UUID) -> Select[*tuple[Any, ...]]:
    part = LotDisposal
    return (
        select(
            *(part.trade_id.label("id"), part.number, *_item(), part.acquired_at, part.disposed_at, part.quantity),
            *(part.cost, part.proceeds, part.gain),
        )
        .join(Holding, Holding.id == part.holding_id)
        .join(ItemVariant, ItemVariant.id == Holding.variant_id)
        .join(Item, Item.id == ItemVariant.item_id)
        .where(part.owner_id == user_id)
        .order_by(part.disposed_at, part.trade_id, part.number)
    )


def _item() -> tuple[Any, Any]:
    return Item.slug.label("item"), ItemVariant.key.label("variant")


def _keys(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(CreationKey.key, CreationKey.created_at)
        .where(CreationKey.owner_id == user_id)
        .order_by(CreationKey.created_at, CreationKey.key)
    )


def _snapshots(user_id: UUID) -> Select[*tuple[Any, ...]]:
    snapshot = Snapshot
    return (
        select(
            *(snapshot.portfolio_id.label("id"), snapshot.day, snapshot.currency, snapshot.value, snapshot.cost),
            *(snapshot.realized_gain, snapshot.net_flow, snapshot.holding_count, snapshot.unpriced_count),
            *(snapshot.stale_count, snapshot.oldest_observed_at, snapshot.parts, snapshot.computed_at),
        )
        .where(snapshot.owner_id == user_id)
        .order_by(snapshot.portfolio_id, snapshot.day)
    )


def _photos(user_id: UUID) -> Select[*tuple[Any, ...]]:
    photo = HoldingPhoto
    return (
        select(
            *(photo.holding_id.label("id"), photo.position, photo.content_type, photo.width, photo.height),
            *(photo.bytes, photo.sha256, photo.created_at),
        )
        .where(photo.owner_id == user_id)
        .order_by(photo.holding_id, photo.position)
    )


def _turntables(user_id: UUID) -> Select[*tuple[Any, ...]]:
    turntable = HoldingTurntable
    return (
        select(turntable.holding_id.label("id"), turntable.created_at)
        .where(turntable.owner_id == user_id)
        .order_by(turntable.holding_id)
    )


def _frames(user_id: UUID) -> Select[*tuple[Any, ...]]:
    frame = TurntableFrame
    return (
        select(
            *(frame.holding_id.label("id"), frame.position, frame.content_type, frame.width, frame.height),
            *(frame.bytes, frame.sha256, frame.created_at),
        )
        .where(frame.owner_id == user_id)
        .order_by(frame.holding_id, frame.position)
    )


PARTS = (
    ExportPart("portfolios.json", "Your portfolios.", table_of(Portfolio), _portfolios, PublicIdTag.PORTFOLIO),
    ExportPart("stores.json", "Where you acquire things.", table_of(Store), _stores, PublicIdTag.STORE),
    ExportPart(
        "holdings.json",
        "What you hold in your portfolios, by the slug of the item and the key of its variant.",
        table_of(Holding),
        _holdings,
        PublicIdTag.HOLDING,
    ),
    ExportPart(
        "holding-details.json",
        "What you keep of your holdings; the ids are those of the holdings.",
        table_of(HoldingDetails),
        _details,
        PublicIdTag.HOLDING,
    ),
    ExportPart(
        "holding-photos.json",
        "Which photos you took of your holdings; the ids are those of the holdings.",
        table_of(HoldingPhoto),
        _photos,
        PublicIdTag.HOLDING,
    ),
    ExportPart(
        "holding-turntables.json",
        "Which of your holdings are shown from all sides; the ids are those of the holdings.",
        table_of(HoldingTurntable),
        _turntables,
        PublicIdTag.HOLDING,
    ),
    ExportPart(
        "turntable-frames.json",
        "By which photos they are; the ids are those of the holdings.",
        table_of(TurntableFrame),
        _frames,
        PublicIdTag.HOLDING,
    ),
    ExportPart("trades.json", "The trades that you recorded.", table_of(Trade), _trades, PublicIdTag.TRADE),
    ExportPart(
        "trade-lot-choices.json",
        "Which lots your trades name, by when these were acquired; the ids are those of the trades.",
        table_of(TradeLotChoice),
        _choices,
        PublicIdTag.TRADE,
    ),
    ExportPart(
        "trade-revisions.json",
        "What your trades were before you changed or deleted them; the ids are those of the trades.",
        table_of(TradeRevision),
        _revisions,
        PublicIdTag.TRADE,
    ),
    ExportPart("lots.json", "What you acquired, and what is left of it.", table_of(Lot), _lots, PublicIdTag.LOT),
    ExportPart(
        "lot-disposals.json",
        "What your trades took from which lots; the ids are those of the trades.",
        table_of(LotDisposal),
        _disposals,
        PublicIdTag.TRADE,
    ),
    ExportPart(
        "portfolio-imports.json",
        "What you imported, and how far it came.",
        table_of(PortfolioImport),
        _imports,
        PublicIdTag.PORTFOLIO_IMPORT,
    ),
    ExportPart(
        "portfolio-exports.json",
        "The files that you had written of your portfolios; what is in them stands in the other files.",
        table_of(PortfolioExport),
        _exports,
        PublicIdTag.PORTFOLIO_EXPORT,
    ),
    ExportPart(
        "portfolio-import-rows.json",
        "The rows of what you imported; the ids are those of the imports.",
        table_of(ImportRow),
        _import_rows,
        PublicIdTag.PORTFOLIO_IMPORT,
    ),
    ExportPart(
        "portfolio-keys.json",
        "The idempotency keys under which you made portfolios, holdings, trades, clients and trackers lately.",
        table_of(CreationKey),
        _keys,
    ),
    ExportPart(
        "portfolio-snapshots.json",
        "What your portfolios were at the ends of days; the ids are those of the portfolios.",
        table_of(Snapshot),
        _snapshots,
        PublicIdTag.PORTFOLIO,
    ),
)
PERSONAL_DATA = PersonalData("portfolios", erase, PARTS)
