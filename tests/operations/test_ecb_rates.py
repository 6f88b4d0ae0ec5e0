"""The bank's rates, fetched over a real socket from a server that has its files, or misbehaves."""

import io
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from app.core.database import Database
from app.core.outbound import OutsideFailure, OutsideServiceFailed
from app.core.retrying import ONCE
from app.core.settings import Settings
from app.operations.models import RunState
from app.prices.ecb_rates import FetchedRates, import_ecb_rates
from app.prices.formats.errors import FileNotUnderstood
from app.prices.models import StoredExchangeRate
from app.providers.client import ProviderClient, provider_http
from app.providers.errors import ProviderDisabled
from tests.operations.builders import Clock, look, runs, scheduler
from tests.providers.builders import Shop, add_provider, answer, calls, open_shop
from workers.scheduled import JOBS

TODAY = date(2026, 3, 10)
ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
                 xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
    <gesmes:subject>Reference rates</gesmes:subject>
    <gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>
    <Cube>{}</Cube>
</gesmes:Envelope>"""
HTML = answer(b"<!DOCTYPE html><html><title>Maintenance</title></html>", headers="Content-Type: text/html\r\n")


def xml(*days: tuple[str, str]) -> bytes:
    """A file of these days, each with the rate of the dollar, as the bank writes them."""
    cubes = "".join(
        f"<Cube time='{day}'><Cube currency='USD' rate='{rate}'/><Cube currency='JPY' rate='171.5'/></Cube>"
        for day, rate in days
    )
    return answer(ENVELOPE.format(cubes).encode(), headers="Content-Type: text/xml\r\n")


def history(*days: tuple[str, str]) -> bytes:
    """The zip with the whole history as CSV."""
    lines = ["Date,USD,CYP,", *(f"{day},{rate},N/A," for day, rate in days)]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("eurofxref-hist.csv", "\n".join(lines))
    return answer(packed.getvalue(), headers="Content-Type: application/zip\r\n")


async def fetched(database: Database, *, today: date = TODAY) -> FetchedRates:
    """What comes of asking the bank once."""
    async with provider_http() as http:
        return await import_ecb_rates(database, ProviderClient(database, "ecb", http, retries=ONCE), today=today)


async def stored(database: Database) -> dict[tuple[str, date], Decimal]:
    """The rates in the table."""
    columns = (StoredExchangeRate.currency, StoredExchangeRate.rate_date, StoredExchangeRate.units_per_eur)
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(select(*columns))
        return {(row.currency, row.rate_date): row.units_per_eur for row in rows}


def paths(shop: Shop) -> list[str]:
    """What was asked for."""
    return [asked.split()[1].decode() for asked in shop.asked]


async def test_an_empty_table_gets_the_whole_history_and_then_the_last_day(database: Database) -> None:
    async with open_shop(
        history(("2026-03-09", "1.1"), ("1999-01-04", "1.1789")), xml(("2026-03-10", "1.1021"))
    ) as shop:
        await add_provider(database, shop.port, code="ecb")
        first = await fetched(database)
        second = await fetched(database)
        assert paths(shop) == ["/stats/eurofxref/eurofxref-hist.zip", "/stats/eurofxref/eurofxref-daily.xml"]
    assert (first.imported.inserted, second.imported.inserted) == (2, 2)
    assert (await stored(database))["USD", date(1999, 1, 4)] == Decimal("1.1789")
    assert (await stored(database))["USD", TODAY] == Decimal("1.1021")
    assert [call.endpoint for call in await calls(database)] == ["all rates", "daily rates"]


@pytest.mark.parametrize(
    ("newest", "today", "asked"),
    [
        ("2026-03-09", "2026-03-10", "eurofxref-daily.xml"),
        ("2026-03-10", "2026-03-10", "eurofxref-daily.xml"),
        # Friday and Monday; and again on the Sunday between.
        ("2026-03-06", "2026-03-09", "eurofxref-daily.xml"),
        ("2026-03-06", "2026-03-08", "eurofxref-daily.xml"),
        ("2026-03-06", "2026-03-10", "eurofxref-hist-90d.xml"),
        ("2026-03-05", "2026-03-07", "eurofxref-hist-90d.xml"),
        ("2025-12-20", "2026-03-10", "eurofxref-hist-90d.xml"),
        ("2025-12-19", "2026-03-10", "eurofxref-hist.zip"),
    ],
)
async def test_where_a_working_day_may_be_missing_the_days_between_are_fetched_too(
    database: Database, newest: str, today: str, asked: str
) -> None:
    async with open_shop(history((newest, "1.1")), xml((today, "1.3"))) as shop:
        await add_provider(database, shop.port, code="ecb")
        await fetched(database, today=date.fromisoformat(today))
        await fetched(database, today=date.fromisoformat(today))
        assert paths(shop)[1] == f"/stats/eurofxref/{asked}"
    assert (await stored(database))["USD", date.fromisoformat(today)] == Decimal("1.3")


async def test_the_same_day_again_changes_nothing_and_a_correction_is_taken(database: Database) -> None:
    async with open_shop(xml(("2026-03-10", "1.1")), xml(("2026-03-10", "1.1")), xml(("2026-03-10", "1.2"))) as shop:
        await add_provider(database, shop.port, code="ecb")
        outcomes = [(await fetched(database)).imported for _ in range(3)]
    assert [(one.inserted, one.updated, one.unchanged) for one in outcomes] == [(2, 0, 0), (0, 0, 2), (0, 1, 1)]


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (answer(b"no", status="500 Internal Server Error"), OutsideFailure.REFUSED),
        (answer(b"", status="304 Not Modified"), OutsideFailure.REFUSED),
        (answer(b"", status="302 Found", headers="Location: https://example.org/\r\n"), OutsideFailure.REFUSED),
        (answer(b""), OutsideFailure.EMPTY),
        (answer(b"<xml", length=4000), OutsideFailure.NOT_HTTP),
    ],
)
async def test_a_bank_that_fails_changes_nothing(database: Database, said: bytes, failure: OutsideFailure) -> None:
    async with open_shop(said) as shop:
        await add_provider(database, shop.port, code="ecb")
        with pytest.raises(OutsideServiceFailed) as failed:
            await fetched(database)
    assert failed.value.failure is failure
    assert await stored(database) == {}


@pytest.mark.parametrize(
    "said",
    [
        HTML,
        answer(b"   "),
        answer(b'{"rates": {"USD": 1.1}}'),
        answer(ENVELOPE.format("").encode()),
        answer(ENVELOPE.format("<Cube time='2026-03-10'>").encode()),
        answer(b"PK\x03\x04 and nothing more"),
    ],
)
async def test_an_answer_that_is_no_file_of_rates_is_refused_whole(database: Database, said: bytes) -> None:
    async with open_shop(said) as shop:
        await add_provider(database, shop.port, code="ecb")
        with pytest.raises(FileNotUnderstood):
            await fetched(database)
    assert await stored(database) == {}


async def test_a_day_that_is_nonsense_is_left_out_and_counted(database: Database) -> None:
    async with open_shop(xml(("2026-03-10", "1.1"), ("2026-03-11", "1.1"), ("2026-03-09", "-1"))) as shop:
        await add_provider(database, shop.port, code="ecb")
        outcome = await fetched(database)
    assert (outcome.imported.inserted, len(outcome.read.rejected)) == (2, 2)


async def test_a_bank_that_is_turned_off_is_not_asked(database: Database) -> None:
    async with open_shop() as shop:
        await add_provider(database, shop.port, code="ecb", is_enabled=False)
        with pytest.raises(ProviderDisabled):
            await fetched(database)
        assert shop.asked == []


async def test_the_job_fetches_at_its_hours_in_frankfurt_and_a_failure_is_told(
    database: Database, trove_settings: Settings
) -> None:
    clock = Clock(datetime(2026, 3, 10, 15, 0, tzinfo=UTC))
    jobs = [job for job in JOBS if job.name == "ecb-rates"]
    async with open_shop(HTML, xml(("2026-03-10", "1.1021"))) as shop:
        await add_provider(database, shop.port, code="ecb")
        async with scheduler(database, trove_settings, clock, jobs) as one:
            await look(one)
            for minutes in (14, 1, 59, 1):
                clock.pass_by(minutes=minutes)
                await look(one)
        assert len(shop.asked) == 2
    failed, succeeded = await runs(database)
    assert (failed.state, succeeded.state) == (RunState.FAILED, RunState.SUCCEEDED)
    assert "eurofxref" in failed.error
    assert succeeded.result == {
        "read": 2,
        "created": 2,
        "updated": 0,
        "unchanged": 0,
        "rejected": 0,
        "rejects": [],
    }
    assert succeeded.scheduled_for == datetime(2026, 3, 10, 16, 15, tzinfo=UTC)
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(select(func.count()).select_from(StoredExchangeRate)) == 2
