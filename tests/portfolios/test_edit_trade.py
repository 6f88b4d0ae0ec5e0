"""Trades are corrected and taken back: what follows from them follows anew, or nothing changes at all."""

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.portfolios.commands.edit_trade import delete_trade, edit_trade
from app.portfolios.commands.frozen_rates import freeze_again
from app.portfolios.commands.recompute import recompute_portfolio
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.ledger import LotChoice
from app.portfolios.models import CostBasisMethod, TradeKind, TradeRevision
from app.prices.commands.import_exchange_rates import import_exchange_rates
from app.prices.exchange_rates import ReferenceRate
from tests.portfolios.builders import (
    MONDAY,
    Possessions,
    buy,
    change,
    possessions,
    recorded,
    refusal_of,
    sell,
    stored,
    trades_of,
)


async def edited(database: Database, own: Possessions, trade_id: UUID, **changes: Any) -> None:
    """A change of a trade."""
    await change(database, edit_trade, trade_id, changes, owner_id=own.owner_id)


async def revisions(database: Database) -> list[Any]:
    """What is kept of trades that were changed."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(TradeRevision.trade_id, TradeRevision.number, TradeRevision.action, TradeRevision.before).order_by(
                TradeRevision.created_at, TradeRevision.number
            )
        )
        return list(rows)


async def everything(database: Database) -> list[Any]:
    """All that a change could leave behind."""
    return [await stored(database), await trades_of(database), await revisions(database)]


async def test_an_old_trade_that_is_edited_changes_what_comes_after_it(database: Database) -> None:
    own = await possessions(database)
    first, _ = await recorded(database, own, buy("2", "100"), sell("1", "500", day=3))
    await edited(database, own, first, price=Decimal("33.5"), fee=Decimal(1), notes="So it was.", tags=["a", "b", "a"])
    ((_, quantity, cost, gain, _),) = (await stored(database))["totals"]
    assert (quantity, cost, gain) == (1, 34, 466)
    (trade, _) = await trades_of(database)
    assert (trade.version, trade.notes, trade.tags) == (2, "So it was.", ["a", "b"])
    ((trade_id, number, action, before),) = await revisions(database)
    assert (trade_id, number, action) == (first, 1, "edited")
    assert (before["price"], before["fee"], before["exchangeRate"], before["version"]) == ("100", "0", "1", 1)
    assert (before["occurredAt"], before["lots"], before["tags"]) == ("2024-01-01T00:00:00Z", [], [])
    assert before["kind"] == "BUY"


async def test_what_changes_nothing_leaves_no_revision(database: Database) -> None:
    own = await possessions(database)
    (first,) = await recorded(database, own, buy("2", "100"))
    before = await everything(database)
    await edited(database, own, first, price=Decimal("100.00"), kind=TradeKind.BUY, notes=None)
    assert await everything(database) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity": Decimal("0.5")},
        {"occurred_at": MONDAY + timedelta(days=9)},
        {"kind": TradeKind.GIFT_OUT},
    ],
    ids=["less", "later", "away"],
)
async def test_an_edit_that_leaves_a_later_sale_nothing_is_refused_whole(
    database: Database, changes: dict[str, Any]
) -> None:
    own = await possessions(database)
    first, _ = await recorded(database, own, buy("1", "100"), sell("1", "500", day=3))
    before = await everything(database)
    reason, field, message = await refusal_of(edited(database, own, first, **changes))
    assert reason is PortfolioErrorCode.INSUFFICIENT_QUANTITY
    if "kind" not in changes:
        assert field == ["id"]
        assert "The sale of 1 on 2024-01-04" in message
    assert await everything(database) == before
    reason, field, message = await refusal_of(change(database, delete_trade, first, owner_id=own.owner_id))
    assert (reason, field) == (PortfolioErrorCode.INSUFFICIENT_QUANTITY, ["id"])
    assert message == "The sale of 1 on 2024-01-04 takes more than is held then, which is 0."
    assert await everything(database) == before


async def test_a_trade_that_is_deleted_is_as_if_it_had_never_been(database: Database) -> None:
    own = await possessions(database)
    await recorded(database, own, buy("1", "300", day=1))
    alone = await stored(database)
    first, sale = await recorded(database, own, buy("1", "100"), sell("1", "500", day=3))
    await edited(database, own, sale, price=Decimal(400))
    for trade_id in (sale, first):
        await change(database, delete_trade, trade_id, owner_id=own.owner_id)
    assert await stored(database) == alone
    kept = [(row.trade_id, row.number, row.action, row.before["price"]) for row in await revisions(database)]
    assert kept == [(sale, 1, "edited", "500"), (sale, 2, "deleted", "400"), (first, 1, "deleted", "100")]


async def test_bad_values_of_an_edit_are_refused_and_change_nothing(database: Database) -> None:
    own = await possessions(database)
    (first,) = await recorded(database, own, buy("1", "100"))
    before = await everything(database)
    bad: list[tuple[dict[str, Any], PortfolioErrorCode, list[str]]] = [
        ({"quantity": Decimal(0)}, PortfolioErrorCode.INVALID_INPUT, ["quantity"]),
        ({"quantity": Decimal("NaN")}, PortfolioErrorCode.INVALID_INPUT, ["quantity"]),
        ({"price": None}, PortfolioErrorCode.INVALID_INPUT, ["price"]),
        ({"may_lack_acquisitions": None}, PortfolioErrorCode.INVALID_INPUT, ["mayLackAcquisitions"]),
        ({"price": Decimal("1" * 40)}, PortfolioErrorCode.INVALID_INPUT, ["price"]),
        ({"occurred_at": utc_now() + timedelta(hours=1)}, PortfolioErrorCode.IN_THE_FUTURE, ["occurredAt"]),
        ({"currency": "GBP"}, PortfolioErrorCode.NO_EXCHANGE_RATE, ["currency"]),
        ({"kind": TradeKind.SELL}, PortfolioErrorCode.INSUFFICIENT_QUANTITY, ["quantity"]),
        ({"lots": [LotChoice(first, Decimal(1))]}, PortfolioErrorCode.INVALID_INPUT, ["lots"]),
    ]
    for changes, reason, field in bad:
        assert (await refusal_of(edited(database, own, first, **changes)))[:2] == (reason, field), changes
    assert await everything(database) == before


async def test_of_two_clients_that_edit_at_once_one_is_told_of_the_conflict(database: Database) -> None:
    own = await possessions(database)
    (first,) = await recorded(database, own, buy("1", "100"))
    both = await asyncio.gather(
        *(
            change(database, edit_trade, first, {"price": Decimal(price)}, owner_id=own.owner_id, expected_version=1)
            for price in (200, 300)
        ),
        return_exceptions=True,
    )
    (refused,) = [result for result in both if isinstance(result, PortfolioRefused)]
    assert (refused.reason, refused.field) == (PortfolioErrorCode.CONFLICT, ["expectedVersion"])
    ((trade,), (revision,)) = await trades_of(database), await revisions(database)
    assert (trade.version, revision.number) == (2, 1)
    reason, *_ = await refusal_of(change(database, delete_trade, first, owner_id=own.owner_id, expected_version=1))
    assert reason is PortfolioErrorCode.CONFLICT


async def test_a_trade_of_anothers_is_not_found(database: Database) -> None:
    own, other = await possessions(database), await possessions(database, slug="argentum")
    (theirs,) = await recorded(database, other, buy("1", "1"))
    for trade_id in (theirs, new_id()):
        assert (await refusal_of(edited(database, own, trade_id)))[:2] == (PortfolioErrorCode.NOT_FOUND, ["id"])
        gone = change(database, delete_trade, trade_id, owner_id=own.owner_id)
        assert (await refusal_of(gone))[:2] == (PortfolioErrorCode.NOT_FOUND, ["id"])


async def test_the_rate_stays_frozen_until_the_currency_changes(database: Database) -> None:
    own = await possessions(database)
    async with database.transaction() as transaction:
        rates = [
            *(ReferenceRate("USD", MONDAY.date() + timedelta(days=day), Decimal(f"1.{day}")) for day in (1, 2, 3)),
            ReferenceRate("JPY", MONDAY.date(), Decimal(110)),
        ]
        await import_exchange_rates(transaction, rates)
    (first,) = await recorded(database, own, buy("1", "100", currency="EUR", day=1))

    async def rate() -> tuple[Decimal, date | None]:
        (row,) = await trades_of(database)
        return row.exchange_rate, row.rate_date

    await edited(database, own, first, occurred_at=MONDAY + timedelta(days=2), price=Decimal(50))
    assert await rate() == (Decimal("1.1"), date(2024, 1, 2))
    await edited(database, own, first, currency="JPY")
    assert await rate() == (Decimal("0.01090909090909090909090909091"), date(2024, 1, 1))
    await edited(database, own, first, currency="EUR", exchange_rate=Decimal(3))
    assert await rate() == (Decimal(3), None)
    await edited(database, own, first, exchange_rate=None)
    assert await rate() == (Decimal("1.2"), date(2024, 1, 3))
    await edited(database, own, first, currency="USD")
    assert await rate() == (Decimal(1), None)


async def test_a_lot_that_is_named_cannot_be_taken_away(database: Database) -> None:
    own = await possessions(database, method=CostBasisMethod.SPECIFIC)
    first, second = await recorded(database, own, buy("1", "100"), buy("1", "300", day=1))
    (sale,) = await recorded(database, own, sell("1", "500", day=2, lots=[LotChoice(second, Decimal(1))]))
    gone = change(database, delete_trade, second, owner_id=own.owner_id)
    assert (await refusal_of(gone))[:2] == (PortfolioErrorCode.UNKNOWN_LOT, ["id"])
    later = edited(database, own, second, occurred_at=MONDAY + timedelta(days=3))
    assert (await refusal_of(later))[:2] == (PortfolioErrorCode.UNKNOWN_LOT, ["id"])
    await edited(database, own, sale, lots=[LotChoice(first, Decimal(1))])
    await change(database, delete_trade, second, owner_id=own.owner_id)
    ((_, quantity, _, gain, _),) = (await stored(database))["totals"]
    assert (quantity, gain) == (0, 400)
    ((_, _, _, before), _) = await revisions(database)
    assert before["lots"] == [{"lotId": public_id(PublicIdTag.LOT, second), "quantity": "1"}]


async def test_another_base_currency_freezes_every_rate_anew(database: Database) -> None:
    own = await possessions(database)
    async with database.transaction() as transaction:
        await import_exchange_rates(transaction, [ReferenceRate("USD", MONDAY.date(), Decimal("1.25"))])
    await recorded(
        database,
        own,
        buy("1", "100", currency="EUR"),
        buy("1", "100", day=1),
        buy("1", "100", currency="GBP", exchange_rate=Decimal("1.5"), day=2),
    )
    async with database.transaction() as transaction:
        connection = transaction.connection
        await freeze_again(connection, own.portfolio_id, old_base_currency="USD", new_base_currency="EUR")
        await recompute_portfolio(connection, own.portfolio_id)
    rows = sorted(await trades_of(database), key=lambda row: row.occurred_at)
    assert [(row.exchange_rate, row.rate_date) for row in rows] == [
        (1, None),
        (Decimal("0.8"), MONDAY.date()),
        (Decimal("1.2"), None),
    ]
    ((_, _, cost, _, _),) = (await stored(database))["totals"]
    assert cost == 100 + 80 + 120
    async with database.transaction() as transaction:
        await freeze_again(transaction.connection, own.portfolio_id, old_base_currency="EUR", new_base_currency="USD")
    rows = sorted(await trades_of(database), key=lambda row: row.occurred_at)
    assert [str(row.exchange_rate) for row in rows] == ["1.25", "1", "1.5"]
