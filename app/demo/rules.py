"""What the demo person wants to be told of: a coin that crosses a level, boxes that arrive, a portfolio that loses.

The feed moves the coin, so that there is something to tell within moments.
"""

import asyncio
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import exists, func, select

from app.alerts.commands.rules import create_rule, edit_rule
from app.alerts.given import Target
from app.alerts.models import Condition, Rule, RuleTarget, Severity
from app.catalogue.models import Item
from app.core.clock import utc_now
from app.core.database import Database, Transaction
from app.core.settings import Settings
from app.core.worker_database import worker_database
from app.demo.items import WORLD
from app.demo.people import USERNAME
from app.demo.portfolios import PORTFOLIOS
from app.demo.trackers import CLIENT
from app.demo.world import daily_prices, spelled_price
from app.identity.models import User
from app.portfolios.models import Portfolio
from app.prices.models import PriceKind
from app.trackers.models import Client, Membership, ProductionRun

COIN = next(demo for demo in WORLD if demo.item.slug == "demo-harbourcoin")
# The feed crosses the level again and again.
QUIET_FOR = timedelta(minutes=5)
LEVEL_NOTES = "Harbourcoin crosses its price of today. The demo's feed moves it."
ARRIVAL: dict[str, Any] = {
    "condition": Condition.DELIVERED,
    "notes": "A box has arrived. Send a report of where one is to see it.",
}
LOSS: dict[str, Any] = {
    "condition": Condition.CROSSES_BELOW,
    "threshold": Decimal(10_000),
    "severity": Severity.WARNING,
    "notes": "The portfolio is worth less than ten thousand.",
}


def load_rules(settings: Settings) -> None:
    """Give the demo person their rules, in the services of these settings; where they have any, none."""

    async def load() -> None:
        async with worker_database(settings, application_name="trove-demo") as database:
            await load_rules_into(database, now=utc_now())

    asyncio.run(load())


async def load_rules_into(database: Database, *, now: datetime) -> int:
    """Give the demo person rules over what they have, unless they have any; how many there were to give.

    A level that was given on another day becomes the price of today, since the feed begins there.
    """
    async with database.transaction() as transaction:
        connection = transaction.connection
        owner_id = await connection.scalar(select(User.id).where(func.lower(User.username) == USERNAME))
        if owner_id is None:
            return 0
        if await connection.scalar(select(exists().where(Rule.owner_id == owner_id))):
            await _move_level(transaction, owner_id, now)
            return 0
        rules = [
            (Target(kind, key), given)
            for kind, key, given in (
                (RuleTarget.ITEM, await _coin(transaction), _level(now)),
                (RuleTarget.PRODUCTION_RUN, await _production_run(transaction, owner_id), ARRIVAL),
                (RuleTarget.PORTFOLIO, await _portfolio(transaction, owner_id), LOSS),
            )
            if key is not None
        ]
        for target, given in rules:
            await create_rule(transaction, target, given, owner_id=owner_id)
        return len(rules)


def _level(now: datetime) -> dict[str, Any]:
    (today,) = daily_prices(COIN, now.astimezone(UTC).date(), days=1)
    return {
        "condition": Condition.CROSSES_LEVEL,
        "threshold": Decimal(spelled_price(COIN, today.price)),
        "currency": COIN.currency,
        "price_kind": PriceKind.MARKET,
        "cooldown": QUIET_FOR,
        "notes": LEVEL_NOTES,
    }


async def _move_level(transaction: Transaction, owner_id: UUID, now: datetime) -> None:
    level = _level(now)
    given = select(Rule.id).where(
        Rule.owner_id == owner_id,
        Rule.condition == Condition.CROSSES_LEVEL.value,
        Rule.notes == LEVEL_NOTES,
        Rule.expires_at.is_(None),
        Rule.updated_at < datetime.combine(now.astimezone(UTC), time(), UTC),
    )
    for rule_id in (await transaction.connection.scalars(given)).all():
        await edit_rule(transaction, rule_id, {"threshold": level["threshold"]}, owner_id=owner_id)


async def _coin(transaction: Transaction) -> UUID | None:
    key: UUID | None = await transaction.connection.scalar(select(Item.id).where(Item.slug == COIN.item.slug))
    return key


async def _production_run(transaction: Transaction, owner_id: UUID) -> UUID | None:
    key: UUID | None = await transaction.connection.scalar(
        select(ProductionRun.id)
        .join(Client, Client.id == ProductionRun.client_id)
        .join(Membership, Membership.client_id == Client.id)
        .where(Membership.user_id == owner_id, Client.name == CLIENT)
        .limit(1)
    )
    return key


async def _portfolio(transaction: Transaction, owner_id: UUID) -> UUID | None:
    name = PORTFOLIOS[0].said["name"]
    key: UUID | None = await transaction.connection.scalar(
        select(Portfolio.id).where(Portfolio.owner_id == owner_id, Portfolio.name == name).limit(1)
    )
    return key
