"""Exchange rates from the file on: the last one with its day, exact crosses, and none rather than a wrong one."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from app.catalogue.commands.coins import add_coin
from app.cli.imports import app as import_commands
from app.core.database import Database
from app.core.settings import Settings, current_settings
from app.ingestion.models import BatchKind
from app.prices.commands.import_exchange_rates import ChangedRate, ImportedRates, import_exchange_rates
from app.prices.errors import RatesContradict, WrongRate
from app.prices.exchange_rates import Exchange, ExchangeRate, ReferenceRate
from app.prices.models import StoredExchangeRate
from app.prices.queries.exchange_rates import exchange_rates, rates_on
from app.prices.rate_import import import_rates, open_rates
from tests.prices.builders import candle, ingested, point

TODAY = date(2026, 4, 20)
FRIDAY, SATURDAY, MONDAY = date(2024, 3, 1), date(2024, 3, 2), date(2024, 3, 4)
# What a quotient is by the rule that the docstrings give.
RULE = Context(prec=28, rounding=ROUND_HALF_UP)
RATES = [
    ReferenceRate("USD", FRIDAY, Decimal("1.0813")),
    ReferenceRate("GBP", FRIDAY, Decimal("0.85595")),
    ReferenceRate("USD", MONDAY, Decimal("1.0846")),
    ReferenceRate("HRK", date(2022, 12, 30), Decimal("7.5365")),
]
ASK = """
query ($from: CurrencyCode!, $to: CurrencyCode!, $on: Date) {
  exchangeRate(from: $from, to: $to, on: $on) { from to rate date isStale source }
}
"""


async def store(database: Database, rates: list[ReferenceRate], *, source: str = "ECB") -> ImportedRates:
    async with database.transaction() as transaction:
        return await import_exchange_rates(transaction, rates, source=source)


async def exchanged(database: Database, *exchanges: Exchange) -> dict[Exchange, ExchangeRate]:
    async with database.transaction() as transaction:
        return dict(await exchange_rates(transaction.connection, exchanges))


async def held(database: Database, *currencies: str, on: date) -> dict[str, tuple[Decimal, date]]:
    async with database.transaction() as transaction:
        rates = await rates_on(transaction.connection, currencies, on)
    return {currency: (rate.units_per_eur, rate.rate_date) for currency, rate in rates.items()}


async def stored_count(database: Database) -> int:
    async with database.transaction() as transaction:
        count = select(func.count()).select_from(StoredExchangeRate)
        return (await transaction.connection.execute(count)).scalar_one()


class TestImporting:
    async def test_a_second_import_changes_nothing(self, database: Database) -> None:
        assert await store(database, RATES) == ImportedRates(4, [], 0)
        assert await store(database, RATES) == ImportedRates(0, [], 4)
        assert await store(database, [ReferenceRate("USD", FRIDAY, Decimal("1.08130"))]) == ImportedRates(0, [], 1)

    async def test_a_rate_that_was_corrected_is_updated_and_told(self, database: Database) -> None:
        await store(database, RATES)
        corrected = [
            ReferenceRate("GBP", FRIDAY, Decimal("0.86")),
            *RATES[2:],
            ReferenceRate("JPY", MONDAY, Decimal(163)),
        ]
        change = ChangedRate("GBP", FRIDAY, Decimal("0.85595"), Decimal("0.86"))
        assert await store(database, corrected) == ImportedRates(1, [change], 2)
        assert await held(database, "GBP", on=FRIDAY) == {"GBP": (Decimal("0.86"), FRIDAY)}

    async def test_a_rate_of_another_source_replaces_one_of_the_same_value(self, database: Database) -> None:
        await store(database, RATES[:1], source="demo")
        assert (await store(database, RATES[:1])).updated == 1
        (rate,) = (await exchanged(database, Exchange("EUR", "USD", FRIDAY))).values()
        assert rate.source == "ECB"

    async def test_rates_that_contradict_each_other_are_refused_and_nothing_is_stored(self, database: Database) -> None:
        with pytest.raises(RatesContradict, match=r"Two rates of USD are given for 2024-03-01: 1\.0813 and 1\.09"):
            await store(database, [*RATES, ReferenceRate("USD", FRIDAY, Decimal("1.09"))])
        assert await store(database, [*RATES, RATES[0]]) == ImportedRates(4, [], 0)

    @pytest.mark.parametrize("currency", ["EUR", "usd", "USDT", "BTC", ""])
    async def test_what_has_no_rate_against_the_euro_is_refused(self, database: Database, currency: str) -> None:
        with pytest.raises(WrongRate, match="has no rate against the euro"):
            await store(database, [ReferenceRate(currency, FRIDAY, Decimal(1))])

    @pytest.mark.parametrize("units", ["0", "-1", "NaN", "Infinity", "1E+9", "1E-13", "1.0000000000001"])
    async def test_what_cannot_be_a_rate_is_refused(self, database: Database, units: str) -> None:
        with pytest.raises(WrongRate, match="cannot be the units of USD"):
            await store(database, [*RATES[1:], ReferenceRate("USD", FRIDAY, Decimal(units))])
        assert await stored_count(database) == 0

    async def test_two_imports_at_once_both_count_rightly(self, database: Database) -> None:
        many = [ReferenceRate("USD", MONDAY - timedelta(days=back), Decimal(1)) for back in range(500)]
        outcomes = await asyncio.gather(store(database, many), store(database, many[::-1]))
        assert sorted((outcome.inserted, outcome.unchanged) for outcome in outcomes) == [(0, 500), (500, 0)]

    async def test_no_rates_are_no_import(self, database: Database) -> None:
        assert await store(database, []) == ImportedRates(0, (), 0)


class TestRatesOnADay:
    async def test_a_weekend_has_the_rate_of_friday_and_says_so(self, database: Database) -> None:
        await store(database, RATES)
        expected = {"USD": (Decimal("1.0813"), FRIDAY), "GBP": (Decimal("0.85595"), FRIDAY)}
        for day in (FRIDAY, SATURDAY, SATURDAY + timedelta(days=1)):
            assert await held(database, "USD", "GBP", "USD", on=day) == expected
        assert await held(database, "USD", on=MONDAY) == {"USD": (Decimal("1.0846"), MONDAY)}

    async def test_before_its_first_day_a_currency_has_none(self, database: Database) -> None:
        await store(database, RATES)
        assert await held(database, "USD", "GBP", "HRK", on=FRIDAY - timedelta(days=1)) == {
            "HRK": (Decimal("7.5365"), date(2022, 12, 30))
        }

    async def test_the_euro_is_one_on_every_day_even_without_any_rates(self, database: Database) -> None:
        assert await held(database, "EUR", "USD", on=SATURDAY) == {"EUR": (Decimal(1), SATURDAY)}
        assert await exchanged(database, Exchange("EUR", "EUR", SATURDAY)) == {
            Exchange("EUR", "EUR", SATURDAY): ExchangeRate("EUR", "EUR", Decimal(1), SATURDAY, SATURDAY, None)
        }

    async def test_an_unknown_currency_gives_none(self, database: Database) -> None:
        await store(database, RATES)
        unknown = [Exchange("USD", "XAU", MONDAY), Exchange("BTC", "USD", MONDAY), Exchange("XAU", "XAU", MONDAY)]
        assert await exchanged(database, *unknown) == {}

    async def test_a_cross_goes_through_the_euro_and_has_the_day_of_the_older_rate(self, database: Database) -> None:
        await store(database, RATES)
        pounds = Exchange("USD", "GBP", MONDAY)
        back = Exchange("GBP", "USD", MONDAY)
        found = await exchanged(database, pounds, back)
        # 25175 / 31900 and 31900 / 25175, of which integer division gives …4012539… and …4806355…
        assert found[pounds].rate == Decimal("0.7891849529780564263322884013")
        assert found[back].rate == Decimal("1.267130089374379344587884806")
        assert {rate.rate_date for rate in found.values()} == {FRIDAY}

    async def test_a_rate_against_the_euro_is_the_published_one_and_its_inverse(self, database: Database) -> None:
        await store(database, RATES)
        published, inverse, same = (
            Exchange("EUR", "USD", FRIDAY),
            Exchange("USD", "EUR", FRIDAY),
            Exchange("USD", "USD", FRIDAY),
        )
        found = await exchanged(database, published, inverse, same)
        assert str(found[published].rate) == "1.0813"
        assert found[inverse].rate == RULE.divide(Decimal(1), Decimal("1.0813"))
        assert str(found[same].rate) == "1"

    @pytest.mark.parametrize(("days", "is_stale"), [(0, False), (7, False), (8, True), (700, True)])
    async def test_a_rate_older_than_a_week_says_that_it_is_stale(
        self, database: Database, days: int, is_stale: bool
    ) -> None:
        await store(database, RATES)
        (rate,) = (await exchanged(database, Exchange("EUR", "USD", MONDAY + timedelta(days=days)))).values()
        assert (rate.rate_date, rate.rate, rate.is_stale) == (MONDAY, Decimal("1.0846"), is_stale)

    async def test_a_currency_that_has_ended_is_stale_also_in_a_cross(self, database: Database) -> None:
        await store(database, RATES)
        (rate,) = (await exchanged(database, Exchange("USD", "HRK", MONDAY))).values()
        assert (rate.rate_date, rate.is_stale) == (date(2022, 12, 30), True)

    async def test_two_sources_are_both_named(self, database: Database) -> None:
        await store(database, RATES[:1])
        await store(database, RATES[1:2], source="demo")
        (rate,) = (await exchanged(database, Exchange("USD", "GBP", FRIDAY))).values()
        assert rate.source == "ECB, demo"

    async def test_postgresql_rounds_every_quotient_as_decimals_of_python_do(self, database: Database) -> None:
        random = Random(20260420)  # the same rates each time
        codes = [f"{first}{second}X" for first in "ABCDEFGH" for second in "ABCDEFGH"]
        edges = ["0.000000000001", "999999999.999999999999", "1", "0.1", "999999999", "0.3", "3", "7", "0.999999999999"]
        spelled = [*edges, *(_any_rate(random) for _ in range(len(codes) - len(edges)))]
        units = dict(zip(codes, map(Decimal, spelled), strict=True))
        await store(database, [ReferenceRate(code, FRIDAY, rate) for code, rate in units.items()])
        asked = [Exchange(one, other, FRIDAY) for one in codes for other in codes]
        found = await exchanged(database, *asked)
        assert len(found) == 64 * 64
        for exchange, rate in found.items():
            expected = RULE.divide(units[exchange.to_currency], units[exchange.from_currency])
            assert rate.rate == expected, exchange
            assert "E" not in f"{rate.rate:f}"

    async def test_a_tie_is_rounded_away_from_zero(self, database: Database) -> None:
        # 100000000001 * 5^25 has 29 digits, and the last of them is a 5.
        units = [ReferenceRate("AAA", FRIDAY, Decimal(2**25)), ReferenceRate("BBB", FRIDAY, Decimal("0.100000000001"))]
        await store(database, units)
        (rate,) = (await exchanged(database, Exchange("AAA", "BBB", FRIDAY))).values()
        exact = 100_000_000_001 * 5**25
        assert exact % 20 == 5
        assert rate.rate == Decimal(exact // 10 + 1).scaleb(-36)


def _any_rate(random: Random) -> str:
    whole = random.randrange(10 ** random.randint(1, 9))
    places = random.randint(0, 12)
    fraction = f".{random.randrange(10**places):0{places}d}" if places else ""
    spelled = f"{whole}{fraction}"
    return spelled if Decimal(spelled) else "1"


class TestCoins:
    async def add_bitcoin(self, database: Database, *, slug: str | None = None) -> str:
        async with database.transaction() as transaction:
            return await add_coin(transaction, "BTC", slug=slug)

    async def test_a_coin_is_worth_its_last_price_by_the_end_of_the_day(self, database: Database) -> None:
        await store(database, RATES)
        bitcoin = await self.add_bitcoin(database)
        noon = datetime(2024, 3, 1, 12, tzinfo=UTC)
        await ingested(
            database,
            point(bitcoin, "61000", at=noon),
            point(bitcoin, "62440.57", at=noon + timedelta(hours=11)),
            # The first instant of the next day, and a price that only asks.
            point(bitcoin, "63000", at=noon + timedelta(hours=12)),
            point(bitcoin, "99999", at=noon + timedelta(hours=1), kind="ask"),
        )
        dollars, euros, pounds = (Exchange("BTC", currency, FRIDAY) for currency in ("USD", "EUR", "GBP"))
        back, before = Exchange("USD", "BTC", FRIDAY), Exchange("BTC", "USD", FRIDAY - timedelta(days=1))
        found = await exchanged(database, dollars, euros, pounds, back, before)
        # Through the euro and back to the currency of the price: not a digit is lost.
        assert str(found[dollars].rate) == "62440.57"
        assert found[euros].rate == RULE.divide(Decimal("62440.57"), Decimal("1.0813"))
        assert found[pounds].rate == RULE.divide(Decimal("62440.57") * Decimal("0.85595"), Decimal("1.0813"))
        assert found[back].rate == RULE.divide(Decimal(1), Decimal("62440.57"))
        assert (found[pounds].rate_date, found[pounds].source) == (FRIDAY, "test-market, ECB")
        assert before not in found
        assert (await exchanged(database, Exchange("BTC", "USD", SATURDAY)))[
            Exchange("BTC", "USD", SATURDAY)
        ].rate == Decimal(63_000)

    async def test_a_provided_candle_counts_once_it_is_over(self, database: Database) -> None:
        await store(database, RATES)
        bitcoin = await self.add_bitcoin(database)
        monday, hours = datetime(2024, 2, 26, tzinfo=UTC), timedelta(hours=1)
        candles = [
            candle(bitcoin, monday, 168 * hours, "50000 70000 50000 60000"),
            candle(bitcoin, monday + 116 * hours, 4 * hours, "1 62000.5 1 62000.5"),
        ]
        await ingested(database, *candles, kind=BatchKind.CANDLES)
        friday, sunday = Exchange("BTC", "USD", FRIDAY), Exchange("BTC", "USD", date(2024, 3, 3))
        found = await exchanged(database, friday, sunday)
        assert (found[friday].rate, found[sunday].rate) == (Decimal("62000.5"), Decimal(60_000))

    async def test_the_day_of_a_coin_is_said_and_grows_stale(self, database: Database) -> None:
        await store(database, [*RATES, ReferenceRate("USD", date(2024, 3, 15), Decimal("1.09"))])
        bitcoin = await self.add_bitcoin(database)
        await ingested(database, point(bitcoin, "62000", at=datetime(2024, 3, 5, tzinfo=UTC)))
        (rate,) = (await exchanged(database, Exchange("EUR", "BTC", date(2024, 3, 15)))).values()
        assert (rate.rate_date, rate.is_stale) == (date(2024, 3, 5), True)
        assert rate.rate == RULE.divide(Decimal("1.09"), Decimal(62_000))
        assert await held(database, "BTC", on=date(2024, 3, 15)) == {"BTC": (rate.rate, rate.rate_date)}

    async def test_a_symbol_of_two_coins_a_price_of_nothing_and_an_unpublished_quote_give_none(
        self, database: Database
    ) -> None:
        await store(database, RATES)
        bitcoin = await self.add_bitcoin(database)
        at = datetime(2024, 3, 1, tzinfo=UTC)
        await ingested(database, point(bitcoin, "0", at=at), point(bitcoin, "9000000", at=at, currency="JPY"))
        asked = Exchange("BTC", "EUR", FRIDAY)
        assert await exchanged(database, asked) == {}
        await ingested(database, point(bitcoin, "56000", at=at, currency="EUR"))
        assert (await exchanged(database, asked))[asked].rate == Decimal(56_000)
        await self.add_bitcoin(database, slug="bitcoin-of-others")
        assert await exchanged(database, asked) == {}

    async def test_a_coin_whose_code_is_no_currency_of_trove_is_not_looked_for(self, database: Database) -> None:
        await store(database, RATES)
        async with database.transaction() as transaction:
            coin = await add_coin(transaction, "XAU", slug="gold-token")
        await ingested(database, point(coin, "2000", at=datetime(2024, 3, 1, tzinfo=UTC)))
        assert await exchanged(database, Exchange("XAU", "USD", FRIDAY)) == {}


class TestRealFiles:
    async def test_the_history_is_stored_whole_and_a_second_time_nothing_changes(
        self, database: Database, trove_data: Path
    ) -> None:
        file = trove_data / "fx" / "eurofxref-hist_2021-2024.csv"
        header, *lines = file.read_text().splitlines()
        # Counted in another way than the reader's: all that looks like a number behind the day.
        numbers = sum(len(re.findall(r",[0-9.]+(?=,)", line)) for line in lines)
        assert (len(lines), numbers) == (1026, 31_595)
        opened = open_rates(file, today=TODAY)
        assert opened.read.rejected == []
        assert await import_rates(database, opened) == ImportedRates(numbers, [], 0)
        assert await stored_count(database) == numbers
        assert await import_rates(database, opened) == ImportedRates(0, [], numbers)

        async with database.transaction() as transaction:
            stored = await transaction.connection.execute(
                select(StoredExchangeRate.rate_date, StoredExchangeRate.currency, StoredExchangeRate.units_per_eur)
            )
            by_key = {(str(row.rate_date), row.currency): str(row.units_per_eur) for row in stored}
        columns = header.split(",")
        for line in lines:
            cells = dict(zip(columns, line.split(","), strict=True))
            for currency in columns[1:-1]:
                assert by_key.get((cells["Date"], currency), "N/A") == cells[currency]

    async def test_the_daily_file_goes_in_beside_the_history(self, database: Database, trove_data: Path) -> None:
        opened = open_rates(trove_data / "fx" / "eurofxref_2026-04-13.csv", today=TODAY)
        _, line = (trove_data / "fx" / "eurofxref_2026-04-13.csv").read_text().splitlines()
        assert await import_rates(database, opened) == ImportedRates(line.count("."), [], 0)
        assert (await held(database, "HUF", on=TODAY))["HUF"] == (Decimal("366.90"), date(2026, 4, 13))


class TestTheCommand:
    @pytest.fixture(autouse=True)
    def _over_the_services_of_the_tests(
        self, monkeypatch: pytest.MonkeyPatch, trove_settings: Settings, database: Database
    ) -> Iterator[None]:
        monkeypatch.setenv("DATABASE_URL", str(trove_settings.database_url))
        monkeypatch.setenv("REDIS_URL", str(trove_settings.redis_url))
        current_settings.cache_clear()
        yield
        current_settings.cache_clear()

    async def run(self, *files: Path) -> tuple[int, str]:
        """The exit code and everything that was printed; in a thread, because a command brings its own event loop."""
        arguments = ["fx", *(str(file) for file in files)]
        result = await asyncio.to_thread(CliRunner().invoke, import_commands, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    async def test_it_says_what_went_in_what_changed_and_what_is_bad(self, tmp_path: Path, database: Database) -> None:
        history, daily = tmp_path / "eurofxref-hist.csv", tmp_path / "eurofxref.csv"
        history.write_text("Date,USD,GBP,\n2024-03-01,1.0813,0.85595,\n2024-02-29,1.0826,o.85,\n")
        daily.write_text("Date, USD, GBP, \n01 March 2024, 1.0814, 0.85595, \n")
        code, said = await self.run(history, daily)
        assert code == 0
        assert "eurofxref-hist.csv: 2 rates: 2 new, 0 changed, 0 as they were; 1 rows rejected" in said
        assert "row 3: The rate of GBP is “o.85”" in said
        assert "eurofxref.csv: 2 rates: 0 new, 1 changed, 1 as they were; 0 rows rejected" in said
        assert "USD on 2024-03-01: 1.0813 before, 1.0814 now" in said
        _, said = await self.run(daily)
        assert "2 rates: 0 new, 0 changed, 2 as they were" in said
        assert await stored_count(database) == 2

    async def test_long_lists_are_cut(self, tmp_path: Path) -> None:
        file = tmp_path / "rates.csv"
        file.write_text("Date,USD,\n" + "nonsense\n" * 13)
        code, said = await self.run(file)
        assert code == 1
        assert said.count("row ") == 10
        assert "… and 3 more" in said

    async def test_nothing_goes_in_when_one_of_the_files_cannot_be_read(
        self, tmp_path: Path, database: Database
    ) -> None:
        good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
        good.write_text("Date,USD,\n2024-03-01,1.0813,\n")
        bad.write_text("<html><body>Service Unavailable</body></html>")
        code, said = await self.run(good, bad)
        assert (code, await stored_count(database)) == (2, 0)
        assert said.startswith("bad.csv: A file of the European Central Bank's reference rates")
        code, said = await self.run(good, tmp_path / "missing.csv")
        assert (code, await stored_count(database)) == (2, 0)
        assert "missing.csv cannot be read: no such file or directory" in said
