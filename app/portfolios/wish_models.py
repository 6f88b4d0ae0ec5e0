"""What people watch, want and have ordered ahead: lists of items, wants, and preorders with what became of them."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Date,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.catalogue.models import Item, ItemVariant
from app.core.database import Base
from app.core.ids import new_id
from app.identity.models import User
from app.portfolios.models import SCHEMA


class Condition(StrEnum):
    """The conditions of things, from the best to the worst. A want is met by its own and by all before it."""

    MINT = "mint"
    NEAR_MINT = "near_mint"
    EXCELLENT = "excellent"
    GOOD = "good"
    PLAYED = "played"
    POOR = "poor"


class PreorderStatus(StrEnum):
    """How far a preorder has come."""

    ANNOUNCED = "announced"
    OPEN = "open"
    PREORDERED = "preordered"
    IN_PRODUCTION = "in_production"
    RELEASED = "released"
    SHIPPED = "shipped"
    RECEIVED = "received"
    CANCELLED = "cancelled"


class DatePrecision(StrEnum):
    """How much of a release date is known."""

    DAY = "day"
    MONTH = "month"


class Watchlist(Base):
    """A person's named list of items, in an order of theirs.

    `version` grows by one with each change of its owner's: of the list, of what is in it and of its order.
    """

    __tablename__ = "watchlists"
    __table_args__ = (
        UniqueConstraint("id", "owner_id"),
        UniqueConstraint("owner_id", "name"),
        CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_is_short"),
        Index("watchlists_by_owner", "owner_id", "position", "id"),
        Index("watchlists_one_default", "owner_id", unique=True, postgresql_where=text("is_default")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    name: Mapped[str]
    is_default: Mapped[bool] = mapped_column(server_default=text("false"))
    position: Mapped[int] = mapped_column(Integer)
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class WatchlistItem(Base):
    """An item in a watchlist, once; `variant_id` is null where its default variant is meant."""

    __tablename__ = "watchlist_items"
    __table_args__ = (
        ForeignKeyConstraint(
            ["watchlist_id", "owner_id"],
            [f"{SCHEMA}.watchlists.id", f"{SCHEMA}.watchlists.owner_id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("watchlist_id", "item_id"),
        Index("watchlist_items_by_item", "item_id"),
        Index("watchlist_items_by_owner", "owner_id"),
        Index("watchlist_items_by_position", "watchlist_id", "position", "id"),
        Index("watchlist_items_by_variant", "variant_id", postgresql_where=text("variant_id IS NOT NULL")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID]
    watchlist_id: Mapped[UUID]
    item_id: Mapped[UUID] = mapped_column(ForeignKey(Item.id))
    variant_id: Mapped[UUID | None] = mapped_column(ForeignKey(ItemVariant.id))
    notes: Mapped[str | None]
    position: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Want(Base):
    """Something that a person wants to own: a variant, or with `accepts_any_print` any variant of its item and of the
    other prints of the same card.

    Whether it is fulfilled follows from what its owner holds and is stored nowhere. One that was removed stays, and
    comes back when it is wanted again.
    """

    __tablename__ = "wants"
    __table_args__ = (
        CheckConstraint(
            "minimum_condition IN ('mint', 'near_mint', 'excellent', 'good', 'played', 'poor')",
            name="condition_is_known",
        ),
        CheckConstraint("maximum_price >= 0", name="maximum_price_is_not_negative"),
        CheckConstraint("(maximum_price IS NULL) = (currency IS NULL)", name="maximum_price_has_a_currency"),
        CheckConstraint("priority BETWEEN 0 AND 10", name="priority_is_small"),
        Index("wants_by_owner", "owner_id", "priority", "id"),
        Index("wants_by_variant", "variant_id"),
        Index(
            "wants_once",
            "owner_id",
            "variant_id",
            unique=True,
            postgresql_where=text("deleted_at IS NULL"),
        ),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    variant_id: Mapped[UUID] = mapped_column(ForeignKey(ItemVariant.id))
    accepts_any_print: Mapped[bool] = mapped_column(server_default=text("false"))
    minimum_condition: Mapped[str | None]
    maximum_price: Mapped[Decimal | None]
    currency: Mapped[str | None]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    notes: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    deleted_at: Mapped[datetime | None]


class Preorder(Base):
    """One copy of something that was announced or ordered before it came out.

    `price`, `shipping`, `deposit` and `refund` are in `currency`; the deposit is a part of the price, and the refund a
    part of the deposit. Where its portfolio is known, `exchange_rate` is what one unit of that currency was in
    `rate_currency`, the portfolio's base currency, on `rate_date`, the day it was written down or the last one before
    it with a rate; it changes only with one of the two currencies. A date that is known to the month is its first day.
    """

    __tablename__ = "preorders"
    __table_args__ = (
        ForeignKeyConstraint(
            ["portfolio_id", "owner_id"],
            [f"{SCHEMA}.portfolios.id", f"{SCHEMA}.portfolios.owner_id"],
            ondelete="SET NULL (portfolio_id)",
            # With a portfolio its trades go, and each of the two clears its own column first.
            deferrable=True,
            initially="DEFERRED",
        ),
        ForeignKeyConstraint(
            ["store_id", "owner_id"],
            [f"{SCHEMA}.stores.id", f"{SCHEMA}.stores.owner_id"],
            ondelete="SET NULL (store_id)",
        ),
        ForeignKeyConstraint(
            ["trade_id", "owner_id"],
            [f"{SCHEMA}.trades.id", f"{SCHEMA}.trades.owner_id"],
            ondelete="SET NULL (trade_id)",
            deferrable=True,
            initially="DEFERRED",
        ),
        UniqueConstraint("id", "owner_id"),
        UniqueConstraint("owner_id", "request_key"),
        CheckConstraint(
            "status IN ('announced', 'open', 'preordered', 'in_production', 'released', 'shipped', 'received', "
            "'cancelled')",
            name="status_is_known",
        ),
        CheckConstraint("original_precision IN ('day', 'month')", name="original_precision_is_known"),
        CheckConstraint("release_precision IN ('day', 'month')", name="release_precision_is_known"),
        CheckConstraint("(original_date IS NULL) = (original_precision IS NULL)", name="original_date_is_whole"),
        CheckConstraint("(release_date IS NULL) = (release_precision IS NULL)", name="release_date_is_whole"),
        CheckConstraint("release_date IS NULL OR original_date IS NOT NULL", name="first_date_is_the_original"),
        CheckConstraint("(price IS NULL) = (currency IS NULL)", name="price_has_a_currency"),
        CheckConstraint("price >= 0 AND shipping >= 0", name="amounts_are_not_negative"),
        CheckConstraint("deposit BETWEEN 0 AND coalesce(price, 0)", name="deposit_is_part_of_the_price"),
        CheckConstraint("refund BETWEEN 0 AND deposit", name="refund_is_part_of_the_deposit"),
        CheckConstraint("exchange_rate > 0 AND exchange_rate < 'Infinity'", name="exchange_rate_is_positive"),
        CheckConstraint("(exchange_rate IS NULL) = (rate_currency IS NULL)", name="exchange_rate_is_whole"),
        CheckConstraint("estimated_delivery_days >= 0", name="delivery_takes_no_negative_time"),
        Index("preorders_by_owner", "owner_id", "created_at", "id"),
        Index("preorders_by_variant", "variant_id"),
        Index("preorders_by_portfolio", "portfolio_id", postgresql_where=text("portfolio_id IS NOT NULL")),
        Index("preorders_by_store", "store_id", postgresql_where=text("store_id IS NOT NULL")),
        Index("preorders_by_trade", "trade_id", postgresql_where=text("trade_id IS NOT NULL")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    variant_id: Mapped[UUID] = mapped_column(ForeignKey(ItemVariant.id))
    portfolio_id: Mapped[UUID | None]
    store_id: Mapped[UUID | None]
    trade_id: Mapped[UUID | None]
    status: Mapped[str]
    price: Mapped[Decimal | None]
    shipping: Mapped[Decimal] = mapped_column(server_default=text("0"))
    deposit: Mapped[Decimal] = mapped_column(server_default=text("0"))
    refund: Mapped[Decimal] = mapped_column(server_default=text("0"))
    currency: Mapped[str | None]
    exchange_rate: Mapped[Decimal | None]
    rate_currency: Mapped[str | None]
    rate_date: Mapped[date | None] = mapped_column(Date)
    original_date: Mapped[date | None] = mapped_column(Date)
    original_precision: Mapped[str | None]
    release_date: Mapped[date | None] = mapped_column(Date)
    release_precision: Mapped[str | None]
    tracking_url: Mapped[str | None]
    shipped_at: Mapped[datetime | None]
    received_at: Mapped[datetime | None]
    estimated_delivery_days: Mapped[int | None] = mapped_column(Integer)
    notes: Mapped[str | None]
    request_key: Mapped[str | None]
    request_hash: Mapped[str | None]
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PreorderStatusChange(Base):
    """A step of a preorder; the first one has no status before it."""

    __tablename__ = "preorder_status_changes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["preorder_id", "owner_id"],
            [f"{SCHEMA}.preorders.id", f"{SCHEMA}.preorders.owner_id"],
            ondelete="CASCADE",
        ),
        Index("preorder_status_changes_by_preorder", "preorder_id", "created_at", "id"),
        Index("preorder_status_changes_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID]
    preorder_id: Mapped[UUID]
    previous_status: Mapped[str | None]
    status: Mapped[str]
    note: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PreorderDateChange(Base):
    """A release date that was moved, and who says so; null where none was known, or none is any more."""

    __tablename__ = "preorder_date_changes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["preorder_id", "owner_id"],
            [f"{SCHEMA}.preorders.id", f"{SCHEMA}.preorders.owner_id"],
            ondelete="CASCADE",
        ),
        Index("preorder_date_changes_by_preorder", "preorder_id", "created_at", "id"),
        Index("preorder_date_changes_by_owner", "owner_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID]
    preorder_id: Mapped[UUID]
    previous_date: Mapped[date | None] = mapped_column(Date)
    previous_precision: Mapped[str | None]
    new_date: Mapped[date | None] = mapped_column(Date)
    new_precision: Mapped[str | None]
    source: Mapped[str | None]
    note: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
