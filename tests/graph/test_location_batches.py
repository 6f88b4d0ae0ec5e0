"""Small batches of reports by mutation, and what became of them."""

import pytest

from app.core.database import Database
from app.ingestion.processing import process_next_batch
from app.trackers.find_my import make_key_pair
from tests.graph.conftest import Graph
from tests.identity.builders import PARTNER, PARTNER_ID
from tests.trackers.sending import HANDLERS, NOON, Tag, add_key, add_tag, sealed, stored

SEND = """
mutation ($reports: [LocationReportInput!]!, $key: String) {
  ingestLocations(input: {reports: $reports, idempotencyKey: $key}) {
    batch { id status rowCount acceptedCount }
    userErrors { field code message }
  }
}
"""
BATCH = """
query ($id: ID!) {
  ingestBatch(id: $id) { status acceptedCount duplicateCount rejectedCount rejects { nodes { rowNumber reason } } }
}
"""


@pytest.fixture
async def tag(database: Database, partner: None) -> Tag:
    """A tracker whose operator the partner is."""
    return await add_tag(database, operator_id=PARTNER_ID)


def report(tag: Tag, **more: object) -> dict[str, object]:
    return {
        "trackerId": tag.public_id,
        "latitude": 48.8566,
        "longitude": -2.3522,
        "reportedAt": NOON.isoformat(),
        **more,
    }


async def test_a_small_batch_goes_in_by_mutation_and_tells_what_became_of_it(
    database: Database, graph: Graph, tag: Tag
) -> None:
    pair = await add_key(database, tag)
    row = sealed(pair)
    reports = [
        report(tag, accuracy=12.5, confidence=2, publishedAt=NOON.isoformat()),
        {"hashedKey": row["hashedKey"], "payload": row["payload"]},
        report(tag, latitude=91),
        {"hashedKey": sealed(make_key_pair())["hashedKey"]} | {"latitude": 1, "longitude": 1},
    ]
    sent = await graph.ask(SEND, PARTNER, reports=reports)
    batch = sent["ingestLocations"]["batch"]
    assert batch == {"id": batch["id"], "status": "RECEIVED", "rowCount": 4, "acceptedCount": None}
    async with database.transaction() as transaction:
        await process_next_batch(transaction, HANDLERS)
    done = (await graph.ask(BATCH, PARTNER, id=batch["id"]))["ingestBatch"]
    assert (done["status"], done["acceptedCount"], done["duplicateCount"], done["rejectedCount"]) == (
        "PROCESSED",
        2,
        0,
        2,
    )
    assert [node["rowNumber"] for node in done["rejects"]["nodes"]] == [3, 4]
    assert "91" in done["rejects"]["nodes"][0]["reason"]
    assert "`reportedAt` is missing" in done["rejects"]["nodes"][1]["reason"]
    assert {(found.accuracy_meters, found.confidence, found.source) for found in await stored(database)} == {
        (12.5, 2, "partner"),
        (35, 2, "find_my"),
    }


async def test_a_repeated_key_gives_the_first_batch_and_another_content_is_refused(graph: Graph, tag: Tag) -> None:
    first = await graph.ask(SEND, PARTNER, reports=[report(tag)], key="abc")
    assert await graph.ask(SEND, PARTNER, reports=[report(tag)], key="abc") == first
    other = (await graph.ask(SEND, PARTNER, reports=[report(tag, latitude=1)], key="abc"))["ingestLocations"]
    assert other["batch"] is None
    assert other["userErrors"][0]["code"] == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize("count", [0, 251])
async def test_a_batch_has_reports_and_not_too_many(graph: Graph, tag: Tag, count: int) -> None:
    refused = (await graph.ask(SEND, PARTNER, reports=[report(tag)] * count))["ingestLocations"]
    assert (refused["batch"], refused["userErrors"][0]["field"]) == (None, ["input", "reports"])


@pytest.mark.parametrize("names", [{"trackerId": None}, {"hashedKey": "x"}])
async def test_a_report_names_its_tracker_once(graph: Graph, tag: Tag, names: dict[str, object]) -> None:
    refused = (await graph.ask(SEND, PARTNER, reports=[report(tag), report(tag, **names)]))["ingestLocations"]
    assert refused["batch"] is None
    assert refused["userErrors"][0]["field"] == ["input", "reports", "1"]
    assert refused["userErrors"][0]["code"] == "INVALID_REPORTS"
