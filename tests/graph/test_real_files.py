"""The real files go in through the command line, and the graph answers with exactly what they say."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.core.database import Database
from app.core.settings import Settings
from tests.conftest import environment_of
from tests.graph.conftest import Graph

CANDLES = """
query ($slug: String!, $resolution: CandleResolution!) {
  item(slug: $slug) {
    ... on Coin { symbol }
    series {
      currency
      source { code }
      candles(resolution: $resolution, last: 10000) { start open high low close volume origin }
    }
  }
}
"""
FIND = """
query ($after: String) {
  items(first: 100, after: $after, filter: {kind: SKIN}) {
    totalCount
    nodes { ... on Skin { marketHashName } }
    pageInfo { hasNextPage endCursor }
  }
}
"""


def trove(settings: Settings, *arguments: str) -> str:
    """Run a command as a person would; what it printed."""
    finished = subprocess.run(
        [sys.executable, "-m", "app.cli.main", *arguments],
        env=environment_of(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def numbers(candle: dict[str, Any], names: tuple[str, ...]) -> tuple[Decimal, ...]:
    """The named values of a candle, exact."""
    return tuple(Decimal(str(candle[name])) for name in names)


SHOWN = ("open", "high", "low", "close", "volume")


async def shown_candles(graph: Graph, slug: str, resolution: str) -> dict[datetime, tuple[Decimal, ...]]:
    """The candles of the only series of a coin, by their start."""
    item = (await graph.ask(CANDLES, slug=slug, resolution=resolution))["item"]
    (series,) = item["series"]
    assert {candle["origin"] for candle in series["candles"]} == {"PROVIDED"}
    return {datetime.fromisoformat(candle["start"]): numbers(candle, SHOWN) for candle in series["candles"]}


async def test_every_four_hour_candle_of_bitcoin_answers_with_the_files_values(
    trove_data: Path, trove_settings: Settings, database: Database, graph: Graph
) -> None:
    file = trove_data / "crypto" / "coinbase_BTC-USD_4h_2024-2025.json"
    as_candles = ["--source", "coinbase", "--format", "coinbase-candles", "--create"]
    trove(trove_settings, "import", "prices", str(file), *as_candles)
    given = {
        datetime.fromtimestamp(int(candle["start"]), UTC): numbers(candle, SHOWN)
        for candle in json.loads(file.read_text(), parse_float=Decimal)["candles"]
    }
    assert len(given) == 3996
    assert await shown_candles(graph, "bitcoin", "FOUR_HOURS") == given


async def test_every_daily_candle_of_ether_answers_in_the_bucket_that_its_end_closes(
    trove_data: Path, trove_settings: Settings, database: Database, graph: Graph
) -> None:
    file = trove_data / "crypto" / "coinbase_ETH-USD_1d_2016-2023.json"
    as_candles = ["--source", "coinbase", "--format", "binance-candles", "--create"]
    trove(trove_settings, "import", "prices", str(file), *as_candles)
    names = ("openPrice", "highPrice", "lowPrice", "closePrice", "volume")
    given = {
        datetime.fromtimestamp(candle["endTime"] / 1000, UTC) - timedelta(days=1): numbers(candle, names)
        for candle in json.loads(file.read_text(), parse_float=Decimal)["ohlc"]
    }
    assert len(given) == 2781
    assert await shown_candles(graph, "ethereum", "ONE_DAY") == given


async def test_all_market_names_are_items_that_a_search_finds(
    trove_data: Path, trove_settings: Settings, database: Database, graph: Graph
) -> None:
    trove(trove_settings, "import", "cs2", str(trove_data / "cs2"))
    names = set(json.loads((trove_data / "cs2" / "market_hash_names.json").read_text()))
    assert len(names) == 12_691
    found: set[str] = set()
    position = None
    while True:
        page = (await graph.ask(FIND, after=position))["items"]
        assert page["totalCount"] == len(names)
        found |= {node["marketHashName"] for node in page["nodes"]}
        if not page["pageInfo"]["hasNextPage"]:
            break
        position = page["pageInfo"]["endCursor"]
    assert found == names
    query = """{ items(filter: {nameContains: "redline (field"}) { nodes { name ... on Skin {
        weapon skin wear rarity isStattrak isSouvenir floatMinimum floatMaximum } } } }"""
    redlines = {node["name"]: node for node in (await graph.ask(query))["items"]["nodes"]}
    stattrak = redlines["StatTrak™ AK-47 | Redline (Field-Tested)"]
    assert (stattrak["weapon"], stattrak["skin"], stattrak["wear"]) == ("AK-47", "Redline", "Field-Tested")
    assert stattrak["isStattrak"]
    assert not stattrak["isSouvenir"]
