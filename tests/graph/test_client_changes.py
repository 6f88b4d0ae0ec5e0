"""Clients, members, brands and runs through the graph: who may do what, and what is refused."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, func, select, text, update

from app.core.database import Database, Transaction
from app.core.ids import PublicIdTag, public_id
from app.identity.models import User
from app.identity.scopes import Scope
from app.identity.viewer import Viewer
from app.trackers.commands.clients import edit_client
from app.trackers.commands.members import add_member, remove_member, set_member_role
from app.trackers.commands.orphans import ATTACH_ORPHANS
from app.trackers.commands.stored_histories import lock_trackers
from app.trackers.history_models import LocationFix, StatusChange, Visit
from app.trackers.models import Client, Membership, MembershipRole, Tracker
from app.trackers.personal_data import erase
from tests.graph.changing import change, code_of, done
from tests.graph.conftest import Graph
from tests.identity.builders import add_person
from tests.lock_waits import until_somebody_waits
from tests.trackers.builders import Organisation, client_of, member_of, organisation, tracker_of
from workers.clients import remove_all_deleted


@pytest.fixture
async def scene(graph: Graph, database: Database) -> Organisation:
    """A client with members of each role, and a stranger with another client."""
    return await organisation(database)


async def count(database: Database, table: Any, *conditions: Any) -> int:
    """How many rows there are."""
    async with database.transaction() as transaction:
        counted = select(func.count()).select_from(table).where(*conditions)
        return int((await transaction.connection.execute(counted)).scalar_one())


async def membership_of(database: Database, scene: Organisation, viewer: Viewer) -> str:
    """The id of somebody's membership in the client."""
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(
            select(Membership.id).where(Membership.client_id == scene.client_id, Membership.user_id == viewer.user_id)
        )
        return public_id(PublicIdTag.MEMBERSHIP, found.scalar_one())


async def test_who_makes_a_client_owns_it_and_a_repeat_makes_no_other(graph: Graph, scene: Organisation) -> None:
    shown = "client { id name silentAfterMinutes version members { role user { username } } }"
    new = {"name": " Hollow Pine ", "silentAfterMinutes": 60, "idempotencyKey": "once"}
    made = await done(graph, scene.viewer, "createClient", shown, **new)
    assert made["client"].pop("id")
    assert made["client"] == {
        "name": "Hollow Pine",
        "silentAfterMinutes": 60,
        "version": 1,
        "members": [{"role": "OWNER", "user": {"username": "vera"}}],
    }
    again = await done(graph, scene.viewer, "createClient", "client { name }", **new)
    assert again["client"] == {"name": "Hollow Pine"}
    listed = await graph.ask("{ clients(first: 10) { nodes { name } } }", scene.viewer)
    assert [node["name"] for node in listed["clients"]["nodes"]] == ["Grey Quay", "Hollow Pine"]
    other = {**new, "name": "Another"}
    assert await code_of(graph, scene.viewer, "createClient", **other) == "IDEMPOTENCY_KEY_REUSED"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"name": " "}, "INVALID_INPUT"),
        ({"name": "a" * 101}, "INVALID_INPUT"),
        ({"name": "a\nb"}, "INVALID_INPUT"),
        ({"name": "A", "logoUrl": "http://plain.example/"}, "INVALID_INPUT"),
        ({"name": "A", "silentAfterMinutes": 9}, "INVALID_INPUT"),
    ],
)
async def test_what_a_client_cannot_have_is_refused(
    graph: Graph, scene: Organisation, values: Mapping[str, Any], code: str
) -> None:
    assert await code_of(graph, scene.owner, "createClient", **values) == code


async def test_nobody_owns_more_than_twenty_clients(graph: Graph, scene: Organisation, database: Database) -> None:
    async with database.transaction() as transaction:
        for number in range(19):
            assert scene.owner.user_id is not None
            await client_of(transaction.connection, scene.owner.user_id, name=f"Client {number}")
    assert await code_of(graph, scene.owner, "createClient", name="One more") == "TOO_MANY"


async def test_roles_say_who_may_change_what(graph: Graph, scene: Organisation) -> None:
    brand = {"clientId": scene.client, "name": "Moss & Tide"}
    client = {"id": scene.client, "name": "Quay"}
    assert await code_of(graph, scene.viewer, "createBrand", **brand) == "NOT_ALLOWED"
    assert await code_of(graph, scene.stranger, "createBrand", **brand) == "NOT_FOUND"
    assert await code_of(graph, scene.operator, "editClient", **client) == "NOT_ALLOWED"
    assert (await done(graph, scene.operator, "createBrand", "brand { name }", **brand))["brand"]["name"] == brand[
        "name"
    ]
    assert (await done(graph, scene.owner, "editClient", "client { version }", **client))["client"]["version"] == 2
    stale = client | {"expectedVersion": 1}
    assert await code_of(graph, scene.owner, "editClient", **stale) == "CONFLICT"


async def test_a_viewer_changes_nothing_at_all(graph: Graph, scene: Organisation, database: Database) -> None:
    mine = await membership_of(database, scene, scene.owner)
    attempts: dict[str, dict[str, Any]] = {
        "editClient": {"id": scene.client, "name": "X"},
        "deleteClient": {"id": scene.client, "confirmName": "Grey Quay"},
        "addMember": {"clientId": scene.client, "username": "sten"},
        "setMemberRole": {"id": mine, "role": "VIEWER"},
        "removeMember": {"id": mine},
        "createBrand": {"clientId": scene.client, "name": "X"},
        "editBrand": {"id": scene.brand, "name": "X"},
        "deleteBrand": {"id": scene.brand},
        "createProductionRun": {"brandId": scene.brand, "description": "X", "startedAt": "2026-01-01T00:00:00Z"},
        "editProductionRun": {"id": scene.run, "description": "X"},
        "deleteProductionRun": {"id": scene.run},
        "createPlace": {
            "clientId": scene.client,
            "kind": "STORAGE",
            "name": "X",
            "shape": {"type": "Point", "coordinates": [1, 2]},
        },
        "editPlace": {"id": scene.warehouse, "name": "X"},
        "deletePlace": {"id": scene.warehouse},
        "createTrackers": {"clientId": scene.client, "trackers": [{"name": "X"}]},
        "editTracker": {"id": scene.tracker, "name": "X"},
        "retireTracker": {"id": scene.tracker},
        "restoreTracker": {"id": scene.tracker},
        "addTrackerKey": {"trackerId": scene.tracker},
        "attachTracker": {"trackerId": scene.tracker, "productionRunId": scene.run, "parcel": "X"},
        "detachTracker": {"trackerId": scene.tracker},
    }
    for name, given in attempts.items():
        assert await code_of(graph, scene.viewer, name, **given) == "NOT_ALLOWED", name
        assert await code_of(graph, scene.stranger, name, **given) == "NOT_FOUND", name
        lacking = scene.owner.scopes - {Scope.TRACKERS_WRITE}
        token = Viewer(user_id=scene.owner.user_id, scopes=lacking)
        type_ = name[0].upper() + name[1:]
        query = f"mutation ($input: {type_}Input!) {{ {name}(input: $input) {{ __typename }} }}"
        assert (await graph.refusal(query, token, input=given))["extensions"]["code"] == "FORBIDDEN", name


async def test_owners_add_members_and_give_them_roles(graph: Graph, scene: Organisation, database: Database) -> None:
    added = {"clientId": scene.client, "username": "STEN", "role": "OPERATOR"}
    made = (await done(graph, scene.owner, "addMember", "membership { id role }", **added))["membership"]
    assert made["role"] == "OPERATOR"
    assert await code_of(graph, scene.owner, "addMember", **added) == "ILLEGAL_STATE"
    assert await code_of(graph, scene.owner, "addMember", **added | {"username": "nobody"}) == "NOT_FOUND"
    seen = await graph.ask("{ clients(first: 9) { nodes { name } } }", scene.stranger)
    assert len(seen["clients"]["nodes"]) == 2
    raised = await done(graph, scene.owner, "setMemberRole", "membership { role }", id=made["id"], role="OWNER")
    assert raised["membership"]["role"] == "OWNER"
    await done(graph, scene.stranger, "removeMember", "deletedId", id=await membership_of(database, scene, scene.owner))
    assert await count(database, Membership, Membership.client_id == scene.client_id) == 3


async def test_a_client_leads_to_its_trackers_and_places_and_to_nobody_elses(graph: Graph, scene: Organisation) -> None:
    query = """{ clients(first: 9) { nodes {
        trackers(filter: { isRetired: false }) { nodes { name } } places(filter: { kinds: [STORAGE] }) { totalCount }
    } } }"""
    (seen,) = (await graph.ask(query, scene.viewer))["clients"]["nodes"]
    assert seen["trackers"]["nodes"] == [{"name": "Box 1"}]
    assert seen["places"]["totalCount"] == 1
    (of_stranger,) = (await graph.ask(query, scene.stranger))["clients"]["nodes"]
    assert (of_stranger["trackers"]["nodes"], of_stranger["places"]["totalCount"]) == ([], 0)


async def test_who_may_report_from_now_on_has_what_waits_of_theirs_taken_in(
    scene: Organisation, database: Database, api_database: Database
) -> None:
    owner, stranger = scene.owner.user_id, scene.stranger.user_id
    assert owner is not None
    assert stranger is not None
    async with database.transaction() as transaction:
        name = await transaction.connection.scalar(select(User.username).where(User.id == stranger))

    async def added(transaction: Transaction, role: MembershipRole) -> UUID:
        return await add_member(transaction, scene.client_id, user_id=owner, username=str(name), role=role)

    async with api_database.transaction(viewer=scene.owner.in_database) as transaction:
        made = await added(transaction, MembershipRole.VIEWER)
        assert transaction.jobs == []
        await set_member_role(transaction, made, user_id=owner, role=MembershipRole.OPERATOR)
        assert transaction.jobs == [ATTACH_ORPHANS]
        await set_member_role(transaction, made, user_id=owner, role=MembershipRole.VIEWER)
        await remove_member(transaction, made, user_id=owner)
        assert transaction.jobs == [ATTACH_ORPHANS]
        await added(transaction, MembershipRole.OWNER)
        assert transaction.jobs == [ATTACH_ORPHANS] * 2


async def test_the_last_owner_stays_and_others_may_go(graph: Graph, scene: Organisation, database: Database) -> None:
    owner = await membership_of(database, scene, scene.owner)
    viewer = await membership_of(database, scene, scene.viewer)
    assert await code_of(graph, scene.owner, "removeMember", id=owner) == "LAST_OWNER"
    assert await code_of(graph, scene.owner, "setMemberRole", id=owner, role="VIEWER") == "LAST_OWNER"
    assert await code_of(graph, scene.operator, "removeMember", id=viewer) == "NOT_ALLOWED"
    await done(graph, scene.viewer, "removeMember", "deletedId", id=viewer)
    assert (await graph.ask("{ clients(first: 9) { nodes { id } } }", scene.viewer))["clients"]["nodes"] == []


async def test_a_client_has_250_members_at_most(
    graph: Graph, scene: Organisation, database: Database, owner: Any
) -> None:
    async with owner.begin() as connection:
        for _ in range(247):
            await member_of(connection, scene.client_id, await add_person(connection), MembershipRole.VIEWER)
    assert await code_of(graph, scene.owner, "addMember", clientId=scene.client, username="sten") == "TOO_MANY"


async def test_brands_and_runs_go_only_when_nothing_hangs_on_them(graph: Graph, scene: Organisation) -> None:
    assert await code_of(graph, scene.operator, "deleteBrand", id=scene.brand) == "NOT_EMPTY"
    assert await code_of(graph, scene.operator, "deleteProductionRun", id=scene.run) == "NOT_EMPTY"
    await done(graph, scene.operator, "editTracker", "tracker { id }", id=scene.tracker, productionRunId=None)
    refused = await change(graph, scene.operator, "deleteProductionRun", "deletedId", id=scene.run)
    assert "A place is for it alone" in refused["userErrors"][0]["message"]
    await done(graph, scene.operator, "editPlace", "place { id }", id=scene.warehouse, productionRunIds=[])
    assert (await done(graph, scene.operator, "deleteProductionRun", "deletedId", id=scene.run))[
        "deletedId"
    ] == scene.run
    assert (await done(graph, scene.operator, "deleteBrand", "deletedId", id=scene.brand))["deletedId"] == scene.brand


@pytest.mark.parametrize("field", ["startedAt", "endedAt"])
async def test_a_time_that_the_database_has_as_infinite_is_none_of_a_run(
    graph: Graph, scene: Organisation, field: str
) -> None:
    for instant in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"):
        run = {"brandId": scene.brand, "description": "Batch", "startedAt": "2026-02-01T00:00:00Z"} | {field: instant}
        payload = await change(graph, scene.operator, "createProductionRun", "productionRun { startedAt }", **run)
        (error,) = payload["userErrors"]
        assert (error["code"], error["field"]) == ("INVALID_INPUT", ["input", field])


async def test_another_silence_takes_the_trackers_in_the_order_of_those_who_process_reports(
    graph: Graph, scene: Organisation, database: Database
) -> None:
    async with database.transaction() as transaction:
        first = await tracker_of(transaction.connection, scene.client_id, "Z")
        last = await tracker_of(transaction.connection, scene.client_id, "A")
        # Every index of the trackers of a client has them the other way round.
        await transaction.connection.execute(delete(StatusChange))
        await transaction.connection.execute(delete(Visit))
        await transaction.connection.execute(delete(Tracker).where(Tracker.id == scene.tracker_id))
        await transaction.connection.execute(update(Tracker).where(Tracker.id == first).values(status="silent"))
    assert first < last
    async with database.transaction() as worker:
        await worker.connection.execute(select(Tracker.id).where(Tracker.id == first).with_for_update(key_share=True))
        editing = asyncio.create_task(
            done(graph, scene.owner, "editClient", "client { version }", id=scene.client, silentAfterMinutes=77)
        )
        await until_somebody_waits(database)
        second = select(Tracker.id).where(Tracker.id == last).with_for_update(key_share=True, nowait=True)
        assert await worker.connection.scalar(second) == last
    await editing


async def test_a_run_is_recorded_changed_and_moved_to_another_brand(graph: Graph, scene: Organisation) -> None:
    shown = "productionRun { id description startedAt endedAt version brand { name } }"
    new = {"brandId": scene.brand, "description": "Second batch", "startedAt": "2026-02-01T00:00:00Z"}
    run = (await done(graph, scene.operator, "createProductionRun", shown, **new))["productionRun"]
    assert (run["endedAt"], run["version"], run["brand"]["name"]) == (None, 1, "Hollow Pine")
    early = {"id": run["id"], "endedAt": "2026-01-31T00:00:00Z"}
    assert await code_of(graph, scene.operator, "editProductionRun", **early) == "INVALID_INPUT"
    assert await code_of(graph, scene.operator, "editProductionRun", id=run["id"], startedAt=None) == "INVALID_INPUT"
    brand = await done(graph, scene.operator, "createBrand", "brand { id }", clientId=scene.client, name="Moss")
    taken = {"clientId": scene.client, "name": "Moss"}
    assert await code_of(graph, scene.operator, "createBrand", **taken) == "NAME_TAKEN"
    moved = {"id": run["id"], "brandId": brand["brand"]["id"], "endedAt": "2026-02-28T00:00:00Z", "expectedVersion": 1}
    changed = (await done(graph, scene.operator, "editProductionRun", shown, **moved))["productionRun"]
    assert (changed["endedAt"], changed["version"], changed["brand"]["name"]) == ("2026-02-28T00:00:00Z", 2, "Moss")


async def test_a_deleted_client_is_gone_at_once_and_a_worker_removes_all_of_it(
    graph: Graph, scene: Organisation, database: Database
) -> None:
    gone = {"id": scene.client, "confirmName": "Grey Quay"}
    assert await code_of(graph, scene.owner, "deleteClient", **gone) == "NOT_EMPTY"
    await done(graph, scene.owner, "retireTracker", "tracker { retiredAt }", id=scene.tracker)
    assert await code_of(graph, scene.owner, "deleteClient", **gone | {"confirmName": "Quay"}) == "INVALID_INPUT"
    assert (await done(graph, scene.owner, "deleteClient", "deletedId", **gone))["deletedId"] == scene.client
    for viewer in (scene.owner, scene.operator):
        answer = await graph.ask("query ($id: ID!) { node(id: $id) { id } }", viewer, id=scene.tracker)
        assert answer["node"] is None
    assert await count(database, LocationFix) == 4
    assert await remove_all_deleted(database) == 1
    assert [await count(database, table) for table in (LocationFix, Visit, Tracker)] == [0, 0, 0]
    assert await count(database, Client) == 1


async def test_who_goes_leaves_the_client_to_the_longest_operator(
    graph: Graph, scene: Organisation, database: Database
) -> None:
    for viewer in (scene.owner, scene.viewer):
        assert viewer.user_id is not None
        async with database.transaction() as transaction:
            await erase(transaction, viewer.user_id)
    members = await graph.ask("{ clients(first: 1) { nodes { members { role user { username } } } } }", scene.operator)
    assert members["clients"]["nodes"] == [{"members": [{"role": "OWNER", "user": {"username": "piet"}}]}]
    assert scene.operator.user_id is not None
    async with database.transaction() as transaction:
        await erase(transaction, scene.operator.user_id)
    assert await count(database, Client, Client.id == scene.client_id) == 0
    assert await count(database, LocationFix) == 0
    assert await count(database, Client) == 1


async def test_another_silence_has_all_histories_made_anew(
    graph: Graph, scene: Organisation, database: Database
) -> None:
    async with database.transaction() as transaction:
        await tracker_of(transaction.connection, scene.strangers_client_id)
    await done(graph, scene.owner, "editClient", "client { id }", id=scene.client, silentAfterMinutes=1440)
    assert await count(database, Tracker, Tracker.recompute_from.is_not(None)) == 0
    await done(graph, scene.owner, "editClient", "client { id }", id=scene.client, silentAfterMinutes=60)
    assert await count(database, Tracker, Tracker.recompute_from.is_not(None)) == 1


async def test_another_silence_waits_for_a_batch_and_holds_no_tracker_that_the_batch_is_to_take_yet(
    scene: Organisation, database: Database
) -> None:
    async with database.transaction() as transaction:
        # Batches take them in the order of ids; by name, by status and as they are stored it is the other one.
        second = await tracker_of(transaction.connection, scene.client_id, "Box 0", status="created")
        await transaction.connection.execute(
            update(Tracker).where(Tracker.id == scene.tracker_id).values(status_since=func.now())
        )
        assert second > scene.tracker_id
    async with database.transaction() as batch:
        await lock_trackers(batch.connection, [scene.tracker_id])
        editing = asyncio.ensure_future(edit_silence(database, scene))
        holder = await batch.connection.scalar(text("SELECT pg_backend_pid()"))
        async with asyncio.timeout(10):
            while not await is_waited_for(database, holder):
                assert not editing.done(), "it waits for nobody"
                await asyncio.sleep(0.01)
        await batch.connection.execute(
            text("SELECT id FROM trackers.trackers WHERE id = :id FOR NO KEY UPDATE NOWAIT"), {"id": second}
        )
    await editing
    assert await count(database, Tracker, Tracker.recompute_from.is_not(None)) == 2


async def edit_silence(database: Database, scene: Organisation) -> None:
    """Have the client's trackers be silent after an hour."""
    assert scene.owner.user_id is not None
    async with database.transaction() as transaction:
        await edit_client(transaction, scene.client_id, {"silent_after_minutes": 60}, user_id=scene.owner.user_id)


async def is_waited_for(database: Database, holder: int | None) -> bool:
    """Whether somebody waits for what this backend holds."""
    async with database.transaction() as transaction:
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND :holder = ANY (pg_blocking_pids(pid))")
        return bool(await transaction.connection.scalar(waiting, {"holder": holder}))
