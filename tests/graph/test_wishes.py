"""Watchlists, wants and preorders through the graph, as their owners and as nobody else."""

import asyncio
from dataclasses import replace
from datetime import date
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import insert, update

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.identity.scopes import Scope
from app.identity.viewer import Viewer
from app.portfolios.models import Holding
from tests.graph.conftest import Graph
from tests.identity.builders import session_of
from tests.portfolios.wishes_builders import Scene, rate, scene_of

ERRORS = "userErrors { field code message }"
LISTS = """
{ viewer { watchlists { nodes { name isDefault version items(first: 10) { totalCount nodes {
    notes position item { name slug price { amount } } variant { key } watchlist { name }
} } } } } }
"""
WANTS = """
query ($filter: WantFilter) { viewer { wants(filter: $filter) { totalCount nodes {
    id priority isFulfilled minimumCondition maximumPrice { amount currency } item { slug } variant { key }
} } } }
"""
PREORDER = """
id status nextStates slipDays version price { amount currency } balance { amount } loss { amount currency }
deposit { amount } refund { amount } release { date precision } originalRelease { date precision }
steps { previousStatus status note } slips { previousRelease { date } newRelease { date precision } source }
item { slug } trade { price { amount } holding { quantity variant { item { slug } } } }
"""
DUE = """
{ viewer { preordersDue(currency: EUR) {
    month amount { amount currency } count isPartial announcedAmount { amount } announcedCount isAnnouncedPartial
} } }
"""
SLIPS = "{ viewer { preorderSlips { manufacturer { name } sampleCount medianDays p80Days isReliable } } }"


def _mutation(name: str, payload: str) -> str:
    kind = f"{name[0].upper()}{name[1:]}Input"
    return f"mutation ($input: {kind}!) {{ {name}(input: $input) {{ {payload} {ERRORS} }} }}"


class Asker:
    """Somebody who asks the graph for what is theirs."""

    def __init__(self, graph: Graph, viewer: Viewer) -> None:
        self.graph = graph
        self.viewer = viewer

    async def do(self, name: str, payload: str = "__typename", /, **given: Any) -> Any:
        """The payload of a mutation that is done."""
        done = (await self.graph.ask(_mutation(name, payload), self.viewer, input=given))[name]
        assert done["userErrors"] == []
        return done

    async def refused(self, name: str, /, **given: Any) -> tuple[str, list[str]]:
        """Why a mutation is refused, and where."""
        done = (await self.graph.ask(_mutation(name, "__typename"), self.viewer, input=given))[name]
        (error,) = done["userErrors"]
        assert error["message"]
        return error["code"], error["field"]

    async def ask(self, query: str, **variables: Any) -> Any:
        """What is below `viewer`."""
        return (await self.graph.ask(query, self.viewer, **variables))["viewer"]


@pytest.fixture
async def scene(database: Database) -> Scene:
    """Two people and a catalogue."""
    return await scene_of(database)


@pytest.fixture
async def ada(graph: Graph, scene: Scene, api_database: Database) -> Asker:
    """Ada, signed in."""
    return Asker(graph, await session_of(api_database, scene.ada))


@pytest.fixture
async def bob(graph: Graph, scene: Scene, api_database: Database) -> Asker:
    """Bob, signed in."""
    return Asker(graph, await session_of(api_database, scene.bob))


def item(scene: Scene, slug: str) -> str:
    """The id of an item."""
    return public_id(PublicIdTag.ITEM, scene.items[slug])


def variant(scene: Scene, slug: str, key: str = "default") -> str:
    """The id of a variant."""
    return public_id(PublicIdTag.ITEM_VARIANT, scene.variant(slug, key))


async def test_a_watchlist_is_made_filled_ordered_and_emptied(ada: Asker, bob: Asker, scene: Scene) -> None:
    made = await ada.do("createWatchlist", "watchlist { id isDefault version }", name="Shelf")
    list_id = made["watchlist"]["id"]
    assert made["watchlist"] == {"id": list_id, "isDefault": True, "version": 1}
    entry = "item { id }"
    first = (await ada.do("addToWatchlist", entry, itemId=item(scene, "keeper"), notes="Blue base"))["item"]["id"]
    foil = variant(scene, "lantern-old", "foil")
    second = (await ada.do("addToWatchlist", entry, watchlistId=list_id, variantId=foil))["item"]["id"]
    third = (await ada.do("addToWatchlist", entry, itemId=item(scene, "heron")))["item"]["id"]
    moved = await ada.do("moveWatchlistItem", "watchlist { version } item { position }", id=third, beforeId=first)
    assert moved["item"]["position"] == 0
    version = moved["watchlist"]["version"]
    order = [second, first, third]
    await ada.do("reorderWatchlist", id=list_id, itemIds=order, expectedVersion=version)
    late = await ada.refused("reorderWatchlist", id=list_id, itemIds=order, expectedVersion=version)
    assert late == ("CONFLICT", ["input", "expectedVersion"])
    await ada.do("editWatchlistItem", "item { notes variant { key } }", id=second, notes="Signed", variantId=None)
    (shown,) = (await ada.ask(LISTS))["watchlists"]["nodes"]
    assert (shown["name"], shown["items"]["totalCount"]) == ("Shelf", 3)
    assert [(row["item"]["slug"], row["notes"], row["variant"]) for row in shown["items"]["nodes"]] == [
        ("lantern-old", "Signed", None),
        ("keeper", "Blue base", None),
        ("heron", None, None),
    ]
    removed = await ada.do("removeFromWatchlist", "deletedId watchlist { items { totalCount } }", id=first)
    assert removed["deletedId"] == first
    assert removed["watchlist"]["items"]["totalCount"] == 2
    await ada.do("editWatchlist", id=list_id, name="Cabinet")
    assert (await bob.ask(LISTS))["watchlists"]["nodes"] == []
    assert await bob.refused("deleteWatchlist", id=list_id) == ("NOT_FOUND", ["input", "id"])
    assert (await ada.do("deleteWatchlist", "deletedId", id=list_id))["deletedId"] == list_id
    assert (await ada.ask(LISTS))["watchlists"]["nodes"] == []


async def test_a_token_for_portfolios_alone_reads_ones_own_wishes_and_nobody_elses(
    graph: Graph, ada: Asker, bob: Asker, scene: Scene
) -> None:
    for asker in (ada, bob):
        await asker.do("createWatchlist", name="Shelf")
        await asker.do("addWant", itemId=item(scene, "keeper"))
        await asker.do("addPreorder", itemId=item(scene, "keeper"))
        await asker.do("addStore", name="Corner shop")
    mine = """{
      watchlists { totalCount nodes { name } } wants { totalCount nodes { item { slug } } }
      preorders { totalCount nodes { item { slug } } } stores { totalCount nodes { name } }
    }"""
    alone = replace(ada.viewer, scopes=frozenset({Scope.PORTFOLIOS_READ}), is_session=False)
    assert await graph.ask(mine, alone) == {
        "watchlists": {"totalCount": 1, "nodes": [{"name": "Shelf"}]},
        "wants": {"totalCount": 1, "nodes": [{"item": {"slug": "keeper"}}]},
        "preorders": {"totalCount": 1, "nodes": [{"item": {"slug": "keeper"}}]},
        "stores": {"totalCount": 1, "nodes": [{"name": "Corner shop"}]},
    }


async def test_a_page_of_watchlists_is_one_compiled_statement(
    graph: Graph, ada: Asker, scene: Scene, api_database: Database
) -> None:
    await ada.do("createWatchlist", name="Shelf")
    await ada.do("addToWatchlist", itemId=item(scene, "keeper"))
    response = await graph.respond(LISTS, ada.viewer)
    assert response["extensions"]["trove"]["path"] == "compiled"
    wants = await graph.respond(WANTS, ada.viewer)
    assert wants["extensions"]["trove"]["path"] == "compiled"


async def test_watchlists_refuse_what_they_cannot_hold(ada: Asker, scene: Scene) -> None:
    nothing = await ada.refused("addToWatchlist", itemId=item(scene, "keeper"))
    assert nothing == ("NOT_FOUND", ["input", "watchlistId"])
    list_id = (await ada.do("createWatchlist", "watchlist { id }", name="Shelf"))["watchlist"]["id"]
    assert await ada.refused("createWatchlist", name=" Shelf ") == ("NAME_TAKEN", ["input", "name"])
    await ada.do("addToWatchlist", itemId=item(scene, "keeper"))
    again = await ada.refused("addToWatchlist", itemId=item(scene, "keeper"))
    assert again == ("ALREADY_LISTED", ["input", "itemId"])
    many = [public_id(PublicIdTag.WATCHLIST_ITEM, new_id()) for _ in range(251)]
    assert await ada.refused("reorderWatchlist", id=list_id, itemIds=many) == ("INVALID_INPUT", ["input", "itemIds"])
    garbage = await ada.refused("reorderWatchlist", id=list_id, itemIds=["garbage"])
    assert garbage == ("NOT_FOUND", ["input", "itemIds", "0"])
    other = await ada.refused("addToWatchlist", itemId=variant(scene, "keeper"))
    assert other == ("NOT_FOUND", ["input", "itemId"])


async def test_what_i_own_disappears_from_what_i_want_until_it_is_sold(
    ada: Asker, bob: Asker, scene: Scene, database: Database
) -> None:
    wanted = await ada.do(
        "addWant",
        "want { id isFulfilled }",
        itemId=item(scene, "lantern-old"),
        acceptsAnyPrint=True,
        minimumCondition="GOOD",
        maximumPrice="12.50",
        currency="EUR",
        priority=7,
    )
    await ada.do("addWant", itemId=item(scene, "heron"), priority=9)
    shown = (await ada.ask(WANTS))["wants"]
    assert [(row["item"]["slug"], row["priority"]) for row in shown["nodes"]] == [("heron", 9), ("lantern-old", 7)]
    assert shown["nodes"][1]["maximumPrice"] == {"amount": "12.50", "currency": "EUR"}
    assert shown["nodes"][1]["minimumCondition"] == "GOOD"
    holding = new_id()
    names = {"owner_id": scene.ada, "portfolio_id": scene.portfolio_id, "position": 0, "quantity": 1}
    async with database.transaction() as transaction:
        held = insert(Holding).values(id=holding, variant_id=scene.variant("lantern-new"), **names)
        await transaction.connection.execute(held)
    # Its condition is not known, and one is asked for.
    assert (await ada.ask(WANTS))["wants"]["totalCount"] == 2
    want_id = wanted["want"]["id"]
    assert (await ada.do("editWant", "want { isFulfilled }", id=want_id, minimumCondition=None))["want"]["isFulfilled"]
    for wanted_filter, slugs in (
        (None, ["heron"]),
        ({}, ["heron"]),
        ({"isFulfilled": False}, ["heron"]),
        ({"isFulfilled": True}, ["lantern-old"]),
        ({"isFulfilled": None}, ["heron", "lantern-old"]),
    ):
        shown = (await ada.ask(WANTS, filter=wanted_filter))["wants"]
        assert [row["item"]["slug"] for row in shown["nodes"]] == slugs, wanted_filter
        assert shown["totalCount"] == len(slugs)
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Holding).where(Holding.id == holding).values(quantity=0))
    assert (await ada.ask(WANTS))["wants"]["totalCount"] == 2
    assert (await bob.ask(WANTS, filter={"isFulfilled": None}))["wants"]["nodes"] == []
    assert await bob.refused("removeWant", id=want_id) == ("NOT_FOUND", ["input", "id"])


async def test_a_want_comes_back_with_its_id_and_is_not_found_in_between(
    graph: Graph, ada: Asker, scene: Scene
) -> None:
    keeper = item(scene, "keeper")
    want_id = (await ada.do("addWant", "want { id }", itemId=keeper))["want"]["id"]
    assert await ada.refused("addWant", itemId=keeper) == ("ALREADY_LISTED", ["input", "variantId"])
    node = "query ($id: ID!) { node(id: $id) { id } }"
    assert (await graph.ask(node, ada.viewer, id=want_id))["node"] == {"id": want_id}
    assert (await ada.do("removeWant", "deletedId", id=want_id))["deletedId"] == want_id
    assert (await graph.ask(node, ada.viewer, id=want_id))["node"] is None
    assert (await ada.do("addWant", "want { id version }", itemId=keeper))["want"] == {"id": want_id, "version": 3}
    for given, field in (
        ({"maximumPrice": "1." + "3" * 39, "currency": "EUR"}, "maximumPrice"),
        ({"maximumPrice": "1"}, "currency"),
        ({"priority": 11}, "priority"),
    ):
        assert await ada.refused("editWant", id=want_id, **given) == ("INVALID_INPUT", ["input", field])
    assert await ada.refused("editWant", id=want_id, priority=1, expectedVersion=1) == (
        "CONFLICT",
        ["input", "expectedVersion"],
    )


async def test_wishes_sent_twice_under_one_key_are_made_once(ada: Asker, scene: Scene) -> None:
    """Also at once, and anew once they are gone; another wish under the key is refused."""
    keeper = item(scene, "keeper")
    first = await ada.do("createWatchlist", "watchlist { id }", name="Shelf", idempotencyKey="list")
    assert await ada.do("createWatchlist", "watchlist { id }", name="Shelf", idempotencyKey="list") == first
    for mutation, shown, given in (
        ("addToWatchlist", "watchlist { version } item { id }", {"itemId": keeper, "notes": "Soon"}),
        ("addWant", "want { id version }", {"itemId": keeper, "priority": 3}),
    ):
        given |= {"idempotencyKey": mutation}
        both = await asyncio.gather(*(ada.do(mutation, shown, **given) for _ in range(2)))
        assert both[0] == both[1] == await ada.do(mutation, shown, **given)
        assert await ada.refused(mutation, **given | {"notes": "Later"}) == (
            "IDEMPOTENCY_KEY_REUSED",
            ["input", "idempotencyKey"],
        )
        made = both[0].get("item") or both[0]["want"]
        await ada.do("removeFromWatchlist" if "item" in both[0] else "removeWant", "deletedId", id=made["id"])
        again = await ada.do(mutation, shown, **given)
        assert await ada.do(mutation, shown, **given) == again
        # A want that was removed comes back with the id that it had.
        assert (again.get("item") or again["want"])["id"] == made["id"] or mutation == "addToWatchlist"
    counted = "{ viewer { watchlists { totalCount nodes { items { totalCount } } } wants { totalCount } } }"
    assert await ada.ask(counted) == {
        "watchlists": {"totalCount": 1, "nodes": [{"items": {"totalCount": 1}}]},
        "wants": {"totalCount": 1},
    }


async def test_a_preorder_slips_and_arrives_in_a_portfolio(ada: Asker, bob: Asker, scene: Scene) -> None:
    shown = f"preorder {{ {PREORDER} }}"
    given = {
        "itemId": item(scene, "keeper"),
        "portfolioId": public_id(PublicIdTag.PORTFOLIO, scene.portfolio_id),
        "price": "120.00",
        "currency": "EUR",
        "shipping": "12.00",
        "deposit": "30.00",
        "release": {"month": "2026-03"},
        "idempotencyKey": "once",
    }
    made = (await ada.do("addPreorder", shown, **given))["preorder"]
    assert (await ada.do("addPreorder", shown, **given))["preorder"] == made
    assert made["status"] == "PREORDERED"
    assert made["nextStates"] == ["IN_PRODUCTION", "RELEASED", "SHIPPED", "CANCELLED"]
    assert (made["balance"]["amount"], made["loss"], made["slipDays"]) == ("102.00", None, 0)
    own = {"id": made["id"]}
    put_off = await ada.do("reschedulePreorder", shown, release={"day": "2026-05-20"}, source="The shop", **own)
    assert put_off["preorder"]["slipDays"] == 61
    assert put_off["preorder"]["originalRelease"] == {"date": "2026-03-01", "precision": "MONTH"}
    assert put_off["preorder"]["slips"] == [
        {
            "previousRelease": {"date": "2026-03-01"},
            "newRelease": {"date": "2026-05-20", "precision": "DAY"},
            "source": "The shop",
        }
    ]
    assert await ada.refused("movePreorder", status="OPEN", **own) == ("ILLEGAL_STATE", ["input", "status"])
    assert await ada.refused("movePreorder", status="RECEIVED", **own) == ("ILLEGAL_STATE", ["input", "status"])
    cancelled = await ada.do("movePreorder", shown, status="CANCELLED", refund="10.00", note="Too late", **own)
    assert cancelled["preorder"]["loss"] == {"amount": "20.00", "currency": "EUR"}
    assert cancelled["preorder"]["balance"] == {"amount": "112.00"}
    await ada.do("movePreorder", status="PREORDERED", **own)
    sent = await ada.do("movePreorder", shown, status="SHIPPED", estimatedDeliveryDays=3, **own)
    assert (sent["preorder"]["loss"], sent["preorder"]["balance"]) == (None, {"amount": "0"})
    assert await bob.refused("receivePreorder", **own) == ("NOT_FOUND", ["input", "id"])
    arrived = await ada.do("receivePreorder", f"trade {{ id }} {shown}", **own)
    assert (arrived["preorder"]["nextStates"], arrived["preorder"]["balance"]) == ([], {"amount": "0"})
    assert arrived["preorder"]["trade"] == {
        "price": {"amount": "120.00"},
        "holding": {"quantity": "1", "variant": {"item": {"slug": "keeper"}}},
    }
    assert [step["status"] for step in arrived["preorder"]["steps"]] == [
        "PREORDERED",
        "CANCELLED",
        "PREORDERED",
        "SHIPPED",
        "RECEIVED",
    ]
    listed = "{ viewer { preorders(filter: {statuses: [RECEIVED]}) { totalCount nodes { id } } } }"
    assert (await ada.ask(listed))["preorders"]["totalCount"] == 1
    assert (await bob.ask(listed))["preorders"]["totalCount"] == 0
    assert (await ada.do("deletePreorder", "deletedId", **own))["deletedId"] == made["id"]


async def test_preorders_refuse_what_cannot_be(ada: Asker, scene: Scene) -> None:
    keeper = {"itemId": item(scene, "keeper")}
    for given, code, field in (
        ({"price": "1." + "3" * 39, "currency": "EUR"}, "INVALID_INPUT", ["price"]),
        ({"price": "10", "currency": "EUR", "deposit": "10.01"}, "INVALID_INPUT", ["deposit"]),
        ({"release": {"month": "March"}}, "INVALID_INPUT", ["release", "month"]),
        ({"release": {"day": "2201-01-01"}}, "INVALID_INPUT", ["release", "day"]),
        ({"status": "RECEIVED"}, "INVALID_INPUT", ["status"]),
        ({"storeId": public_id(PublicIdTag.STORE, new_id())}, "NOT_FOUND", ["storeId"]),
        ({"portfolioId": "garbage"}, "NOT_FOUND", ["portfolioId"]),
        (
            {
                "price": "1",
                "currency": "JPY",
                "portfolioId": public_id(PublicIdTag.PORTFOLIO, scene.portfolio_id),
            },
            "NO_EXCHANGE_RATE",
            ["currency"],
        ),
    ):
        assert await ada.refused("addPreorder", **keeper, **given) == (code, ["input", *field]), given
    wrong = await ada.graph.refusal(
        _mutation("addPreorder", "__typename"), ada.viewer, input=keeper | {"price": "NaN", "currency": "EUR"}
    )
    assert wrong["extensions"]["code"] in {"BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"}


async def test_an_empty_id_is_of_nothing_and_not_left_out(ada: Asker, scene: Scene) -> None:
    keeper = item(scene, "keeper")
    assert await ada.refused("addWant", itemId=keeper, variantId="") == ("NOT_FOUND", ["input", "variantId"])
    given = {"itemId": keeper, "status": "SHIPPED", "price": "1", "currency": "EUR"}
    preorder = (await ada.do("addPreorder", "preorder { id }", **given))["preorder"]["id"]
    for field in ("portfolioId", "holdingId"):
        refused = await ada.refused("receivePreorder", id=preorder, **{field: ""})
        assert refused == ("NOT_FOUND", ["input", field])


async def test_what_falls_due_is_told_by_month_as_announced_and_as_makers_are_late(
    ada: Asker, bob: Asker, scene: Scene, database: Database
) -> None:
    # As of 2026-03-10. Of Hollow Pine four figures slipped by 0, 31, 61 and 90 days: four of five by 90 at most.
    now = utc_now().replace(year=2026, month=3, day=10)
    async with database.transaction() as transaction:
        await rate(transaction.connection, "JPY", "160", date(2026, 3, 6))
    euros = {"currency": "EUR", "itemId": item(scene, "keeper")}
    for original, release, price, status in (
        ("2026-03", "2026-03", "100.00", "PREORDERED"),
        ("2026-01", "2026-02", "50.00", "RELEASED"),
        ("2026-03", "2026-05", "70.00", "IN_PRODUCTION"),
        ("2025-12", "2026-03", "40.00", "SHIPPED"),
    ):
        dates = {"originalRelease": {"month": original}, "release": {"month": release}}
        await ada.do("addPreorder", price=price, status=status, **dates, **euros)
    heron = {"itemId": item(scene, "heron"), "release": {"day": "2026-06-30"}}
    await ada.do("addPreorder", price="16000", currency="JPY", shipping="1600", deposit="8000", **heron)
    await ada.do("addPreorder", price="10", currency="CHF", **heron)
    await ada.do("addPreorder", price="5", **(euros | {"itemId": item(scene, "warden")}))
    slips = (await ada.ask(SLIPS))["preorderSlips"]
    # What keyed rows lead to takes arguments of its own.
    figures = "figures(first: 1) { nodes { price(currency: EUR) { amount } } }"
    prices = (await ada.ask(f"{{ viewer {{ preorderSlips {{ manufacturer {{ {figures} }} }} }} }}"))["preorderSlips"]
    assert [len(one["manufacturer"]["figures"]["nodes"]) for one in prices] == [1, 1]
    assert slips == [
        {
            "manufacturer": {"name": "Grey Quay"},
            "sampleCount": 2,
            "medianDays": "0",
            "p80Days": 0,
            "isReliable": False,
        },
        {
            "manufacturer": {"name": "Hollow Pine"},
            "sampleCount": 4,
            "medianDays": "46",
            "p80Days": 90,
            "isReliable": True,
        },
    ]
    with patch("tests.graph.conftest.utc_now", lambda: now):
        due = (await ada.ask(DUE))["preordersDue"]
        assert (await bob.ask(DUE))["preordersDue"] == []
    told = {
        row["month"]: (
            (row["amount"] or {}).get("amount"),
            row["count"],
            row["isPartial"],
            (row["announcedAmount"] or {}).get("amount"),
            row["announcedCount"],
            row["isAnnouncedPartial"],
        )
        for row in due
    }
    assert told == {
        # Released and not paid: expected now.
        "2026-02-01": ("0", 0, False, "50", 1, False),
        "2026-03-01": ("50", 1, False, "100", 1, False),
        "2026-05-01": ("0", 0, False, "70", 1, False),
        # The one that has not slipped yet, and what is left of the slip of the other.
        "2026-06-01": ("230", 4, True, "60", 2, True),
        None: ("5", 1, False, "5", 1, False),
    }
    assert list(told)[-1] is None
