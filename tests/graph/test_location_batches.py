"""Small batches of reports by mutation, and what became of them."""

from dataclasses import replace

import pytest

from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.identity.scopes import Scope
from app.ingestion.processing import process_next_batch
from app.trackers.find_my import make_key_pair
from tests.graph.conftest import Graph
from tests.identity.builders import PARTNER, PARTNER_ID, add_person, session_of
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

OWN_BATCHES = """
query ($filter: IngestBatchFilter) {
  viewer { ingestBatches(first: 10, filter: $filter) {
    totalCount nodes { id status rejects { nodes { reason } } }
  } }
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


async def test_one_finds_ones_own_batches_again_by_what_became_of_them(
    database: Database, graph: Graph, tag: Tag
) -> None:
    good, bad, waiting = [
        (await graph.ask(SEND, PARTNER, reports=[one]))["ingestLocations"]["batch"]["id"]
        for one in (report(tag), report(tag, latitude=91), report(tag, latitude=2))
    ]
    for _ in range(2):
        async with database.transaction() as transaction:
            await process_next_batch(transaction, HANDLERS)

    async def listed(**wanted: object) -> list[str]:
        answer = await graph.ask(OWN_BATCHES, PARTNER, filter=wanted)
        return [node["id"] for node in answer["viewer"]["ingestBatches"]["nodes"]]

    assert await listed() == [waiting, bad, good]
    assert await listed(status="PROCESSED") == [bad, good]
    assert await listed(hasRejects=True) == [bad]
    assert await listed(hasRejects=False) == [good]
    found = await graph.ask(OWN_BATCHES, PARTNER, filter={"hasRejects": True})
    assert "91" in found["viewer"]["ingestBatches"]["nodes"][0]["rejects"]["nodes"][0]["reason"]


async def test_somebody_elses_batches_are_listed_for_staff_who_may_read_them_alone(
    database: Database, graph: Graph, tag: Tag
) -> None:
    query = "query ($id: ID!) { node(id: $id) { ... on Account { ingestBatches { totalCount } } } }"
    await graph.ask(SEND, PARTNER, reports=[report(tag)])
    async with database.transaction() as transaction:
        permissions = [Scope.ACCOUNTS_READ, Scope.INGESTION_READ]
        staff_id = await add_person(transaction.connection, permissions=permissions)
    staff = await session_of(database, staff_id)
    account = public_id(PublicIdTag.ACCOUNT, PARTNER_ID)
    assert (await graph.ask(query, staff, id=account))["node"]["ingestBatches"] == {"totalCount": 1}
    less = replace(staff, scopes=staff.scopes - {Scope.INGESTION_READ})
    assert (await graph.ask(query, less, id=account))["node"]["ingestBatches"] == {"totalCount": 0}
    assert (await graph.ask("{ viewer { ingestBatches { totalCount } } }", less))["viewer"]["ingestBatches"] == {
        "totalCount": 0
    }
    unable = replace(PARTNER, scopes=frozenset({Scope.ACCOUNT_READ}))
    error = await graph.refusal("{ viewer { username ingestBatches { totalCount } } }", unable)
    assert error["extensions"]["code"] == "FORBIDDEN"
