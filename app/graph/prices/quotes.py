"""A price as it was last seen, with its kind, source and age."""

from datetime import datetime, timedelta
from decimal import Decimal

import strawberry

from app.core.database import OPERATION_TIME
from app.graph.fields import show_enum
from app.graph.reads.arguments import equals
from app.graph.reads.fields import column, shows
from app.graph.reads.tables import join
from app.graph.scalars import BigInt, CurrencyCode
from app.prices.models import PriceKind, PriceSeries, Source
from app.prices.queries.quotes import MINOR_UNITS_OF_LATEST

show_enum(
    PriceKind,
    "What a price says. Kinds are never pooled: each has its own series.",
    {
        PriceKind.SALE: "What a completed sale brought.",
        PriceKind.MARKET: "The source's own market price, or what an exchange trades at.",
        PriceKind.MID: "The middle between what is asked and what is bid.",
        PriceKind.ASK: "What a seller asks.",
        PriceKind.BID: "What a buyer offers.",
        PriceKind.LOW: "The lowest price that the source saw in its window.",
        PriceKind.HIGH: "The highest price that the source saw in its window.",
        PriceKind.LIST: "The list price (MSRP).",
    },
)

OF_SOURCE = join(Source, Source.id == PriceSeries.source_id)
CURRENCY = equals("currency", CurrencyCode | None, PriceSeries.currency)


@strawberry.type(description="A price as it was last seen: never without its kind, source and age.")
@shows(PriceSeries, joins=[OF_SOURCE])
class Price:
    currency: CurrencyCode = column(PriceSeries.currency, "The currency of the amount.")
    observed_at: datetime = column(PriceSeries.latest_observed_at, "When the source showed this price.", present=True)
    quantity: Decimal | None = column(
        PriceSeries.latest_quantity, "How many units it was for; null where the source does not say."
    )
    amount: Decimal = column(PriceSeries.latest_price, "The price of one unit, exact.", present=True)
    minor_units: BigInt | None = column(
        MINOR_UNITS_OF_LATEST, "The amount in the currency's smallest unit (cents); null for a finer price."
    )
    kind: PriceKind = column(PriceSeries.kind, "What the price says.")
    source: str = column(Source.code, "The code of the source that showed it.")
    staleness: timedelta = column(
        OPERATION_TIME - PriceSeries.latest_observed_at,
        "How old the observation is, at the time of this operation.",
    )
