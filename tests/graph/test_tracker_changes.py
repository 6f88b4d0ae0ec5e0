"""Trackers, their keys and what they ride with, through the graph."""

import base64
import io
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.core.secrets import place_of
from app.identity.models import AuditEntry
from app.identity.scopes import Scope
from app.identity.viewer import Viewer
from app.trackers.commands.trackers import MOST_KEYS
from app.trackers.find_my import make_key_pair
from app.trackers.models import MembershipRole, Tracker, TrackerKey
from tests.catalogue.builders import coin, saved
from tests.graph.changing import change, code_of, done
from tests.graph.conftest import Graph
from tests.identity.builders import SECRETS
from tests.portfolios.possessing import hold, portfolio_of_somebody
from tests.trackers.builders import Organisation, attachment_of, key_of, member_of, organisation

KEYS = "keys { id advertisedKey hashedKey retiredAt }"


@pytest.fixture
async def scene(graph: Graph, database: Database) -> Organisation:
    """A client with a tracker."""
    return await organisation(database)


async def holding_of(database: Database, viewer: Viewer) -> str:
    """The id of a holding of somebody's."""
    await saved(database, coin("aurum"))
    owned = await portfolio_of_somebody(database, viewer=viewer)
    return public_id(PublicIdTag.HOLDING, await hold(database, owned, "aurum"))


async def test_trackers_are_made_together_with_keys_and_a_repeat_makes_no_others(
    graph: Graph, scene: Organisation
) -> None:
    new = {
        "clientId": scene.client,
        "productionRunId": scene.run,
        "trackers": [{"name": "Crate"}, {"name": " Pallet "}],
        "idempotencyKey": "two",
    }
    shown = f"trackers {{ id name status productionRun {{ id }} {KEYS} }}"
    made = (await done(graph, scene.operator, "createTrackers", shown, **new))["trackers"]
    assert [each["name"] for each in made] == ["Crate", "Pallet"]
    assert {each["status"] for each in made} == {"CREATED"}
    assert [len(each["keys"]) for each in made] == [1, 1]
    assert len(base64.b64decode(made[0]["keys"][0]["advertisedKey"])) == 28
    assert made[0]["productionRun"] == {"id": scene.run}
    assert (await done(graph, scene.operator, "createTrackers", shown, **new))["trackers"] == made
    listed = await graph.ask("{ trackers(first: 1) { totalCount } }", scene.viewer)
    assert listed["trackers"]["totalCount"] == 3


async def test_a_private_key_is_kept_encrypted_and_stands_nowhere_else(
    graph: Graph, scene: Organisation, database: Database, log: io.StringIO
) -> None:
    pair = make_key_pair()
    given = base64.b64encode(pair.private_key).decode()
    trackers = [{"name": "Crate", "privateKeys": [given]}]
    made = await done(
        graph, scene.operator, "createTrackers", f"trackers {{ {KEYS} }}", clientId=scene.client, trackers=trackers
    )
    (key,) = made["trackers"][0]["keys"]
    assert base64.b64decode(key["advertisedKey"]) == pair.advertised_key
    assert base64.b64decode(key["hashedKey"]) == pair.hashed_key
    async with database.transaction() as transaction:
        stored = (
            await transaction.connection.execute(
                select(TrackerKey.id, TrackerKey.private_key).where(TrackerKey.hashed_key == pair.hashed_key)
            )
        ).one()
        audited = (await transaction.connection.execute(select(*AuditEntry.__table__.columns))).all()
    assert pair.private_key not in stored.private_key
    assert SECRETS.decrypt(stored.private_key, place_of(TrackerKey.private_key, stored.id)) == pair.private_key
    for shown in (str(made), str(audited), log.getvalue(), repr(pair)):
        assert given not in shown
        assert pair.private_key.hex() not in shown


async def test_all_trackers_are_made_or_none(graph: Graph, scene: Organisation, database: Database) -> None:
    pair = base64.b64encode(make_key_pair().private_key).decode()
    for trackers, code, field in (
        (
            [{"name": "A", "privateKeys": [pair]}, {"name": "B", "privateKeys": [pair]}],
            "KEY_TAKEN",
            ["1", "privateKeys", "0"],
        ),
        ([{"name": "A"}, {"name": ""}], "INVALID_INPUT", ["1", "name"]),
        ([{"name": "A", "privateKeys": ["AAAA"]}], "INVALID_INPUT", ["0", "privateKeys", "0"]),
        ([{"name": "A", "privateKeys": [pair, "!"]}], "INVALID_INPUT", ["0", "privateKeys", "1"]),
        ([{"name": "A"}] * 251, "TOO_MANY", []),
        ([], "INVALID_INPUT", []),
    ):
        payload = await change(
            graph, scene.operator, "createTrackers", "trackers { id }", clientId=scene.client, trackers=trackers
        )
        (error,) = payload["userErrors"]
        assert (error["code"], error["field"]) == (code, ["input", "trackers", *field])
        assert pair not in error["message"]
    async with database.transaction() as transaction:
        assert len((await transaction.connection.execute(select(Tracker.id))).all()) == 1


async def test_a_tracker_is_renamed_moved_to_another_run_retired_and_restored(
    graph: Graph, scene: Organisation, database: Database
) -> None:
    shown = "tracker { name version retiredAt productionRun { id } }"
    renamed = await done(graph, scene.operator, "editTracker", shown, id=scene.tracker, name="Crate 7")
    assert (renamed["tracker"]["name"], renamed["tracker"]["version"]) == ("Crate 7", 2)
    assert not await _waits(database, scene)
    moved = await done(graph, scene.operator, "editTracker", shown, id=scene.tracker, productionRunId=None)
    assert moved["tracker"]["productionRun"] is None
    assert await _waits(database, scene)
    stale = {"id": scene.tracker, "name": "X", "expectedVersion": 1}
    assert await code_of(graph, scene.operator, "editTracker", **stale) == "CONFLICT"
    retired = await done(graph, scene.operator, "retireTracker", shown, id=scene.tracker)
    assert retired["tracker"]["retiredAt"] is not None
    assert await code_of(graph, scene.operator, "retireTracker", id=scene.tracker) == "ILLEGAL_STATE"
    parcel = {"trackerId": scene.tracker, "productionRunId": scene.run, "parcel": "P"}
    assert await code_of(graph, scene.operator, "attachTracker", **parcel) == "ILLEGAL_STATE"
    restored = await done(graph, scene.operator, "restoreTracker", shown, id=scene.tracker)
    assert restored["tracker"]["retiredAt"] is None
    assert await code_of(graph, scene.operator, "restoreTracker", id=scene.tracker) == "ILLEGAL_STATE"


async def _waits(database: Database, scene: Organisation) -> bool:
    async with database.transaction() as transaction:
        found = await transaction.connection.scalar(
            select(Tracker.recompute_from.is_not(None)).where(Tracker.id == scene.tracker_id)
        )
    return bool(found)


async def test_a_key_is_of_one_tracker_of_one_client(graph: Graph, scene: Organisation) -> None:
    pair = base64.urlsafe_b64encode(make_key_pair().private_key).decode()
    others = {"clientId": public_id(PublicIdTag.CLIENT, scene.strangers_client_id), "trackers": [{"name": "Other"}]}
    other = await done(graph, scene.stranger, "createTrackers", "trackers { id }", **others)
    shown = "trackerKey { id retiredAt }"
    given = {"trackerId": other["trackers"][0]["id"], "privateKey": pair}
    await done(graph, scene.stranger, "addTrackerKey", shown, **given)
    assert (
        await code_of(graph, scene.operator, "addTrackerKey", trackerId=scene.tracker, privateKey=pair) == "KEY_TAKEN"
    )
    made = (await done(graph, scene.operator, "addTrackerKey", shown, trackerId=scene.tracker))["trackerKey"]
    retired = await done(graph, scene.operator, "retireTrackerKey", shown, id=made["id"])
    assert retired["trackerKey"]["retiredAt"] is not None
    assert await code_of(graph, scene.operator, "retireTrackerKey", id=made["id"]) == "ILLEGAL_STATE"
    assert await code_of(graph, scene.stranger, "retireTrackerKey", id=made["id"]) == "NOT_FOUND"


async def test_a_tracker_has_100_keys_at_most(graph: Graph, scene: Organisation, database: Database) -> None:
    async with database.transaction() as transaction:
        for _ in range(MOST_KEYS - 1):
            await key_of(transaction.connection, scene.client_id, scene.tracker_id)
    assert await code_of(graph, scene.operator, "addTrackerKey", trackerId=scene.tracker) == "TOO_MANY"


async def test_a_tracker_rides_with_one_thing_at_a_time(graph: Graph, scene: Organisation) -> None:
    parcel = {"trackerId": scene.tracker, "productionRunId": scene.run, "parcel": "Parcel 7"}
    shown = "attachment { parcel detachedAt productionRun { id } tracker { carrying { parcel } } }"
    made = (await done(graph, scene.operator, "attachTracker", shown, **parcel))["attachment"]
    assert made["tracker"]["carrying"] == {"parcel": "Parcel 7"}
    assert made["productionRun"] == {"id": scene.run}
    assert await code_of(graph, scene.operator, "attachTracker", **parcel) == "ALREADY_ATTACHED"
    for wrong in ({}, {"parcel": "P"}, {"productionRunId": scene.run}):
        refused = {"trackerId": scene.tracker} | wrong
        assert await code_of(graph, scene.operator, "attachTracker", **refused) == "INVALID_INPUT"
    await done(graph, scene.operator, "detachTracker", "tracker { carrying { id } }", trackerId=scene.tracker)
    assert await code_of(graph, scene.operator, "detachTracker", trackerId=scene.tracker) == "ILLEGAL_STATE"
    query = (
        "query ($id: ID!) { node(id: $id) { ... on Tracker { carrying { id } attachments(first: 5) { totalCount } } } }"
    )
    seen = await graph.ask(query, scene.viewer, id=scene.tracker)
    assert seen["node"] == {"carrying": None, "attachments": {"totalCount": 1}}


async def test_what_is_ones_own_rides_along_and_is_hidden_from_other_members(
    graph: Graph, scene: Organisation, database: Database
) -> None:
    holding = await holding_of(database, scene.operator)
    ride = {"trackerId": scene.tracker, "holdingId": holding}
    assert await code_of(graph, scene.owner, "attachTracker", **ride) == "NOT_FOUND"
    lacking = Viewer(user_id=scene.operator.user_id, scopes=frozenset({Scope.TRACKERS_READ, Scope.TRACKERS_WRITE}))
    query = "mutation ($input: AttachTrackerInput!) { attachTracker(input: $input) { userErrors { code } } }"
    assert (await graph.refusal(query, lacking, input=ride))["extensions"]["code"] == "FORBIDDEN"
    shown = "attachment { id holding { id trackers { id carrying { holding { id } } } } }"
    made = (await done(graph, scene.operator, "attachTracker", shown, **ride))["attachment"]
    assert made["holding"] == {
        "id": holding,
        "trackers": [{"id": scene.tracker, "carrying": {"holding": {"id": holding}}}],
    }
    walk = """query ($tracker: ID!, $attachment: ID!) {
      node(id: $attachment) { id }
      tracker: node(id: $tracker) { ... on Tracker { carrying { id } attachments(first: 5) { totalCount } } }
    }"""
    seen = await graph.ask(walk, scene.owner, tracker=scene.tracker, attachment=made["id"])
    assert seen == {"node": None, "tracker": {"carrying": None, "attachments": {"totalCount": 0}}}
    # It rides with something that they do not see, and they may end it: the tracker is their client's.
    parcel = {"trackerId": scene.tracker, "productionRunId": scene.run, "parcel": "P"}
    assert await code_of(graph, scene.owner, "attachTracker", **parcel) == "ALREADY_ATTACHED"
    await done(graph, scene.owner, "detachTracker", "tracker { id }", trackerId=scene.tracker)
    ended = await graph.ask(
        "query ($id: ID!) { node(id: $id) { ... on TrackerAttachment { detachedAt } } }", scene.operator, id=made["id"]
    )
    assert ended["node"]["detachedAt"] is not None


async def test_who_leaves_a_client_takes_what_is_theirs_off_its_trackers(
    graph: Graph, scene: Organisation, database: Database, owner: AsyncEngine
) -> None:
    holding = await holding_of(database, scene.operator)
    await done(graph, scene.operator, "attachTracker", "attachment { id }", trackerId=scene.tracker, holdingId=holding)
    members = "{ clients(first: 1) { nodes { members { id role } } } }"
    found = (await graph.ask(members, scene.owner))["clients"]["nodes"][0]["members"]
    (operator,) = [each["id"] for each in found if each["role"] == "OPERATOR"]
    await done(graph, scene.owner, "removeMember", "deletedId", id=operator)
    walk = "query ($id: ID!) { node(id: $id) { ... on Holding { trackers { id } } } }"
    assert (await graph.ask(walk, scene.operator, id=holding))["node"] == {"trackers": []}
    parcel = {"trackerId": scene.tracker, "productionRunId": scene.run, "parcel": "P"}
    await done(graph, scene.owner, "attachTracker", "attachment { id }", **parcel)


@pytest.mark.parametrize("role", [MembershipRole.VIEWER, MembershipRole.OPERATOR])
async def test_the_database_ends_rides_for_members_alone(
    scene: Organisation, database: Database, api_database: Database, role: MembershipRole
) -> None:
    async with database.transaction() as transaction:
        await attachment_of(transaction.connection, scene.client_id, scene.tracker_id, run_id=scene.run_id)
        if role is MembershipRole.VIEWER:
            assert scene.stranger.user_id is not None
            await member_of(transaction.connection, scene.client_id, scene.stranger.user_id, role)
    for statement in (
        "SELECT trackers.end_rides(:client, :tracker, NULL)",
        "SELECT trackers.end_rides(:client, NULL, :owner)",
        "SELECT trackers.end_rides(:client, NULL, NULL)",
    ):
        values: dict[str, Any] = {
            "client": scene.client_id,
            "tracker": scene.tracker_id,
            "owner": scene.owner.user_id,
        }
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        with pytest.raises(Exception, match="ended by its members"):
            async with api_database.transaction(viewer=scene.stranger.in_database) as transaction:
                await transaction.connection.execute(text(statement), used)
