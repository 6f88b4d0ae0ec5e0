"""The best current price of a variant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import case, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import among
from app.prices.models import PriceKind, PriceSeries, Source

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
