"""The series of prices, each with its latest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import ItemVariant
from app.core.database import among
from app.core.ids import PublicIdTag, public_id
from app.prices.models import PriceKind, PriceSeries, Source
from app.prices.queries.quotes import QuoteRow


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
