"""What follows from preorders: what is still to be paid, how far dates slipped, and what falls due when."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    Numeric,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal_column,
    select,
    text,
    type_coerce,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import ColumnElement

from app.core.money import CRYPTO_CURRENCIES
from app.portfolios.preorder_lifecycle import AWAITING_PAYMENT, NEXT_STATES, PAID
from app.portfolios.wish_models import DatePrecision, Preorder, PreorderStatus

# Slips of a maker tell something from so many on.
RELIABLE_FROM = 3

# A release: no row has it, and what is shown as one puts its own columns in place of these.
RELEASE = select(
    literal_column("NULL", Date()).label("on"), literal_column("NULL", Text()).label("precision")
).subquery("release")


def _word(value: str) -> ColumnElement[Any]:
    return literal_column(f"'{value}'", Text())


def _first_of_month(day: Any) -> ColumnElement[Any]:
    return cast(func.date_trunc(_word("month"), cast(day, DateTime())), Date())


_IS_TO_THE_DAY = and_(
    Preorder.original_precision == _word(DatePrecision.DAY), Preorder.release_precision == _word(DatePrecision.DAY)
)
# In days, negative where it came sooner; where one of the two is a month, from month to month.
SLIP_DAYS: ColumnElement[Any] = case(
    (_IS_TO_THE_DAY, type_coerce(Preorder.release_date - Preorder.original_date, Integer())),
    else_=type_coerce(_first_of_month(Preorder.release_date) - _first_of_month(Preorder.original_date), Integer()),
)
HAS_PRICE: ColumnElement[bool] = Preorder.price.is_not(None)
# What was given back is to be paid again, should it be taken up again.
BALANCE: ColumnElement[Any] = case(
    *((Preorder.status == _word(status), literal_column("0", Numeric())) for status in PAID),
    else_=Preorder.price + Preorder.shipping - Preorder.deposit + Preorder.refund,
)
IS_CANCELLED: ColumnElement[bool] = and_(HAS_PRICE, Preorder.status == _word(PreorderStatus.CANCELLED))
LOSS: ColumnElement[Any] = Preorder.deposit - Preorder.refund
ESTIMATED_ARRIVAL: ColumnElement[Any] = type_coerce(
    cast(func.timezone(_word("UTC"), Preorder.shipped_at), Date()) + Preorder.estimated_delivery_days, Date()
)
NEXT: ColumnElement[Any] = case(
    *(
        (
            Preorder.status == _word(status),
            literal_column(f"CAST('{{{','.join(following)}}}' AS text[])", postgresql.ARRAY(Text)),
        )
        for status, following in NEXT_STATES.items()
    ),
    else_=literal_column("CAST('{}' AS text[])", postgresql.ARRAY(Text)),
)

_SLIPPED = """
    SELECT preorder.owner_id, preorder.id, figure.manufacturer_id,
        CASE WHEN preorder.original_precision = 'day' AND preorder.release_precision = 'day'
            THEN preorder.release_date - preorder.original_date
            ELSE CAST(date_trunc('month', CAST(preorder.release_date AS timestamp)) AS date)
                - CAST(date_trunc('month', CAST(preorder.original_date AS timestamp)) AS date)
        END AS days
    FROM portfolios.preorders AS preorder
    JOIN catalogue.item_variants AS variant ON variant.id = preorder.variant_id
    JOIN catalogue.figures AS figure ON figure.item_id = variant.item_id
    WHERE preorder.owner_id = ANY (:owner_ids) AND preorder.release_date IS NOT NULL
        AND figure.manufacturer_id IS NOT NULL
"""

# The median of an even number is the mean of the two in the middle; the p80 is the smallest slip that four of five do
# not exceed.
SLIPS = (
    text(f"""
    SELECT slipped.owner_id, slipped.manufacturer_id, maker.name, CAST(count(*) AS integer) AS sample_count,
        trim_scale((
            CAST(percentile_disc(0.5) WITHIN GROUP (ORDER BY slipped.days) AS numeric)
            + percentile_disc(0.5) WITHIN GROUP (ORDER BY slipped.days DESC)
        ) / 2) AS median_days,
        percentile_disc(0.8) WITHIN GROUP (ORDER BY slipped.days) AS p80_days,
        count(*) >= {RELIABLE_FROM} AS is_reliable
    FROM ({_SLIPPED}) AS slipped
    JOIN catalogue.manufacturers AS maker ON maker.id = slipped.manufacturer_id
    GROUP BY slipped.owner_id, slipped.manufacturer_id, maker.name
    """)  # noqa: S608  # our own words
    .bindparams(bindparam("owner_ids", type_=ARRAY(Uuid)))
    .columns(
        Column("owner_id", Uuid, nullable=False),
        Column("manufacturer_id", Uuid, nullable=False),
        Column("name", Text, nullable=False),
        Column("sample_count", Integer, nullable=False),
        Column("median_days", Numeric, nullable=False),
        Column("p80_days", Integer, nullable=False),
        Column("is_reliable", Boolean, nullable=False),
    )
    .subquery("preorder_slips")
)

_AWAITING = ", ".join(f"'{status.value}'" for status in AWAITING_PAYMENT)
# A month stands for its middle, so that a slip of a month leads to the next one, however long the two are. What was not
# paid when it should have been is expected now.
DUE = (
    text(f"""
    WITH maker AS (
        SELECT owner_id, manufacturer_id, percentile_disc(0.8) WITHIN GROUP (ORDER BY days) AS p80_days
        FROM ({_SLIPPED}) AS slipped
        GROUP BY owner_id, manufacturer_id
        HAVING count(*) >= {RELIABLE_FROM}
    ), awaiting AS (
        SELECT preorder.owner_id, preorder.status, maker.p80_days, preorder.currency,
            preorder.release_date + CASE preorder.release_precision WHEN 'month' THEN 14 ELSE 0 END AS released_on,
            preorder.original_date + CASE preorder.original_precision WHEN 'month' THEN 14 ELSE 0 END AS original_on,
            preorder.price + preorder.shipping - preorder.deposit + preorder.refund AS balance
        FROM portfolios.preorders AS preorder
        JOIN catalogue.item_variants AS variant ON variant.id = preorder.variant_id
        LEFT JOIN catalogue.figures AS figure ON figure.item_id = variant.item_id
        LEFT JOIN maker ON maker.owner_id = preorder.owner_id AND maker.manufacturer_id = figure.manufacturer_id
        WHERE preorder.owner_id = ANY (:owner_ids) AND preorder.status IN ({_AWAITING})
    ), rate AS (
        SELECT priced.currency, CASE WHEN priced.currency = :currency THEN 1 ELSE found.rate END AS rate
        FROM (SELECT DISTINCT currency FROM awaiting WHERE currency IS NOT NULL) AS priced
        LEFT JOIN LATERAL prices.exchange_rate(priced.currency, :currency, :today, :coins) AS found ON true
    ), expected AS (
        SELECT awaiting.owner_id, awaiting.balance * rate.rate AS amount, awaiting.released_on AS announced_on,
            greatest(
                CASE WHEN awaiting.status <> 'released' AND awaiting.released_on IS NOT NULL
                    THEN awaiting.original_on + awaiting.p80_days
                END,
                awaiting.released_on,
                CASE WHEN awaiting.released_on IS NOT NULL THEN CAST(:today AS date) END
            ) AS adjusted_on
        FROM awaiting LEFT JOIN rate ON rate.currency = awaiting.currency
    ), dated AS (
        SELECT expected.owner_id, expected.amount, place.is_announced,
            CAST(date_trunc('month', CAST(place.due_on AS timestamp)) AS date) AS month
        FROM expected
        CROSS JOIN LATERAL (VALUES (true, expected.announced_on), (false, expected.adjusted_on))
            AS place (is_announced, due_on)
    )
    SELECT owner_id, month, CAST(:currency AS text) AS currency,
        CASE WHEN count(*) FILTER (WHERE NOT is_announced) = 0 THEN 0
            ELSE trim_scale(round(sum(amount) FILTER (WHERE NOT is_announced), 18)) END AS amount,
        CAST(count(*) FILTER (WHERE NOT is_announced) AS integer) AS count,
        count(*) FILTER (WHERE NOT is_announced) > count(amount) FILTER (WHERE NOT is_announced) AS is_partial,
        CASE WHEN count(*) FILTER (WHERE is_announced) = 0 THEN 0
            ELSE trim_scale(round(sum(amount) FILTER (WHERE is_announced), 18)) END AS announced_amount,
        CAST(count(*) FILTER (WHERE is_announced) AS integer) AS announced_count,
        count(*) FILTER (WHERE is_announced) > count(amount) FILTER (WHERE is_announced) AS is_announced_partial
    FROM dated
    GROUP BY owner_id, month
    """)  # noqa: S608  # our own words
    .bindparams(
        bindparam("owner_ids", type_=ARRAY(Uuid)),
        bindparam("currency", type_=Text),
        bindparam("today", type_=Date),
        bindparam("coins", type_=ARRAY(Text)),
    )
    .columns(
        Column("owner_id", Uuid, nullable=False),
        Column("month", Date),
        Column("currency", Text, nullable=False),
        Column("amount", Numeric),
        Column("count", Integer, nullable=False),
        Column("is_partial", Boolean, nullable=False),
        Column("announced_amount", Numeric),
        Column("announced_count", Integer, nullable=False),
        Column("is_announced_partial", Boolean, nullable=False),
    )
    .subquery("preorders_due")
)


def due_values(currency: str, *, now: datetime) -> dict[str, Any]:
    """The parameters of `DUE` beside the owners: the currency to tell it in, by the rates of the day."""
    return {"currency": currency, "today": now.date(), "coins": sorted(CRYPTO_CURRENCIES)}
