"""Jobs, their runs and imports through the graph: who sees them, who starts them, and an import as it goes on."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import select, update

from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole
from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag, parse_public_id
from app.core.settings import Settings
from app.graph.context import Resources
from app.graph.execution import Engine, Request
from app.graph.feeds import Feeds
from app.graph.transports.answers import Answers
from app.identity.scopes import Scope
from app.identity.viewer import Caller, Viewer
from app.operations.commands.runs import begin_run, claim_run, end_run, note_progress
from app.operations.imports import RejectedLine, import_result
from app.operations.models import JobRun, RunState
from app.operations.recording import recorded_run
from tests.conftest import open_database
from tests.graph.conftest import Graph
from tests.identity.builders import add_person, session_of
from tests.operations.builders import Clock, Work, at_nine, look, runs, scheduler, stored_job
from tests.outages_builders import eventually
from workers.scheduled import JOBS as JOBS_OF_THE_SERVER

ERRORS = "userErrors { field code message }"
PROGRESS = "progress { done total unit }"
COUNTS = "counts { read created updated unchanged rejected }"
IMPORT = f"id importer source state requestedBy {{ username }} {PROGRESS} {COUNTS} rejects {{ rowNumber reason }} error"
START = f"""
mutation ($input: StartImportInput!) {{ startImport(input: $input) {{ importRun {{ {IMPORT} }} {ERRORS} }} }}
"""
RUN = f"mutation ($input: RunJobInput!) {{ runJob(input: $input) {{ jobRun {{ id job state }} {ERRORS} }} }}"
SCHEDULE = f"""
mutation ($input: ScheduleJobInput!) {{
    scheduleJob(input: $input) {{ job {{ name cron timeZone isEnabled nextRunAt }} {ERRORS} }}
}}
"""
CANCEL = f"""
mutation ($id: ID!) {{ cancelRun(input: {{id: $id}}) {{ jobRun {{ id state cancelRequestedAt }} {ERRORS} }} }}
"""
ONE = f"query ($id: ID!) {{ importRun(id: $id) {{ {IMPORT} }} node(id: $id) {{ id }} }}"
IMPORTS = """
query ($filter: ImportRunFilter) { importRuns(filter: $filter) { totalCount nodes { importer state } } }
"""
JOB_RUNS = f"""
query ($filter: JobRunFilter) {{
    jobRuns(filter: $filter) {{
        totalCount
        nodes {{
            job state scheduledFor startedAt endedAt heartbeatAt requestedBy {{ username }} {PROGRESS} result error
        }}
    }}
}}
"""
JOBS = """
{ jobs {
    nodes {
        name description cron timeZone isEnabled nextRunAt
        lastRun { state result }
        runs(first: 1) { totalCount nodes { state } }
    }
} }
"""
FOLLOW = f"subscription ($id: ID!) {{ importProgress(id: $id) {{ {IMPORT} }} }}"
URL = "https://example.org/coins.json?key=hunter2"


async def person(database: Database, api_database: Database, *permissions: Scope, username: str) -> Viewer:
    """Somebody with a session."""
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection, permissions=permissions, username=username)
    return await session_of(api_database, user_id)


@pytest.fixture
async def ada(database: Database, api_database: Database) -> Viewer:
    """Somebody with a session."""
    return await person(database, api_database, username="ada")


@pytest.fixture
async def starter(database: Database, api_database: Database) -> Viewer:
    """Somebody who may start jobs, and does not see those of others."""
    return await person(database, api_database, Scope.OPERATIONS_WRITE, username="starter")


@pytest.fixture
async def support(database: Database, api_database: Database) -> Viewer:
    """Staff who may look."""
    return await person(database, api_database, Scope.OPERATIONS_READ, username="support")


@pytest.fixture
async def admin(database: Database, api_database: Database) -> Viewer:
    """Staff who may look and change."""
    return await person(database, api_database, Scope.OPERATIONS_READ, Scope.OPERATIONS_WRITE, username="admin")


async def started(graph: Graph, viewer: Viewer, **input: Any) -> dict[str, Any]:
    """The payload of startImport."""
    given = {"importer": "COINS", "url": URL} | input
    payload: dict[str, Any] = (await graph.ask(START, viewer, input=given))["startImport"]
    return payload


def key_of(public: str) -> UUID:
    """The key behind the id of a run."""
    parsed = parse_public_id(public)
    assert parsed is not None
    assert parsed[0] in {PublicIdTag.IMPORT_RUN, PublicIdTag.JOB_RUN}
    assert isinstance(parsed[1], UUID)
    return parsed[1]


async def end(database: Database, run_id: str, state: RunState = RunState.SUCCEEDED) -> None:
    """Begin a run, and end it with counts."""
    rejects = [RejectedLine(7, "it has no name"), RejectedLine(3, "it is no object")]
    result = import_result(read=9, created=4, updated=2, unchanged=1, rejected=2, rejects=rejects)
    async with database.transaction() as transaction:
        claimed = await claim_run(transaction, jobs=["import:coins"], now=utc_now())
        assert claimed is not None
        assert claimed.id == key_of(run_id)
        progress = {"done": 9, "total": None, "unit": "rows"}
        await end_run(transaction, claimed.id, state, now=utc_now(), progress=progress, result=result)


async def test_an_import_is_started_and_seen_by_who_asked_and_by_staff(
    graph: Graph, ada: Viewer, starter: Viewer, support: Viewer, database: Database
) -> None:
    payload = await started(graph, starter)
    run = payload["importRun"]
    assert payload["userErrors"] == []
    assert run == {
        "id": run["id"],
        "importer": "COINS",
        "source": "https://example.org/coins.json",
        "state": "QUEUED",
        "requestedBy": {"username": "starter"},
        "progress": None,
        "counts": None,
        "rejects": [],
        "error": None,
    }
    await end(database, run["id"])
    for viewer in (starter, support):
        seen = await graph.ask(ONE, viewer, id=run["id"])
        assert seen["node"] == {"id": run["id"]}
        assert seen["importRun"]["state"] == "SUCCEEDED"
        assert seen["importRun"]["progress"] == {"done": "9", "total": None, "unit": "rows"}
        assert seen["importRun"]["counts"] == {
            "read": 9,
            "created": 4,
            "updated": 2,
            "unchanged": 1,
            "rejected": 2,
        }
        assert seen["importRun"]["rejects"] == [
            {"rowNumber": 3, "reason": "it is no object"},
            {"rowNumber": 7, "reason": "it has no name"},
        ]
    assert await graph.ask(ONE, ada, id=run["id"]) == {"importRun": None, "node": None}
    assert (await graph.refusal(IMPORTS, starter))["extensions"]["code"] == "FORBIDDEN"
    async with database.transaction() as transaction:
        (arguments,) = (await transaction.connection.execute(select(JobRun.arguments))).scalars()
    assert arguments is None


@pytest.mark.parametrize(
    ("input", "field"),
    [
        ({"url": None}, "url"),
        ({"url": "https://ada:hunter2@example.org/"}, "url"),
        ({"url": "https://192.168.1.4/coins.json"}, "url"),
        ({"importer": "PRICES"}, "importer"),
    ],
)
async def test_an_import_that_cannot_be_is_refused_with_what_to_do(
    graph: Graph, admin: Viewer, input: dict[str, Any], field: str
) -> None:
    payload = await started(graph, admin, **input)
    (error,) = payload["userErrors"]
    assert (payload["importRun"], error["code"], error["field"]) == (None, "INVALID_INPUT", ["input", field])
    assert "hunter2" not in error["message"]


async def test_an_import_that_waits_already_is_told_by_what_asked_for_it(graph: Graph, admin: Viewer) -> None:
    assert (await started(graph, admin, importer="SCRYFALL", url=None))["userErrors"] == []
    (error,) = (await started(graph, admin, importer="SCRYFALL", url=None))["userErrors"]
    assert (error["code"], error["field"]) == ("ALREADY_DONE", ["input", "importer"])


async def test_who_was_not_granted_it_starts_and_changes_nothing(
    graph: Graph, support: Viewer, database: Database, api_database: Database, trove_settings: Settings
) -> None:
    assert (await graph.refusal(START, support, input={"importer": "FX"}))["extensions"]["code"] == "FORBIDDEN"
    async with scheduler(database, trove_settings, Clock(), [at_nine(Work())]) as one:
        await look(one)
    claims_it = await session_of(api_database, support.own_id, scopes=list(Scope))
    for document, given, name in (
        (START, {"importer": "FX"}, "startImport"),
        (RUN, {"job": "count"}, "runJob"),
        (SCHEDULE, {"job": "count", "isEnabled": False}, "scheduleJob"),
    ):
        payload = (await graph.ask(document, claims_it, input=given))[name]
        assert [error["code"] for error in payload["userErrors"]] == ["NOT_GRANTED"]


async def test_imports_and_runs_are_listed_and_narrowed_for_staff(
    graph: Graph, support: Viewer, database: Database
) -> None:
    async with database.transaction() as transaction:
        for job in ("import:coins", "import:figures", "sweep:shop", "import:coins"):
            run_id = await begin_run(transaction, job=job, source=None, now=utc_now())
        await end_run(transaction, run_id, RunState.FAILED, now=utc_now(), error="No.")
    listed = (await graph.ask(IMPORTS, support))["importRuns"]
    assert listed["totalCount"] == 3
    assert [node["importer"] for node in listed["nodes"]] == ["COINS", "FIGURES", "COINS"]
    for wanted, found in (
        ({"importer": "COINS"}, [("COINS", "FAILED"), ("COINS", "RUNNING")]),
        ({"importer": "COINS", "state": "RUNNING"}, [("COINS", "RUNNING")]),
        ({"importer": "FX"}, []),
    ):
        nodes = (await graph.ask(IMPORTS, support, filter=wanted))["importRuns"]["nodes"]
        assert [(node["importer"], node["state"]) for node in nodes] == found
    runs = (await graph.ask(JOB_RUNS, support, filter={"job": "sweep:shop"}))["jobRuns"]
    assert [node["job"] for node in runs["nodes"]] == ["sweep:shop"]
    failed = (await graph.ask(JOB_RUNS, support, filter={"state": "FAILED"}))["jobRuns"]["nodes"]
    assert [(node["job"], node["error"]) for node in failed] == [("import:coins", "No.")]


async def test_a_run_of_a_job_that_imports_nothing_is_no_import(
    graph: Graph, support: Viewer, database: Database
) -> None:
    async with database.transaction() as transaction:
        run_id = await begin_run(transaction, job="sweep:shop", source=None, now=utc_now())
    from_runs = (await graph.ask("{ jobRuns { nodes { id } } }", support))["jobRuns"]["nodes"]
    assert key_of(from_runs[0]["id"]) == run_id
    assert (await graph.ask("{ importRuns { totalCount } }", support))["importRuns"]["totalCount"] == 0
    assert (await graph.ask("query ($id: ID!) { importRun(id: $id) { id } }", support, id=from_runs[0]["id"])) == {
        "importRun": None
    }


async def test_staff_see_the_jobs_with_their_times_and_last_runs(
    graph: Graph, support: Viewer, ada: Viewer, database: Database, trove_settings: Settings
) -> None:
    clock, work = Clock(), Work(result={"counted": 3})
    jobs = [at_nine(work, time_zone="Europe/Berlin"), at_nine(work, "never", cron=None)]
    async with scheduler(database, trove_settings, clock, jobs) as one:
        await look(one)
        clock.pass_by(days=1)
        await look(one)
    shown = (await graph.ask(JOBS, support))["jobs"]["nodes"]
    assert shown == [
        {
            "name": "count",
            "description": "Counts something.",
            "cron": "0 9 * * *",
            "timeZone": "Europe/Berlin",
            "isEnabled": True,
            "nextRunAt": "2026-03-11T08:00:00Z",
            "lastRun": {"state": "SUCCEEDED", "result": {"counted": 3}},
            "runs": {"totalCount": 1, "nodes": [{"state": "SUCCEEDED"}]},
        },
        {
            "name": "never",
            "description": "Counts something.",
            "cron": None,
            "timeZone": "UTC",
            "isEnabled": True,
            "nextRunAt": None,
            "lastRun": None,
            "runs": {"totalCount": 0, "nodes": []},
        },
    ]
    assert (await graph.refusal(JOBS, ada))["extensions"]["code"] == "FORBIDDEN"
    assert (await graph.refusal(JOBS))["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_job_is_run_now_and_a_second_time_it_waits_already(
    graph: Graph, admin: Viewer, database: Database, trove_settings: Settings
) -> None:
    work = Work()
    async with scheduler(database, trove_settings, Clock(utc_now()), [at_nine(work)]) as one:
        await look(one)
        payload = (await graph.ask(RUN, admin, input={"job": "count"}))["runJob"]
        assert (payload["jobRun"]["job"], payload["jobRun"]["state"]) == ("count", "QUEUED")
        again = (await graph.ask(RUN, admin, input={"job": "count"}))["runJob"]
        assert [error["code"] for error in again["userErrors"]] == ["ALREADY_DONE"]
        unknown = (await graph.ask(RUN, admin, input={"job": "import:pokemon"}))["runJob"]
        assert [error["code"] for error in unknown["userErrors"]] == ["NOT_FOUND"]
        await look(one)
    (run,) = (await graph.ask(JOB_RUNS, admin))["jobRuns"]["nodes"]
    assert (run["state"], run["requestedBy"], run["scheduledFor"]) == ("SUCCEEDED", {"username": "admin"}, None)
    assert len(work.seen) == 1


async def test_a_schedule_is_changed_and_a_bad_one_refused_with_an_example(
    graph: Graph, admin: Viewer, database: Database, trove_settings: Settings
) -> None:
    async with scheduler(database, trove_settings, Clock(), [at_nine(Work())]) as one:
        await look(one)
    changed = (
        await graph.ask(SCHEDULE, admin, input={"job": "count", "cron": "30 4 * * *", "timeZone": "Asia/Tokyo"})
    )["scheduleJob"]
    assert changed["userErrors"] == []
    assert changed["job"]["nextRunAt"].endswith("T19:30:00Z")
    off = (await graph.ask(SCHEDULE, admin, input={"job": "count", "isEnabled": False}))["scheduleJob"]["job"]
    assert off == {
        "name": "count",
        "cron": "30 4 * * *",
        "timeZone": "Asia/Tokyo",
        "isEnabled": False,
        "nextRunAt": None,
    }
    asked = (await graph.ask(SCHEDULE, admin, input={"job": "count", "cron": None, "isEnabled": True}))["scheduleJob"]
    assert asked["userErrors"] == []
    assert asked["job"] == off | {"cron": None, "isEnabled": True}
    for given, field, example in (
        ({"cron": "every morning"}, "cron", "`15 16 * * 1-5`"),
        ({"timeZone": "Middle/Earth"}, "timeZone", "`Europe/Berlin`"),
        ({"job": "nothing", "isEnabled": True}, "job", "`jobs` lists them"),
        ({"job": "count\0", "isEnabled": True}, "job", "`jobs` lists them"),
    ):
        refused = (await graph.ask(SCHEDULE, admin, input={"job": "count"} | given))["scheduleJob"]
        (error,) = refused["userErrors"]
        assert (refused["job"], error["field"]) == (None, ["input", field])
        assert example in error["message"]


async def test_a_run_is_told_to_stop_by_either_of_its_ids(graph: Graph, admin: Viewer, support: Viewer) -> None:
    run_id = (await started(graph, admin))["importRun"]["id"]
    assert (await graph.refusal(CANCEL, support, id=run_id))["extensions"]["code"] == "FORBIDDEN"
    told = (await graph.ask(CANCEL, admin, id=run_id))["cancelRun"]
    assert told["userErrors"] == []
    assert told["jobRun"]["cancelRequestedAt"] is not None
    assert key_of(told["jobRun"]["id"]) == key_of(run_id)
    assert (await graph.ask(CANCEL, admin, id=told["jobRun"]["id"]))["cancelRun"]["userErrors"] == []
    for nothing in (
        "garbage",
        run_id.replace("a", "b")[:-4] + "AAA=",
        (await graph.ask("{viewer {id}}", admin))["viewer"]["id"],
    ):
        refused = (await graph.ask(CANCEL, admin, id=nothing))["cancelRun"]
        assert [error["code"] for error in refused["userErrors"]] == ["NOT_FOUND"]


@asynccontextmanager
async def following(graph: Graph, viewer: Viewer, run_id: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """What a subscriber is sent, as over every transport."""
    operation = graph.engine.prepare(Request(FOLLOW, {"id": run_id}))
    async with aclosing(Answers(graph.engine).stream(operation, Caller(viewer))) as answers:
        yield (orjson.loads(answer.json) async for answer in answers)


async def test_an_import_is_followed_from_the_beginning_to_the_end(
    graph: Graph, starter: Viewer, support: Viewer, database: Database
) -> None:
    run_id = (await started(graph, starter))["importRun"]["id"]
    async with following(graph, starter, run_id) as one, following(graph, support, run_id) as other:

        async def next_of_both() -> dict[str, Any]:
            shown = [(await anext(answers))["data"]["importProgress"] for answers in (one, other)]
            assert shown[0] == shown[1]
            return dict(shown[0])

        assert (await next_of_both())["state"] == "QUEUED"
        async with database.transaction() as transaction:
            claimed = await claim_run(transaction, jobs=["import:coins"], now=utc_now())
        assert claimed is not None
        assert (await next_of_both())["state"] == "RUNNING"
        for done in (500, 1_000):
            async with database.transaction() as transaction:
                progress = {"done": done, "total": 2_000, "unit": "rows"}
                await note_progress(transaction, claimed.id, progress, is_news=True, now=utc_now())
            assert (await next_of_both())["progress"] == {"done": str(done), "total": "2000", "unit": "rows"}
        async with database.transaction() as transaction:
            result = import_result(read=2_000, created=2_000, updated=0, unchanged=0, rejected=0)
            await end_run(transaction, claimed.id, RunState.SUCCEEDED, now=utc_now(), result=result)
        last = await next_of_both()
        assert (last["state"], last["counts"]["created"]) == ("SUCCEEDED", 2_000)
        for answers in (one, other):
            assert [answer async for answer in answers] == []
    async with following(graph, starter, run_id) as late:
        assert [answer["data"]["importProgress"]["state"] async for answer in late] == ["SUCCEEDED"]


async def test_the_end_of_an_import_is_sent_once_even_if_it_comes_before_an_answer_about_its_beginning(
    graph: Graph, starter: Viewer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = (await started(graph, starter))["importRun"]["id"]
    answer_event, ended = graph.engine.answer_event, False

    async def answer_late(*asked: Any) -> Any:
        nonlocal ended
        if not ended:
            ended = True
            await end(database, run_id, RunState.FAILED)
        return await answer_event(*asked)

    monkeypatch.setattr(graph.engine, "answer_event", answer_late)
    async with following(graph, starter, run_id) as answers:
        states = [answer["data"]["importProgress"]["state"] async for answer in answers]
    assert states == ["FAILED"]


async def test_an_import_is_followed_while_redis_is_away(
    graph: Graph, starter: Viewer, database: Database, trove_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.graph.jobs.progress.LOOK_AT_LEAST_EVERY_SECONDS", 0.05)
    run_id = (await started(graph, starter))["importRun"]["id"]
    nowhere = trove_settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with open_database(nowhere, DatabaseRole.API) as api_database:
        resources = graph.engine.resources
        feed = Feeds(api_database, api_database.events)
        engine = Engine(Resources(api_database, nowhere, feed, resources.identity))
        async with following(Graph(engine), starter, run_id) as answers:
            states = [(await anext(answers))["data"]["importProgress"]["state"]]
            await end(database, run_id)
            states += [answer["data"]["importProgress"]["state"] async for answer in answers]
    assert states == ["QUEUED", "SUCCEEDED"]


async def test_who_may_not_see_an_import_cannot_follow_it(
    graph: Graph, ada: Viewer, starter: Viewer, database: Database
) -> None:
    run_id = (await started(graph, starter))["importRun"]["id"]
    async with following(graph, ada, run_id) as answers:
        (refused,) = [answer async for answer in answers]
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["NOT_FOUND"]
    async with following(graph, starter, run_id) as answers:
        await anext(answers)
        async with database.transaction() as transaction:
            await transaction.connection.execute(
                update(JobRun).values(requested_by=None, cancel_requested_at=utc_now())
            )
        # It is not theirs any more, as when an account is erased.
        assert [answer async for answer in answers] == []


async def test_what_a_command_imports_is_seen_as_it_goes_on(
    graph: Graph, support: Viewer, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.operations.recording.SECONDS_BETWEEN_NOTES", 0.01)

    async def seen() -> dict[str, Any]:
        (node,) = (await graph.ask(JOB_RUNS, support))["jobRuns"]["nodes"]
        return dict(node)

    with suppress(BadUserInput):
        async with recorded_run(database, "import:prices", source="prices.json") as run:
            (listed,) = (await graph.ask("{ importRuns { nodes { id } } }", support))["importRuns"]["nodes"]
            async with following(graph, support, listed["id"]) as answers:
                assert (await anext(answers))["data"]["importProgress"]["progress"] is None
                run.report(0, total=10)
                run.advance(4)
                shown = (await anext(answers))["data"]["importProgress"]
                assert (shown["source"], shown["state"]) == ("prices.json", "RUNNING")
                assert shown["progress"] == {"done": "4", "total": "10", "unit": "rows"}
            raise BadUserInput("The rest of the file is of another shape.")
    ended = await seen()
    assert (ended["state"], ended["error"]) == ("FAILED", "The rest of the file is of another shape.")
    assert ended["progress"] == {"done": "4", "total": "10", "unit": "rows"}


async def test_a_worker_process_knows_its_jobs_and_runs_what_staff_ask_for(
    graph: Graph, admin: Viewer, database: Database, live_worker: object
) -> None:
    # Not through the graph, which the tests ask twice: it could go on in between.
    async def knows() -> bool:
        return await stored_job(database, JOBS_OF_THE_SERVER[-1].name) is not None

    async def has_run() -> bool:
        return [run.state for run in await runs(database, "make-partitions")] == [RunState.SUCCEEDED]

    await eventually("the worker has told its jobs", knows, within=60)
    shown = (await graph.ask("{ jobs(first: 100) { nodes { name cron } } }", admin))["jobs"]["nodes"]
    assert {job["name"]: job["cron"] for job in shown} == {job.name: job.cron for job in JOBS_OF_THE_SERVER}
    payload = (await graph.ask(RUN, admin, input={"job": "make-partitions"}))["runJob"]
    assert payload["userErrors"] == []
    await eventually("the job has run", has_run)
