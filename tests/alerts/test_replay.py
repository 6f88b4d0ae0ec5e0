"""Real prices of years, sent through ingestion: rules fire exactly where the reference says."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from app.alerts.crossings import Comparison, Observation, Watch, as_observations, changes_over
from app.alerts.models import Condition
from app.core.database import Database
from app.ingestion.models import BatchKind
from app.prices.exchange_rates import Exchange
from app.prices.formats.binance import read_binance_candles
from app.prices.formats.candles import CandleFile, candle_fields
from app.prices.formats.coinbase import read_coinbase_candles
from app.prices.queries.exchange_rates import exchange_rates
from app.prices.rate_import import import_rates, open_rates
from tests.alerts.price_builders import Prices, alerts, rule_of
from tests.alerts.reference import reference
from tests.catalogue.builders import coin, saved
from tests.identity.builders import add_person
from tests.prices.builders import Line

BATCHES = 50
DAY = timedelta(days=1)
# One that is asked once a day, so that what is fresh and what is not both occur.
SOURCE = {"source": "cardmarket", "kind": "market", "currency": "USD"}


@dataclass(frozen=True, slots=True)
class Close:
    """How a candle closed, and the row that tells it."""

    at: datetime
    price: Decimal
    row: Line


def as_candles(file: CandleFile) -> list[Close]:
    closes = []
    for start, candle in file.candles:
        row = {"item": "aurum", **SOURCE, "resolution": file.resolution, **candle_fields(start, candle)}
        closes.append(Close(start + timedelta(seconds=file.resolution), candle.close, row))
    return closes


def as_points(file: CandleFile) -> list[Close]:
    closes = []
    for start, candle in file.candles:
        end = start + timedelta(seconds=file.resolution)
        row = {"item": "aurum", **SOURCE, "price": format(candle.close, "f"), "observedAt": end.isoformat()}
        closes.append(Close(end, candle.close, row))
    return closes


def in_batches(closes: Sequence[Close], chance: random.Random) -> Iterator[Sequence[Close]]:
    cuts = sorted(chance.sample(range(1, len(closes)), BATCHES - 1))
    for begin, end in zip([0, *cuts], [*cuts, len(closes)], strict=True):
        yield closes[begin:end]


def watches(closes: Sequence[Close]) -> Iterator[Watch]:
    prices = sorted(close.price for close in closes)
    for share in (5, 20, 40, 50, 65, 80, 95):
        threshold = prices[len(prices) * share // 100]
        for comparison in Comparison:
            for percent, cooldown in ((0, 0), (3, 0), (0, 3), (1, 30)):
                yield Watch(
                    comparison=comparison,
                    threshold=threshold,
                    hysteresis=threshold * percent / 100,
                    cooldown=cooldown * DAY,
                )


Expected = Callable[[Sequence[Observation]], list[datetime]]


def over_prices(watch: Watch, rate_of: Callable[[date], Decimal | None]) -> Expected:
    def fires_at(seen: Sequence[Observation]) -> list[datetime]:
        converted = [
            Observation(time, price * rate, is_fresh)
            for time, price, is_fresh in seen
            if (rate := rate_of(time.date())) is not None
        ]
        return [converted[place].time for place in reference(watch, converted)]

    return fires_at


def over_changes(condition: Condition, threshold: str, window: timedelta) -> Expected:
    watch = Watch(comparison=Comparison.CROSSES_ABOVE, threshold=Decimal(threshold))

    def fires_at(seen: Sequence[Observation]) -> list[datetime]:
        changes = as_observations(condition, changes_over(window, seen))
        return [changes[place].time for place in reference(watch, changes)]

    return fires_at


async def rates_of(database: Database, closes: Sequence[Close]) -> dict[date, Decimal]:
    """How many euros a dollar was on the days, where that is known."""
    days = [Exchange("USD", "EUR", day) for day in sorted({close.at.date() for close in closes})]
    async with database.transaction() as transaction:
        found = await exchange_rates(transaction.connection, days)
    return {exchange.on: rate.rate for exchange, rate in found.items()}


async def rules_over(
    database: Database, owner_id: UUID, item_id: UUID, closes: Sequence[Close]
) -> dict[UUID, Expected]:
    """Rules of many kinds, in dollars and in euros, and when each fires."""
    euros = await rates_of(database, closes)
    rules: dict[UUID, Expected] = {}
    for number, watch in enumerate(watches(closes)):
        is_in_euros = number % 3 == 0
        rule_id = await rule_of(
            database,
            owner_id,
            watch.comparison.value,
            str(watch.threshold),
            key=item_id,
            hysteresis=str(watch.hysteresis),
            cooldown_minutes=watch.cooldown // timedelta(minutes=1),
            currency="EUR" if is_in_euros else "USD",
        )
        rules[rule_id] = over_prices(watch, euros.get if is_in_euros else lambda day: Decimal(1))
    for condition in (Condition.RISES_BY, Condition.FALLS_BY):
        for threshold, days in (("3", 1), ("5", 7), ("10", 30)):
            rule_id = await rule_of(
                database, owner_id, condition.value, threshold, key=item_id, window_minutes=days * 1440
            )
            rules[rule_id] = over_changes(condition, threshold, days * DAY)
    return rules


@pytest.mark.parametrize(
    ("name", "read", "kind", "lines_of"),
    [
        ("coinbase_BTC-USD_4h_2024-2025.json", read_coinbase_candles, BatchKind.CANDLES, as_candles),
        ("coinbase_ETH-USD_1d_2016-2023.json", read_binance_candles, BatchKind.PRICE_POINTS, as_points),
    ],
)
async def test_the_real_files_fire_where_the_reference_says(
    database: Database,
    trove_data: Path,
    name: str,
    read: Callable[..., CandleFile],
    kind: BatchKind,
    lines_of: Callable[[CandleFile], list[Close]],
) -> None:
    chance = random.Random(name)
    closes = lines_of(read((trove_data / "crypto" / name).read_bytes(), file_name=name))
    await import_rates(database, open_rates(trove_data / "fx" / "eurofxref-hist_2021-2024.csv", today=date(2026, 1, 1)))
    item_id = (await saved(database, coin("aurum")))["aurum"]
    async with database.transaction() as transaction:
        ada = await add_person(transaction.connection, username="ada")
    rules = await rules_over(database, ada, item_id, closes)

    seen: list[Observation] = []
    prices = Prices(database)
    before: Sequence[Close] = closes[:1]
    for batch in in_batches(closes, chance):
        accepted_at = batch[-1].at
        seen += [Observation(close.at, close.price, close.at >= accepted_at - DAY) for close in batch]
        repeated = chance.sample(before, min(20, len(before)))
        rows = [close.row for close in (*batch, *batch[:20], *repeated)]
        chance.shuffle(rows)
        for _ in range(2):
            await prices.come(*rows, accepted_at=accepted_at, kind=kind)
        before = batch

    expected = {rule_id: fires_at(seen) for rule_id, fires_at in rules.items()}
    fired: dict[UUID, list[datetime]] = {rule_id: [] for rule_id in rules}
    for rule_id, observed_at in await alerts(database, "rule_id", "observed_at"):
        fired[rule_id].append(observed_at)
    assert fired == expected
    assert sum(map(len, expected.values())) > 50
