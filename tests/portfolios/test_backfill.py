"""Snapshots are made by the job of the server, and by `trove portfolios backfill`."""

import asyncio
from datetime import date, timedelta

import pytest
from sqlalchemy import func, insert, select
from typer.testing import CliRunner, Result

from app.cli.portfolios import commands
from app.core.clock import utc_now
from app.core.database import Database
from app.core.errors import BadUserInput
from app.core.settings import Settings
from app.operations.models import JobRun, RunState
from app.portfolios.models import Snapshot, SnapshotMark
from tests.catalogue.builders import coin, saved
from tests.operations.builders import Clock, look, runs, scheduler
from tests.portfolios.possessing import Deal, Owned, hold, portfolio_of_somebody
from workers.scheduled import JOBS

DAY = timedelta(days=1)


async def since(database: Database, days: int) -> Owned:
    """A portfolio whose first trade is so many days old."""
    owned = await portfolio_of_somebody(database)
    await hold(database, owned, "aurum", Deal("buy", "1", "10", at=utc_now() - days * DAY))
    return owned


async def days_of(database: Database, owned: Owned) -> list[date]:
    """The days that have a snapshot."""
    async with database.transaction() as transaction:
        found = select(Snapshot.day).where(Snapshot.portfolio_id == owned.id).order_by(Snapshot.day)
        return list(await transaction.connection.scalars(found))


async def run(monkeypatch: pytest.MonkeyPatch, settings: Settings, *arguments: str) -> Result:
    """`trove portfolios backfill`, in this process."""
    monkeypatch.setattr("app.cli.resumable.current_settings", lambda: settings)
    return await asyncio.to_thread(CliRunner().invoke, commands, ["backfill", *arguments])


async def test_the_job_makes_what_is_missing_up_to_yesterday(database: Database, trove_settings: Settings) -> None:
    await saved(database, coin("aurum"))
    one, other = await since(database, 12), await since(database, 3)
    job = [job for job in JOBS if job.name == "portfolio-snapshots"]
    async with scheduler(database, trove_settings, Clock(utc_now()), job) as worker:
        async with database.transaction() as transaction:
            await transaction.connection.execute(insert(JobRun).values(job=job[0].name))
        await look(worker)
    (ended,) = await runs(database)
    assert (ended.state, ended.result) == (RunState.SUCCEEDED, {"portfolios": 2, "snapshots": 15})
    today = utc_now().date()
    assert await days_of(database, one) == [today - number * DAY for number in range(12, 0, -1)]
    assert await days_of(database, other) == [today - number * DAY for number in range(3, 0, -1)]


async def test_backfill_makes_what_is_missing_and_from_a_day_on_what_is_there(
    database: Database, trove_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await saved(database, coin("aurum"))
    one, other = await since(database, 12), await since(database, 3)
    today = utc_now().date()
    first = await run(monkeypatch, trove_settings, "--portfolio", one.public_id, "--to", str(today - 5 * DAY))
    assert first.exit_code == 0, first.output
    assert "8 snapshots of 1 portfolios were made." in first.output
    assert "7 snapshots of 2 portfolios" in (await run(monkeypatch, trove_settings)).output
    assert "0 snapshots of 0 portfolios" in (await run(monkeypatch, trove_settings)).output
    anew = await run(monkeypatch, trove_settings, "--from", str(today - 5 * DAY))
    assert "8 snapshots of 2 portfolios" in anew.output
    assert len(await days_of(database, one)) == 12
    assert len(await days_of(database, other)) == 3
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(select(func.min(SnapshotMark.next_day))) == today


async def test_backfill_says_what_is_wrong_with_its_options(
    database: Database, trove_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = utc_now().date()
    for arguments, said in (
        (["--portfolio", "nothing"], "`nothing` is not the id of a portfolio"),
        (["--from", "yesterday"], "--from takes a day such as 2026-01-31, and not `yesterday`"),
        (["--from", str(today)], "--from must not lie after --to"),
        (["--from", "2024-02-01", "--to", "2024-01-01"], "--from must not lie after --to"),
    ):
        refused = await run(monkeypatch, trove_settings, *arguments)
        assert isinstance(refused.exception, BadUserInput), refused.output
        assert said in refused.exception.message
