"""What a variant is worth, what that rests on, and how it changed."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import orjson
import strawberry
from strawberry import Parent

from app.core.database import OPERATION_TIME
from app.core.errors import BadUserInput
from app.graph.context import Context
from app.graph.fields import attribute, resolved, show_enum
from app.graph.prices.money import Money
from app.graph.reads.arguments import Orders, equals
from app.graph.reads.fields import Computed, column, embedded, shows
from app.graph.reads.layout import Row, value_of
from app.graph.scalars import CurrencyCode, write_date_time
from app.prices.fair_value import ExclusionReason
from app.prices.models import Confidence, ValuationBasis
from app.prices.models import Valuation as Stored
from app.prices.queries.quotes import MONEY
from app.prices.queries.valuations import EXCLUDED_AS_TEXT, valuations_of, valued_since

show_enum(
    ValuationBasis,
    "What a valuation rests on: the first of these that there is in its currency.",
    {
        ValuationBasis.SALES: "Completed sales of the last 90 days.",
        ValuationBasis.ASK: "The lowest current ask, not older than 30 days.",
        ValuationBasis.LIST: "The newest list price (MSRP).",
        ValuationBasis.NONE: "Nothing: the variant has no value that is known.",
    },
    name="ValuationBasis",
)
show_enum(
    Confidence,
    "How far a valuation can be trusted.",
    {
        Confidence.LOW: "Fewer than 6 sales, or an interval wider than half of the median, or no sales at all.",
        Confidence.MEDIUM: "6 sales or more, and an interval of at most half of the median.",
        Confidence.HIGH: "15 sales or more, and an interval of at most a fifth of the median.",
    },
    name="ValuationConfidence",
)
show_enum(
    ExclusionReason,
    "Why a sale was left out of a valuation.",
    {ExclusionReason.OUTLIER: "It is too far from the others: its modified z-score is beyond 3.5 on either side."},
    name="ExclusionReason",
)


class ValuationOrder(Enum):
    """What valuations are ordered by."""

    AS_OF = "as_of"


VALUATION_ORDERS = Orders("valuations", {ValuationOrder.AS_OF: Stored.as_of}, tie=Stored.id, newest_first=True)
VALUATION_CURRENCY = equals("currency", CurrencyCode | None, Stored.currency)


@strawberry.type(description="An interval of prices, both ends included, in the currency of the valuation.")
@shows(Stored)
class ValuationInterval:
    low: Decimal = column(Stored.low, "The lower end.", present=True)
    high: Decimal = column(Stored.high, "The upper end.", present=True)


@strawberry.type(description="A sale that was left out of a valuation.")
class ExcludedSale:
    price: Decimal = attribute("The price of one unit, in the currency of the valuation.")
    observed_at: datetime = attribute("When the source showed it.")
    source: str = attribute("The code of the source that showed it.")
    reason: ExclusionReason = attribute("Why it was left out.")
    score: Decimal = attribute("Its modified z-score, to two places: below 0 for a price below the median.")


@strawberry.type(description="What a variant is worth in one currency: never without what that rests on.")
@shows(Stored, carries=[EXCLUDED_AS_TEXT])
class Valuation:
    currency: CurrencyCode = column(Stored.currency, "The currency of every amount in it; no two are ever pooled.")
    basis: ValuationBasis = column(Stored.basis, "What it rests on.")
    value: Money | None = embedded(
        "The value. Of sales: their median, each weighing 0.5 ^ (age / 30 days). Null where there is no basis.",
        when=Stored.value.is_not(None),
        instead={MONEY.c.amount: Stored.value, MONEY.c.currency: Stored.currency},
    )
    median: Money | None = embedded(
        "The plain median of the same sales; null without sales.",
        when=Stored.median.is_not(None),
        instead={MONEY.c.amount: Stored.median, MONEY.c.currency: Stored.currency},
    )
    interval: ValuationInterval | None = embedded(
        "Holds the median of what such sales bring with a probability of 95 % or more, by order statistics; null below "
        "6 sales.",
        when=Stored.low.is_not(None),
    )
    sample_size: int = column(Stored.sample_size, "How many sales it rests on, those left out not counted.")
    confidence: Confidence = column(Stored.confidence, "How far it can be trusted.")
    as_of: datetime = column(Stored.as_of, "From when on it holds: what was observed later has no part in it.")
    computed_at: datetime = column(Stored.computed_at, "When it was computed.")
    observed_at: datetime | None = column(
        Stored.observed_at, "When the newest price that it rests on was seen; null where there is no basis."
    )
    staleness: timedelta | None = column(
        OPERATION_TIME - Stored.observed_at,
        "How old the newest price that it rests on is, at the time of this operation; null where there is no basis.",
    )
    excluded_count: int = column(Stored.excluded_count, "How many sales were left out.")
    explanation: str = column(Stored.explanation, "The same in plain words.")

    @resolved("The sales that were left out, each with the reason, by price.")
    @staticmethod
    def excluded(root: Parent[Row]) -> list[ExcludedSale]:
        return [_excluded(sale) for sale in orjson.loads(value_of(root, EXCLUDED_AS_TEXT))]


def _excluded(sale: Mapping[str, str]) -> ExcludedSale:
    return ExcludedSale(
        price=Decimal(sale["price"]),
        observed_at=datetime.fromisoformat(sale["observed_at"]),
        source=sale["source"],
        reason=ExclusionReason(sale["reason"]),
        score=Decimal(sale["score"]),
    )


async def _value_variants(context: Context, variant_ids: Sequence[Any], arguments: Mapping[str, Any]) -> Sequence[Any]:
    """What each variant was worth as of the instant that is asked for, in the currency with most sales unless named."""
    if arguments["asOf"] > context.now:
        raise BadUserInput(
            "`asOf` lies ahead of now, when nothing has been observed yet; leave it out for what is known now.",
            argument="asOf",
        )
    earliest = await context.snapshot.read(valued_since)
    if earliest is not None and arguments["asOf"] < earliest:
        raise BadUserInput(
            f"`asOf` must not be before {write_date_time(earliest)}: of the sales of the 90 days before, some are no "
            "longer kept. `valuationHistory` has what was said then.",
            argument="asOf",
            allowed=[f"an instant from {write_date_time(earliest)}"],
        )
    context.spend_valuations(len(variant_ids))
    found = await context.snapshot.read(valuations_of, variant_ids, arguments["asOf"], arguments.get("currency"))
    return [{**valuations[0].columns, "computed_at": context.now, "is_current": False} for valuations in found.values()]


AS_OF = Computed("asOf", datetime | None, _value_variants)
