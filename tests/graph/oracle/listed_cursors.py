"""The cursors that a world's lists give."""

from app.core.ids import PublicIdTag
from app.graph.execution import Response
from tests.graph.oracle.asking import Asked, Path
from tests.graph.oracle.comparison import as_sent
from tests.graph.oracle.vocabulary import list_of
from tests.graph.oracle.worlds import World
from tests.identity.builders import PARTNER

_ITEMS = """
query ($field: ItemOrderField!, $direction: OrderDirection!) {
  list: items(first: 100, orderBy: {field: $field, direction: $direction}) { edges { cursor } }
}
"""
_POINTS = "query ($id: ID!) { list: node(id: $id) { ... on PriceSeries { points(first: 100) { edges { cursor } } } } }"
_REJECTS = "query ($id: ID!) { list: ingestBatch(id: $id) { rejects(first: 100) { edges { cursor } } } }"


async def cursors_of(path: Path, world: World) -> dict[str, list[str]]:
    """The cursors by list and order."""
    cursors: dict[str, list[str]] = {"points": [], "rejects": []}
    for field in ("NAME", "CREATED_AT"):
        for direction in ("ASC", "DESC"):
            response = await path(Asked(_ITEMS, {"field": field, "direction": direction}))
            order = {"field": field, "direction": direction}
            cursors[list_of("items", order)] = _cursors(as_sent(response)["data"]["list"])
    for key in world.public_ids(PublicIdTag.PRICE_SERIES):
        cursors["points"] += _cursors_below(await path(Asked(_POINTS, {"id": key})), "points")
    for key in world.public_ids(PublicIdTag.INGEST_BATCH):
        asked = Asked(_REJECTS, {"id": key}, viewer=PARTNER)
        cursors["rejects"] += _cursors_below(await path(asked), "rejects")
    return cursors


def _cursors_below(response: Response, field: str) -> list[str]:
    return _cursors(as_sent(response)["data"]["list"][field])


def _cursors(connection: Response) -> list[str]:
    return [edge["cursor"] for edge in connection["edges"]]
