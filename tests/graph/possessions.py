"""People with portfolios, as they make and change them through the graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, select

from app.catalogue.models import Item, ItemVariant
from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.identity.viewer import Viewer
from app.portfolios.commands.record_trade import record_trade
from app.portfolios.models import TradeKind
from app.portfolios.new_trades import NewTrade
from app.prices.models import StoredExchangeRate
from tests.catalogue.builders import card, coin, saved
from tests.graph.conftest import Graph
from tests.identity.builders import add_person, session_of

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Collector:
    """Somebody who is signed in and asks the graph."""

    graph: Graph
    viewer: Viewer

    async def change(self, mutation: str, **input: Any) -> dict[str, Any]:
        """The payload of a mutation with every field that these tests look at."""
        kind = f"{mutation[0].upper()}{mutation[1:]}Input"
        query = f"mutation ($input: {kind}!) {{ {mutation}(input: $input) {{ {_SHOWN[mutation]} {_ERRORS} }} }}"
        data = await self.graph.ask(query, self.viewer, input=input)
        payload: dict[str, Any] = data[mutation]
        return payload

    async def done(self, mutation: str, **input: Any) -> Any:
        """What a mutation gives that is not refused."""
        payload = await self.change(mutation, **input)
        assert payload["userErrors"] == []
        return next(iter(payload.values()))

    async def refusal(self, mutation: str, **input: Any) -> tuple[str, list[str]]:
        """The code and the field of the one error of a mutation that gives nothing."""
        payload = await self.change(mutation, **input)
        (error,) = payload.pop("userErrors")
        assert set(payload.values()) == {None}
        return error["code"], error["field"]

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data of a query."""
        return await self.graph.ask(query, self.viewer, **variables)


_ERRORS = "userErrors { field code message }"
_PORTFOLIO = """
id name description baseCurrency method visibility sharedParts linkKey isDefault version
"""
_HOLDING = """
id position quantity archivedAt version variant { id }
details { condition grade grader serial floatValue pattern place acquiredOn notes store { id name } }
"""
_STORE = "id name slug url"
_SHOWN = {
    "createPortfolio": f"portfolio {{ {_PORTFOLIO} }}",
    "editPortfolio": f"portfolio {{ {_PORTFOLIO} }}",
    "renewPortfolioLink": f"portfolio {{ {_PORTFOLIO} }}",
    "deletePortfolio": "deletedId",
    "addHolding": f"holding {{ {_HOLDING} }}",
    "editHolding": f"holding {{ {_HOLDING} }}",
    "deleteHolding": "deletedId portfolio { id }",
    "addStore": f"store {{ {_STORE} }}",
    "editStore": f"store {{ {_STORE} }}",
    "removeStore": "deletedId",
}


async def collector(graph: Graph, database: Database, api_database: Database, username: str, **columns: Any) -> Any:
    """Somebody new with a session."""
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection, username=username, **columns)
    return Collector(graph, await session_of(api_database, user_id))


async def variants(database: Database) -> Sequence[str]:
    """The ids of the variants of a coin and a card, in this order."""
    await saved(database, coin("harbourcoin"), card("lighthouse"))
    async with database.transaction() as transaction:
        rows = await transaction.connection.scalars(
            select(ItemVariant.id).join(Item, Item.id == ItemVariant.item_id).order_by(Item.slug)
        )
        return [public_id(PublicIdTag.ITEM_VARIANT, key) for key in rows]


async def traded(
    database: Database, owner: Viewer, holding_id: Any, kind: TradeKind, quantity: str, price: str, **more: Any
) -> None:
    """Record a trade of a holding."""
    trade = NewTrade(
        kind=kind,
        occurred_at=more.pop("occurred_at", MONDAY),
        quantity=Decimal(quantity),
        price=Decimal(price),
        currency=more.pop("currency", "USD"),
        holding_id=holding_id,
        **more,
    )
    async with database.transaction() as transaction:
        await record_trade(transaction, trade, owner_id=owner.own_id)


async def rates(database: Database, *, on: date, **units_per_euro: str) -> None:
    """Rates of a day: how many units of each currency a euro bought."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(StoredExchangeRate),
            [
                {"currency": code, "rate_date": on, "units_per_eur": Decimal(units), "source": "ECB"}
                for code, units in units_per_euro.items()
            ],
        )
