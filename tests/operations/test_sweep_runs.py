"""Sweeps as jobs: one that came to nothing has failed and says why, and the times of all are written down."""

from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import insert

from app.core.clock import utc_now
from app.core.database import Database
from app.core.errors import BadUserInput
from app.core.settings import Settings
from app.operations.models import JobRun, RunState
from app.operations.recording import recorded_run
from tests.operations.builders import Clock, look, runs, scheduler
from tests.prices.connectors.fakes import FakeBinance, open_fake
from tests.prices.connectors.worlds import WORLDS, build
from tests.providers.builders import answer
from workers.scheduled import JOBS

PRICE_SOURCES = Path(__file__).parents[2] / "docs" / "price-sources.md"
REFUSED = answer(b"{}", status="403 Forbidden")


@pytest.mark.parametrize(
    ("name", "asked", "told"),
    [
        ("coingecko", 3, "Nothing was priced; 3 of 3 failed, `"),
        # It does not even say what it has.
        ("binance-candles", 0, "Nothing was priced: "),
    ],
)
async def test_a_sweep_in_which_nothing_was_priced_is_a_failed_run_that_keeps_its_counts(
    database: Database, trove_settings: Settings, name: str, asked: int, told: str
) -> None:
    jobs = [job for job in JOBS if job.name == f"sweep:{name}"]
    async with (
        open_fake(WORLDS[name].provider()) as fake,
        scheduler(database, trove_settings, Clock(utc_now()), jobs) as worker,
    ):
        await build(database, WORLDS[name], fake)
        for fault in (REFUSED, b""):
            fake.faults = [fault]
            async with database.transaction() as transaction:
                await transaction.connection.execute(insert(JobRun).values(job=jobs[0].name))
            await look(worker)
    failed, succeeded = await runs(database)
    assert (failed.state, failed.result["asked"], failed.result["failed"]) == (RunState.FAILED, asked, asked)
    assert failed.error.startswith(told)
    assert "status 403" in failed.error
    assert (succeeded.state, succeeded.error) == (RunState.SUCCEEDED, None)
    assert succeeded.result["priced"] > 0


@pytest.mark.parametrize("odd", ["\0", "\ud800", "\x1b[2J", "\u202e5"])
async def test_a_run_ends_whatever_characters_it_has_to_tell_of(
    database: Database, trove_settings: Settings, odd: str
) -> None:
    jobs = [job for job in JOBS if job.name == "sweep:binance"]
    async with (
        open_fake(FakeBinance(prices={"BTCUSDT": odd, "ETHUSDT": "2"})) as fake,
        scheduler(database, trove_settings, Clock(utc_now()), jobs) as worker,
    ):
        await build(database, WORLDS["binance"], fake)
        async with database.transaction() as transaction:
            await transaction.connection.execute(insert(JobRun).values(job=jobs[0].name))
        await look(worker)
    (run,) = await runs(database)
    assert (run.state, run.result["priced"]) == (RunState.SUCCEEDED, 1)
    shown = odd.replace(odd[0], "\N{REPLACEMENT CHARACTER}")
    assert run.result["failures"][0]["reason"] == f"`price` is “{shown}”, and not an amount."


async def test_a_run_whose_own_words_quote_odd_characters_ends(database: Database) -> None:
    with suppress(BadUserInput):
        async with recorded_run(database, "import") as run:
            run.result = {"rejects": [{"row": 1, "reason": "“\0” is no name"}], "read": 1}
            raise BadUserInput("“\0\ud800” is no file\nat all")
    (ended,) = await runs(database)
    assert (ended.state, ended.error) == (RunState.FAILED, "“��” is no file\nat all")
    assert ended.result == {"rejects": [{"row": 1, "reason": "“�” is no name"}], "read": 1}


def test_the_times_of_every_sweep_are_in_the_document_about_price_sources() -> None:
    told = [line for line in PRICE_SOURCES.read_text().splitlines() if line.startswith("| `sweep:")]
    beginnings = [line.rpartition("|")[0].rpartition("|")[0] for line in told]
    sweeps = sorted((job.name, job.cron) for job in JOBS if job.name.startswith("sweep:"))
    assert beginnings == [f"| `{name}` | `{cron}` " for name, cron in sweeps]
