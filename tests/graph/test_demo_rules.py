"""The demo person has three rules, is given them once, and is told of the coin as soon as the feed moves it."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from app.alerts.models import Rule
from app.catalogue.commands.save_items import save_items
from app.core.clock import utc_now
from app.core.database import Database
from app.demo.items import WORLD
from app.demo.people import USERNAME, demo_token_in
from app.demo.portfolios import load_portfolios_into
from app.demo.rules import COIN, load_rules_into
from app.demo.trackers import load_trackers_into
from app.demo.world import MARKET, load_rates
from app.graph.examples import TOLD
from app.identity.models import User
from app.identity.scopes import OWN
from app.identity.viewer import Viewer
from app.ingestion.delivery import deliver
from app.ingestion.file_rows import CanonicalRow, in_batches
from app.ingestion.models import BatchKind
from app.notifications.commands.price_alerts import WATCHED_PRICE_BATCHES
from tests.graph.conftest import Graph
from tests.identity.builders import SECRETS


@pytest.fixture
async def demo_person(database: Database) -> Viewer:
    """The demo person with all that they have before there are rules."""
    now = utc_now()
    async with database.transaction() as transaction:
        await save_items(transaction, [demo.item for demo in WORLD])
        await load_rates(transaction, now=now)
    await demo_token_in(database, "")
    await load_portfolios_into(database, now=now)
    await load_trackers_into(database, SECRETS, now=now)
    async with database.transaction() as transaction:
        user_id = await transaction.connection.scalar(select(User.id).where(User.username == USERNAME))
    return Viewer(user_id=user_id, scopes=OWN)


async def send(database: Database, prices: Sequence[Decimal], *, until: datetime) -> None:
    """Prices of the coin, a second apart, as the feed sends them."""
    rows = [
        {
            "item": COIN.item.slug,
            "source": MARKET,
            "kind": "market",
            "currency": COIN.currency,
            "price": str(price),
            "observedAt": (until - timedelta(seconds=len(prices) - number)).isoformat(),
        }
        for number, price in enumerate(prices)
    ]
    batches = in_batches(CanonicalRow(number, orjson.dumps(row)) for number, row in enumerate(rows, 1))
    await deliver(database, WATCHED_PRICE_BATCHES, kind=BatchKind.PRICE_POINTS, batches=batches)


async def level_of(database: Database) -> Decimal:
    """The threshold of the rule over the coin."""
    async with database.transaction() as transaction:
        level = await transaction.connection.scalar(select(Rule.threshold).where(Rule.condition == "crosses_level"))
    assert level is not None
    return level


async def test_without_a_demo_person_there_is_nobody_to_tell(database: Database) -> None:
    assert await load_rules_into(database, now=utc_now()) == 0


async def test_the_example_shows_the_rules_and_what_the_moving_coin_made_them_tell(
    graph: Graph, database: Database, demo_person: Viewer
) -> None:
    now = utc_now()
    assert [await load_rules_into(database, now=now) for _ in range(2)] == [3, 0]
    level = await level_of(database)
    await send(database, [level], until=now)
    before: dict[str, Any] = await graph.ask(TOLD, demo_person)
    coin, boxes, portfolio = before["alertRules"]["nodes"]
    assert (coin["condition"], coin["item"]["name"], coin["state"]) == ("CROSSES_LEVEL", "Harbourcoin", "ARMED")
    assert (boxes["condition"], boxes["productionRun"]["description"]) == ("DELIVERED", "Lanterns, first batch")
    assert (portfolio["condition"], portfolio["portfolio"]["name"]) == ("CROSSES_BELOW", "Coins and skins")
    assert before["alerts"]["nodes"] == before["viewer"]["notifications"]["nodes"] == []

    await send(database, [level + 1, level - 1, level + 1], until=now + timedelta(seconds=10))
    after = await graph.ask(TOLD, demo_person)
    (alert,) = after["alerts"]["nodes"]
    assert (Decimal(alert["oldValue"]), Decimal(alert["newValue"])) == (level, level + 1)
    (told,) = after["viewer"]["notifications"]["nodes"]
    assert (told["title"], told["eventType"], told["isUnread"]) == (alert["title"], "PRICE", True)
    assert after["viewer"]["notificationCounts"]["unread"] == 1


async def test_on_another_day_the_level_is_that_of_the_day(database: Database, demo_person: Viewer) -> None:
    now = utc_now()
    await load_rules_into(database, now=now)
    first = await level_of(database)
    assert await load_rules_into(database, now=now + timedelta(days=3)) == 0
    assert await level_of(database) != first
