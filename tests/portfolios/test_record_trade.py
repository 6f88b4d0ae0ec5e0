"""A trade is recorded with all that follows from it, or refused with nothing left behind."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, func, insert, select, update

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import new_id
from app.portfolios.commands.edit_trade import delete_trade
from app.portfolios.commands.holdings import add_holding, delete_holding
from app.portfolios.commands.portfolios import create_portfolio, delete_portfolio
from app.portfolios.commands.recompute import recompute_portfolio
from app.portfolios.commands.record_trade import record_trade, record_trades
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.ledger import LotChoice
from app.portfolios.models import CostBasisMethod, CreationKey, Holding, Lot, Portfolio, TradeKind
from app.portfolios.queries.amounts import AVERAGE_COST, REMAINING_COST
from app.prices.commands.import_exchange_rates import import_exchange_rates
from app.prices.exchange_rates import ReferenceRate
from tests.lock_waits import until_somebody_waits
from tests.portfolios.builders import (
    buy,
    change,
    possessions,
    recorded,
    refusal_of,
    said,
    sell,
    stored,
    trades_of,
    with_variant,
)

FIFO, LIFO, HIFO, AVERAGE, SPECIFIC = CostBasisMethod


@pytest.mark.parametrize("method", CostBasisMethod)
async def test_trades_in_their_order_come_to_what_a_replay_comes_to(
    database: Database, method: CostBasisMethod
) -> None:
    own = await possessions(database, method=method)
    await recorded(
        database,
        own,
        buy("3", "100", fee="1"),
        buy("7", "33.333333333333333333", day=1),
        sell("4", "120", fee="0.01", day=2),
        said(TradeKind.TRANSFER_OUT, "0.7", day=3),
        said(TradeKind.GIFT_IN, "2", day=4),
        said(TradeKind.FEE, "0", fee="5", day=5),
        said(TradeKind.FEE, "0.1", day=6),
        sell("1", "90", day=7),
    )
    appended = await stored(database)
    async with database.transaction() as transaction:
        await recompute_portfolio(transaction.connection, own.portfolio_id)
    assert await stored(database) == appended
    ((_, quantity, *_),) = appended["totals"]
    assert quantity == Decimal("6.2")


async def test_an_earlier_trade_changes_what_comes_after_it(database: Database) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "300", day=1), sell("1", "500", day=3))
    ((_, _, _, gain, _),) = (await stored(database))["totals"]
    assert gain == 200
    await recorded(database, own, buy("1", "100"))
    ((_, quantity, cost, gain, _),) = (await stored(database))["totals"]
    assert (quantity, cost, gain) == (1, 300, 400)


async def test_trades_at_one_time_are_in_the_order_of_being_recorded(database: Database) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "100"), buy("1", "300"), sell("1", "500"))
    assert [row.gain for row in (await stored(database))["disposals"]] == [400]


async def test_a_variant_without_a_holding_gets_one_behind_the_others(database: Database) -> None:
    own, other = await possessions(database), await possessions(database, slug="argentum")
    own_other = replace(own, variant_id=other.variant_id)
    await recorded(database, own, buy("1", "1"), buy("1", "1"))
    await recorded(database, own_other, buy("1", "1"))
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(Holding.variant_id, Holding.position, Holding.quantity).order_by(Holding.position)
        )
        assert [tuple(row) for row in rows] == [(own.variant_id, 0, 2), (other.variant_id, 1, 1)]


async def test_two_first_trades_of_a_variant_at_once_make_one_holding(database: Database) -> None:
    own = await possessions(database)
    await asyncio.gather(*(recorded(database, own, buy("1", "1", day=day)) for day in range(3)))
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(select(func.count()).select_from(Holding)) == 1
        assert await transaction.connection.scalar(select(Holding.quantity)) == 3


async def test_a_holding_that_goes_while_two_trades_wait_for_it_is_not_made_twice(database: Database) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "1"))
    async with database.transaction() as deleting:
        holding_id = await deleting.connection.scalar(select(Holding.id))
        assert holding_id is not None
        await deleting.connection.execute(select(Portfolio.id).with_for_update(key_share=True))
        await delete_holding(deleting, holding_id, owner_id=own.owner_id, deletes_trades=True)
        both = [asyncio.create_task(recorded(database, own, buy("1", "1"))) for _ in range(2)]
        await until_somebody_waits(database, count=2)
    for one in both:
        reason, field, _ = await refusal_of(one)
        assert (reason, field) == (PortfolioErrorCode.CONFLICT, ["variantId"])


async def test_costs_that_are_divided_have_all_their_places(database: Database) -> None:
    own = await possessions(database, method=AVERAGE)
    await recorded(database, own, buy("1", "1000000000000"), buy("2", "0", day=1))
    third, two_thirds = Decimal("333333333333.333333333333333333"), Decimal("666666666666.666666666666666667")
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(select(AVERAGE_COST)) == third
        lots = select(REMAINING_COST).select_from(Lot).join(Holding, Holding.id == Lot.holding_id)
        shares = await transaction.connection.scalars(lots.order_by(Lot.acquired_at))
        assert list(shares) == [third, two_thirds]


@pytest.mark.parametrize("notes", ["\U0001f468\u200d\U0001f469\u200d\U0001f467", "می\u200cخواهم", "two\nlines"])
async def test_notes_are_in_any_script(database: Database, notes: str) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "1", notes=notes, exchange="Card\u00a0Shop"))
    (row,) = await trades_of(database)
    assert (row.notes, row.exchange) == (notes, "Card\u00a0Shop")


async def test_of_two_sales_of_one_lot_at_once_one_wins(database: Database) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "100"))
    both = await asyncio.gather(
        *(recorded(database, own, sell("1", "500", day=day)) for day in (1, 1)), return_exceptions=True
    )
    (refused,) = [result for result in both if isinstance(result, BaseException)]
    assert isinstance(refused, PortfolioRefused)
    assert refused.reason is PortfolioErrorCode.INSUFFICIENT_QUANTITY
    state = await stored(database)
    assert [lot.remaining_quantity for lot in state["lots"]] == [0]
    assert [part.quantity for part in state["disposals"]] == [1]
    assert len(await trades_of(database)) == 2


BAD: list[tuple[dict[str, Any], PortfolioErrorCode, list[str]]] = [
    ({"quantity": Decimal(0)}, PortfolioErrorCode.INVALID_INPUT, ["quantity"]),
    ({"quantity": Decimal(-1)}, PortfolioErrorCode.INVALID_INPUT, ["quantity"]),
    ({"quantity": Decimal("NaN")}, PortfolioErrorCode.INVALID_INPUT, ["quantity"]),
    ({"quantity": Decimal("sNaN")}, PortfolioErrorCode.INVALID_INPUT, ["quantity"]),
    ({"quantity": Decimal("Infinity")}, PortfolioErrorCode.INVALID_INPUT, ["quantity"]),
    ({"quantity": Decimal("1" * 40)}, PortfolioErrorCode.INVALID_INPUT, ["quantity"]),
    ({"quantity": Decimal("0." + "1" * 40)}, PortfolioErrorCode.INVALID_INPUT, ["quantity"]),
    ({"price": Decimal(-1)}, PortfolioErrorCode.INVALID_INPUT, ["price"]),
    ({"price": Decimal("NaN")}, PortfolioErrorCode.INVALID_INPUT, ["price"]),
    ({"price": Decimal("9" * 40)}, PortfolioErrorCode.INVALID_INPUT, ["price"]),
    ({"fee": Decimal("-Infinity")}, PortfolioErrorCode.INVALID_INPUT, ["fee"]),
    ({"currency": "XXX"}, PortfolioErrorCode.INVALID_INPUT, ["currency"]),
    ({"currency": "GBP"}, PortfolioErrorCode.NO_EXCHANGE_RATE, ["currency"]),
    ({"exchange_rate": Decimal(2)}, PortfolioErrorCode.INVALID_INPUT, ["exchangeRate"]),
    ({"currency": "GBP", "exchange_rate": Decimal(0)}, PortfolioErrorCode.INVALID_INPUT, ["exchangeRate"]),
    ({"currency": "GBP", "exchange_rate": Decimal("NaN")}, PortfolioErrorCode.INVALID_INPUT, ["exchangeRate"]),
    (
        {"currency": "GBP", "exchange_rate": Decimal("1." + "3" * 40)},
        PortfolioErrorCode.INVALID_INPUT,
        ["exchangeRate"],
    ),
    ({"occurred_at": datetime(1850, 1, 1, tzinfo=UTC)}, PortfolioErrorCode.INVALID_INPUT, ["occurredAt"]),
    ({"exchange": " "}, PortfolioErrorCode.INVALID_INPUT, ["exchange"]),
    ({"exchange": "\u200b"}, PortfolioErrorCode.INVALID_INPUT, ["exchange"]),
    ({"notes": "a\x1cb"}, PortfolioErrorCode.INVALID_INPUT, ["notes"]),
    ({"notes": "a\u202eb"}, PortfolioErrorCode.INVALID_INPUT, ["notes"]),
    ({"exchange": "a\x00b"}, PortfolioErrorCode.INVALID_INPUT, ["exchange"]),
    ({"tags": ["fine", "x" * 51]}, PortfolioErrorCode.INVALID_INPUT, ["tags", "1"]),
    ({"tags": ["fine"] * 251}, PortfolioErrorCode.INVALID_INPUT, ["tags"]),
    ({"notes": "\ud800"}, PortfolioErrorCode.INVALID_INPUT, ["notes"]),
    ({"notes": "x" * 10_001}, PortfolioErrorCode.INVALID_INPUT, ["notes"]),
    ({"kind": TradeKind.FEE, "price": Decimal(1)}, PortfolioErrorCode.INVALID_INPUT, ["price"]),
    ({"kind": TradeKind.FEE, "quantity": Decimal(0)}, PortfolioErrorCode.INVALID_INPUT, ["fee"]),
    ({"kind": TradeKind.SELL}, PortfolioErrorCode.INSUFFICIENT_QUANTITY, ["quantity"]),
    ({"lots": [LotChoice(new_id(), Decimal(1))]}, PortfolioErrorCode.INVALID_INPUT, ["lots"]),
    ({"variant_id": new_id()}, PortfolioErrorCode.NOT_FOUND, ["variantId"]),
    ({"variant_id": None}, PortfolioErrorCode.INVALID_INPUT, ["variantId"]),
    ({"external_id": "17"}, PortfolioErrorCode.INVALID_INPUT, ["externalId"]),
]


async def test_what_no_trade_can_be_is_refused_and_leaves_nothing(database: Database) -> None:
    own = await possessions(database)
    good = with_variant(buy("1", "0"), own.variant_id)
    for values, reason, field in BAD:
        bad = replace(good, **values)
        command = change(database, record_trade, bad, owner_id=own.owner_id, portfolio_id=own.portfolio_id)
        found_reason, found_field, message = await refusal_of(command)
        assert (found_reason, found_field) == (reason, field), values
        assert message.endswith(".")
    assert await trades_of(database) == []
    assert await stored(database) == {"totals": [], "lots": [], "disposals": []}


async def test_a_trade_may_be_a_little_ahead_and_no_more(database: Database) -> None:
    own = await possessions(database)
    now = utc_now()
    await recorded(database, own, replace(buy("1", "1"), occurred_at=now + timedelta(minutes=4)))
    ahead = replace(buy("1", "1"), occurred_at=now + timedelta(minutes=6))
    reason, field, _ = await refusal_of(recorded(database, own, ahead))
    assert (reason, field) == (PortfolioErrorCode.IN_THE_FUTURE, ["occurredAt"])


async def test_what_is_anothers_is_not_found(database: Database) -> None:
    own, other = await possessions(database), await possessions(database, slug="argentum")
    await recorded(database, other, buy("1", "1"))
    async with database.transaction() as transaction:
        holding_id = await transaction.connection.scalar(select(Holding.id))
    theirs = replace(buy("1", "1"), holding_id=holding_id)
    reason, field, _ = await refusal_of(change(database, record_trade, theirs, owner_id=own.owner_id))
    assert (reason, field) == (PortfolioErrorCode.NOT_FOUND, ["holdingId"])
    command = change(
        database,
        record_trade,
        with_variant(buy("1", "1"), own.variant_id),
        owner_id=own.owner_id,
        portfolio_id=other.portfolio_id,
    )
    reason, field, _ = await refusal_of(command)
    assert (reason, field) == (PortfolioErrorCode.NOT_FOUND, ["portfolioId"])
    assert len(await trades_of(database)) == 1


async def test_of_several_holdings_of_a_variant_one_must_be_named(database: Database) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "1"))
    async with database.transaction() as transaction:
        names = {"owner_id": own.owner_id, "portfolio_id": own.portfolio_id, "variant_id": own.variant_id}
        second = await transaction.connection.scalar(
            insert(Holding).values(id=new_id(), position=1, **names).returning(Holding.id)
        )
    reason, field, _ = await refusal_of(recorded(database, own, buy("1", "1", day=1)))
    assert (reason, field) == (PortfolioErrorCode.AMBIGUOUS_HOLDING, ["variantId"])
    await recorded(database, own, replace(buy("5", "1"), holding_id=second))
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Holding).where(Holding.id == second).values(archived_at=func.now()))
    await recorded(database, own, buy("1", "1", day=1))
    assert sorted(row.quantity for row in (await stored(database))["totals"]) == [2, 5]


async def test_the_rate_of_the_day_is_frozen_unless_one_is_given(database: Database) -> None:
    own = await possessions(database)
    async with database.transaction() as transaction:
        await import_exchange_rates(
            transaction,
            [
                ReferenceRate("USD", date(2023, 12, 29), Decimal("1.25")),
                ReferenceRate("USD", date(2024, 1, 3), Decimal(2)),
            ],
        )
    await recorded(
        database,
        own,
        buy("1", "100", currency="EUR"),
        replace(
            buy("1", "100", currency="EUR"),
            occurred_at=datetime(2024, 1, 3, 0, 30, tzinfo=timezone(timedelta(hours=1))),
        ),
        buy("1", "100", currency="EUR", day=2),
        buy("1", "100", currency="EUR", exchange_rate=Decimal("1.1"), day=3),
        buy("1", "100", day=4),
    )
    rows = sorted(await trades_of(database), key=lambda row: row.occurred_at)
    assert [(row.exchange_rate, row.rate_date) for row in rows] == [
        (Decimal("1.25"), date(2023, 12, 29)),
        (Decimal("1.25"), date(2023, 12, 29)),
        (2, date(2024, 1, 3)),
        (Decimal("1.1"), None),
        (1, None),
    ]
    ((_, _, cost, _, _),) = (await stored(database))["totals"]
    assert cost == 125 + 125 + 200 + 110 + 100


async def test_a_key_that_is_sent_again_records_nothing_more(database: Database) -> None:
    own = await possessions(database)
    trade = with_variant(buy("1", "1"), own.variant_id)
    who = {"owner_id": own.owner_id, "portfolio_id": own.portfolio_id, "idempotency_key": "one"}
    both = await asyncio.gather(*(change(database, record_trade, trade, **who) for _ in range(3)))
    assert len(set(both)) == 1
    assert len(await trades_of(database)) == 1
    other = replace(trade, quantity=Decimal(2))
    reason, field, _ = await refusal_of(change(database, record_trade, other, **who))
    assert (reason, field) == (PortfolioErrorCode.IDEMPOTENCY_KEY_REUSED, ["idempotencyKey"])
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(CreationKey).values(created_at=func.now() - timedelta(hours=24, seconds=1))
        )
    assert await change(database, record_trade, other, **who) not in both
    reason, field, _ = await refusal_of(change(database, record_trade, trade, **who | {"idempotency_key": "\n"}))
    assert (reason, field) == (PortfolioErrorCode.INVALID_INPUT, ["idempotencyKey"])


async def test_a_key_stands_for_one_thing_of_a_person_as_long_as_that_is_there(database: Database) -> None:
    own = await possessions(database)
    who = {"owner_id": own.owner_id, "idempotency_key": "one"}
    given = {"name": "Shelf"}
    both = await asyncio.gather(*(change(database, create_portfolio, given, **who) for _ in range(2)))
    assert len(set(both)) == 1
    trade = with_variant(buy("1", "1"), own.variant_id)
    for other in (
        change(database, record_trade, trade, portfolio_id=own.portfolio_id, **who),
        change(database, add_holding, portfolio_id=own.portfolio_id, variant_id=own.variant_id, **who),
    ):
        reason, field, _ = await refusal_of(other)
        assert (reason, field) == (PortfolioErrorCode.IDEMPOTENCY_KEY_REUSED, ["idempotencyKey"])
    await change(database, delete_portfolio, both[0], owner_id=own.owner_id)
    again = await change(database, create_portfolio, given, **who)
    assert again not in both
    async with database.transaction() as transaction:
        there = select(func.count()).select_from(Portfolio).where(Portfolio.id == again)
        assert await transaction.connection.scalar(there) == 1


async def test_a_trade_that_is_deleted_meanwhile_is_recorded_again_under_its_key(database: Database) -> None:
    own = await possessions(database)
    trade = with_variant(buy("1", "1"), own.variant_id)
    who = {"owner_id": own.owner_id, "portfolio_id": own.portfolio_id, "idempotency_key": "one"}
    first = await change(database, record_trade, trade, **who)
    assert await change(database, record_trade, trade, **who) == first
    await change(database, delete_trade, first, owner_id=own.owner_id)
    second = await change(database, record_trade, trade, **who)
    assert [row.id for row in await trades_of(database)] == [second] != [first]


async def test_a_sale_names_lots_in_a_portfolio_that_looks_at_them(database: Database) -> None:
    own = await possessions(database, method=SPECIFIC)
    first, second = await recorded(database, own, buy("2", "100"), buy("2", "300", day=1))
    await recorded(database, own, sell("2", "500", day=2, lots=[LotChoice(second, Decimal("1.5"))]))
    state = await stored(database)
    assert [(part.lot_id, part.quantity, part.gain) for part in state["disposals"]] == [
        (second, Decimal("1.5"), 300),
        (first, Decimal("0.5"), 200),
    ]
    bad = sell("1", "1", day=3, lots=[LotChoice(first, Decimal("0.5")), LotChoice(second, Decimal("0.51"))])
    with pytest.raises(PortfolioRefused) as refused:
        await recorded(database, own, replace(bad, quantity=Decimal(2)))
    assert (refused.value.reason, refused.value.field) == (
        PortfolioErrorCode.INSUFFICIENT_QUANTITY,
        ["lots", "1"],
    )
    nowhere = sell("1", "1", day=3, lots=[LotChoice(new_id(), Decimal(1))])
    reason, field, _ = await refusal_of(recorded(database, own, nowhere))
    assert (reason, field) == (PortfolioErrorCode.UNKNOWN_LOT, ["lots", "0", "lotId"])
    too_early = sell("1", "1", lots=[LotChoice(second, Decimal(1))])
    reason, field, _ = await refusal_of(recorded(database, own, too_early))
    assert (reason, field) == (PortfolioErrorCode.UNKNOWN_LOT, ["lots", "0"])
    assert await stored(database) == state


async def test_a_portfolio_goes_with_trades_that_name_lots(database: Database) -> None:
    own = await possessions(database, method=SPECIFIC)
    (first,) = await recorded(database, own, buy("2", "100"))
    await recorded(database, own, sell("1", "500", day=2, lots=[LotChoice(first, Decimal(1))]))
    async with database.transaction() as transaction:
        await transaction.connection.execute(delete(Holding))
    assert await trades_of(database) == []


async def test_an_import_goes_in_whole_and_no_row_of_it_twice(database: Database) -> None:
    own, other = await possessions(database), await possessions(database, slug="argentum")
    rows = [
        replace(
            with_variant(buy("1", "2", day=number % 100), (own, other)[number % 2].variant_id),
            external_source="csv",
            external_id=str(number),
        )
        for number in range(1_000)
    ]
    done = await change(database, record_trades, own.portfolio_id, rows, owner_id=own.owner_id)
    assert [one.is_new for one in done] == [True] * 1_000
    state = await stored(database)
    assert [(row.quantity, row.cost) for row in state["totals"]] == [(500, 1_000)] * 2
    more = replace(rows[0], external_id="more")
    again = await change(database, record_trades, own.portfolio_id, [*rows, more], owner_id=own.owner_id)
    assert [one.id for one in again[:-1]] == [one.id for one in done]
    assert [one.is_new for one in again] == [False] * 1_000 + [True]
    async with database.transaction() as transaction:
        before = await stored(database)
        await recompute_portfolio(transaction.connection, own.portfolio_id)
    assert await stored(database) == before
    assert await change(database, record_trades, own.portfolio_id, [], owner_id=own.owner_id) == []
    reason, field, _ = await refusal_of(recorded(database, own, replace(rows[0], variant_id=None)))
    assert (reason, field) == (PortfolioErrorCode.CONFLICT, ["externalId"])


@pytest.mark.parametrize(
    ("values", "reason", "field"),
    [
        ({"quantity": Decimal(0)}, PortfolioErrorCode.INVALID_INPUT, "quantity"),
        ({"currency": "GBP"}, PortfolioErrorCode.NO_EXCHANGE_RATE, "currency"),
        ({"variant_id": UUID(int=1)}, PortfolioErrorCode.NOT_FOUND, "variantId"),
        ({"variant_id": None, "holding_id": UUID(int=1)}, PortfolioErrorCode.NOT_FOUND, "holdingId"),
        ({"kind": TradeKind.SELL, "quantity": Decimal(1000)}, PortfolioErrorCode.INSUFFICIENT_QUANTITY, "quantity"),
        ({"external_source": "csv", "external_id": "3"}, PortfolioErrorCode.INVALID_INPUT, "externalId"),
        ({"occurred_at": datetime(2999, 1, 1, tzinfo=UTC)}, PortfolioErrorCode.IN_THE_FUTURE, "occurredAt"),
    ],
)
async def test_one_bad_row_keeps_all_rows_out_and_is_named(
    database: Database, values: dict[str, Any], reason: PortfolioErrorCode, field: str
) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "1"))
    before = await stored(database), await trades_of(database)
    row = with_variant(buy("1", "2", day=1), own.variant_id)
    rows = [replace(row, external_source="csv", external_id=str(number)) for number in range(100)]
    rows[70] = replace(rows[70], **values)
    found, path, message = await refusal_of(
        change(database, record_trades, own.portfolio_id, rows, owner_id=own.owner_id)
    )
    assert (found, path) == (reason, ["trades", "70", field])
    assert message.startswith("Row 71: ")
    assert (await stored(database), await trades_of(database)) == before
