"""A mixed portfolio on each day of a year, by real candles of bitcoin and real exchange rates.

In it are a coin, a skin, a card and a figure. The ten days below were computed by hand from the two files: of bitcoin
the close of the candle from 20 to 24 o'clock, of every other thing the last price seen, each divided by the units that
the last fixing on or before the day gives for a euro, rounded to 18 decimal places, and times the quantity.
"""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy import select

from app.core.database import Database
from app.ingestion.models import BatchKind
from app.portfolios.commands.snapshots import due_portfolios, make_snapshots
from app.portfolios.models import Snapshot
from app.prices.rate_import import import_rates, open_rates
from tests.catalogue.builders import card, coin, figure, saved, skin
from tests.portfolios.possessing import Deal, hold, portfolio_of_somebody
from tests.prices.builders import candle, ingested, point

DAY = timedelta(days=1)
FOUR_HOURS = timedelta(hours=4)
NEW_YEAR = date(2025, 1, 1)
# By day: the value, the cost, the gain so far, what flowed in, how many holdings, how many at stale prices.
BY_HAND = {
    # 0.5 × 46666.11/1.0946
    "2024-01-10": ("21316.512881417869541385", "20010", "0", "20010", 1, 0),
    # 0.5 × 51934.29/1.0743 + 2 × 102/1.0743
    "2024-02-15": ("24361.114213906729963698", "20200", "0", "190", 2, 0),
    # 0.5 × 63800.78/1.0849 + 2 × 103/1.0849 + 4 × 12.34/1.0849; the gift flows in at what it was worth
    "2024-03-05": ("29639.3676836574799520695", "20200", "0", "45.497280855378375888", 3, 0),
    # Easter Sunday, with the fixing of Thursday, and the ask of the 1st 30.5 days old at its end:
    # 0.5 × 71288.9/1.0811 + 2 × 103/1.0811 + 4 × 12.34/1.0811
    "2024-03-31": ("33206.7431319951900841705", "20200", "0", "0", 3, 2),
    # A Saturday: 0.5 × 64968.87/1.0653 + 2 × 104/1.0653 + 4 × 12.34/1.0653 + 18000/164.68
    "2024-04-20": ("30844.1146805602876402165", "20310", "0", "110", 4, 2),
    # A Sunday: 0.5 × 67735.52/1.0852 + 2 × 106/1.0852 + 4 × 12.34/1.0852 + 18000/170.52
    "2024-06-02": ("31555.1724397322766060035", "20310", "0", "0", 4, 2),
    # 0.3 × 68791/1.0842 + 2 × 106/1.0842 + 4 × 12.34/1.0842 + 18000/170.09; sold: 0.2 × 63000 − 5 = 12595, which
    # had cost 0.2/0.5 × 20010 = 8004
    "2024-06-03": ("19381.4765762700647786861", "12306", "4591", "-12595", 4, 2),
    # 0.3 × 60935.02/1.0917 + 2 × 108/1.0917 + 4 × 15.5/1.0917 + 18000/160.33
    "2024-08-10": ("17111.9075413189114891248", "12306", "4591", "0", 4, 1),
    # 0.3 × 69380.73/1.0897 + 2 × 111/1.0897 + 4 × 15.5/1.0897 + 18000/165.93
    "2024-11-05": ("19469.9725507860647521724", "12306", "4591", "0", 4, 2),
    # 0.3 × 93354.22/1.0389 + 2 × 112/1.0389 + 4 × 15.5/1.0389 + 18000/163.06
    "2024-12-31": ("27343.2947721585671246", "12306", "4591", "0", 4, 3),
}


def at(day: str, hour: int = 12) -> datetime:
    """An hour of a day."""
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC) + timedelta(hours=hour)


async def test_each_day_of_a_year_is_valued_at_its_own_prices_and_rates(database: Database, trove_data: Path) -> None:
    await saved(database, coin("bitcoin", symbol="BTC"), skin("tide"), card("wave"), figure("lantern"))
    await import_rates(database, open_rates(trove_data / "fx" / "eurofxref-hist_2021-2024.csv", today=NEW_YEAR))
    given = json.loads((trove_data / "crypto" / "coinbase_BTC-USD_4h_2024-2025.json").read_text(), parse_float=str)
    lines = [
        candle(
            "bitcoin",
            datetime.fromtimestamp(int(one["start"]), UTC),
            FOUR_HOURS,
            " ".join(one[name] for name in ("open", "high", "low", "close")),
        )
        for one in given["candles"]
        if int(one["start"]) < datetime.combine(NEW_YEAR, datetime.min.time(), UTC).timestamp()
    ]
    await ingested(database, *lines, kind=BatchKind.CANDLES)
    await ingested(
        database,
        *(
            point("tide", str(100 + month), kind="ask", currency="USD", at=at(f"2024-{month:02}-01"))
            for month in range(1, 13)
        ),
        # A bid and an extreme say nothing of what a thing is worth.
        point("tide", "900", kind="bid", currency="USD", at=at("2024-05-01")),
        point("tide", "901", kind="high", currency="USD", at=at("2024-05-01")),
        point("wave", "12.34", currency="USD", at=at("2024-03-01")),
        point("wave", "15.50", currency="USD", at=at("2024-08-10", 23)),
        point("lantern", "18000", kind="list", currency="JPY", at=at("2024-01-01")),
    )
    owned = await portfolio_of_somebody(database)
    bought = Deal("buy", "0.5", "40000", fee="10", at=at("2024-01-10", 9))
    await hold(database, owned, "bitcoin", bought, Deal("sell", "0.2", "63000", fee="5", at=at("2024-06-03", 23)))
    await hold(database, owned, "tide", Deal("buy", "2", "95", at=at("2024-02-15", 0)), position=1)
    await hold(database, owned, "wave", Deal("gift_in", "4", at=at("2024-03-05")), position=2)
    await hold(database, owned, "lantern", Deal("buy", "1", "110", at=at("2024-04-20")), position=3)

    async with database.transaction() as transaction:
        (due,) = await due_portfolios(transaction, until=NEW_YEAR)
        assert due.next_day == date(2024, 1, 10)
        step = await make_snapshots(transaction, owned.id, until=NEW_YEAR, now=at("2025-01-01"), days=400)
        assert (step.made, step.is_finished) == (357, True)
        assert await due_portfolios(transaction, until=NEW_YEAR) == []
        rows = await transaction.connection.execute(select(*Snapshot.__table__.columns).order_by(Snapshot.day))
        made = rows.all()

    assert [row.day for row in made] == [date(2024, 1, 10) + number * DAY for number in range(357)]
    found = {
        row.day.isoformat(): (
            format(row.value, "f"),
            format(row.cost, "f"),
            format(row.realized_gain, "f"),
            format(row.net_flow, "f"),
            row.holding_count,
            row.stale_count,
        )
        for row in made
    }
    assert {day: found[day] for day in BY_HAND} == BY_HAND
    for row in made:
        assert row.unpriced_count == 0
        for parts in row.parts.values():
            assert sum(Decimal(part["value"]) for part in parts.values()) == row.value
            assert sum(Decimal(part["cost"]) for part in parts.values()) == row.cost
