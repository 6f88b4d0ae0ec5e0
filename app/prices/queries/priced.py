"""Which items have a price in some range, and into which ranges the prices of what was found fall."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Integer, Numeric, and_, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import Subquery

from app.catalogue.models import ItemVariant, SearchDocument
from app.core.money import CRYPTO_CURRENCIES
from app.prices.exchange_rates import BASE_CURRENCY
from app.prices.models import PriceSeries, StoredExchangeRate
from app.prices.queries.exchange_rates import units_per_euro
from app.prices.queries.quotes import best_amount_by

# Where one range of prices ends and the next one begins, in whole units of whichever currency.
RANGE_BOUNDS = (1, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000)


@dataclass(frozen=True, slots=True)
class PriceRange:
    """So many items cost from `minimum` to `maximum`, the lowest and the highest price among them."""

    minimum: Decimal
    maximum: Decimal
    count: int


@dataclass(frozen=True, slots=True)
class Rates:
    """What a euro buys at a moment of each currency that has a rate, and in which one prices are wanted."""

    currency: str
    now: datetime
    units_per_euro: Mapping[str, Decimal]


async def rates_to(connection: AsyncConnection, currency: str, now: datetime) -> Rates:
    """What it takes to convert to a currency: the rates of today, or of the last day before it, of all and of coins."""
    published = await connection.execute(select(StoredExchangeRate.currency).distinct())
    known = {BASE_CURRENCY, *published.scalars(), *CRYPTO_CURRENCIES}
    return Rates(currency, now, await units_per_euro(connection, known, now.date()))


def is_priced(rates: Rates, *, minimum: Decimal | None, maximum: Decimal | None) -> ColumnElement[bool]:
    """Whether the item of a search document has a price in a currency, from `minimum` to `maximum`, both included.

    It is the one that the item's `price` shows in the currency.
    """
    best = _best_price(SearchDocument.item_id, rates)
    bounds: list[ColumnElement[bool]] = [best.is_not(None)] if minimum is None and maximum is None else []
    if minimum is not None:
        bounds.append(best >= minimum)
    if maximum is not None:
        bounds.append(best <= maximum)
    return and_(*bounds)


async def price_ranges(connection: AsyncConnection, found: Subquery, rates: Rates) -> Sequence[PriceRange]:
    """The ranges that the prices of the found items fall into, from low to high; `found` has their `item_id`s."""
    best = _best_price(found.c.item_id, rates)
    priced = select(best.label("amount")).select_from(found).cte("priced").prefix_with("MATERIALIZED")
    bounds = literal_column(f"CAST('{{{','.join(map(str, RANGE_BOUNDS))}}}' AS numeric[])", Numeric())
    place = func.width_bucket(priced.c.amount, bounds, type_=Integer())
    rows = await connection.execute(
        select(func.min(priced.c.amount), func.max(priced.c.amount), func.count())
        .where(priced.c.amount.is_not(None))
        .group_by(place)
        .order_by(place)
    )
    return [PriceRange(minimum, maximum, count) for minimum, maximum, count in rows]


def _best_price(item_id: Any, rates: Rates) -> ColumnElement[Any]:
    of_default = (
        select(PriceSeries.id)
        .join(ItemVariant, ItemVariant.id == PriceSeries.variant_id)
        .where(ItemVariant.item_id == item_id, ItemVariant.is_default)
        .correlate(item_id.table)
    )
    return best_amount_by(rates.units_per_euro, rates.currency, of=of_default, now=rates.now)
