"""Which items have a price in some range."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import and_, select
from sqlalchemy.sql.elements import ColumnElement

from app.catalogue.models import ItemVariant, SearchDocument
from app.prices.models import PriceSeries
from app.prices.queries.quotes import BEST_FIRST


def is_priced(currency: str, *, minimum: Decimal | None, maximum: Decimal | None, now: datetime) -> ColumnElement[bool]:
    """Whether the item of a search document has a price in this currency, from `minimum` to `maximum`, both included.

    It is the one that the item's `price` shows in the currency.
    """
    best = (
        select(PriceSeries.latest_price.label("amount"))
        .join(ItemVariant, ItemVariant.id == PriceSeries.variant_id)
        .where(
            ItemVariant.item_id == SearchDocument.item_id,
            ItemVariant.is_default,
            PriceSeries.currency == currency,
            PriceSeries.latest_price.is_not(None),
        )
        .order_by(*BEST_FIRST)
        .limit(1)
        .correlate(SearchDocument)
        .params(operation_time=now)
        .scalar_subquery()
    )
    bounds: list[ColumnElement[bool]] = [best.is_not(None)] if minimum is None and maximum is None else []
    if minimum is not None:
        bounds.append(best >= minimum)
    if maximum is not None:
        bounds.append(best <= maximum)
    return and_(*bounds)
