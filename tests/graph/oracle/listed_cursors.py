"""The cursors that a world's lists give."""

from collections.abc import Iterator
from dataclasses import replace

from app.catalogue.models import ItemRevision
from app.core.ids import PublicIdTag, public_id
from app.graph.execution import Response
from app.identity.models import User
from app.identity.scopes import OWN, Scope
from app.identity.viewer import ANYONE, Viewer
from app.ingestion.models import IngestBatch
from app.trackers.models import Membership
from tests.graph.oracle.asking import Asked, Path
from tests.graph.oracle.comparison import as_sent
from tests.graph.oracle.lists import LISTS, ListField
from tests.graph.oracle.rows import TABLE_OF, World
from tests.graph.oracle.viewers import granted_scopes
from tests.graph.oracle.vocabulary import list_of

# Who has these may ask for every list of the roots.
STAFF_OF_LISTS = frozenset({Scope.ACCOUNTS_READ, Scope.AUDIT_READ, Scope.PROVIDERS_READ, Scope.OPERATIONS_READ})
# What has lists and an owner.
POSSESSIONS = frozenset(
    {
        PublicIdTag.PORTFOLIO,
        PublicIdTag.HOLDING,
        PublicIdTag.TRADE,
        PublicIdTag.LOT,
        PublicIdTag.PORTFOLIO_IMPORT,
        PublicIdTag.WATCHLIST,
        PublicIdTag.ALERT_RULE,
    }
)
# What has lists and belongs to a client, and the lists of the roots that everybody has of their own clients.
OF_CLIENTS = frozenset(
    {PublicIdTag.CLIENT, PublicIdTag.BRAND, PublicIdTag.PRODUCTION_RUN, PublicIdTag.PLACE, PublicIdTag.TRACKER}
)
LISTS_OF_MEMBERS = frozenset({"clients", "trackers", "places"})
_ITEMS = """
query ($field: ItemOrderField!, $direction: OrderDirection!) {
  list: items(first: 100, orderBy: {field: $field, direction: $direction}) { edges { cursor } }
}
"""


async def cursors_of(path: Path, world: World) -> dict[str, list[str]]:
    """The cursors by list and order, each asked of somebody who may see the list."""
    cursors: dict[str, list[str]] = {}
    for field in ("NAME", "CREATED_AT"):
        for direction in ("ASC", "DESC"):
            response = await path(Asked(_ITEMS, {"field": field, "direction": direction}))
            order = {"field": field, "direction": direction}
            cursors[list_of("items", order)] = _cursors(as_sent(response)["data"]["list"])
    for listed in LISTS:
        if listed.cursors != "items":
            of_list = cursors.setdefault(list_of(listed.cursors, None), [])
            for asked in _questions(world, listed):
                of_list += _cursors_below(await path(asked))
    return cursors


def _questions(world: World, listed: ListField) -> Iterator[Asked]:
    page = f"list: {listed.name}(first: 100) {{ edges {{ cursor }} }}"
    if listed.tag is None and listed.name in LISTS_OF_MEMBERS:
        for user_id in sorted(set(world.column(Membership, "user_id"))):
            yield Asked(f"{{ {page} }}", viewer=Viewer(user_id=user_id, scopes=OWN))
        return
    if listed.tag is None:
        everybody = [Viewer(user_id=key, scopes=granted_scopes(world, key)) for key in world.column(User, "id")]
        staff = [replace(viewer, scopes=viewer.scopes | OWN) for viewer in everybody if viewer.scopes >= STAFF_OF_LISTS]
        yield from (Asked(f"{{ {listed.placed(page)} }}", viewer=viewer) for viewer in staff[:1])
        return
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on {listed.owner} {{ {page} }} }} }}"
    for key, viewer in _owners(world, listed.tag):
        yield Asked(query, {"id": key}, viewer=viewer)


def _owners(world: World, tag: PublicIdTag) -> Iterator[tuple[str, Viewer]]:
    """The ids of what has the list, each with somebody who may see it."""
    if tag is PublicIdTag.ACCOUNT:
        for key in world.column(User, "id"):
            yield public_id(tag, key), Viewer(user_id=key, scopes=OWN)
    elif tag is PublicIdTag.INGEST_BATCH:
        for batch in world.rows[IngestBatch]:
            yield public_id(tag, batch["id"]), Viewer(batch["sender_id"], scopes=frozenset({Scope.PRICES_WRITE}))
    elif tag in POSSESSIONS:
        for row in world.rows[TABLE_OF[tag]]:
            yield public_id(tag, row["id"]), Viewer(user_id=row["owner_id"], scopes=OWN)
    elif tag in OF_CLIENTS:
        yield from _of_clients(world, tag)
    elif tag is PublicIdTag.ITEM:
        for revision in world.rows[ItemRevision]:
            yield public_id(tag, revision["item_id"]), Viewer(user_id=revision["user_id"])
    else:
        yield from ((node_id, ANYONE) for node_id in world.public_ids(tag))


def _of_clients(world: World, tag: PublicIdTag) -> Iterator[tuple[str, Viewer]]:
    """The same of what belongs to clients: each with the first of the members."""
    members = {row["client_id"]: row["user_id"] for row in reversed(world.rows[Membership])}
    for row in world.rows[TABLE_OF[tag]]:
        user_id = members.get(row["id" if tag is PublicIdTag.CLIENT else "client_id"])
        if user_id is not None:
            yield public_id(tag, row["id"]), Viewer(user_id=user_id, scopes=OWN)


def _cursors_below(response: Response) -> list[str]:
    """The cursors of a list, none where its owner is nothing that can be seen."""
    data = as_sent(response)["data"] or {}
    owners = data["jobs"]["nodes"] if data.get("jobs") else [data.get("node", data)]
    return [cursor for owner in owners if owner and owner["list"] for cursor in _cursors(owner["list"])]


def _cursors(connection: Response) -> list[str]:
    return [edge["cursor"] for edge in connection["edges"]]
