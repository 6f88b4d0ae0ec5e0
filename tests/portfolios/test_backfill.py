"""Snapshots are made by the job of the server, and by `trove portfolios backfill`."""

import asyncio
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
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
from tests.prices.builders import ingested, point
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


async def ended_job(database: Database, settings: Settings) -> Any:
    """The run of the job of the server, asked for now."""
    job = [job for job in JOBS if job.name == "portfolio-snapshots"]
    async with scheduler(database, settings, Clock(utc_now()), job) as worker:
        async with database.transaction() as transaction:
            await transaction.connection.execute(insert(JobRun).values(job=job[0].name))
        await look(worker)
    return (await runs(database))[-1]


async def test_the_job_makes_what_is_missing_up_to_yesterday(database: Database, trove_settings: Settings) -> None:
    await saved(database, coin("aurum"))
    one, other = await since(database, 12), await since(database, 3)
    ended = await ended_job(database, trove_settings)
    assert (ended.state, ended.result) == (RunState.SUCCEEDED, {"portfolios": 2, "snapshots": 15})
    today = utc_now().date()
    assert await days_of(database, one) == [today - number * DAY for number in range(12, 0, -1)]
    assert await days_of(database, other) == [today - number * DAY for number in range(3, 0, -1)]


async def test_with_a_new_day_the_last_three_are_made_again_for_prices_that_came_late(
    database: Database, trove_settings: Settings
) -> None:
    await saved(database, coin("aurum"))
    owned = await since(database, 12)
    today = utc_now().date()
    assert (await ended_job(database, trove_settings)).result == {"portfolios": 1, "snapshots": 12}
    late = datetime.combine(today - 6 * DAY, time(12), UTC)
    await ingested(database, point("aurum", "9", currency="EUR", at=late))
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(SnapshotMark).values(next_day=today - DAY))
    assert (await ended_job(database, trove_settings)).result == {"portfolios": 1, "snapshots": 3}
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(
            select(Snapshot.day).where(Snapshot.portfolio_id == owned.id, Snapshot.value == 9).order_by(Snapshot.day)
        )
        assert list(found.scalars()) == [today - number * DAY for number in (3, 2, 1)]
    assert (await ended_job(database, trove_settings)).result == {"portfolios": 0, "snapshots": 0}


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
    assert "0 snapshots of 0 portfolios" in (await run(monkeypatch, trove_settings, "--to", "9999-12-31")).output
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
