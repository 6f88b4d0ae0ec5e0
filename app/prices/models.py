"""Sources, series, the points and candles in them, what they make variants worth, and exchange rates."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.catalogue.models import ItemVariant
from app.core.database import Base
from app.core.ids import new_id

SCHEMA = "prices"


class PriceKind(StrEnum):
    """What a price says. Kinds are never pooled: each has its own series."""

    SALE = "sale"
    MARKET = "market"
    MID = "mid"
    ASK = "ask"
    BID = "bid"
    LOW = "low"
    HIGH = "high"
    LIST = "list"


class ValuationBasis(StrEnum):
    """What a valuation rests on: the first of these that there is."""

    SALES = "sales"
    ASK = "ask"
    LIST = "list"
    NONE = "none"


class Confidence(StrEnum):
    """How far a valuation can be trusted."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Source(Base):
    """Where prices come from: a marketplace, an exchange, a shop.

    Of one that `is_change_only` a price other than a sale is stored only when it moved.
    """

    __tablename__ = "sources"
    __table_args__ = (
        UniqueConstraint("code"),
        CheckConstraint("code ~ '^[a-z0-9][a-z0-9-]{1,39}$'", name="code_is_a_slug"),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(SmallInteger, Identity(always=True), primary_key=True)
    code: Mapped[str]
    name: Mapped[str]
    is_change_only: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PriceSeries(Base):
    """The prices of one variant from one source, of one kind, in one currency, and the latest of them.

    `last_seen_at` is when the source, while it stores only what moved, last showed a price at all. Where every price is
    stored it is null, once one was.
    """

    __tablename__ = "price_series"
    __table_args__ = (
        UniqueConstraint("variant_id", "source_id", "kind", "currency"),
        CheckConstraint("kind IN ('sale', 'market', 'mid', 'ask', 'bid', 'low', 'high', 'list')", name="kind_is_known"),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    variant_id: Mapped[UUID] = mapped_column(ForeignKey(ItemVariant.id, ondelete="CASCADE"))
    source_id: Mapped[int] = mapped_column(ForeignKey(f"{SCHEMA}.sources.id"))
    kind: Mapped[str]
    currency: Mapped[str]
    latest_price: Mapped[Decimal | None]
    latest_quantity: Mapped[Decimal | None]
    latest_observed_at: Mapped[datetime | None]
    latest_arrival: Mapped[int | None] = mapped_column(BigInteger)
    last_seen_at: Mapped[datetime | None]
    has_points: Mapped[bool] = mapped_column(server_default=text("false"))
    provided_resolutions: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default=text("ARRAY[]::integer[]"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PricePoint(Base):
    """One observed price. `key` makes it unique at its instant; `arrival` orders points of the same instant."""

    __tablename__ = "price_points"
    __table_args__ = (
        CheckConstraint("price >= 0", name="price_is_not_negative"),
        CheckConstraint("quantity > 0", name="quantity_is_positive"),
        {"schema": SCHEMA, "postgresql_partition_by": "RANGE (observed_at)"},
    )

    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    observed_at: Mapped[datetime] = mapped_column(primary_key=True)
    key: Mapped[UUID] = mapped_column(primary_key=True)
    price: Mapped[Decimal]
    quantity: Mapped[Decimal | None]
    arrival: Mapped[int] = mapped_column(BigInteger)


class Candle(Base):
    """Open, high, low and close of one bucket `[bucket, bucket + resolution)`, rolled up from points or provided.

    `resolution` is in seconds; `volume` is the sum of quantities and `turnover` the sum of price times quantity.
    """

    __tablename__ = "candles"
    __table_args__ = (
        CheckConstraint("resolution > 0", name="resolution_is_positive"),
        CheckConstraint("low <= open AND low <= close AND open <= high AND close <= high", name="prices_are_in_order"),
        {"schema": SCHEMA, "postgresql_partition_by": "RANGE (bucket)"},
    )

    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    resolution: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    bucket: Mapped[datetime] = mapped_column(primary_key=True)
    open: Mapped[Decimal]
    high: Mapped[Decimal]
    low: Mapped[Decimal]
    close: Mapped[Decimal]
    volume: Mapped[Decimal | None]
    turnover: Mapped[Decimal | None]
    point_count: Mapped[int | None]
    is_provided: Mapped[bool]


class PriceChange(Base):
    """A new latest price of a series. Positions become visible in their own order, so a reader can follow them.

    Writers take one lock before they draw positions and keep it until they commit; rows are kept for some days.
    """

    __tablename__ = "price_changes"
    __table_args__ = (
        Index("price_changes_by_series", "series_id", "position"),
        Index("price_changes_by_time", "recorded_at", postgresql_using="brin"),
        {"schema": SCHEMA},
    )

    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    series_id: Mapped[int] = mapped_column(Integer)
    price: Mapped[Decimal]
    quantity: Mapped[Decimal | None]
    observed_at: Mapped[datetime]
    recorded_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Valuation(Base):
    """What a variant was worth in one currency, from `as_of` until the next valuation says something else.

    The interval is null below six sales. `excluded` lists the sales that were left out: price, time, source, reason
    and score. `observed_at` is the time of the newest price that it rests on.
    """

    __tablename__ = "valuations"
    __table_args__ = (
        CheckConstraint("basis IN ('sales', 'ask', 'list', 'none')", name="basis_is_known"),
        CheckConstraint("sample_size >= 0", name="sample_size_is_a_count"),
        CheckConstraint("confidence IN ('low', 'medium', 'high')", name="confidence_is_known"),
        CheckConstraint(
            "(value IS NULL) = (basis = 'none') AND (observed_at IS NULL) = (basis = 'none')", name="value_has_a_basis"
        ),
        CheckConstraint("(median IS NULL) = (basis <> 'sales')", name="sales_have_a_median"),
        CheckConstraint("(low IS NULL) = (high IS NULL) AND low <= high", name="interval_is_whole"),
        Index("valuations_by_time", "variant_id", "as_of", "id"),
        Index("valuations_one_current", "variant_id", "currency", unique=True, postgresql_where=text("is_current")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    variant_id: Mapped[UUID] = mapped_column(ForeignKey(ItemVariant.id, ondelete="CASCADE"))
    currency: Mapped[str]
    as_of: Mapped[datetime]
    basis: Mapped[str]
    value: Mapped[Decimal | None]
    median: Mapped[Decimal | None]
    low: Mapped[Decimal | None]
    high: Mapped[Decimal | None]
    sample_size: Mapped[int]
    confidence: Mapped[str]
    observed_at: Mapped[datetime | None]
    excluded: Mapped[list[dict[str, str]]] = mapped_column(JSONB)
    excluded_count: Mapped[int]
    explanation: Mapped[str]
    computed_at: Mapped[datetime]
    is_current: Mapped[bool]


class ValuationState(Base):
    """When a variant has to be valued: since when new prices wait, and when time alone may change its value.

    `has_sales` says whether it ever had a sale; what had none is looked at once a day.
    """

    __tablename__ = "valuation_states"
    __table_args__ = (
        Index("valuation_states_due", "due_since", postgresql_where=text("due_since IS NOT NULL")),
        Index("valuation_states_by_next_change", "next_change_at", postgresql_where=text("next_change_at IS NOT NULL")),
        {"schema": SCHEMA},
    )

    variant_id: Mapped[UUID] = mapped_column(ForeignKey(ItemVariant.id, ondelete="CASCADE"), primary_key=True)
    has_sales: Mapped[bool]
    due_since: Mapped[datetime | None]
    computed_at: Mapped[datetime | None]
    next_change_at: Mapped[datetime | None]


class RetentionSubject(StrEnum):
    """What is kept for a while only; candles mean those that were rolled up from points."""

    POINTS = "points"
    MINUTE_CANDLES = "minute_candles"
    HOUR_CANDLES = "hour_candles"


class RetentionMark(Base):
    """Since when a subject is kept: of what is older, some or all has been dropped."""

    __tablename__ = "retention_marks"
    __table_args__ = (
        CheckConstraint("subject IN ('points', 'minute_candles', 'hour_candles')", name="subject_is_known"),
        {"schema": SCHEMA},
    )

    subject: Mapped[str] = mapped_column(primary_key=True)
    kept_since: Mapped[datetime]


class CandleRebuild(Base):
    """A rebuild of candles from points: of one series or all, of whole days, and how far it has come.

    Done are all series before `next_series_id`, and of that one what lies before `next_instant`.
    """

    __tablename__ = "candle_rebuilds"
    __table_args__ = (
        Index(
            "candle_rebuilds_one_unfinished",
            "series_id",
            "since",
            "until",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("finished_at IS NULL"),
        ),
        {"schema": SCHEMA},
    )

    id: Mapped[int] = mapped_column(Integer, Identity(always=True), primary_key=True)
    series_id: Mapped[int | None]
    since: Mapped[datetime | None]
    until: Mapped[datetime | None]
    next_series_id: Mapped[int]
    next_instant: Mapped[datetime | None]
    changed_count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    removed_count: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]


class StoredExchangeRate(Base):
    """How many units of a currency one euro bought on a day, as `source` published it. The euro itself has no rows."""

    __tablename__ = "exchange_rates"
    __table_args__ = (
        CheckConstraint("currency ~ '^[A-Z]{3}$' AND currency <> 'EUR'", name="currency_is_a_code"),
        CheckConstraint("units_per_eur > 0 AND units_per_eur < 'Infinity'", name="units_per_eur_is_positive"),
        {"schema": SCHEMA},
    )

    currency: Mapped[str] = mapped_column(primary_key=True)
    rate_date: Mapped[date] = mapped_column(Date, primary_key=True)
    units_per_eur: Mapped[Decimal]
    source: Mapped[str]
