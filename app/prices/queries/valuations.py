"""What variants are worth: computed as of any instant, and what the graph makes of what is stored."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, DateTime, Text, Uuid, bindparam, case, cast, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.prices.fair_value import Exclusion, FairValue, Sale, fair_value_of
from app.prices.models import Confidence, PriceKind, RetentionMark, RetentionSubject, Valuation, ValuationBasis
from app.prices.queries.quotes import STALE_AFTER
from app.prices.resolutions import Resolution

# Sales count for so long. At its end a sale is gone: the window is `(as_of - 90 days, as_of]`.
WINDOW = timedelta(days=90)
# So many excluded sales are named in the explanation; all of them are in `excluded`.
MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class ComputedValuation:
    """What a variant is worth in one currency as of an instant, and what that rests on.

    `next_change_at` is when the same prices begin to say something else; None where time alone changes nothing.
    """

    variant_id: UUID
    currency: str
    as_of: datetime
    basis: ValuationBasis
    value: Decimal | None
    median: Decimal | None
    low: Decimal | None
    high: Decimal | None
    sample_size: int
    confidence: Confidence
    observed_at: datetime | None
    excluded: Sequence[Mapping[str, str]]
    explanation: str
    next_change_at: datetime | None

    @property
    def content(self) -> tuple[Any, ...]:
        """What makes it another valuation than the one before it."""
        return (
            self.basis,
            self.value,
            self.median,
            self.low,
            self.high,
            self.sample_size,
            self.confidence,
            self.observed_at,
            [dict(exclusion) for exclusion in self.excluded],
        )

    @property
    def columns(self) -> dict[str, Any]:
        """Its columns in the table, but for those that say when it was stored."""
        return {
            "variant_id": self.variant_id,
            "currency": self.currency,
            "as_of": self.as_of,
            "basis": self.basis.value,
            "value": self.value,
            "median": self.median,
            "low": self.low,
            "high": self.high,
            "sample_size": self.sample_size,
            "confidence": self.confidence.value,
            "observed_at": self.observed_at,
            "excluded": [dict(exclusion) for exclusion in self.excluded],
            "excluded_count": len(self.excluded),
            "explanation": self.explanation,
        }


@dataclass(frozen=True, slots=True)
class _Quote:
    """What one series of asks or list prices says."""

    kind: PriceKind
    price: Decimal
    observed_at: datetime
    source: str


@dataclass(slots=True)
class _Evidence:
    """What is known of one variant in one currency."""

    sales: list[Sale]
    quotes: list[_Quote]


async def valuations_of(
    connection: AsyncConnection, variant_ids: Sequence[UUID], as_of: datetime, currency: str | None = None
) -> Mapping[UUID, Sequence[ComputedValuation]]:
    """What each variant was worth as of an instant, by what had been observed until then: two statements for all.

    One valuation for each currency in which the variant has a series of sales, asks or list prices, or for the one
    that is named; the one with most sales comes first. Prices of different currencies or kinds are never pooled.
    """
    parameters = {"variant_ids": list(variant_ids), "as_of": as_of, "currency": currency}
    found: dict[tuple[UUID, str], _Evidence] = {}
    for row in await connection.execute(_QUOTES, parameters):
        evidence = found.setdefault((row.variant_id, row.currency), _Evidence([], []))
        if row.price is not None:
            evidence.quotes.append(_Quote(PriceKind(row.kind), row.price, row.observed_at, row.source))
    for row in await connection.execute(_SALES, parameters):
        evidence = found.setdefault((row.variant_id, row.currency), _Evidence([], []))
        evidence.sales.append(Sale(row.price, row.observed_at, row.source))
    # Thousands of sales take a while, in which others go on.
    return await asyncio.to_thread(_valued, found, as_of)


async def valued_since(connection: AsyncConnection) -> datetime | None:
    """The earliest instant whose window of sales is kept whole; None where every sale is kept."""
    kept_since = await connection.scalar(_POINTS_KEPT_SINCE)
    return None if kept_since is None else kept_since + WINDOW


def _valued(found: Mapping[tuple[UUID, str], _Evidence], as_of: datetime) -> Mapping[UUID, Sequence[ComputedValuation]]:
    valuations: dict[UUID, list[ComputedValuation]] = {}
    for (variant_id, currency), evidence in found.items():
        valuations.setdefault(variant_id, []).append(_valuation(variant_id, currency, as_of, evidence))
    for of_variant in valuations.values():
        of_variant.sort(key=_preference)
    return valuations


_BASES = tuple(ValuationBasis)


def _preference(valuation: ComputedValuation) -> tuple[int, int, str]:
    """Most sales first, then the better basis: as `CURRENT_FIRST` says it in SQL."""
    sales = valuation.sample_size + len(valuation.excluded)
    return -sales, _BASES.index(valuation.basis), valuation.currency


def _valuation(variant_id: UUID, currency: str, as_of: datetime, evidence: _Evidence) -> ComputedValuation:
    if evidence.sales:
        return _of_sales(variant_id, currency, as_of, evidence.sales)
    asks = [quote for quote in evidence.quotes if quote.kind is PriceKind.ASK]
    lists = [quote for quote in evidence.quotes if quote.kind is PriceKind.LIST]
    if asks:
        lowest = min(asks, key=lambda quote: (quote.price, as_of - quote.observed_at, quote.source))
        said = f"No sale in the last {WINDOW.days} days: the lowest current ask, of {lowest.source}."
        oldest = min(quote.observed_at for quote in asks)
        return _of_quote(variant_id, currency, as_of, ValuationBasis.ASK, lowest, said, oldest + STALE_AFTER)
    if lists:
        newest = min(lists, key=lambda quote: (as_of - quote.observed_at, quote.price, quote.source))
        said = (
            f"No sale in the last {WINDOW.days} days and no ask in the last {STALE_AFTER.days}: "
            f"the list price, of {newest.source}."
        )
        return _of_quote(variant_id, currency, as_of, ValuationBasis.LIST, newest, said, None)
    said = f"No sale in the last {WINDOW.days} days, no ask in the last {STALE_AFTER.days}, and no list price."
    return _of_quote(variant_id, currency, as_of, ValuationBasis.NONE, None, said, None)


def _of_sales(variant_id: UUID, currency: str, as_of: datetime, sales: Sequence[Sale]) -> ComputedValuation:
    fair = fair_value_of(sales)
    low, high = fair.interval or (None, None)
    instants = [sale.observed_at for sale in sales]
    left_out = {id(exclusion.sale) for exclusion in fair.excluded}
    return ComputedValuation(
        variant_id=variant_id,
        currency=currency,
        as_of=as_of,
        basis=ValuationBasis.SALES,
        value=fair.value,
        median=fair.median,
        low=low,
        high=high,
        sample_size=fair.sample_size,
        confidence=fair.confidence,
        observed_at=max(sale.observed_at for sale in sales if id(sale) not in left_out),
        excluded=[_excluded(exclusion) for exclusion in fair.excluded],
        explanation=_explanation(fair, currency),
        next_change_at=min(instants) + WINDOW,
    )


def _of_quote(
    variant_id: UUID,
    currency: str,
    as_of: datetime,
    basis: ValuationBasis,
    quote: _Quote | None,
    explanation: str,
    next_change_at: datetime | None,
) -> ComputedValuation:
    return ComputedValuation(
        variant_id=variant_id,
        currency=currency,
        as_of=as_of,
        basis=basis,
        value=None if quote is None else quote.price,
        median=None,
        low=None,
        high=None,
        sample_size=0,
        confidence=Confidence.LOW,
        observed_at=None if quote is None else quote.observed_at,
        excluded=[],
        explanation=explanation,
        next_change_at=next_change_at,
    )


def _excluded(exclusion: Exclusion) -> dict[str, str]:
    sale = exclusion.sale
    return {
        "price": format(sale.price, "f"),
        "observed_at": sale.observed_at.isoformat(),
        "source": sale.source,
        "reason": exclusion.reason.value,
        "score": format(exclusion.score, "f"),
    }


def _explanation(fair: FairValue, currency: str) -> str:
    count = fair.sample_size
    if count == 1:
        said = f"The only sale in the last {WINDOW.days} days"
    else:
        said = f"Median of {count} sales in the last {WINDOW.days} days, newer ones counting more"
    if not fair.excluded:
        return f"{said}; none was left out."
    left_out = len(fair.excluded)
    named = [
        f"{exclusion.sale.price:f} {currency} ({exclusion.sale.source}, {exclusion.sale.observed_at:%Y-%m-%d})"
        for exclusion in fair.excluded[:MOST_NAMED]
    ]
    if left_out > MOST_NAMED:
        named.append(f"and {left_out - MOST_NAMED} more")
    was = "1 was left out as an outlier" if left_out == 1 else f"{left_out} were left out as outliers"
    return f"{said}; {was}: {', '.join(named)}."


_POINTS_KEPT_SINCE = select(RetentionMark.kept_since).where(RetentionMark.subject == RetentionSubject.POINTS.value)
_PARAMETERS = (
    bindparam("variant_ids", type_=ARRAY(Uuid())),
    bindparam("as_of", type_=DateTime(timezone=True)),
    bindparam("currency", type_=Text()),
)
_SALES = text(f"""
    SELECT series.variant_id, series.currency, source.code AS source, point.observed_at, point.price
    FROM prices.price_series AS series
    JOIN prices.sources AS source ON source.id = series.source_id
    JOIN prices.price_points AS point ON point.series_id = series.id
        AND point.observed_at > CAST(:as_of AS timestamptz) - interval '{WINDOW.days} days'
        AND point.observed_at <= CAST(:as_of AS timestamptz)
    WHERE series.variant_id = ANY (CAST(:variant_ids AS uuid[])) AND series.kind = 'sale'
        AND (CAST(:currency AS text) IS NULL OR series.currency = CAST(:currency AS text))
""").bindparams(*_PARAMETERS)  # noqa: S608  # constants of ours
# The newest price of each series of asks and list prices as of then, and the currencies that the sales are in. The
# latest price of a series is the newest; its points are looked at only where it came later, and days where points are
# dropped. Where only moves are stored, as `last_seen_at` tells, a price stands until the next one.
_QUOTES = text(f"""
    SELECT series.variant_id, series.currency, series.kind, source.code AS source, quote.observed_at, quote.price
    FROM prices.price_series AS series
    JOIN prices.sources AS source ON source.id = series.source_id
    LEFT JOIN LATERAL (
        SELECT series.latest_price AS price, greatest(series.latest_observed_at, CASE
            WHEN series.last_seen_at IS NOT NULL THEN least(series.last_seen_at, CAST(:as_of AS timestamptz))
        END) AS observed_at
        WHERE series.latest_observed_at <= CAST(:as_of AS timestamptz)
        UNION ALL (
            SELECT earlier.price, CASE
                WHEN series.last_seen_at IS NOT NULL THEN CAST(:as_of AS timestamptz) ELSE earlier.observed_at
            END
            FROM (
                (
                    SELECT point.price, point.observed_at
                    FROM prices.price_points AS point
                    WHERE point.series_id = series.id AND point.observed_at <= CAST(:as_of AS timestamptz)
                        AND series.latest_observed_at > CAST(:as_of AS timestamptz)
                    ORDER BY point.observed_at DESC, point.arrival DESC
                    LIMIT 1
                )
                UNION ALL (
                    SELECT candle.close, candle.bucket + interval '1 day'
                    FROM prices.candles AS candle
                    WHERE candle.series_id = series.id AND candle.resolution = {int(Resolution.ONE_DAY)}
                        AND candle.bucket <= CAST(:as_of AS timestamptz) - interval '1 day'
                        AND candle.bucket < (SELECT kept_since FROM prices.retention_marks WHERE subject = 'points')
                        AND series.latest_observed_at > CAST(:as_of AS timestamptz)
                    ORDER BY candle.bucket DESC
                    LIMIT 1
                )
            ) AS earlier
            ORDER BY earlier.observed_at DESC
            LIMIT 1
        )
    ) AS quote ON series.kind = 'list' OR (
        series.kind = 'ask' AND quote.observed_at >= CAST(:as_of AS timestamptz) - interval '{STALE_AFTER.days} days'
    )
    WHERE series.variant_id = ANY (CAST(:variant_ids AS uuid[])) AND series.kind IN ('sale', 'ask', 'list')
        AND (CAST(:currency AS text) IS NULL OR series.currency = CAST(:currency AS text))
""").bindparams(*_PARAMETERS)  # noqa: S608  # constants of ours

# Of the current valuations of a variant, one for each currency, the one with most sales first, then the better basis.
CURRENT_FIRST: tuple[ColumnElement[Any], ...] = (
    (Valuation.sample_size + Valuation.excluded_count).desc(),
    case(
        *(
            (Valuation.basis == literal_column(f"'{basis.value}'"), literal_column(str(rank)))
            for rank, basis in enumerate(ValuationBasis)
        )
    ),
    Valuation.currency.asc(),
)
# What was left out, as the text of its JSON.
EXCLUDED_AS_TEXT: ColumnElement[str] = cast(Valuation.excluded, Text())
