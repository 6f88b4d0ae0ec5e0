"""Portfolios, what is held in them, the trades that are recorded, and the lots that follow from trades."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.catalogue.models import DoomedPhoto, ItemVariant, StoredPhoto, constraints_of_photos
from app.core.database import Base
from app.core.ids import new_id
from app.core.secrets import encrypted
from app.identity.models import User

SCHEMA = "portfolios"


class CostBasisMethod(StrEnum):
    """Which lots a sale takes from."""

    FIFO = "fifo"
    LIFO = "lifo"
    HIFO = "hifo"
    AVERAGE = "average"
    SPECIFIC = "specific"


class Visibility(StrEnum):
    """Who finds a portfolio, beside its owner."""

    PRIVATE = "private"
    LINK = "link"
    PUBLIC = "public"


class SharedPart(StrEnum):
    """What others see of a portfolio that they find, beside which items are in it."""

    QUANTITIES = "quantities"
    DETAILS = "details"
    PHOTOS = "photos"
    VALUES = "values"


class TradeKind(StrEnum):
    """What happened to a holding."""

    BUY = "buy"
    SELL = "sell"
    TRANSFER_IN = "transfer_in"
    TRANSFER_OUT = "transfer_out"
    GIFT_IN = "gift_in"
    GIFT_OUT = "gift_out"
    FEE = "fee"


class TradeRevisionAction(StrEnum):
    """What became of a trade."""

    EDITED = "edited"
    DELETED = "deleted"


class Portfolio(Base):
    """A person's collection of holdings, valued in its base currency.

    `link_key` is the last part of the address under which it is shared by link; null unless it is. `shared_id` is what
    others know it by: its own id where it is public, the link's key where it is shared by link, else null. `version`
    grows by one with each change of the row, not of what is in it.
    """

    __tablename__ = "portfolios"
    __table_args__ = (
        UniqueConstraint("id", "owner_id"),
        UniqueConstraint("link_key"),
        UniqueConstraint("shared_id"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_is_short"),
        CheckConstraint("method IN ('fifo', 'lifo', 'hifo', 'average', 'specific')", name="method_is_known"),
        CheckConstraint("visibility IN ('private', 'link', 'public')", name="visibility_is_known"),
        CheckConstraint(
            "shared_parts <@ ARRAY['quantities', 'details', 'photos', 'values']", name="shared_parts_are_known"
        ),
        CheckConstraint("visibility <> 'link' OR link_key IS NOT NULL", name="link_has_a_key"),
        Index("portfolios_by_owner", "owner_id", "created_at", "id"),
        Index("portfolios_one_default", "owner_id", unique=True, postgresql_where=text("is_default")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    name: Mapped[str]
    description: Mapped[str | None]
    base_currency: Mapped[str]
    method: Mapped[str] = mapped_column(server_default=text("'fifo'"))
    visibility: Mapped[str] = mapped_column(server_default=text("'private'"))
    shared_parts: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("ARRAY[]::text[]"))
    link_key: Mapped[str | None]
    shared_id: Mapped[UUID | None] = mapped_column(
        Computed(
            # As PostgreSQL writes it, which is what the comparison with the migrations reads.
            "CASE WHEN (visibility = 'public'::text) THEN id WHEN ((visibility = 'link'::text) "
            "AND (link_key ~ '^[0-9a-f]{32}$'::text)) THEN (link_key)::uuid ELSE NULL::uuid END",
            persisted=True,
        )
    )
    is_default: Mapped[bool] = mapped_column(server_default=text("false"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class CreationKey(Base):
    """What was made under a key that somebody sent along, so that a repeat within a day makes nothing more.

    `result_id` is that of a portfolio, a holding or a trade, which may be gone by now.
    """

    __tablename__ = "creation_keys"
    __table_args__ = ({"schema": SCHEMA},)

    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    content_hash: Mapped[str]
    result_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Store(Base):
    """Where somebody acquires things: each person keeps a list of their own."""

    __tablename__ = "stores"
    __table_args__ = (
        UniqueConstraint("id", "owner_id"),
        UniqueConstraint("owner_id", "slug"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_is_short"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    name: Mapped[str]
    slug: Mapped[str]
    url: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Holding(Base):
    """A quantity of a variant in a portfolio; several of one variant where they are told apart, as graded cards are.

    `quantity`, `cost`, `realized_gain` and `missing_quantity` follow from its trades and are written with its lots, in
    one transaction; amounts are in the portfolio's base currency. `cost` is of what is still held; `missing_quantity`
    was disposed of without ever having been acquired, so the gain of it is not known.
    """

    __tablename__ = "holdings"
    __table_args__ = (
        ForeignKeyConstraint(
            ["portfolio_id", "owner_id"],
            [f"{SCHEMA}.portfolios.id", f"{SCHEMA}.portfolios.owner_id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("id", "portfolio_id", "owner_id"),
        UniqueConstraint("owner_id", "external_source", "external_id"),
        CheckConstraint("quantity >= 0 AND missing_quantity >= 0", name="quantities_are_not_negative"),
        CheckConstraint("(external_source IS NULL) = (external_id IS NULL)", name="external_name_is_whole"),
        Index("holdings_by_position", "portfolio_id", "owner_id", "position", "id"),
        Index("holdings_by_variant", "variant_id"),
        Index("holdings_by_owner", "owner_id", "variant_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID]
    portfolio_id: Mapped[UUID]
    variant_id: Mapped[UUID] = mapped_column(ForeignKey(ItemVariant.id))
    position: Mapped[int] = mapped_column(Integer)
    quantity: Mapped[Decimal] = mapped_column(server_default=text("0"))
    cost: Mapped[Decimal] = mapped_column(server_default=text("0"))
    realized_gain: Mapped[Decimal] = mapped_column(server_default=text("0"))
    missing_quantity: Mapped[Decimal] = mapped_column(server_default=text("0"))
    external_source: Mapped[str | None]
    external_id: Mapped[str | None]
    archived_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class HoldingDetails(Base):
    """What a collector keeps of a holding."""

    __tablename__ = "holding_details"
    __table_args__ = (
        ForeignKeyConstraint(
            ["holding_id", "portfolio_id", "owner_id"],
            [f"{SCHEMA}.holdings.id", f"{SCHEMA}.holdings.portfolio_id", f"{SCHEMA}.holdings.owner_id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(["store_id", "owner_id"], [f"{SCHEMA}.stores.id", f"{SCHEMA}.stores.owner_id"]),
        CheckConstraint("grade BETWEEN 0 AND 100", name="grade_is_a_grade"),
        CheckConstraint("float_value BETWEEN 0 AND 1", name="float_is_a_share"),
        CheckConstraint("pattern BETWEEN 0 AND 100000", name="pattern_is_a_seed"),
        Index("holding_details_by_owner", "owner_id"),
        Index("holding_details_by_store", "store_id", postgresql_where=text("store_id IS NOT NULL")),
        {"schema": SCHEMA},
    )

    holding_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID]
    portfolio_id: Mapped[UUID]
    condition: Mapped[str | None]
    grade: Mapped[Decimal | None]
    grader: Mapped[str | None]
    serial: Mapped[str | None]
    float_value: Mapped[Decimal | None]
    pattern: Mapped[int | None]
    place: Mapped[str | None]
    store_id: Mapped[UUID | None]
    acquired_on: Mapped[date | None] = mapped_column(Date)
    notes: Mapped[str | None]


class Trade(Base):
    """One thing that happened to a holding, and the only truth about it.

    `price` is of one unit, `fee` of the whole trade, both in `currency`. `exchange_rate` is what one unit of that
    currency was in the portfolio's base currency when the trade was recorded, of the day `rate_date` unless its owner
    gave the rate; it changes only with one of the two currencies. Trades of a holding are in the order of
    `(occurred_at, id)`. One that `may_lack_acquisitions` may dispose of more than is held.
    """

    __tablename__ = "trades"
    __table_args__ = (
        ForeignKeyConstraint(
            ["holding_id", "portfolio_id", "owner_id"],
            [f"{SCHEMA}.holdings.id", f"{SCHEMA}.holdings.portfolio_id", f"{SCHEMA}.holdings.owner_id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("id", "owner_id"),
        UniqueConstraint("portfolio_id", "external_source", "external_id"),
        CheckConstraint(
            "kind IN ('buy', 'sell', 'transfer_in', 'transfer_out', 'gift_in', 'gift_out', 'fee')", name="kind_is_known"
        ),
        CheckConstraint("quantity > 0 OR (kind = 'fee' AND quantity = 0)", name="quantity_is_positive"),
        CheckConstraint("price >= 0 AND fee >= 0", name="amounts_are_not_negative"),
        CheckConstraint("exchange_rate > 0 AND exchange_rate < 'Infinity'", name="exchange_rate_is_positive"),
        CheckConstraint("(external_source IS NULL) = (external_id IS NULL)", name="external_name_is_whole"),
        Index("trades_by_holding", "holding_id", "occurred_at", "id"),
        Index("trades_by_portfolio", "portfolio_id", "occurred_at", "id"),
        Index("trades_by_owner", "owner_id", "occurred_at", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID]
    portfolio_id: Mapped[UUID]
    holding_id: Mapped[UUID]
    kind: Mapped[str]
    occurred_at: Mapped[datetime]
    quantity: Mapped[Decimal]
    price: Mapped[Decimal]
    fee: Mapped[Decimal] = mapped_column(server_default=text("0"))
    currency: Mapped[str]
    exchange_rate: Mapped[Decimal]
    rate_date: Mapped[date | None] = mapped_column(Date)
    exchange: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("ARRAY[]::text[]"))
    notes: Mapped[str | None]
    may_lack_acquisitions: Mapped[bool] = mapped_column(server_default=text("false"))
    external_source: Mapped[str | None]
    external_id: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TradeLotChoice(Base):
    """A lot that a sale names to take from, and how much; a lot has the id of the trade that opened it."""

    __tablename__ = "trade_lot_choices"
    __table_args__ = (
        ForeignKeyConstraint(
            ["trade_id", "owner_id"], [f"{SCHEMA}.trades.id", f"{SCHEMA}.trades.owner_id"], ondelete="CASCADE"
        ),
        # Deferred, for a lot and what names it go together with their holding.
        ForeignKeyConstraint(
            ["lot_id", "owner_id"],
            [f"{SCHEMA}.trades.id", f"{SCHEMA}.trades.owner_id"],
            deferrable=True,
            initially="DEFERRED",
        ),
        CheckConstraint("quantity > 0", name="quantity_is_positive"),
        Index("trade_lot_choices_by_lot", "lot_id"),
        Index("trade_lot_choices_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    trade_id: Mapped[UUID] = mapped_column(primary_key=True)
    lot_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID]
    quantity: Mapped[Decimal]


class TradeRevision(Base):
    """What a trade was before it was edited or deleted. Numbers begin with 1; the trade itself may be gone."""

    __tablename__ = "trade_revisions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["portfolio_id", "owner_id"],
            [f"{SCHEMA}.portfolios.id", f"{SCHEMA}.portfolios.owner_id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("trade_id", "number"),
        CheckConstraint("number > 0", name="number_is_positive"),
        CheckConstraint("action IN ('edited', 'deleted')", name="action_is_known"),
        Index("trade_revisions_by_portfolio", "portfolio_id", "created_at", "id"),
        Index("trade_revisions_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID]
    portfolio_id: Mapped[UUID]
    trade_id: Mapped[UUID]
    number: Mapped[int]
    action: Mapped[str]
    before: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Lot(Base):
    """What one trade acquired, and what is left of it; it has the trade's id.

    `cost` is what the whole lot cost, its fee included, in the portfolio's base currency, and `remaining_cost` the part
    of that which is left. With the average method lots share one cost, so `remaining_cost` is null. Written whole
    whenever trades change, so it refers to its trade alone.
    """

    __tablename__ = "lots"
    __table_args__ = (
        ForeignKeyConstraint(
            ["id", "owner_id"], [f"{SCHEMA}.trades.id", f"{SCHEMA}.trades.owner_id"], ondelete="CASCADE"
        ),
        CheckConstraint("quantity > 0", name="quantity_is_positive"),
        CheckConstraint("remaining_quantity BETWEEN 0 AND quantity", name="remaining_quantity_is_a_part"),
        CheckConstraint("cost >= 0 AND remaining_cost BETWEEN 0 AND cost", name="remaining_cost_is_a_part"),
        Index("lots_by_holding", "holding_id", "acquired_at", "id"),
        Index("lots_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID]
    portfolio_id: Mapped[UUID]
    holding_id: Mapped[UUID]
    acquired_at: Mapped[datetime]
    quantity: Mapped[Decimal]
    cost: Mapped[Decimal]
    remaining_quantity: Mapped[Decimal]
    remaining_cost: Mapped[Decimal | None]


class LotDisposal(Base):
    """What one trade took from one lot, the parts of a trade numbered from 1.

    Without a lot it is what was never acquired: `cost` and `gain` are null. A transfer or a gift brings nothing, so
    `proceeds` and `gain` are null there. Amounts are in the portfolio's base currency.
    """

    __tablename__ = "lot_disposals"
    __table_args__ = (
        ForeignKeyConstraint(
            ["trade_id", "owner_id"], [f"{SCHEMA}.trades.id", f"{SCHEMA}.trades.owner_id"], ondelete="CASCADE"
        ),
        CheckConstraint("quantity > 0", name="quantity_is_positive"),
        CheckConstraint("(cost IS NULL) = (lot_id IS NULL)", name="cost_is_of_a_lot"),
        Index("lot_disposals_by_holding", "holding_id", "disposed_at", "trade_id", "number"),
        Index("lot_disposals_by_portfolio", "portfolio_id", "disposed_at", "trade_id", "number"),
        Index("lot_disposals_by_lot", "lot_id", postgresql_where=text("lot_id IS NOT NULL")),
        Index("lot_disposals_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    trade_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    owner_id: Mapped[UUID]
    portfolio_id: Mapped[UUID]
    holding_id: Mapped[UUID]
    lot_id: Mapped[UUID | None]
    acquired_at: Mapped[datetime | None]
    disposed_at: Mapped[datetime]
    quantity: Mapped[Decimal]
    cost: Mapped[Decimal | None]
    proceeds: Mapped[Decimal | None]
    gain: Mapped[Decimal | None]


class ImportSource(StrEnum):
    """Where what is imported comes from."""

    TROVE = "trove"
    COINBASE = "coinbase"
    KRAKEN = "kraken"
    MYFIGURECOLLECTION = "myfigurecollection"
    TCGPLAYER = "tcgplayer"
    STEAM = "steam"


class ImportStatus(StrEnum):
    """How far an import has come."""

    WAITING = "waiting"
    FAILED = "failed"
    PREVIEWED = "previewed"
    APPLIED = "applied"
    UNDONE = "undone"
    EXPIRED = "expired"


class ImportChange(StrEnum):
    """What a row of an import would do, or why it does nothing."""

    TRADE = "trade"
    ACQUIRED = "acquired"
    GONE = "gone"
    MOVED = "moved"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"
    SKIPPED = "skipped"
    BAD = "bad"


class PortfolioImport(Base):
    """What somebody has had read of a file or an inventory, to be looked at before it is applied to a portfolio.

    A file is previewed at once; an inventory waits until a worker has read it, which may fail. The counts are of its
    rows, by what they would do. Once applied it can be undone.
    """

    __tablename__ = "imports"
    __table_args__ = (
        ForeignKeyConstraint(
            ["portfolio_id", "owner_id"],
            [f"{SCHEMA}.portfolios.id", f"{SCHEMA}.portfolios.owner_id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("id", "owner_id"),
        CheckConstraint(
            "status IN ('waiting', 'failed', 'previewed', 'applied', 'undone', 'expired')", name="status_is_known"
        ),
        Index("imports_by_portfolio", "portfolio_id", "created_at", "id"),
        Index("imports_by_owner", "owner_id", "created_at"),
        Index("imports_waiting", "next_attempt_at", postgresql_where=text("status = 'waiting'")),
        Index("imports_previewed", "expires_at", postgresql_where=text("status = 'previewed'")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID]
    portfolio_id: Mapped[UUID]
    source: Mapped[str]
    steam_id: Mapped[str | None]
    status: Mapped[str]
    failure: Mapped[str | None]
    trades: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    acquired: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    gone: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    moved: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    unchanged: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    duplicates: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    skipped: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    bad: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_attempt_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    previewed_at: Mapped[datetime | None]
    applied_at: Mapped[datetime | None]
    undone_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]


class ImportRow(Base):
    """A row of an import, numbered from 1: the trade that it would bring, or why it brings none.

    `line` is where it stands in its file, `asset_id` and `context` what it is in an inventory. `holding_name` tells
    holdings of one variant apart. Once applied, `trade_id` and `holding_id` say what it brought, and `made_holding`
    whether the holding is of it too. What these ids lead to may be gone by now.
    """

    __tablename__ = "import_rows"
    __table_args__ = (
        ForeignKeyConstraint(
            ["import_id", "owner_id"], [f"{SCHEMA}.imports.id", f"{SCHEMA}.imports.owner_id"], ondelete="CASCADE"
        ),
        CheckConstraint(
            "change IN ('trade', 'acquired', 'gone', 'moved', 'unchanged', 'duplicate', 'skipped', 'bad')",
            name="change_is_known",
        ),
        CheckConstraint("number > 0", name="number_is_positive"),
        Index("import_rows_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    import_id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    owner_id: Mapped[UUID]
    change: Mapped[str]
    line: Mapped[int | None] = mapped_column(Integer)
    subject: Mapped[str | None]
    reason: Mapped[str | None]
    variant_id: Mapped[UUID | None]
    holding_name: Mapped[str | None]
    holding_id: Mapped[UUID | None]
    made_holding: Mapped[bool] = mapped_column(server_default=text("false"))
    trade_id: Mapped[UUID | None]
    asset_id: Mapped[str | None]
    context: Mapped[int | None] = mapped_column(Integer)
    kind: Mapped[str | None]
    occurred_at: Mapped[datetime | None]
    quantity: Mapped[Decimal | None]
    price: Mapped[Decimal | None]
    fee: Mapped[Decimal | None]
    currency: Mapped[str | None]
    exchange_rate: Mapped[Decimal | None]
    exchange: Mapped[str | None]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("ARRAY[]::text[]"))
    notes: Mapped[str | None]
    may_lack_acquisitions: Mapped[bool] = mapped_column(server_default=text("false"))
    external_id: Mapped[str | None]


class ExportFormat(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"


class ExportedRows(StrEnum):
    """What an export tells of a portfolio."""

    TRADES = "trades"
    HOLDINGS = "holdings"


class PortfolioExportStatus(StrEnum):
    """How far an export has come."""

    WAITING = "waiting"
    READY = "ready"
    FAILED = "failed"
    EXPIRED = "expired"


class PortfolioExport(Base):
    """A file of what is in a portfolio, which a worker writes, and how far it has come; it is kept for a day."""

    __tablename__ = "exports"
    __table_args__ = (
        ForeignKeyConstraint(
            ["portfolio_id", "owner_id"],
            [f"{SCHEMA}.portfolios.id", f"{SCHEMA}.portfolios.owner_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("format IN ('csv', 'jsonl')", name="format_is_known"),
        CheckConstraint("what IN ('trades', 'holdings')", name="what_is_known"),
        CheckConstraint("status IN ('waiting', 'ready', 'failed', 'expired')", name="status_is_known"),
        Index("exports_by_portfolio", "portfolio_id", "created_at", "id"),
        Index("exports_by_owner", "owner_id", "created_at"),
        Index("exports_waiting", "next_attempt_at", postgresql_where=text("status = 'waiting'")),
        Index("exports_ready", "expires_at", postgresql_where=text("status = 'ready'")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID]
    portfolio_id: Mapped[UUID]
    format: Mapped[str]
    what: Mapped[str]
    status: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    rows_done: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    rows_total: Mapped[int | None] = mapped_column(Integer)
    content: Mapped[bytes | None] = encrypted()
    content_bytes: Mapped[int | None] = mapped_column(Integer)
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_error: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]


# What others see of portfolios that are public or shared by link, by their `shared_id`: what their owners chose.


class Snapshot(Base):
    """What a portfolio was at the end of a day (UTC), in the base currency that it had when this was made.

    `value` is null where something was held and no value of it is known; what has none is left out of the sum and
    counted. `realized_gain` is that of all days so far, `net_flow` what was put in on this day less what was taken out.
    `parts` says the same by kind, set and place, numbers as texts.
    """

    __tablename__ = "snapshots"
    __table_args__ = (
        ForeignKeyConstraint(
            ["portfolio_id", "owner_id"],
            [f"{SCHEMA}.portfolios.id", f"{SCHEMA}.portfolios.owner_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("unpriced_count BETWEEN 0 AND holding_count", name="unpriced_are_holdings"),
        CheckConstraint(
            "value IS NULL = (holding_count > 0 AND unpriced_count = holding_count)", name="value_is_known"
        ),
        Index("snapshots_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    portfolio_id: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    owner_id: Mapped[UUID]
    currency: Mapped[str]
    value: Mapped[Decimal | None]
    cost: Mapped[Decimal]
    realized_gain: Mapped[Decimal]
    net_flow: Mapped[Decimal]
    holding_count: Mapped[int]
    unpriced_count: Mapped[int]
    stale_count: Mapped[int]
    oldest_observed_at: Mapped[datetime | None]
    parts: Mapped[dict[str, Any]] = mapped_column(JSONB)
    computed_at: Mapped[datetime]


class SnapshotMark(Base):
    """From which day on the snapshots of a portfolio have yet to be made, or to be made anew: trades have changed.

    `version` grows with each change, so that whoever makes snapshots sees that they are of trades that were.
    """

    __tablename__ = "snapshot_marks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["portfolio_id", "owner_id"],
            [f"{SCHEMA}.portfolios.id", f"{SCHEMA}.portfolios.owner_id"],
            ondelete="CASCADE",
        ),
        Index("snapshot_marks_by_day", "next_day"),
        Index("snapshot_marks_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    portfolio_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID]
    next_day: Mapped[date] = mapped_column(Date)
    version: Mapped[int] = mapped_column(server_default=text("1"))


class HoldingPhoto(StoredPhoto, Base):
    """A photo that its owner took of a holding; the first one stands for it."""

    __tablename__ = "holding_photos"
    __table_args__ = (
        ForeignKeyConstraint(
            ["holding_id", "portfolio_id", "owner_id"],
            [f"{SCHEMA}.holdings.id", f"{SCHEMA}.holdings.portfolio_id", f"{SCHEMA}.holdings.owner_id"],
            ondelete="CASCADE",
        ),
        # Checked at the commit: a new order passes through many others.
        UniqueConstraint("holding_id", "position", deferrable=True, initially="DEFERRED"),
        *constraints_of_photos(),
        Index("holding_photos_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    holding_id: Mapped[UUID]
    owner_id: Mapped[UUID]
    portfolio_id: Mapped[UUID]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class HoldingTurntable(Base):
    """A holding, shown from all sides."""

    __tablename__ = "holding_turntables"
    __table_args__ = (
        ForeignKeyConstraint(
            ["holding_id", "portfolio_id", "owner_id"],
            [f"{SCHEMA}.holdings.id", f"{SCHEMA}.holdings.portfolio_id", f"{SCHEMA}.holdings.owner_id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("holding_id", "owner_id"),
        Index("holding_turntables_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    holding_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID]
    portfolio_id: Mapped[UUID]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TurntableFrame(StoredPhoto, Base):
    """One of the photos of a turntable, which are taken in even steps around the holding."""

    __tablename__ = "turntable_frames"
    __table_args__ = (
        ForeignKeyConstraint(
            ["holding_id", "owner_id"],
            [f"{SCHEMA}.holding_turntables.holding_id", f"{SCHEMA}.holding_turntables.owner_id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("holding_id", "position"),
        *constraints_of_photos(),
        Index("turntable_frames_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    holding_id: Mapped[UUID]
    owner_id: Mapped[UUID]


# What goes from these is written there.
for _table in (HoldingPhoto.__table__, TurntableFrame.__table__):
    cast("Table", _table).add_is_dependent_on(cast("Table", DoomedPhoto.__table__))


# What others see of portfolios that are public or shared by link, by their `shared_id`: what their owners chose.
shared_portfolios = Table(
    "shared_portfolios",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("owner_id", Uuid, nullable=False),
    Column("public_owner_id", Uuid),
    Column("name", Text, nullable=False),
    Column("description", Text),
    Column("base_currency", Text),
    Column("shared_parts", ARRAY(Text), nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    schema=SCHEMA,
)

# What is held in them. A part that was not chosen is null; `valued_quantity` is what a value is of.
shared_holdings = Table(
    "shared_holdings",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("portfolio_id", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    Column("variant_id", Uuid, nullable=False),
    Column("quantity", Numeric),
    Column("valued_quantity", Numeric),
    Column("base_currency", Text),
    Column("condition", Text),
    Column("grade", Numeric),
    Column("grader", Text),
    Column("float_value", Numeric),
    Column("pattern", Integer),
    schema=SCHEMA,
)

# The photos of these, where their owner shares them.
shared_holding_photos = Table(
    "shared_holding_photos",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("holding_id", Uuid, nullable=False),
    Column("position", Integer, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("storage_key", Text, nullable=False),
    schema=SCHEMA,
)
