"""What the demo person owns: two portfolios of things of the demo world, bought and sold at its prices."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, select

from app.catalogue.models import Item, ItemVariant
from app.core.clock import utc_now
from app.core.database import Database, Transaction, among
from app.core.settings import Settings
from app.core.worker_database import worker_database
from app.demo.items import WORLD, DemoItem
from app.demo.people import USERNAME
from app.demo.world import daily_prices, spelled_price
from app.identity.models import User
from app.portfolios.commands.holdings import add_holding
from app.portfolios.commands.portfolios import create_portfolio
from app.portfolios.commands.record_trade import record_trade
from app.portfolios.commands.stores import add_store
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import CostBasisMethod, Portfolio, SharedPart, TradeKind, Visibility
from app.portfolios.new_trades import NewTrade

STORE = "Harbour Street Hobby"


@dataclass(frozen=True, slots=True)
class DemoTrade:
    """A trade so many days ago, at the market price of the day."""

    kind: TradeKind
    days_ago: int
    quantity: str


@dataclass(frozen=True, slots=True)
class DemoHolding:
    """An item of the world by its slug, what is kept of it, and its trades; `is_from_store` names the demo's store."""

    slug: str
    trades: Sequence[DemoTrade]
    details: Mapping[str, Any] = field(default_factory=dict)
    is_from_store: bool = False


@dataclass(frozen=True, slots=True)
class DemoPortfolio:
    """What is said of a portfolio, and what is in it."""

    said: Mapping[str, Any]
    holdings: Sequence[DemoHolding]


def _bought(days_ago: int, quantity: str) -> DemoTrade:
    return DemoTrade(TradeKind.BUY, days_ago, quantity)


def _sold(days_ago: int, quantity: str) -> DemoTrade:
    return DemoTrade(TradeKind.SELL, days_ago, quantity)


PORTFOLIOS = (
    DemoPortfolio(
        {"name": "Coins and skins", "base_currency": "USD", "method": CostBasisMethod.FIFO},
        (
            DemoHolding("demo-harbourcoin", (_bought(330, "0.5"), _bought(120, "0.25"), _sold(30, "0.6"))),
            DemoHolding("demo-lanternium", (_bought(200, "3.25"),)),
            DemoHolding("demo-pennywhistle", (_bought(90, "12000"), _sold(10, "2000"))),
            DemoHolding(
                "demo-folding-knife-moonwater-factory-new",
                (_bought(64, "1"),),
                {"float_value": Decimal("0.0123456789"), "pattern": 387},
            ),
            DemoHolding("demo-longbow-rifle-northern-line-battle-scarred", (_bought(310, "2"), _sold(45, "1"))),
        ),
    ),
    DemoPortfolio(
        {
            "name": "The shelf",
            "description": "Cards and figures, for everybody to look at.",
            "base_currency": "EUR",
            "method": CostBasisMethod.AVERAGE,
            "visibility": Visibility.PUBLIC,
            "shared_parts": [SharedPart.DETAILS, SharedPart.VALUES],
        },
        (
            DemoHolding(
                "demo-keeper-of-the-ninth-lamp-tw1-001",
                (_bought(280, "1"),),
                {"condition": "near mint", "grade": Decimal("9.5"), "grader": "PSA", "place": "Safe"},
            ),
            DemoHolding("demo-second-moon-rising-tw2-004", (_bought(260, "4"), _bought(75, "2"), _sold(21, "3"))),
            DemoHolding(
                "demo-captain-maru-storm-coat-1-7", (_bought(150, "1"),), {"place": "Glass cabinet"}, is_from_store=True
            ),
            DemoHolding("demo-clockwork-owl-1-12", (_bought(40, "1"),), {"notes": "A present for Ren."}),
        ),
    ),
)


def load_portfolios(settings: Settings) -> None:
    """Give the demo person what they own, in the services of these settings; where they own something, nothing."""

    async def load() -> None:
        async with worker_database(settings, application_name="trove-demo") as database:
            await load_portfolios_into(database, now=utc_now())

    asyncio.run(load())


async def load_portfolios_into(database: Database, *, now: datetime) -> int:
    """Give the demo person their portfolios, unless they have one; how many there were to give.

    Where real exchange rates were imported that do not reach back far enough, what needs them is left out.
    """
    async with database.transaction() as transaction:
        owner_id = await transaction.connection.scalar(select(User.id).where(func.lower(User.username) == USERNAME))
        if owner_id is None or await transaction.connection.scalar(
            select(exists().where(Portfolio.owner_id == owner_id))
        ):
            return 0
    given = 0
    for portfolio in PORTFOLIOS:
        try:
            async with database.transaction() as transaction:
                await _load(transaction, portfolio, owner_id, now)
        except PortfolioRefused as refusal:
            if refusal.reason is not PortfolioErrorCode.NO_EXCHANGE_RATE:
                raise
        else:
            given += 1
    return given


async def _load(transaction: Transaction, portfolio: DemoPortfolio, owner_id: UUID, now: datetime) -> None:
    portfolio_id = await create_portfolio(transaction, portfolio.said, owner_id=owner_id)
    items = {demo.item.slug: demo for demo in WORLD}
    variants = await _variants(transaction, [holding.slug for holding in portfolio.holdings])
    for holding in portfolio.holdings:
        details = dict(holding.details)
        if holding.is_from_store:
            details["store_id"] = await add_store(transaction, owner_id=owner_id, name=STORE)
        holding_id = await add_holding(
            transaction,
            owner_id=owner_id,
            portfolio_id=portfolio_id,
            variant_id=variants[holding.slug],
            details=details,
        )
        for trade in holding.trades:
            said = _trade(items[holding.slug], trade, holding_id, now)
            await record_trade(transaction, said, owner_id=owner_id)


def _trade(demo: DemoItem, trade: DemoTrade, holding_id: UUID, now: datetime) -> NewTrade:
    at = now.astimezone(UTC) - timedelta(days=trade.days_ago)
    (of_day,) = daily_prices(demo, at.date(), days=1)
    return NewTrade(
        kind=trade.kind,
        occurred_at=at,
        quantity=Decimal(trade.quantity),
        price=Decimal(spelled_price(demo, of_day.price)),
        currency=demo.currency,
        holding_id=holding_id,
    )


async def _variants(transaction: Transaction, slugs: Sequence[str]) -> Mapping[str, UUID]:
    rows = await transaction.connection.execute(
        select(Item.slug, ItemVariant.id)
        .join(ItemVariant, ItemVariant.item_id == Item.id)
        .where(among(Item.slug, slugs), ItemVariant.is_default)
    )
    return {row.slug: row.id for row in rows}
