"""Due jobs run once at their moment, whoever looks; the clock is the test's, and stands unless it is moved."""

import asyncio
import logging
from datetime import timedelta
from typing import Unpack

import pytest
from sqlalchemy import insert, text, update

from app.core.database import Database, Transaction
from app.core.errors import BadUserInput
from app.core.ids import new_id
from app.core.settings import Settings
from app.core.telemetry import JOB_RUNS
from app.identity.scopes import Scope
from app.identity.viewer import Caller, Viewer
from app.operations.commands.jobs import ScheduleChanges, schedule_job
from app.operations.commands.runs import (
    KEPT_RUNS,
    LOST_AFTER,
    begin_run,
    cancel_run,
    claim_run,
    end_run,
    note_progress,
    request_run,
)
from app.operations.errors import OperationsErrorCode, OperationsRefused
from app.operations.models import JobRun, RunState, ScheduledJob
from tests.identity.builders import add_person, session_of
from tests.operations.builders import MONDAY, Clock, Work, at_nine, look, runs, scheduler, stored_job
from tests.outages_builders import eventually
from workers import scheduler as scheduler_module
from workers.jobs import JobContext

# Counted in one test alone.
JOBS_THAT_END = {"fine", "refusing", "breaking"}
NINE = MONDAY + timedelta(hours=1)


@pytest.fixture
async def admin(database: Database, api_database: Database) -> Viewer:
    """Somebody who may start jobs and say when they run."""
    async with database.transaction() as transaction:
        user_id = await add_person(
            transaction.connection, permissions=[Scope.OPERATIONS_READ, Scope.OPERATIONS_WRITE], username="admin"
        )
    return await session_of(api_database, user_id)


async def rescheduled(api_database: Database, admin: Viewer, clock: Clock, **changes: Unpack[ScheduleChanges]) -> None:
    """Change when the job runs, as the API does."""
    async with api_database.transaction(viewer=admin.in_database) as transaction:
        await schedule_job(transaction, caller=Caller(admin), name="count", now=clock.now, changes=changes)


async def is_waited_for(database: Database, transaction: Transaction) -> None:
    """Go on once somebody waits for what a transaction holds."""
    own = await transaction.connection.scalar(text("SELECT CAST(pg_current_xact_id() AS text)"))
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND CAST(transactionid AS text) = :own")

    async def somebody_waits() -> bool:
        async with database.transaction() as other:
            return bool(await other.connection.scalar(waiting, {"own": own}))

    await eventually("somebody waits for the transaction", somebody_waits)


async def test_a_job_runs_at_its_moment_and_not_before(database: Database, trove_settings: Settings) -> None:
    clock, work = Clock(), Work(result={"counted": 3})
    async with scheduler(database, trove_settings, clock, [at_nine(work)]) as one:
        await look(one)
        assert (await stored_job(database)).next_run_at == NINE
        clock.pass_by(minutes=59, seconds=59)
        await look(one)
        assert work.seen == []
        clock.pass_by(seconds=1)
        await look(one)
        await look(one)
    (run,) = await runs(database)
    assert (run.state, run.result, run.error) == (RunState.SUCCEEDED, {"counted": 3}, None)
    assert (run.scheduled_for, run.started_at, run.ended_at) == (NINE, NINE, NINE)
    assert len(work.seen) == 1
    assert (await stored_job(database)).next_run_at == NINE + timedelta(days=1)


async def test_two_workers_run_each_moment_once(database: Database, trove_settings: Settings) -> None:
    clock, work = Clock(), Work()
    jobs = [at_nine(work), *(at_nine(work, f"count-{number}", cron="*/10 * * * *") for number in range(4))]
    async with (
        scheduler(database, trove_settings, clock, jobs) as one,
        scheduler(database, trove_settings, clock, jobs) as other,
    ):
        for _ in range(7):
            # Twice, because neither begins everything at once.
            for _ in range(3):
                await look(one, other)
            clock.pass_by(minutes=10)
    moments = [(run.job, run.scheduled_for) for run in await runs(database)]
    assert len(moments) == len(set(moments)) == 6 * 4 + 1
    assert {run.state for run in await runs(database)} == {RunState.SUCCEEDED}
    assert len(work.seen) == len(moments)


async def test_sweeps_that_take_hours_keep_no_place_from_other_jobs(
    database: Database, trove_settings: Settings
) -> None:
    clock, sweep, upkeep = Clock(), Work(is_held=True), Work(is_held=True)
    sweeps = [at_nine(sweep, f"sweep:{number}", asks_outside=True) for number in range(5)]
    jobs = [*sweeps, *(at_nine(upkeep, f"upkeep-{number}") for number in range(5))]
    async with scheduler(database, trove_settings, clock, jobs) as one:
        await look(one)
        clock.pass_by(hours=1)
        await one.run()
        async with asyncio.timeout(20):
            while len(sweep.seen) < len(sweeps) or len(upkeep.seen) < scheduler_module.RUNS_AT_ONCE:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await one.run()
        assert [run.state for run in await runs(database)].count(RunState.QUEUED) == 2
        sweep.may_end.set()
        upkeep.may_end.set()
        await one.finish()
        await look(one)
    assert len(upkeep.seen) == 5


async def test_moments_that_nobody_saw_are_made_up_for_once(database: Database, trove_settings: Settings) -> None:
    clock, work = Clock(), Work()
    async with scheduler(database, trove_settings, clock, [at_nine(work)]) as one:
        await look(one)
    clock.pass_by(days=3, hours=4)
    async with scheduler(database, trove_settings, clock, [at_nine(work)]) as later:
        await look(later)
        await look(later)
    (run,) = await runs(database)
    assert (run.scheduled_for, run.started_at) == (NINE, clock.now)
    assert (await stored_job(database)).next_run_at == NINE + timedelta(days=4)


async def test_a_job_does_not_run_beside_itself_and_its_next_moment_waits(
    database: Database, trove_settings: Settings
) -> None:
    clock, work = Clock(), Work(is_held=True)
    job = at_nine(work, cron="0 * * * *")
    async with (
        scheduler(database, trove_settings, clock, [job]) as one,
        scheduler(database, trove_settings, clock, [job]) as other,
    ):
        await one.run()
        clock.pass_by(hours=1)
        await one.run()
        await work.begun.wait()
        for _ in range(3):
            clock.pass_by(hours=1)
            # Its process lives; else this would be hours of silence.
            async with database.transaction() as transaction:
                (running,) = [run for run in await runs(database) if run.state == RunState.RUNNING]
                assert await note_progress(transaction, running.id, None, is_news=False, now=clock.now)
            await asyncio.gather(one.run(), other.run())
        assert [run.state for run in await runs(database)] == [RunState.RUNNING, RunState.QUEUED]
        work.may_end.set()
        await look(one)
        await look(one, other)
    assert [run.state for run in await runs(database)] == [RunState.SUCCEEDED] * 2
    assert len(work.seen) == 2


async def test_a_changed_schedule_holds_at_once_and_outlasts_a_restart(
    database: Database, api_database: Database, trove_settings: Settings, admin: Viewer
) -> None:
    clock, work = Clock(), Work()
    async with scheduler(database, trove_settings, clock, [at_nine(work)]) as one:
        await look(one)
        await rescheduled(api_database, admin, clock, cron=" 30  17 * * * ", time_zone="Asia/Tokyo")
        clock.pass_by(minutes=30)
        await look(one)
        assert [run.scheduled_for for run in await runs(database)] == [MONDAY + timedelta(minutes=30)]
        clock.pass_by(minutes=30)
        await look(one)
        assert len(work.seen) == 1
    async with scheduler(database, trove_settings, clock, [at_nine(work)]) as restarted:
        await look(restarted)
        stored = await stored_job(database)
        assert (stored.cron, stored.time_zone) == ("30 17 * * *", "Asia/Tokyo")
        await rescheduled(api_database, admin, clock, is_enabled=False)
        assert (await stored_job(database)).next_run_at is None
        clock.pass_by(days=2)
        await look(restarted)
    assert len(work.seen) == 1


async def test_a_job_that_was_given_a_time_can_be_one_that_runs_only_when_asked_again(
    database: Database, api_database: Database, trove_settings: Settings, admin: Viewer
) -> None:
    clock, work = Clock(), Work()
    async with scheduler(database, trove_settings, clock, [at_nine(work, cron=None)]) as one:
        await look(one)
        await rescheduled(api_database, admin, clock, cron="30 8 * * *")
        await rescheduled(api_database, admin, clock, cron=None)
    async with scheduler(database, trove_settings, clock, [at_nine(work, cron=None)]) as restarted:
        clock.pass_by(days=2)
        await look(restarted)
        stored = await stored_job(database)
        await rescheduled(api_database, admin, clock, time_zone="Asia/Tokyo")
    assert (stored.cron, stored.is_enabled, stored.next_run_at) == (None, True, None)
    assert (await stored_job(database)).cron is None
    assert work.seen == []


async def test_a_new_default_holds_where_nobody_chose_another(database: Database, trove_settings: Settings) -> None:
    clock, work = Clock(), Work()
    async with scheduler(database, trove_settings, clock, [at_nine(work), at_nine(work, "gone")]) as one:
        await look(one)
    async with scheduler(database, trove_settings, clock, [at_nine(work, cron="0 10 * * *")]) as newer:
        await look(newer)
    assert (await stored_job(database)).next_run_at == NINE + timedelta(hours=1)
    assert await stored_job(database, "gone") is None


async def test_what_staff_choose_while_a_worker_starts_holds(
    database: Database, api_database: Database, trove_settings: Settings, admin: Viewer
) -> None:
    clock, job = Clock(), at_nine(Work())
    async with scheduler(database, trove_settings, clock, [job]) as one:
        await look(one)

    async with scheduler(database, trove_settings, clock, [job]) as starting:
        async with api_database.transaction(viewer=admin.in_database) as transaction:
            changes = ScheduleChanges(cron="0 3 * * *")
            await schedule_job(transaction, caller=Caller(admin), name="count", now=clock.now, changes=changes)
            start = asyncio.create_task(look(starting))
            await is_waited_for(database, transaction)
        await start
    assert (await stored_job(database)).cron == "0 3 * * *"


async def test_a_moment_that_is_due_stays_due_where_the_times_stay(
    database: Database, api_database: Database, trove_settings: Settings, admin: Viewer
) -> None:
    clock, work = Clock(), Work()
    async with scheduler(database, trove_settings, clock, [at_nine(work)]) as one:
        await look(one)
        clock.pass_by(hours=2)
        await rescheduled(api_database, admin, clock, is_enabled=True, cron="0  9 * * *")
        await look(one)
    assert [run.scheduled_for for run in await runs(database)] == [NINE]


async def test_a_schedule_that_means_nothing_any_more_stops_nothing_else(
    database: Database, trove_settings: Settings
) -> None:
    clock, work = Clock(), Work()
    jobs = [at_nine(work), at_nine(work, "other")]
    async with scheduler(database, trove_settings, clock, jobs) as one:
        await look(one)
        async with database.transaction() as transaction:
            # As of a time zone that the next version of the time zones does not have.
            outdated = update(ScheduledJob).where(ScheduledJob.name == "count").values(time_zone="Mars/Base")
            await transaction.connection.execute(outdated)
        clock.pass_by(hours=1)
        await look(one)
        assert {run.job for run in await runs(database)} == {"count", "other"}
        assert (await stored_job(database)).is_enabled is False
    async with scheduler(database, trove_settings, clock, jobs) as restarted:
        await look(restarted)
    assert (await stored_job(database)).next_run_at == NINE + timedelta(days=1)


async def test_who_was_not_granted_it_changes_no_schedule_and_starts_nothing(
    database: Database, api_database: Database, trove_settings: Settings
) -> None:
    clock = Clock()
    async with scheduler(database, trove_settings, clock, [at_nine(Work())]) as one:
        await look(one)
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection, permissions=[Scope.OPERATIONS_READ])
    viewer = await session_of(api_database, user_id, scopes=list(Scope))
    with pytest.raises(OperationsRefused, match="operations:write"):
        await rescheduled(api_database, viewer, clock, is_enabled=False)
    async with api_database.transaction(viewer=viewer.in_database) as transaction:
        # Not by the command, which refuses first: by the policies of the table.
        changed = await transaction.connection.execute(update(ScheduledJob).values(is_enabled=False, next_run_at=None))
        assert changed.rowcount == 0
    with pytest.raises(OperationsRefused, match="operations:write") as refused:
        async with api_database.transaction(viewer=viewer.in_database) as transaction:
            await request_run(transaction, caller=Caller(viewer), job="count")
    assert refused.value.reason is OperationsErrorCode.NOT_GRANTED
    assert await runs(database) == []


async def test_a_run_that_is_asked_for_begins_at_the_next_look(
    database: Database, api_database: Database, trove_settings: Settings, admin: Viewer
) -> None:
    clock, work = Clock(), Work()
    async with scheduler(database, trove_settings, clock, [at_nine(work, cron=None)]) as one:
        await look(one)
        async with api_database.transaction(viewer=admin.in_database) as transaction:
            await request_run(transaction, caller=Caller(admin), job="count")
        with pytest.raises(OperationsRefused, match="waits to begin already") as refused:
            async with api_database.transaction(viewer=admin.in_database) as transaction:
                await request_run(transaction, caller=Caller(admin), job="count")
        assert refused.value.reason is OperationsErrorCode.ALREADY_DONE
        await look(one)
    (run,) = await runs(database)
    assert (run.state, run.requested_by, run.scheduled_for) == (RunState.SUCCEEDED, admin.user_id, None)


async def test_a_run_is_cancelled_before_it_begins(
    database: Database, api_database: Database, trove_settings: Settings, admin: Viewer
) -> None:
    clock, work = Clock(), Work()
    async with scheduler(database, trove_settings, clock, [at_nine(work)]) as one:
        await look(one)
        async with api_database.transaction(viewer=admin.in_database) as transaction:
            run_id = await request_run(transaction, caller=Caller(admin), job="count")
            await cancel_run(transaction, run_id, caller=Caller(admin), now=clock.now)
        await look(one)
    (run,) = await runs(database)
    assert (run.state, run.error, work.seen) == (RunState.CANCELLED, "It was cancelled.", [])
    with pytest.raises(OperationsRefused, match="has ended already"):
        async with api_database.transaction(viewer=admin.in_database) as transaction:
            await cancel_run(transaction, run_id, caller=Caller(admin), now=clock.now)


async def test_a_run_that_ends_as_it_is_cancelled_has_ended(
    database: Database, api_database: Database, admin: Viewer
) -> None:
    async with database.transaction() as transaction:
        run_id = await begin_run(transaction, job="count", source=None, now=MONDAY)

    async def cancel() -> None:
        async with api_database.transaction(viewer=admin.in_database) as transaction:
            await cancel_run(transaction, run_id, caller=Caller(admin), now=MONDAY)

    async with database.transaction() as transaction:
        assert await end_run(transaction, run_id, RunState.SUCCEEDED, now=MONDAY)
        cancelling = asyncio.create_task(cancel())
        await is_waited_for(database, transaction)
    with pytest.raises(OperationsRefused, match="has ended already"):
        await cancelling
    (run,) = await runs(database)
    assert (run.state, run.cancel_requested_at) == (RunState.SUCCEEDED, None)


async def test_a_run_under_way_is_cancelled_by_whoever_runs_it(
    database: Database,
    api_database: Database,
    trove_settings: Settings,
    admin: Viewer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.operations.recording.SECONDS_BETWEEN_NOTES", 0.01)
    monkeypatch.setattr("app.operations.recording.SECONDS_BETWEEN_HEARTBEATS", 0.01)
    clock, work = Clock(), Work(is_held=True)
    async with scheduler(database, trove_settings, clock, [at_nine(work)]) as one:
        await one.run()
        clock.pass_by(hours=1)
        await one.run()
        await work.begun.wait()
        (run,) = await runs(database)
        async with api_database.transaction(viewer=admin.in_database) as transaction:
            await cancel_run(transaction, run.id, caller=Caller(admin), now=clock.now)
        await one.finish()
    (run,) = await runs(database)
    assert (run.state, run.error) == (RunState.CANCELLED, "It was cancelled.")


async def test_what_a_job_raises_is_told_without_secrets(
    database: Database, trove_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(_: JobContext) -> None:
        raise BadUserInput("The file is of another shape; give the right one.")

    async def break_down(job: JobContext) -> None:
        job.run.report(3, total=4)
        raise RuntimeError("password=hunter2")

    clock = Clock()
    jobs = [at_nine(Work(), "fine"), at_nine(refuse, "refusing"), at_nine(break_down, "breaking")]  # type: ignore[arg-type]  # any coroutine does
    async with scheduler(database, trove_settings, clock, jobs) as one:
        await look(one)
        clock.pass_by(hours=1)
        with caplog.at_level(logging.WARNING):
            await look(one)
    ended = {run.job: run for run in await runs(database)}
    assert {job: run.state for job, run in ended.items()} == {
        "fine": RunState.SUCCEEDED,
        "refusing": RunState.FAILED,
        "breaking": RunState.FAILED,
    }
    assert ended["refusing"].error == "The file is of another shape; give the right one."
    assert ended["breaking"].error == "It stopped by RuntimeError; the log of its process says more."
    assert ended["breaking"].progress == {"done": 3, "total": 4, "unit": "rows"}
    counted = {labels["job"]: labels["state"] for labels in _counted()}
    assert counted == {job: run.state for job, run in ended.items()}


def _counted() -> list[dict[str, str]]:
    """The labels of what was counted of these jobs."""
    samples = [sample for metric in JOB_RUNS.collect() for sample in metric.samples]
    return [one.labels for one in samples if one.name.endswith("_total") and one.labels["job"] in JOBS_THAT_END]


async def test_a_run_whose_process_fell_silent_is_lost_and_its_job_runs_again(
    database: Database, trove_settings: Settings
) -> None:
    clock, work = Clock(), Work()
    async with scheduler(database, trove_settings, clock, [at_nine(work, cron="0 * * * *")]) as one:
        await look(one)
        clock.pass_by(hours=1)
        async with database.transaction() as transaction:
            await transaction.connection.execute(
                insert(JobRun).values(id=new_id(), job="count", requested_at=clock.now)
            )
            # A worker begins it, and is never heard of again.
            claimed = await claim_run(transaction, jobs=["count"], now=clock.now)
        assert claimed is not None
        await look(one)
        assert [run.state for run in await runs(database)] == [RunState.RUNNING, RunState.QUEUED]
        clock.now += LOST_AFTER
        await look(one)
        assert work.seen == []
        clock.pass_by(seconds=1)
        await look(one)
    lost, again = await runs(database)
    assert (lost.state, again.state) == (RunState.LOST, RunState.SUCCEEDED)
    assert "fell silent" in lost.error
    async with database.transaction() as transaction:
        # Should it wake up after all, it is told to stop.
        assert not await note_progress(transaction, claimed.id, None, is_news=False, now=clock.now)


async def test_a_worker_that_stops_gives_back_what_it_has_not_ended(
    database: Database, trove_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_module, "GRACE_SECONDS", 0.05)
    clock, work = Clock(), Work(is_held=True)
    async with scheduler(database, trove_settings, clock, [at_nine(work)]) as one:
        await one.run()
        clock.pass_by(hours=1)
        await one.run()
        await work.begun.wait()
        await one.stop()
        (run,) = await runs(database)
        assert (run.state, run.started_at, run.heartbeat_at) == (RunState.QUEUED, None, None)
    work.is_held = False
    async with scheduler(database, trove_settings, clock, [at_nine(work)]) as other:
        await look(other)
    (run,) = await runs(database)
    assert (run.state, run.scheduled_for, len(work.seen)) == (RunState.SUCCEEDED, NINE, 2)


async def test_the_last_runs_of_each_job_are_kept(database: Database, trove_settings: Settings) -> None:
    clock, work = Clock(), Work()
    jobs = [at_nine(work, cron="* * * * *"), at_nine(work, "other")]
    async with scheduler(database, trove_settings, clock, jobs) as one:
        await look(one)
        clock.pass_by(hours=1)
        for _ in range(KEPT_RUNS + 3):
            clock.pass_by(minutes=1)
            await look(one)
    of_count = await runs(database, "count")
    assert len(of_count) == KEPT_RUNS
    assert of_count[-1].ended_at == clock.now
    assert len(await runs(database, "other")) == 1
