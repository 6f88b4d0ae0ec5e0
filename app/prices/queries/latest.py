"""The latest price of each series of some items, from some sources."""

from collections.abc import Collection
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import case, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import Item, ItemVariant
from app.core.database import among
from app.prices.models import PriceSeries, Source


class SeriesOfItem(NamedTuple):
    """A series: of the item's default variant where that is None."""

    slug: str
    variant: str | None
    source: str
    kind: str
    currency: str


async def latest_prices(
    connection: AsyncConnection, slugs: Collection[str], sources: Collection[str]
) -> dict[SeriesOfItem, Decimal]:
    """The latest prices of the series that there are; those without a price are left out."""
    rows = await connection.execute(
        select(
            Item.slug,
            case((ItemVariant.is_default, None), else_=ItemVariant.key),
            Source.code,
            PriceSeries.kind,
            PriceSeries.currency,
            PriceSeries.latest_price,
        )
        .join(ItemVariant, ItemVariant.item_id == Item.id)
        .join(PriceSeries, PriceSeries.variant_id == ItemVariant.id)
        .join(Source, Source.id == PriceSeries.source_id)
        .where(among(Item.slug, slugs), among(Source.code, sources), PriceSeries.latest_price.is_not(None))
    )
    return {SeriesOfItem(*series): price for *series, price in rows}
