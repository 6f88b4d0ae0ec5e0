"""Reads of prices. Every set-read takes a list of keys and answers by key."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Integer, Select, bindparam, case, func, literal, select, text, tuple_
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.catalogue.models import ItemVariant
from app.core.database import among
from app.core.ids import PublicIdTag, public_id
from app.prices.models import PriceChange, PriceKind, PricePoint, PriceSeries, Source
from app.prices.resolutions import BUCKET_ORIGIN, ROLLED_UP, first_bucket_from

# A quote older than this is used only where there is no fresher one of any kind.
STALE_AFTER = timedelta(days=30)
# With no sale: what the market says, then what is asked, then the list price; a bid or an extreme last.
KIND_PREFERENCE = (
    PriceKind.SALE,
    PriceKind.MARKET,
    PriceKind.MID,
    PriceKind.ASK,
    PriceKind.LIST,
    PriceKind.LOW,
    PriceKind.BID,
    PriceKind.HIGH,
)


class CandleOrigin(StrEnum):
    """How a candle came to be."""

    PROVIDED = "provided"
    DERIVED = "derived"
    ROLLED_UP = "rolled_up"


@dataclass(frozen=True, slots=True)
class QuoteRow:
    """The latest price of a series. The quantity is in units of the variant."""

    series_id: int
    price: Decimal
    quantity: Decimal | None
    observed_at: datetime
    kind: PriceKind
    currency: str
    source_code: str


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series with its source's code and its latest price, if it has one."""

    id: int
    variant_id: UUID
    kind: PriceKind
    currency: str
    source_code: str
    source_name: str
    latest_price: Decimal | None
    latest_quantity: Decimal | None
    latest_observed_at: datetime | None
    has_points: bool
    provided_resolutions: Sequence[int]

    @property
    def public_id(self) -> str:
        """The opaque id that the public knows it by."""
        return public_id(PublicIdTag.PRICE_SERIES, self.id)

    @property
    def latest(self) -> QuoteRow | None:
        """The latest price as a quote."""
        if self.latest_price is None or self.latest_observed_at is None:
            return None
        return QuoteRow(
            self.id,
            self.latest_price,
            self.latest_quantity,
            self.latest_observed_at,
            self.kind,
            self.currency,
            self.source_code,
        )


@dataclass(frozen=True, slots=True)
class PointRow:
    """One observed price; `arrival` orders points of the same instant."""

    series_id: int
    observed_at: datetime
    arrival: int
    price: Decimal
    quantity: Decimal | None


@dataclass(frozen=True, slots=True)
class CandleRow:
    """Open, high, low and close of the bucket that begins at `start` and lasts `resolution` seconds."""

    start: datetime
    resolution: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    turnover: Decimal | None
    point_count: int | None
    origin: CandleOrigin


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A new latest price of a series, at its position in the order of commits."""

    position: int
    series_id: int
    variant_id: UUID
    item_id: UUID
    price: Decimal
    quantity: Decimal | None
    observed_at: datetime
    recorded_at: datetime
    kind: PriceKind
    currency: str
    source_code: str

    @property
    def quote(self) -> QuoteRow:
        """The new price as a quote."""
        return QuoteRow(
            self.series_id, self.price, self.quantity, self.observed_at, self.kind, self.currency, self.source_code
        )


_SERIES = select(
    PriceSeries.id,
    PriceSeries.variant_id,
    PriceSeries.kind,
    PriceSeries.currency,
    Source.code,
    Source.name,
    PriceSeries.latest_price,
    PriceSeries.latest_quantity,
    PriceSeries.latest_observed_at,
    PriceSeries.has_points,
    PriceSeries.provided_resolutions,
).join(Source, Source.id == PriceSeries.source_id)


def _series(row: Any) -> SeriesRow:
    return SeriesRow(row[0], row[1], PriceKind(row[2]), *row[3:])


async def series_by_id(connection: AsyncConnection, ids: Sequence[int]) -> Mapping[int, SeriesRow]:
    """Series by primary key."""
    rows = await connection.execute(_SERIES.where(among(PriceSeries.id, ids)))
    return {row.id: _series(row) for row in rows}


async def series_by_variant(
    connection: AsyncConnection,
    variant_ids: Sequence[UUID],
    *,
    kind: PriceKind | None,
    source_code: str | None,
    currency: str | None,
) -> Mapping[UUID, Sequence[SeriesRow]]:
    """The series of each variant, of one kind, source or currency where given, in a stable order."""
    query: Select[*tuple[Any, ...]] = _SERIES.where(among(PriceSeries.variant_id, variant_ids)).order_by(
        PriceSeries.kind, Source.code, PriceSeries.currency, PriceSeries.id
    )
    series: dict[UUID, list[SeriesRow]] = {}
    for row in await connection.execute(_narrow_series(query, kind, source_code, currency)):
        series.setdefault(row.variant_id, []).append(_series(row))
    return series


async def series_by_item(
    connection: AsyncConnection,
    item_ids: Sequence[UUID],
    *,
    kind: PriceKind | None,
    source_code: str | None,
    currency: str | None,
) -> Mapping[UUID, Sequence[SeriesRow]]:
    """The series of all variants of each item, the default variant's first."""
    query: Select[*tuple[Any, ...]] = (
        _SERIES.add_columns(ItemVariant.item_id)
        .join(ItemVariant, ItemVariant.id == PriceSeries.variant_id)
        .where(among(ItemVariant.item_id, item_ids))
        .order_by(
            ItemVariant.is_default.desc(),
            ItemVariant.position,
            PriceSeries.kind,
            Source.code,
            PriceSeries.currency,
            PriceSeries.id,
        )
    )
    series: dict[UUID, list[SeriesRow]] = {}
    for row in await connection.execute(_narrow_series(query, kind, source_code, currency)):
        series.setdefault(row.item_id, []).append(_series(row[:-1]))
    return series


def _narrow_series(
    query: Select[*tuple[Any, ...]], kind: PriceKind | None, source_code: str | None, currency: str | None
) -> Select[*tuple[Any, ...]]:
    if kind is not None:
        query = query.where(PriceSeries.kind == kind.value)
    if source_code is not None:
        query = query.where(Source.code == source_code)
    if currency is not None:
        query = query.where(PriceSeries.currency == currency)
    return query


async def best_quote_by_variant(
    connection: AsyncConnection, variant_ids: Sequence[UUID], *, currency: str | None, now: datetime
) -> Mapping[UUID, QuoteRow]:
    """The best current quote of each variant: not stale, of the most telling kind, newest; in one currency if given."""
    preference = case({kind.value: rank for rank, kind in enumerate(KIND_PREFERENCE)}, value=PriceSeries.kind)
    query = (
        select(
            PriceSeries.variant_id,
            PriceSeries.id,
            PriceSeries.latest_price,
            PriceSeries.latest_quantity,
            PriceSeries.latest_observed_at,
            PriceSeries.kind,
            PriceSeries.currency,
            Source.code,
        )
        .join(Source, Source.id == PriceSeries.source_id)
        .ext(distinct_on(PriceSeries.variant_id))
        .where(among(PriceSeries.variant_id, variant_ids), PriceSeries.latest_price.is_not(None))
        .order_by(
            PriceSeries.variant_id,
            PriceSeries.latest_observed_at < now - STALE_AFTER,
            preference,
            PriceSeries.latest_observed_at.desc(),
            PriceSeries.id,
        )
    )
    if currency is not None:
        query = query.where(PriceSeries.currency == currency)
    rows = await connection.execute(query)
    return {row.variant_id: _quote(row) for row in rows}


def _quote(row: Any) -> QuoteRow:
    return QuoteRow(
        series_id=row.id,
        price=row.latest_price,
        quantity=row.latest_quantity,
        observed_at=row.latest_observed_at,
        kind=PriceKind(row.kind),
        currency=row.currency,
        source_code=row.code,
    )


@dataclass(frozen=True, slots=True)
class PointWindow:
    """Which points of a series: `since <= observed_at < until`, beyond a position, so many, from the front or back."""

    since: datetime | None
    until: datetime | None
    beyond: tuple[datetime, int] | None
    backward: bool
    limit: int


def _in_window(window: PointWindow) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if window.since is not None:
        conditions.append(PricePoint.observed_at >= window.since)
    if window.until is not None:
        conditions.append(PricePoint.observed_at < window.until)
    if window.beyond is not None:
        here, position = tuple_(PricePoint.observed_at, PricePoint.arrival), tuple_(*window.beyond)
        conditions.append(here < position if window.backward else here > position)
    return conditions


async def points_by_series(
    connection: AsyncConnection, series_ids: Sequence[int], *, window: PointWindow
) -> Mapping[int, Sequence[PointRow]]:
    """Up to `window.limit` points of each series by time; from the newest on when the window goes backward."""
    wanted = (
        func.unnest(bindparam("series_ids", list(series_ids), ARRAY(Integer)))
        .table_valued("id")
        .render_derived("wanted")
    )
    in_order = (PricePoint.observed_at, PricePoint.arrival)
    page = (
        select(PricePoint.series_id, PricePoint.observed_at, PricePoint.arrival, PricePoint.price, PricePoint.quantity)
        .where(PricePoint.series_id == wanted.c.id, *_in_window(window))
        .order_by(*((column.desc() for column in in_order) if window.backward else in_order))
        .limit(window.limit)
        .lateral("page")
    )
    points: dict[int, list[PointRow]] = {}
    for row in await connection.execute(select(page).select_from(wanted.join(page, literal(True)))):
        points.setdefault(row.series_id, []).append(PointRow(*row))
    return points


async def point_count_by_series(
    connection: AsyncConnection, series_ids: Sequence[int], *, window: PointWindow
) -> Mapping[int, int]:
    """How many points of each series lie in the window's range of time."""
    query = select(PricePoint.series_id, func.count()).where(
        among(PricePoint.series_id, series_ids), *_in_window(window)
    )
    return {row[0]: row[1] for row in await connection.execute(query.group_by(PricePoint.series_id))}


@dataclass(frozen=True, slots=True)
class CandleWindow:
    """Which candles of a series: those of the resolution that begin in `[since, until)`, the newest `limit` of them."""

    resolution: int
    since: datetime | None
    until: datetime | None
    limit: int


# One row per series and stored resolution that can answer, best first: what the source itself provides at this
# resolution, what derives from the finest that it provides, what rolls up from points.
_CANDLES = text("""
WITH answering AS (
    SELECT series.id AS series_id, provided.resolution, true AS is_provided,
           CASE WHEN provided.resolution = :resolution THEN 0 ELSE 1 END AS rank
    FROM prices.price_series AS series
    CROSS JOIN LATERAL (
        SELECT DISTINCT ON (resolution = :resolution) resolution
        FROM unnest(series.provided_resolutions) AS resolution
        WHERE :resolution % resolution = 0
        ORDER BY resolution = :resolution, resolution
    ) AS provided
    WHERE series.id = ANY(:series_ids)
    UNION ALL
    SELECT id, :rolled_up_resolution, false, 2
    FROM prices.price_series
    WHERE id = ANY(:series_ids) AND has_points AND :rolled_up_resolution IS NOT NULL
), stored AS (
    SELECT answering.rank, newest.*, date_bin(:width, newest.bucket, :bucket_origin) AS start
    FROM answering
    CROSS JOIN LATERAL (
        SELECT series_id, bucket, open, high, low, close, volume, turnover, point_count
        FROM prices.candles
        WHERE series_id = answering.series_id AND resolution = answering.resolution
          AND is_provided = answering.is_provided
          AND bucket >= :since AND bucket < :until
        ORDER BY bucket DESC
        LIMIT (:candle_limit + 1) * (:resolution / answering.resolution)
    ) AS newest
), merged AS (
    SELECT series_id, start, rank,
           (array_agg(open ORDER BY bucket))[1] AS open, max(high) AS high, min(low) AS low,
           (array_agg(close ORDER BY bucket DESC))[1] AS close,
           sum(volume) AS volume, sum(turnover) AS turnover, sum(point_count) AS point_count
    FROM stored
    GROUP BY series_id, start, rank
), best AS (
    SELECT DISTINCT ON (series_id, start) * FROM merged ORDER BY series_id, start, rank
), numbered AS (
    SELECT *, row_number() OVER (PARTITION BY series_id ORDER BY start DESC) AS newness FROM best
)
SELECT series_id, start, open, high, low, close, volume, turnover, point_count, rank
FROM numbered
WHERE newness <= :candle_limit
ORDER BY series_id, start
""").bindparams(
    bindparam("series_ids", type_=ARRAY(Integer)),
    bindparam("resolution", type_=Integer),
    bindparam("rolled_up_resolution", type_=Integer),
    bindparam("candle_limit", type_=BigInteger),
)

_BEGINNING_OF_TIME = BUCKET_ORIGIN.replace(year=1)
_END_OF_TIME = BUCKET_ORIGIN.replace(year=9999)


async def candles_by_series(
    connection: AsyncConnection, series_ids: Sequence[int], *, window: CandleWindow
) -> Mapping[int, Sequence[CandleRow]]:
    """The candles of each series by time: provided ones where there are any, else derived, else rolled up."""
    rolled_up = max((stored for stored in ROLLED_UP if window.resolution % stored == 0), default=None)
    # Whole buckets only: a range that begins inside of a bucket begins with the next one.
    since = first_bucket_from(window.since, window.resolution) if window.since else _BEGINNING_OF_TIME
    until = first_bucket_from(window.until, window.resolution) if window.until else _END_OF_TIME
    rows = await connection.execute(
        _CANDLES,
        {
            "series_ids": list(series_ids),
            "resolution": window.resolution,
            "rolled_up_resolution": rolled_up,
            "width": timedelta(seconds=window.resolution),
            "bucket_origin": BUCKET_ORIGIN,
            "since": since,
            "until": until,
            "candle_limit": window.limit,
        },
    )
    candles: dict[int, list[CandleRow]] = {}
    for row in rows:
        candles.setdefault(row.series_id, []).append(_candle(row, window.resolution))
    return candles


def _candle(row: Any, resolution: int) -> CandleRow:
    origin = (CandleOrigin.PROVIDED, CandleOrigin.DERIVED, CandleOrigin.ROLLED_UP)[row.rank]
    point_count = None if row.point_count is None else int(row.point_count)
    return CandleRow(
        start=row.start,
        resolution=resolution,
        open=row.open,
        high=row.high,
        low=row.low,
        close=row.close,
        volume=row.volume,
        turnover=row.turnover,
        point_count=point_count,
        origin=origin,
    )


_CHANGES = (
    select(
        PriceChange.position,
        PriceChange.series_id,
        PriceSeries.variant_id,
        ItemVariant.item_id,
        PriceChange.price,
        PriceChange.quantity,
        PriceChange.observed_at,
        PriceChange.recorded_at,
        PriceSeries.kind,
        PriceSeries.currency,
        Source.code,
    )
    .join(PriceSeries, PriceSeries.id == PriceChange.series_id)
    .join(ItemVariant, ItemVariant.id == PriceSeries.variant_id)
    .join(Source, Source.id == PriceSeries.source_id)
    .order_by(PriceChange.position)
)


def _change(row: Any) -> ChangeRow:
    return ChangeRow(
        position=row.position,
        series_id=row.series_id,
        variant_id=row.variant_id,
        item_id=row.item_id,
        price=row.price,
        quantity=row.quantity,
        observed_at=row.observed_at,
        recorded_at=row.recorded_at,
        kind=PriceKind(row.kind),
        currency=row.currency,
        source_code=row.code,
    )


async def last_change_position(connection: AsyncConnection) -> int:
    """The position of the newest change that is visible, 0 before the first."""
    return (await connection.execute(select(func.coalesce(func.max(PriceChange.position), 0)))).scalar_one()


async def changes_after(connection: AsyncConnection, *, position: int, limit: int) -> list[ChangeRow]:
    """Up to `limit` changes beyond a position, in order."""
    rows = await connection.execute(_CHANGES.where(PriceChange.position > position).limit(limit))
    return [_change(row) for row in rows]


async def changes_of_items(
    connection: AsyncConnection, *, item_ids: Sequence[UUID], after: int, up_to: int, limit: int
) -> list[ChangeRow]:
    """Up to `limit` changes of the items with `after < position <= up_to`, in order."""
    rows = await connection.execute(
        _CHANGES.where(
            among(ItemVariant.item_id, item_ids), PriceChange.position > after, PriceChange.position <= up_to
        ).limit(limit)
    )
    return [_change(row) for row in rows]
