"""Which path answers, with how many statements, and that their number does not grow with the rows."""

from dataclasses import replace

import pytest

from app.core.ids import PublicIdTag, public_id
from app.graph.execution import Engine, Response
from tests.graph.oracle.asking import Asked, Path, resolvers_path, usual_path
from tests.graph.oracle.comparison import as_sent, difference
from tests.graph.oracle.conftest import Stage
from tests.graph.oracle.storing import replace_world
from tests.graph.reads.small_worlds import BATCH, ITEM, key_of, world_of
from tests.identity.builders import PARTNER

INGESTER = PARTNER
FEW, MANY = 1, 50
DEEP = "{ items { nodes { slug variants { key series { id latest { amount source } } } } } }"
WITH_CANDLES = "{ items { nodes { slug series { candles(resolution: ONE_HOUR) { close } } } } }"


async def answer(stage: Stage, path: Path, query: str, items: int = 3, **variables: object) -> Response:
    """The answer in a world of so many items, without errors."""
    world = world_of(items)
    await replace_world(stage.owner, world)
    stage.stop_clock(world.now)
    response = await path(Asked(query, variables, viewer=INGESTER))
    assert "errors" not in response, response["errors"]
    return response


def with_settings(stage: Stage, **changes: str) -> Engine:
    """An engine like the stage's, with other settings."""
    resources = stage.engine.resources
    return Engine(replace(resources, settings=resources.settings.model_copy(update=changes)))


def told(response: Response) -> tuple[str, int]:
    """What the response tells of how it came to be."""
    trove = response["extensions"]["trove"]
    assert list(trove) == ["path", "statements"]
    return trove["path"], trove["statements"]


async def test_items_down_to_their_latest_prices_take_one_statement(stage: Stage) -> None:
    response = await answer(stage, usual_path(stage.engine), DEEP)
    assert told(response) == ("compiled", 1)
    assert len(as_sent(response)["data"]["items"]["nodes"]) == 3


async def test_candles_below_items_take_a_path_of_both_kinds(stage: Stage) -> None:
    usual = await answer(stage, usual_path(stage.engine), WITH_CANDLES)
    # The page of items, their series, and the candles of all series.
    assert told(usual) == ("mixed", 3)
    assert difference(usual, await answer(stage, resolvers_path(stage.engine), WITH_CANDLES)) is None


@pytest.mark.parametrize("query", [DEEP, WITH_CANDLES, "{ serverInfo { version } }"])
async def test_who_asks_for_resolvers_gets_them(stage: Stage, query: str) -> None:
    path, _ = told(await answer(stage, resolvers_path(stage.engine), query))
    assert path == "resolvers"


async def test_a_setting_turns_compiled_reads_off(stage: Stage) -> None:
    path, _ = told(await answer(stage, usual_path(with_settings(stage, reads="resolvers")), DEEP))
    assert path == "resolvers"


async def test_in_production_nothing_is_told(stage: Stage) -> None:
    engine = with_settings(stage, environment="production")
    for path in (usual_path, resolvers_path):
        response = await answer(stage, path(engine), DEEP)
        assert list(response) == ["data"]


OF_ITEMS = "{ items(first: 50) { nodes { slug %s } } }"
OF_SERIES = "{ items(first: 50) { nodes { slug series { id %s } } } }"
BELOW_ITEMS = {
    # By the document: what it takes by resolvers.
    OF_ITEMS % "variants { key }": 2,
    OF_ITEMS % "series { id }": 2,
    OF_ITEMS % "externalIds { id }": 2,
    OF_ITEMS % "price { amount }": 2,
    OF_ITEMS % "defaultVariant { key item { slug } }": 3,
    OF_ITEMS % "... on Coin { symbol }": 2,
    OF_ITEMS % "variants { key series { id latest { amount } } }": 3,
    OF_SERIES % "points(first: 2) { nodes { price } }": 3,
    OF_SERIES % "points(first: 2) { totalCount pageInfo { hasNextPage } }": 4,
    OF_SERIES % "variant { key item { slug } }": 4,
}


@pytest.mark.parametrize("query", BELOW_ITEMS)
async def test_an_edge_takes_one_statement_for_all_parents(stage: Stage, query: str) -> None:
    for items in (FEW, MANY):
        plain = await answer(stage, resolvers_path(stage.engine), query, items)
        usual = await answer(stage, usual_path(stage.engine), query, items)
        assert told(plain) == ("resolvers", BELOW_ITEMS[query])
        assert told(usual) == ("compiled", 1)
        assert difference(usual, plain) is None
        assert len(as_sent(usual)["data"]["items"]["nodes"]) == items


BELOW_NODES = {
    "... on IngestBatch { rejects { nodes { content } } }": (PublicIdTag.INGEST_BATCH, BATCH, 2),
    "... on IngestBatch { rejects { totalCount nodes { content } } }": (PublicIdTag.INGEST_BATCH, BATCH, 3),
    "... on Item { variants { key } }": (PublicIdTag.ITEM, ITEM, 2),
    "... on Item { variants { key series { id } } }": (PublicIdTag.ITEM, ITEM, 3),
}


@pytest.mark.parametrize("below", BELOW_NODES)
async def test_nodes_and_their_edges_take_one_statement_for_all_ids(stage: Stage, below: str) -> None:
    tag, kind, by_resolvers = BELOW_NODES[below]
    query = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ id {below} }} }}"
    for count in (FEW, MANY):
        ids = [public_id(tag, key_of(kind, number)) for number in range(count)]
        plain = await answer(stage, resolvers_path(stage.engine), query, count, ids=ids)
        usual = await answer(stage, usual_path(stage.engine), query, count, ids=ids)
        assert told(plain) == ("resolvers", by_resolvers)
        assert told(usual) == ("mixed", 1)
        assert difference(usual, plain) is None
        assert [node["id"] for node in as_sent(usual)["data"]["nodes"]] == ids


async def test_lists_below_single_rows_are_read_together(stage: Stage) -> None:
    query = "{ items(first: 100) { edges { node { variants { series { variant { key } } } } } } }"
    for items in (FEW, MANY):
        plain = await answer(stage, resolvers_path(stage.engine), query, items)
        usual = await answer(stage, usual_path(stage.engine), query, items)
        assert (told(plain), told(usual)) == (("resolvers", 4), ("compiled", 1))
        assert difference(usual, plain) is None


async def test_candles_take_one_statement_for_all_series(stage: Stage) -> None:
    for items in (FEW, MANY):
        assert told(await answer(stage, resolvers_path(stage.engine), WITH_CANDLES, items)) == ("resolvers", 3)
        assert told(await answer(stage, usual_path(stage.engine), WITH_CANDLES, items)) == ("mixed", 3)
