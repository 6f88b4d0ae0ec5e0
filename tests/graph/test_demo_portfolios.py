"""The demo person owns something, as a stranger and they themselves see it; and gets it once."""

from decimal import Decimal

import pytest
from sqlalchemy import select

from app.catalogue.commands.save_items import save_items
from app.core.clock import utc_now
from app.core.database import Database
from app.demo.items import WORLD
from app.demo.people import USERNAME, demo_token_in
from app.demo.portfolios import load_portfolios_into
from app.demo.world import load_rates
from app.graph.examples import OWNED
from app.identity.models import User
from app.identity.scopes import OWN
from app.identity.viewer import Viewer
from app.portfolios.models import Portfolio
from tests.graph.conftest import Graph
from tests.graph.possessions import rates

SHELF = """
query ($username: String!) {
  user(username: $username) {
    sharedPortfolios { nodes { name holdings { nodes { condition quantity valuedQuantity } } } }
  }
}
"""


@pytest.fixture
async def things(database: Database) -> None:
    """The items and the exchange rates of the demo world."""
    async with database.transaction() as transaction:
        await save_items(transaction, [demo.item for demo in WORLD])
        await load_rates(transaction, now=utc_now())


@pytest.mark.usefixtures("things")
async def test_the_demo_person_owns_two_portfolios_and_is_given_them_once(database: Database, graph: Graph) -> None:
    assert await load_portfolios_into(database, now=utc_now()) == 0
    await demo_token_in(database, "")
    now = utc_now()
    assert [await load_portfolios_into(database, now=now) for _ in range(2)] == [2, 0]
    async with database.transaction() as transaction:
        user_id = await transaction.connection.scalar(select(User.id).where(User.username == USERNAME))
    owned = await graph.ask(OWNED, Viewer(user_id=user_id, scopes=OWN))
    coins, shelf = owned["portfolios"]["nodes"]
    assert (coins["name"], coins["holdings"]["totalCount"]) == ("Coins and skins", 5)
    assert [holding["quantity"] for holding in coins["holdings"]["nodes"]] == ["0.15", "3.25", "10000", "1", "1"]
    assert [holding["quantity"] for holding in shelf["holdings"]["nodes"]] == ["1", "3", "1", "1"]
    assert all(Decimal(holding["cost"]["amount"]) > 0 for holding in shelf["holdings"]["nodes"])
    (public,) = (await graph.ask(SHELF, username=USERNAME))["user"]["sharedPortfolios"]["nodes"]
    assert public["name"] == "The shelf"
    assert public["holdings"]["nodes"][0] == {"condition": "near mint", "quantity": None, "valuedQuantity": "1"}


async def test_without_rates_of_those_days_what_needs_them_is_left_out(database: Database) -> None:
    await rates(database, on=utc_now().date(), USD="1.1", JPY="162")
    async with database.transaction() as transaction:
        await save_items(transaction, [demo.item for demo in WORLD])
    await demo_token_in(database, "")
    assert await load_portfolios_into(database, now=utc_now()) == 1
    async with database.transaction() as transaction:
        names = await transaction.connection.scalars(select(Portfolio.name))
        assert names.all() == ["Coins and skins"]
