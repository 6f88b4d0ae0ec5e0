"""What holdings are worth: one rule, for a holding, for sums over a portfolio, and for any day that has passed.

The value of one unit of a variant is its fair value where that rests on sales; else the best quote: one that was seen
within 30 days before an older one, then a market price before a middle one before an ask before a list price, then one
that needs no conversion, then the newest. Bids and extremes never count. It is converted to the wanted currency by the
rate of the day; what cannot be converted counts only where nothing else is known. What is not known is null, never 0.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol

from sqlalchemy import (
    ARRAY,
    CTE,
    CompoundSelect,
    Integer,
    Interval,
    Numeric,
    Select,
    Text,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    or_,
    select,
    true,
    union,
    union_all,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from app.catalogue.models import (
    Card,
    CardSet,
    Figure,
    FigureSeries,
    Item,
    ItemVariant,
    Manufacturer,
    Series,
)
from app.core.database import OPERATION_TIME
from app.portfolios.models import Holding, HoldingDetails, Portfolio
from app.prices.models import PriceKind, PriceSeries, Valuation, ValuationBasis
from app.prices.queries.quotes import (
    COINS,
    LAST_SEEN,
    STALE_AFTER,
    TODAY,
    conversion_of,
    converted_amount,
    units_of_wanted,
    units_per_euro,
)

# Behind the point of a share of an amount in another.
SHARE_DECIMAL_PLACES = 12
PORTFOLIO_IDS = "portfolio_ids"
# More than there are codes.
MOST_CURRENCIES = 1_000


class ValueBasis(StrEnum):
    """What a value rests on: the first of these that there is."""

    SALES = "sales"
    MARKET = "market"
    MID = "mid"
    ASK = "ask"
    LIST = "list"
    NONE = "none"


class ValueUnavailable(StrEnum):
    """Why there is no value."""

    NO_PRICE = "no_price"
    NO_EXCHANGE_RATE = "no_exchange_rate"


class AllocationBy(StrEnum):
    """What holdings are put together by."""

    KIND = "kind"
    SET = "set"
    SERIES = "series"
    MAKER = "maker"
    PLACE = "place"
    CURRENCY = "currency"


# The kinds of prices that stand in for sales, the best first.
QUOTED_KINDS = (PriceKind.MARKET, PriceKind.MID, PriceKind.ASK, PriceKind.LIST)
_STALE_AFTER = literal_column(f"interval '{STALE_AFTER.days} days'", Interval())
_NOTHING = literal_column("NULL", Numeric())
_ZERO = literal_column("0", Numeric())


def _text(value: str) -> ColumnElement[str]:
    """A constant, written out: what is bound is sent anew with each request."""
    return literal_column(f"'{value}'", Text())


def is_quoted(kind: Any) -> ColumnElement[bool]:
    """Whether a price of this kind may stand in for sales."""
    return or_(*(kind == _text(quoted.value) for quoted in QUOTED_KINDS))


def quotes_of_variants(*conditions: Callable[[Any], ColumnElement[bool]]) -> CompoundSelect[Any]:
    """All that could say now what a unit of a variant is worth; where conditions hold of the variant's id."""
    of_sales = select(
        Valuation.variant_id,
        _text(ValueBasis.SALES.value).label("basis"),
        Valuation.value.label("price"),
        Valuation.currency,
        Valuation.observed_at,
        Valuation.observed_at.label("seen_at"),
        (Valuation.sample_size + Valuation.excluded_count).label("sales"),
        literal_column("0", Integer()).label("series_id"),
    ).where(
        Valuation.is_current,
        Valuation.basis == _text(ValuationBasis.SALES.value),
        *(holds(Valuation.variant_id) for holds in conditions),
    )
    of_series = select(
        PriceSeries.variant_id,
        PriceSeries.kind.label("basis"),
        PriceSeries.latest_price.label("price"),
        PriceSeries.currency,
        PriceSeries.latest_observed_at.label("observed_at"),
        LAST_SEEN.label("seen_at"),
        literal_column("0", Integer()).label("sales"),
        PriceSeries.id.label("series_id"),
    ).where(
        is_quoted(PriceSeries.kind),
        PriceSeries.latest_price.is_not(None),
        *(holds(PriceSeries.variant_id) for holds in conditions),
    )
    return union_all(of_sales.correlate(Holding), of_series.correlate(Holding))


class Quotes(Protocol):
    """The columns of what could say what a unit is worth: all null where nothing does."""

    basis: Any
    price: Any
    currency: Any
    observed_at: Any
    seen_at: Any
    sales: Any
    series_id: Any


def unit_value(quotes: Quotes, wanted: Any, units_of_quoted: Any, units_of_wanted: Any) -> ColumnElement[Any]:
    """What a quote says of one unit in the wanted currency: exact, or converted and rounded to 18 decimal places.

    Null where there is no quote, or no rate.
    """
    return case(
        (quotes.currency == wanted, quotes.price),
        else_=converted_amount(quotes.price, units_of_quoted, units_of_wanted),
    )


def is_older(quotes: Quotes, at: Any) -> ColumnElement[Any]:
    """Whether a quote was last seen more than 30 days before an instant."""
    older: ColumnElement[Any] = at - quotes.seen_at > _STALE_AFTER
    return older


def best_first(quotes: Quotes, wanted: Any, unit: Any, at: Any) -> tuple[ColumnElement[Any], ...]:
    """The order of the quotes of a variant whose first says what it is worth."""
    ranks = {basis: rank for rank, basis in enumerate(ValueBasis)}
    return (
        unit.is_(None),
        quotes.price.is_(None),
        and_(quotes.basis != _text(ValueBasis.SALES.value), is_older(quotes, at)),
        case(*((quotes.basis == _text(basis.value), literal_column(str(rank))) for basis, rank in ranks.items())),
        quotes.sales.desc(),
        quotes.currency != wanted,
        quotes.seen_at.desc(),
        quotes.currency.asc(),
        quotes.series_id.asc(),
    )


def why_unavailable(quotes: Quotes, unit: Any) -> ColumnElement[Any]:
    """Why there is no value; null where there is one."""
    return case(
        (unit.is_not(None), literal_column("NULL", Text())),
        (quotes.price.is_(None), _text(ValueUnavailable.NO_PRICE.value)),
        else_=_text(ValueUnavailable.NO_EXCHANGE_RATE.value),
    )


def _trimmed(amount: Any) -> ColumnElement[Any]:
    return func.trim_scale(amount, type_=Numeric())


def share_of(part: Any, whole: Any) -> ColumnElement[Any]:
    """What share one amount is of another, to 12 decimal places; null of nothing, or where one is not known."""
    divided = func.round(part, literal_column("40")) / func.nullif(whole, literal_column("0"))
    return func.trim_scale(func.round(divided, literal_column(str(SHARE_DECIMAL_PLACES))), type_=Numeric())


def _quotes_of_holdings() -> FromClause:
    quotes = quotes_of_variants(lambda variant_id: variant_id == Holding.variant_id).subquery("quotes")
    # What stands behind an offset is reckoned once for each row, however often it is used.
    quoted = (
        select(*quotes.c, units_per_euro(quotes.c.currency).label("units_of_quoted"))
        .offset(literal_column("0"))
        .lateral("quoted")
    )
    based = (
        select(units_per_euro(Portfolio.base_currency).label("units_of_base"))
        .correlate(Portfolio)
        .offset(literal_column("0"))
        .lateral("based")
    )
    return (
        select(
            Holding.id.label("holding_id"),
            Holding.quantity,
            Holding.cost,
            Portfolio.base_currency,
            based.c.units_of_base,
            # What an argument puts another currency in place of.
            Portfolio.base_currency.label("wanted"),
            based.c.units_of_base.label("units_of_wanted"),
            *(column for column in quoted.c if column.key != "variant_id"),
        )
        .select_from(Holding)
        .join(Portfolio, Portfolio.id == Holding.portfolio_id)
        .join(based, true())
        .outerjoin(quoted, true())
        .subquery("holding_quotes")
    )


# The quotes of each holding, by `holding_id`, or one row without any; the first by `BEST_QUOTE_FIRST` says what it is
# worth. `WANTED` is the base currency unless an argument puts another one there.
HOLDING_QUOTES = _quotes_of_holdings()
_quote: Any = HOLDING_QUOTES.c
WANTED: ColumnElement[Any] = _quote.wanted
UNIT_VALUE = unit_value(_quote, WANTED, _quote.units_of_quoted, _quote.units_of_wanted)
BEST_QUOTE_FIRST = best_first(_quote, WANTED, UNIT_VALUE, OPERATION_TIME)
VALUE = _trimmed(UNIT_VALUE * _quote.quantity)
VALUE_IS_KNOWN: ColumnElement[Any] = UNIT_VALUE.is_not(None)
VALUE_BASIS: ColumnElement[Any] = case((VALUE_IS_KNOWN, _quote.basis), else_=_text(ValueBasis.NONE.value))
VALUE_OBSERVED_AT: ColumnElement[Any] = case((VALUE_IS_KNOWN, _quote.observed_at))
VALUE_STALENESS: ColumnElement[Any] = case((VALUE_IS_KNOWN, OPERATION_TIME - _quote.seen_at))
VALUE_IS_STALE: ColumnElement[Any] = func.coalesce(and_(VALUE_IS_KNOWN, is_older(_quote, OPERATION_TIME)), False)
VALUE_REASON = why_unavailable(_quote, UNIT_VALUE)
COST_OF_VALUE: ColumnElement[Any] = case(
    (_quote.base_currency == WANTED, _quote.cost),
    else_=converted_amount(_quote.cost, _quote.units_of_base, _quote.units_of_wanted),
)
GAIN = _trimmed(VALUE - COST_OF_VALUE)
GAIN_SHARE = share_of(GAIN, COST_OF_VALUE)
VALUE_IS_CONVERTED: ColumnElement[Any] = and_(VALUE_IS_KNOWN, _quote.currency != WANTED)
VALUE_CONVERSION: Mapping[Any, Any] = conversion_of(_quote.price, _quote.currency, WANTED)


def valued_in(wanted: Any) -> Mapping[Any, Any]:
    """What stands in place of the base currency to tell values in another one."""
    return {WANTED: cast(wanted, Text()), _quote.units_of_wanted: units_of_wanted(wanted)}


def in_any_currency(_: Any) -> ColumnElement[bool]:
    """Every holding has a value or says why not, whatever the currency."""
    return true()


# --- sums over portfolios -----------------------------------------------------------------------------------------

_CURRENCY = bindparam("currency", type_=Text())


def _portfolios() -> CTE:
    """The portfolios that are asked for, each with the currency that is wanted: its base currency unless named."""
    return (
        select(
            Portfolio.id,
            Portfolio.base_currency,
            func.coalesce(_CURRENCY, Portfolio.base_currency, type_=Text()).label("wanted"),
        )
        .where(Portfolio.id == any_(bindparam(PORTFOLIO_IDS, type_=ARRAY(Uuid()))))
        .cte("portfolio")
        .prefix_with("MATERIALIZED")
    )


def _held(portfolio: CTE) -> CTE:
    return (
        select(
            Holding.id,
            Holding.portfolio_id,
            Holding.variant_id,
            Holding.quantity,
            Holding.cost,
            portfolio.c.base_currency,
            portfolio.c.wanted,
        )
        .join(portfolio, portfolio.c.id == Holding.portfolio_id)
        .where(Holding.quantity > literal_column("0"))
        .cte("held")
    )


def units_of(*currencies: Select[Any], day: Any) -> CTE:
    """How many units of each of these currencies a euro buys on a day, looked up once for each."""
    # There are not as many currencies as PostgreSQL would expect of so many prices.
    named = union(*currencies).limit(literal_column(str(MOST_CURRENCIES))).subquery("named")
    (currency,) = named.c
    return (
        select(
            currency.label("currency"), func.prices.units_per_euro(currency, day, COINS, type_=Numeric()).label("units")
        )
        .cte("units")
        .prefix_with("MATERIALIZED")
    )


def _in_wanted(amount: Any, currency: Any, wanted: Any, units: Any, units_of_wanted: Any) -> ColumnElement[Any]:
    return case((currency == wanted, amount), else_=converted_amount(amount, units, units_of_wanted))


def _valued(portfolio: CTE, held: CTE) -> CTE:
    """Each holding with what it is worth and what it cost in the wanted currency, by one look at each variant."""
    quotes = quotes_of_variants().subquery("quotes")
    variant = select(held.c.variant_id, held.c.wanted).distinct().cte("held_variant").prefix_with("MATERIALIZED")
    quoted = (
        select(
            variant.c.variant_id,
            variant.c.wanted,
            *(column for column in quotes.c if column.key != "variant_id"),
        )
        .join(quotes, quotes.c.variant_id == variant.c.variant_id)
        .cte("quoted")
        .prefix_with("MATERIALIZED")
    )
    units = units_of(
        select(quoted.c.currency), select(portfolio.c.wanted), select(portfolio.c.base_currency), day=TODAY
    )
    best = best_quotes(quoted, units, at=OPERATION_TIME)
    of_base, of_wanted = units.alias("units_of_base"), units.alias("units_of_wanted")
    cost = _in_wanted(held.c.cost, held.c.base_currency, held.c.wanted, of_base.c.units, of_wanted.c.units)
    return (
        select(
            held.c.id,
            held.c.portfolio_id,
            held.c.variant_id,
            held.c.wanted,
            cost.label("cost"),
            (best.c.unit * held.c.quantity).label("value"),
            best.c.currency,
            best.c.seen_at,
            best.c.observed_at,
            best.c.is_stale,
        )
        .select_from(held)
        .join(of_base, of_base.c.currency == held.c.base_currency)
        .join(of_wanted, of_wanted.c.currency == held.c.wanted)
        .outerjoin(
            best, and_(best.c.variant_id == held.c.variant_id, best.c.wanted == held.c.wanted, best.c.unit.is_not(None))
        )
        .cte("valued")
    )


def best_quotes(quoted: Any, units: CTE, *, at: Any) -> FromClause:
    """Of the quotes of each variant in each wanted currency the one that says what it is worth, with its `unit`."""
    of_quoted, of_wanted = units.alias("units_of_quoted"), units.alias("units_of_asked")
    unit = unit_value(quoted.c, quoted.c.wanted, of_quoted.c.units, of_wanted.c.units)
    return (
        select(
            quoted.c.variant_id,
            quoted.c.wanted,
            quoted.c.basis,
            quoted.c.currency,
            quoted.c.observed_at,
            quoted.c.seen_at,
            unit.label("unit"),
            is_older(quoted.c, at).label("is_stale"),
        )
        .ext(distinct_on(quoted.c.variant_id, quoted.c.wanted))
        .join(of_quoted, of_quoted.c.currency == quoted.c.currency)
        .join(of_wanted, of_wanted.c.currency == quoted.c.wanted)
        .order_by(quoted.c.variant_id, quoted.c.wanted, *best_first(quoted.c, quoted.c.wanted, unit, at))
        .subquery("best")
    )


def _sums(valued: CTE) -> dict[str, ColumnElement[Any]]:
    """What is summed over holdings: what has no value is left out and counted, and nothing is 0 that is not known."""
    is_priced = valued.c.value.is_not(None)
    count = func.count(valued.c.id)
    priced = func.count(valued.c.value)
    known = case(
        (and_(count > literal_column("0"), priced == literal_column("0")), _NOTHING),
        else_=func.coalesce(func.sum(valued.c.value), _ZERO),
    )
    cost_of_priced = func.coalesce(func.sum(valued.c.cost).filter(is_priced), _ZERO)
    # All costs of a portfolio are of one currency.
    are_costs_known = func.count(valued.c.cost) == count
    return {
        "value": _trimmed(known),
        "cost": case((are_costs_known, _trimmed(func.coalesce(func.sum(valued.c.cost), _ZERO)))),
        "gain": case((are_costs_known, _trimmed(known - cost_of_priced))),
        "gain_share": case((are_costs_known, share_of(known - cost_of_priced, cost_of_priced))),
        "holding_count": count,
        "unpriced_count": count - priced,
        "stale_count": func.count().filter(valued.c.is_stale),
        "oldest_observed_at": func.min(valued.c.observed_at),
    }


def _portfolio_values() -> FromClause:
    portfolio = _portfolios()
    valued = _valued(portfolio, _held(portfolio))
    sums = [expression.label(name) for name, expression in _sums(valued).items()]
    return (
        select(portfolio.c.id.label("portfolio_id"), portfolio.c.wanted.label("currency"), *sums)
        .select_from(portfolio)
        .outerjoin(valued, valued.c.portfolio_id == portfolio.c.id)
        .group_by(portfolio.c.id, portfolio.c.wanted)
        .subquery("portfolio_values")
    )


def _portfolio_costs() -> FromClause:
    portfolio = _portfolios()
    units = units_of(select(portfolio.c.wanted), select(portfolio.c.base_currency), day=TODAY)
    of_base, of_wanted = units.alias("units_of_base"), units.alias("units_of_wanted")
    columns = (portfolio.c.id, portfolio.c.base_currency, portfolio.c.wanted, of_base.c.units, of_wanted.c.units)

    def shown(amount: Any) -> ColumnElement[Any]:
        summed = _trimmed(func.coalesce(func.sum(amount), _ZERO))
        return _in_wanted(summed, portfolio.c.base_currency, portfolio.c.wanted, of_base.c.units, of_wanted.c.units)

    missing = Holding.missing_quantity > literal_column("0")
    return (
        select(
            portfolio.c.id.label("portfolio_id"),
            portfolio.c.wanted.label("currency"),
            shown(Holding.cost).label("cost"),
            shown(Holding.realized_gain).label("realized_gain"),
            func.count(Holding.id).filter(Holding.quantity > literal_column("0")).label("holding_count"),
            func.count(Holding.id).filter(missing).label("incomplete_count"),
        )
        .select_from(portfolio)
        .join(of_base, of_base.c.currency == portfolio.c.base_currency)
        .join(of_wanted, of_wanted.c.currency == portfolio.c.wanted)
        .outerjoin(Holding, Holding.portfolio_id == portfolio.c.id)
        .group_by(*columns)
        .subquery("portfolio_costs")
    )


_BY = bindparam("by", type_=Text())


def _group(valued: CTE, item: Any) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """The key and the name of the group that a holding is in; each holding is in one."""
    series_of_item = (
        select(FigureSeries.series_id)
        .join(Series, Series.id == FigureSeries.series_id)
        .where(FigureSeries.item_id == item.c.id)
        .order_by(Series.name, Series.id)
        .limit(literal_column("1"))
        .correlate(item)
        .scalar_subquery()
    )

    def of_set(column: Any) -> ColumnElement[Any]:
        found = select(column).join(Card, Card.set_id == CardSet.id).where(Card.item_id == item.c.id)
        return found.correlate(item).scalar_subquery()

    def of_maker(column: Any) -> ColumnElement[Any]:
        found = select(column).join(Figure, Figure.manufacturer_id == Manufacturer.id)
        return found.where(Figure.item_id == item.c.id).correlate(item).scalar_subquery()

    def of_series(column: Any) -> ColumnElement[Any]:
        return select(column).where(Series.id == series_of_item).correlate(item).scalar_subquery()

    place = (
        select(HoldingDetails.place).where(HoldingDetails.holding_id == valued.c.id).correlate(valued).scalar_subquery()
    )
    names = {
        AllocationBy.KIND: (item.c.kind, item.c.kind),
        AllocationBy.SET: (of_set(CardSet.slug), of_set(CardSet.name)),
        AllocationBy.SERIES: (of_series(Series.slug), of_series(Series.name)),
        AllocationBy.MAKER: (of_maker(Manufacturer.slug), of_maker(Manufacturer.name)),
        AllocationBy.PLACE: (place, place),
        AllocationBy.CURRENCY: (valued.c.currency, valued.c.currency),
    }
    key = case(*((_text(by.value) == _BY, key) for by, (key, _) in names.items()))
    name = case(*((_text(by.value) == _BY, name) for by, (_, name) in names.items()))
    return key, name


def _allocations() -> FromClause:
    portfolio = _portfolios()
    valued = _valued(portfolio, _held(portfolio))
    item = Item.__table__.alias("held_item")
    key, name = _group(valued, item)
    grouped = (
        select(*valued.c, key.label("group_key"), name.label("group_name"))
        .join(ItemVariant, ItemVariant.id == valued.c.variant_id)
        .join(item, item.c.id == ItemVariant.item_id)
        .cte("grouped")
    )
    sums = _sums(grouped)
    whole = func.sum(func.sum(grouped.c.value)).over(partition_by=grouped.c.portfolio_id)
    return (
        select(
            grouped.c.portfolio_id,
            grouped.c.wanted.label("currency"),
            grouped.c.group_key,
            func.min(grouped.c.group_name).label("group_name"),
            *(expression.label(name) for name, expression in sums.items()),
            share_of(sums["value"], whole).label("share"),
        )
        .group_by(grouped.c.portfolio_id, grouped.c.wanted, grouped.c.group_key)
        .subquery("portfolio_allocation")
    )


# One row for each portfolio in `portfolio_ids`: what is held in it is worth, in `currency` or its base currency.
PORTFOLIO_VALUES = _portfolio_values()
# The same of what it cost and what was gained, for which no price is needed.
PORTFOLIO_COSTS = _portfolio_costs()
# One row for each group of what is held, by the `by` of `AllocationBy`.
PORTFOLIO_ALLOCATION = _allocations()
VALUE_IS_PARTIAL: ColumnElement[Any] = PORTFOLIO_VALUES.c.unpriced_count > literal_column("0")
GROUP_IS_PARTIAL: ColumnElement[Any] = PORTFOLIO_ALLOCATION.c.unpriced_count > literal_column("0")
REALIZED_IS_PARTIAL: ColumnElement[Any] = PORTFOLIO_COSTS.c.incomplete_count > literal_column("0")
LARGEST_GROUP_FIRST: tuple[ColumnElement[Any], ...] = (
    PORTFOLIO_ALLOCATION.c.value.desc().nulls_last(),
    PORTFOLIO_ALLOCATION.c.group_key.asc().nulls_last(),
)
