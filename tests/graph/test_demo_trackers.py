"""The demo's client has boxes in storage, on their way and delivered, goes in once, and the example shows it."""

from sqlalchemy import text

from app.core.clock import utc_now
from app.core.database import Database
from app.demo.people import USERNAME
from app.demo.trackers import CLIENT, JOURNEYS, load_trackers_into
from app.graph.examples import TRACKED
from tests.graph.conftest import Graph
from tests.identity.builders import SECRETS, add_person, session_of


async def test_the_example_shows_boxes_in_storage_on_their_way_and_delivered(graph: Graph, database: Database) -> None:
    assert await load_trackers_into(database, SECRETS, now=utc_now()) == 0
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("SET LOCAL ROLE trove_migrator"))
        owner_id = await add_person(transaction.connection, username=USERNAME)
    assert await load_trackers_into(database, SECRETS, now=utc_now()) == len(JOURNEYS)
    assert await load_trackers_into(database, SECRETS, now=utc_now()) == 0
    shown = await graph.ask(TRACKED, await session_of(database, owner_id))
    (client,) = shown["clients"]["nodes"]
    assert client["name"] == CLIENT
    trackers = client["productionRuns"]["nodes"][0]["trackers"]["nodes"]
    assert [(each["name"], each["status"]) for each in trackers] == [
        ("Box 1, delivered", "DELIVERED"),
        ("Box 2, on its way", "IN_TRANSIT"),
        ("Box 3, in storage", "IN_STORAGE"),
    ]
    assert [each["place"] and each["place"]["name"] for each in trackers] == [
        "Shop in Munich",
        None,
        "Warehouse in Hamburg",
    ]
    assert [len(each["visits"]["nodes"]) for each in trackers] == [2, 1, 1]
    assert all(each["lastFix"]["accuracyMeters"] == 25 for each in trackers)
