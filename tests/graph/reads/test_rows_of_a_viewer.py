"""Rows that PostgreSQL hides from a viewer are hidden on both paths, and what leads to them fails alike."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from itertools import islice
from random import Random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.catalogue.models import Item
from app.core.database import Database, DatabaseViewer, statement_of
from app.core.ids import PublicIdTag, public_id
from app.core.loaders import Loaders
from app.graph.context import Context
from app.graph.execution import Response
from app.graph.reads.plans import BoundPlan
from tests.graph.oracle.asking import Asked, resolvers_path, usual_path
from tests.graph.oracle.comparison import as_sent, compare, difference
from tests.graph.oracle.conftest import Stage
from tests.graph.oracle.property_documents import few_drawn_documents
from tests.graph.oracle.questions import questions
from tests.graph.oracle.storing import replace_world
from tests.graph.oracle.vocabulary import Vocabulary
from tests.graph.oracle.worlds import random_world
from tests.graph.reads.small_worlds import ITEM, VARIANT, key_of, world_of

VIEWER, ANOTHER = UUID(int=0xA11CE), UUID(int=0xB0B)
SEES_ITEM = """NOT EXISTS (
    SELECT FROM catalogue.hidden
    WHERE row = items.id AND viewer = nullif(current_setting('app.viewer_id', true), '')::uuid)"""
SEES_VARIANT = "EXISTS (SELECT FROM catalogue.items WHERE items.id = item_id)"
SEES_SERIES = "EXISTS (SELECT FROM catalogue.item_variants WHERE item_variants.id = variant_id)"
SEES_SOURCE = "current_setting('app.viewer_id', true) = '' OR current_setting('app.viewer_id', true) IS NULL OR id <> 1"
OF_ITEMS = {"catalogue.items": SEES_ITEM}
OF_ALL_BELOW = OF_ITEMS | {"catalogue.item_variants": SEES_VARIANT, "prices.price_series": SEES_SERIES}
WORLDS, DOCUMENTS_PER_WORLD = 3, 25


@asynccontextmanager
async def policies(owner: AsyncEngine, seen: Mapping[str, str]) -> AsyncIterator[None]:
    """Let the API see of these tables only what the conditions allow, for as long as the block goes on."""
    begin = ["CREATE TABLE catalogue.hidden (viewer uuid, row uuid)", "GRANT SELECT ON catalogue.hidden TO trove_api"]
    end = ["DROP TABLE catalogue.hidden CASCADE"]
    for table, condition in seen.items():
        begin += [f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"]
        begin += [f"CREATE POLICY of_viewer ON {table} FOR SELECT TO trove_api USING ({condition})"]
        end = [f"DROP POLICY of_viewer ON {table}", f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY", *end]
    await _run(owner, begin)
    try:
        yield
    finally:
        await _run(owner, end)


async def _run(owner: AsyncEngine, statements: Sequence[str], values: Sequence[dict[str, Any]] | None = None) -> None:
    async with owner.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement), values)


async def hide(owner: AsyncEngine, viewer: UUID, items: Sequence[UUID]) -> None:
    """Hide these items from a viewer."""
    await _run(owner, ["DELETE FROM catalogue.hidden"])
    if items:
        hidden = [{"viewer": viewer, "row": item} for item in items]
        await _run(owner, ["INSERT INTO catalogue.hidden VALUES (:viewer, :row)"], hidden)


def look_as(monkeypatch: pytest.MonkeyPatch, viewer: UUID | None) -> None:
    """Let every operation be one of this viewer."""

    def begin(self: Context) -> None:
        self.snapshot = self.resources.database.snapshot(viewer=None if viewer is None else DatabaseViewer(viewer))
        self.loaders = Loaders(self.snapshot)

    monkeypatch.setattr(Context, "_begin", begin)


@pytest.fixture
async def first_is_hidden(stage: Stage) -> AsyncIterator[None]:
    """Three items, the first of which VIEWER does not see; what belongs to it stays visible."""
    await replace_world(stage.owner, world_of(3))
    stage.stop_clock(world_of(0).now)
    async with policies(stage.owner, OF_ITEMS):
        await hide(stage.owner, VIEWER, [key_of(ITEM, 0)])
        yield


SLUGS = statement_of(select(Item.slug).order_by(Item.slug))
ALL, VISIBLE = ["coin-0", "coin-1", "coin-2"], ["coin-1", "coin-2"]


async def _slugs(database: Database, viewer: UUID | None, *, is_only_one: bool) -> list[str]:
    snapshot = database.snapshot(viewer=None if viewer is None else DatabaseViewer(viewer))
    try:
        return [row[0] for row in await snapshot.fetch(SLUGS, {}, is_only_one=is_only_one)]
    finally:
        await snapshot.close()


@pytest.mark.usefixtures("first_is_hidden")
@pytest.mark.parametrize("is_only_one", [True, False])
async def test_a_snapshot_shows_each_viewer_their_own_rows(reads_database: Database, is_only_one: bool) -> None:
    # Over and over, so that the connections which one viewer has left behind are another's.
    for viewer, seen in [(VIEWER, VISIBLE), (None, ALL), (ANOTHER, ALL), (VIEWER, VISIBLE), (None, ALL)] * 3:
        assert await _slugs(reads_database, viewer, is_only_one=is_only_one) == seen


LISTS = {
    "compiled": "{ items { totalCount nodes { slug variants { key } } } }",
    "mixed": (
        "{ serverInfo { maximumPageSize } items { totalCount nodes { slug "
        "series { candles(resolution: ONE_DAY) { close } } } } }"
    ),
}


@pytest.mark.usefixtures("first_is_hidden")
@pytest.mark.parametrize("path", LISTS)
async def test_a_list_has_what_the_viewer_sees_on_both_paths(stage: Stage, path: str) -> None:
    for viewer, seen in ((VIEWER, VISIBLE), (ANOTHER, ALL), (None, ALL)):
        look_as(stage.monkeypatch, viewer)
        response = await usual_path(stage.engine)(Asked(LISTS[path]))
        assert response["extensions"]["trove"]["path"] == path
        resolved = await resolvers_path(stage.engine)(Asked(LISTS[path]))
        assert resolved["extensions"]["trove"]["path"] == "resolvers"
        assert difference(response, resolved) is None
        items = as_sent(response)["data"]["items"]
        assert (items["totalCount"], [node["slug"] for node in items["nodes"]]) == (len(seen), seen)


VARIANT_ID = public_id(PublicIdTag.ITEM_VARIANT, key_of(VARIANT, 0))
SERIES_ID = public_id(PublicIdTag.PRICE_SERIES, 1)
LEADING_TO_THE_HIDDEN = {
    "from a node": f'{{ node(id: "{VARIANT_ID}") {{ ... on ItemVariant {{ key item {{ slug }} }} }} }}',
    "from a node by nothing but it": f'{{ node(id: "{VARIANT_ID}") {{ ... on ItemVariant {{ item {{ slug }} }} }} }}',
    "below another edge": (
        f'{{ node(id: "{SERIES_ID}") {{ ... on PriceSeries {{ id variant {{ key item {{ slug name }} }} }} }} }}'
    ),
    "below a list": (
        f'{{ node(id: "{VARIANT_ID}") {{ ... on ItemVariant {{ series {{ id variant {{ item {{ slug }} }} }} }} }} }}'
    ),
    "from several nodes": f'{{ nodes(ids: ["{VARIANT_ID}"]) {{ id ... on ItemVariant {{ item {{ slug }} }} }} }}',
    "beside candles": (
        f'{{ node(id: "{VARIANT_ID}") {{ ... on ItemVariant {{ item {{ slug }} '
        "series { candles(resolution: ONE_DAY) { close } } } } }"
    ),
}


async def _both(stage: Stage, query: str) -> tuple[Response, Response]:
    return await usual_path(stage.engine)(Asked(query)), await resolvers_path(stage.engine)(Asked(query))


@pytest.mark.usefixtures("first_is_hidden")
@pytest.mark.parametrize("where", LEADING_TO_THE_HIDDEN)
async def test_an_edge_that_must_lead_somewhere_fails_alike_where_its_row_is_hidden(stage: Stage, where: str) -> None:
    query = LEADING_TO_THE_HIDDEN[where]
    look_as(stage.monkeypatch, ANOTHER)
    usual, resolved = await _both(stage, query)
    assert "errors" not in resolved
    assert difference(usual, resolved) is None
    look_as(stage.monkeypatch, VIEWER)
    usual, resolved = await _both(stage, query)
    assert as_sent(resolved)["errors"][0]["path"][-1] == "item"
    assert difference(usual, resolved) is None


SERIES_OF_AN_ITEM = {
    "with its source": '{ item(slug: "coin-0") { series { id source { code } } } }',
    "without its source": '{ item(slug: "coin-0") { series { id } } }',
    "as a node": f'{{ node(id: "{SERIES_ID}") {{ id ... on PriceSeries {{ currency }} }} }}',
    "as the best price": '{ item(slug: "coin-0") { price { amount } } }',
}


@pytest.mark.parametrize("how", SERIES_OF_AN_ITEM)
async def test_a_row_whose_joined_row_is_hidden_is_shown_alike(stage: Stage, how: str) -> None:
    await replace_world(stage.owner, world_of(1))
    stage.stop_clock(world_of(0).now)
    look_as(stage.monkeypatch, VIEWER)
    async with policies(stage.owner, {"prices.sources": SEES_SOURCE}):
        usual, resolved = await _both(stage, SERIES_OF_AN_ITEM[how])
    assert difference(usual, resolved) is None


def _nothing_is_wrong(_: pytest.MonkeyPatch) -> None:
    """No fault."""


def _compiled_reads_are_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    read = BoundPlan.json

    async def json(self: BoundPlan, keys: Sequence[Any], context: Any, *, is_only_one: bool) -> Mapping[Any, Any]:
        nobodys = copy(context)
        nobodys.snapshot = context.resources.database.snapshot()
        try:
            return await read(self, keys, nobodys, is_only_one=is_only_one)
        finally:
            await nobodys.snapshot.close()

    monkeypatch.setattr(BoundPlan, "json", json)


@pytest.mark.usefixtures("plans")
@pytest.mark.parametrize(("plant", "is_found"), [(_nothing_is_wrong, False), (_compiled_reads_are_nobodys, True)])
async def test_random_documents_find_rows_of_another_viewer(
    stage: Stage, plant: Callable[[pytest.MonkeyPatch], None], is_found: bool
) -> None:
    found = [await _shows_anothers_rows(stage, plant, number) for number in range(WORLDS)]
    assert any(found) == is_found


async def _shows_anothers_rows(stage: Stage, plant: Callable[[pytest.MonkeyPatch], None], number: int) -> bool:
    random = Random(f"viewers/{number}")
    vocabulary = Vocabulary(random, random_world(random))
    await stage.put_up(vocabulary.world, vocabulary)
    items = vocabulary.world.column(Item, "id")
    usual, resolvers = usual_path(stage.engine), resolvers_path(stage.engine)
    with pytest.MonkeyPatch.context() as monkeypatch:
        async with policies(stage.owner, OF_ALL_BELOW):
            await hide(stage.owner, VIEWER, items[::2])
            look_as(monkeypatch, VIEWER)
            plant(monkeypatch)
            for asked in islice(questions(random, vocabulary, few_drawn_documents()), DOCUMENTS_PER_WORLD):
                if await compare(usual, resolvers, asked) is not None:
                    return True
    return False
