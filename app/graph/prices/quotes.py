"""A price as it was last seen, with its kind, source and age."""

from datetime import date, datetime, timedelta
from decimal import Decimal

import strawberry

from app.core.database import OPERATION_TIME
from app.graph.fields import show_enum
from app.graph.prices.money import Money
from app.graph.reads.arguments import equals, one_of, shown_by
from app.graph.reads.fields import column, embedded, shows
from app.graph.reads.tables import join
from app.graph.scalars import BigInt, CurrencyCode
from app.prices.models import PriceKind, PriceSeries, Source
from app.prices.queries.quotes import (
    CONVERSION,
    LAST_SEEN,
    MINOR_UNITS_OF_LATEST,
    MONEY,
    NOT_CONVERTED,
    can_be_shown_in,
    shown_in,
)

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
IN_CURRENCY = shown_by(
    "currency",
    CurrencyCode | None,
    PriceSeries.__table__.c.currency.type,
    where=can_be_shown_in,
    instead=shown_in,
)
OF_KINDS = one_of("kinds", list[PriceKind] | None, PriceSeries.kind)
BEST_PRICE = (
    "Not older than 30 days where there is such a one; then a sale before a market price before an ask; then one that "
    "needs no conversion; then the newest. With `currency` others are converted by the rate of today, which "
    "`conversion` tells; where there is no rate, they are left out. Null when none is known."
)


@strawberry.type(description="How a price was converted: what the source showed, times the rate of a day.")
@shows(CONVERSION)
class PriceConversion:
    original: Money = embedded(
        "What the source showed.",
        instead={MONEY.c.amount: CONVERSION.c.amount, MONEY.c.currency: CONVERSION.c.currency},
    )
    rate: Decimal = column(
        CONVERSION.c.rate, "Units of the wanted currency for one unit of the source's, as `exchangeRate`.", present=True
    )
    rate_date: date = column(
        CONVERSION.c.rate_date, "The day whose rate it is: today, or the last one before it with a rate.", present=True
    )
    is_stale: bool = column(
        CONVERSION.c.is_stale, "Whether that day lies more than 7 days back: there is no newer rate.", present=True
    )
    source: str | None = column(CONVERSION.c.source, "Who published the rate, as in `exchangeRate`.")


@strawberry.type(description="A price as it was last seen: never without its kind, source and age.")
@shows(PriceSeries, joins=[OF_SOURCE], instead=NOT_CONVERTED)
class Price:
    conversion: PriceConversion | None = embedded(
        "How it was converted; null where the source itself shows this currency.", when=CONVERSION.c.is_converted
    )
    currency: CurrencyCode = column(PriceSeries.currency, "The currency of the amount.")
    observed_at: datetime = column(
        PriceSeries.latest_observed_at,
        "When the source showed this price; of one that stores a price when it moved, when it moved to it.",
        present=True,
    )
    last_seen_at: datetime = column(
        LAST_SEEN,
        "When it last did; later than `observedAt` only of a source that stores a price when it moved.",
        present=True,
    )
    quantity: Decimal | None = column(
        PriceSeries.latest_quantity, "How many units it was for; null where the source does not say."
    )
    amount: Decimal = column(
        PriceSeries.latest_price,
        "The price of one unit: exact, or converted and rounded to 18 decimal places.",
        present=True,
    )
    minor_units: BigInt | None = column(
        MINOR_UNITS_OF_LATEST,
        "The amount in the currency's smallest unit (cents); null for a finer price. Converted, it is rounded.",
    )
    kind: PriceKind = column(PriceSeries.kind, "What the price says.")
    source: str = column(Source.code, "The code of the source that showed it.")
    staleness: timedelta = column(
        OPERATION_TIME - LAST_SEEN,
        "How long ago the source last showed this price, at the time of this operation.",
    )
