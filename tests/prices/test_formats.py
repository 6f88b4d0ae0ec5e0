"""Price files of others, read into canonical rows: exact decimals, the right buckets, bad rows by number."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import BadUserInput
from app.ingestion.file_rows import CanonicalRow, RejectedRow, in_batches
from app.ingestion.models import BatchKind
from app.prices.formats.binance import read_binance_candles
from app.prices.formats.candles import CandleFile
from app.prices.formats.coinbase import read_coinbase_candles
from app.prices.formats.durations import parse_resolution, resolution_in_name, spell_resolution
from app.prices.formats.errors import FileNotUnderstood
from app.prices.formats.names import Pair, pair_in_name
from app.prices.formats.ndjson import MOST_BYTES_A_LINE, NdjsonFile
from app.prices.formats.row_target import RowTarget

FOUR_HOURS = 14_400
NEW_YEAR = 1_704_067_200
TARGET = RowTarget(item="bitcoin", source="coinbase", kind="market", currency="USD")

Reader = Callable[..., CandleFile]


def coinbase_candle(start: int, **changes: Any) -> dict[str, Any]:
    prices = {"low": "42235", "high": "42749.99", "open": "42288.58", "close": "42325.11", "volume": "1308.54603754"}
    return {"start": str(start), **prices, **changes}


def coinbase_file(*candles: object, **others: object) -> bytes:
    return json.dumps({"candles": candles, **others}).encode()


def binance_file(*ends: int, name: str = "ETH-USD", amount: str = "0") -> bytes:
    rows = ",".join(
        f'{{"endTime":{end},"openPrice":12.5,"highPrice":14.93,"lowPrice":12.50,"closePrice":13.0,'
        f'"volume":482.52182654,"amount":{amount}}}'
        for end in ends
    )
    return f'{{"name":"{name}","ohlc":[{rows}]}}'.encode()


def starts(file: CandleFile) -> list[datetime]:
    return [start for start, _ in file.candles]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def rows_of(file: CandleFile, target: RowTarget = TARGET) -> list[dict[str, Any]]:
    return [json.loads(row.content) for row in file.rows(target)]


def test_a_coinbase_candle_becomes_a_canonical_row() -> None:
    file = read_coinbase_candles(coinbase_file(coinbase_candle(NEW_YEAR), coinbase_candle(NEW_YEAR + FOUR_HOURS)))
    assert rows_of(file)[0] == {
        "item": "bitcoin",
        "source": "coinbase",
        "kind": "market",
        "currency": "USD",
        "resolution": FOUR_HOURS,
        "bucket": "2024-01-01T00:00:00Z",
        "open": "42288.58",
        "high": "42749.99",
        "low": "42235",
        "close": "42325.11",
        "volume": "1308.54603754",
    }


def test_the_end_of_a_day_labels_the_day_before() -> None:
    file = read_binance_candles(binance_file(1_463_616_000_000, 1_463_702_400_000))
    assert (file.resolution, starts(file)) == (86_400, [at("2016-05-18"), at("2016-05-19")])


def test_the_last_millisecond_labels_its_own_candle() -> None:
    file = read_binance_candles(binance_file(1_678_730_699_999, 1_678_730_999_999))
    assert (file.resolution, [int(start.timestamp()) for start in starts(file)]) == (
        300,
        [1_678_730_400, 1_678_730_700],
    )


def test_numbers_keep_the_digits_of_the_file() -> None:
    row = rows_of(read_binance_candles(binance_file(1_463_616_000_000, 1_463_702_400_000)))[0]
    assert (row["low"], row["close"], row["volume"]) == ("12.50", "13.0", "482.52182654")
    tiny = coinbase_candle(NEW_YEAR, low="1e-8", high="12345678901234.123456789012345678")
    row = rows_of(read_coinbase_candles(coinbase_file(tiny), resolution=60))[0]
    assert (row["low"], row["high"]) == ("0.00000001", "12345678901234.123456789012345678")


def test_a_turnover_of_zero_beside_a_volume_is_not_known() -> None:
    ends = (1_463_616_000_000, 1_463_702_400_000)
    assert "turnover" not in rows_of(read_binance_candles(binance_file(*ends)))[0]
    assert rows_of(read_binance_candles(binance_file(*ends, amount="99.5")))[0]["turnover"] == "99.5"


def test_an_item_of_another_service_is_named_by_its_external_id() -> None:
    file = read_coinbase_candles(coinbase_file(coinbase_candle(NEW_YEAR)), resolution=60)
    row = rows_of(file, RowTarget("coins:1", "coinbase", "market", "USD"))[0]
    assert (row["externalId"], "item" in row) == ("coins:1", False)


def test_candles_come_out_in_the_order_of_time_whatever_their_order_in_the_file() -> None:
    instants = [NEW_YEAR + step * FOUR_HOURS for step in (3, 0, 2, 1)]
    file = read_coinbase_candles(coinbase_file(*map(coinbase_candle, instants)))
    assert [row.number for row in file.rows(TARGET)] == [2, 4, 3, 1]
    assert starts(file) == sorted(starts(file))


def test_a_repeated_candle_counts_as_duplicate_and_a_contradicting_one_is_rejected() -> None:
    file = read_coinbase_candles(
        coinbase_file(
            coinbase_candle(NEW_YEAR),
            coinbase_candle(NEW_YEAR, volume="1308.546037540"),
            coinbase_candle(NEW_YEAR, close="42325.12"),
            coinbase_candle(NEW_YEAR + FOUR_HOURS),
        )
    )
    assert (len(file.candles), file.duplicates) == (2, 1)
    assert file.rejected == [RejectedRow(3, "Row 1 has other values for the same candle.")]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"start": "soon"}, "`start` is not a number."),
        ({"start": "1704067200000"}, "`start` is not a time in seconds since 1970."),
        ({"start": "1704067200.5"}, "`start` is not a time in seconds since 1970."),
        ({"start": str(NEW_YEAR + 100)}, "2024-01-01T00:01:40Z is not the start of a candle of 4h."),
        ({"open": None}, "`open` is not a number."),
        ({"close": "NaN"}, "`close` is not a number."),
        ({"close": "1e999"}, "`close` is not a number."),
        ({"close": "1_000"}, "`close` is not a number."),
        ({"volume": "much"}, "`volume` is not a number."),
        ({"low": True}, "`low` is not a number."),
    ],
)
def test_a_candle_that_makes_no_sense_is_rejected_by_its_number(changes: dict[str, Any], reason: str) -> None:
    good = [coinbase_candle(NEW_YEAR + step * FOUR_HOURS) for step in range(1, 20)]
    file = read_coinbase_candles(coinbase_file(*good[:6], {**coinbase_candle(NEW_YEAR), **changes}, *good[6:]))
    assert (len(file.candles), file.rejected) == (19, [RejectedRow(7, reason)])


def test_a_missing_field_and_a_row_that_is_no_object_are_told() -> None:
    lacking = coinbase_candle(NEW_YEAR)
    del lacking["high"]
    good = [coinbase_candle(NEW_YEAR + step * FOUR_HOURS) for step in (0, 1)]
    file = read_coinbase_candles(coinbase_file(*good, lacking, 7))
    assert file.rejected == [
        RejectedRow(3, "`high` is missing."),
        RejectedRow(4, "A candle is an object; this is a number."),
    ]


@pytest.mark.parametrize(
    ("steps", "resolution"),
    [((0, 1, 2, 3), FOUR_HOURS), ((0, 1, 3, 5), FOUR_HOURS), ((0, 6, 12), 6 * FOUR_HOURS)],
    ids=["no gap", "more gaps than none", "days"],
)
def test_the_distances_tell_the_resolution(steps: tuple[int, ...], resolution: int) -> None:
    file = read_coinbase_candles(coinbase_file(*(coinbase_candle(NEW_YEAR + step * FOUR_HOURS) for step in steps)))
    assert (file.resolution, file.rejected, len(file.candles)) == (resolution, [], len(steps))


def test_one_stray_candle_does_not_change_the_resolution() -> None:
    instants = [NEW_YEAR + step * FOUR_HOURS for step in range(30)]
    file = read_coinbase_candles(coinbase_file(*map(coinbase_candle, [*instants, NEW_YEAR + 3600])))
    assert (file.resolution, len(file.candles)) == (FOUR_HOURS, 30)
    assert [row.number for row in file.rejected] == [31]


def test_a_name_tells_the_resolution_and_a_given_one_overrides_it() -> None:
    ends = [1_678_730_699_999, 1_678_731_299_999, 1_678_731_899_999]
    named = binance_file(*ends, name="ETH/USD_PT5M@BinanceUS")
    assert read_binance_candles(named).resolution == 300
    assert read_binance_candles(binance_file(*ends), file_name="Binance-ETH-USD-PT5M-2023").resolution == 300
    assert read_binance_candles(named, resolution=60).resolution == 60


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (coinbase_file(coinbase_candle(NEW_YEAR)), "say so with --resolution"),
        (
            coinbase_file(*(coinbase_candle(NEW_YEAR + 7 + step * FOUR_HOURS) for step in range(3))),
            "these are mostly 4h apart but do not begin at multiples of it",
        ),
    ],
    ids=["one candle", "off the grid"],
)
def test_a_resolution_that_cannot_be_told_is_asked_for(content: bytes, sentence: str) -> None:
    with pytest.raises(FileNotUnderstood) as refusal:
        read_coinbase_candles(content)
    assert sentence in refusal.value.message


@pytest.mark.parametrize("read", [read_coinbase_candles, read_binance_candles])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"\xff\xfe\x00\xd8",
        b"[" * 100_000,
        b'{"candles": 1, "ohlc": {}}',
        b"[1, 2, 3]",
        b"null",
        b'{"candles": [], "ohlc": []}',
        b'{"candles": [{}], "ohlc": [[]]}',
        b'{"candles": [1e99999999999999999999], "ohlc": [1e99999999999999999999]}',
    ],
)
def test_a_file_of_another_shape_is_refused_in_one_sentence(read: Reader, content: bytes) -> None:
    with pytest.raises(FileNotUnderstood) as refusal:
        read(content)
    assert "expect" in refusal.value.message
    assert "\n" not in refusal.value.message


@pytest.mark.parametrize(
    ("spelled", "seconds"),
    [
        ("14400", 14_400),
        ("4h", 14_400),
        ("5m", 300),
        ("1d", 86_400),
        ("1W", 604_800),
        ("PT4H", 14_400),
        ("P1D", 86_400),
    ],
)
def test_a_length_of_candles_is_read_as_people_spell_it(spelled: str, seconds: int) -> None:
    assert parse_resolution(spelled) == seconds
    assert parse_resolution(spell_resolution(seconds)) == seconds


@pytest.mark.parametrize("spelled", ["", "0", "-5m", "4 hours", "P1M", "1M", "1y", "9999999w"])
def test_a_length_that_is_none_is_refused(spelled: str) -> None:
    with pytest.raises(BadUserInput):
        parse_resolution(spelled)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("ETH/USD_PT5M@BinanceUS", 300),
        ("Coinbase-ETH-USD-PT1D-20160517_20260310", 86_400),
        ("BTC-USD-P1M", None),
        ("PT5M or PT4H", None),
        ("EXPT5M", None),
        ("coinbase_BTC-USD_4h_2024-2025", None),
    ],
)
def test_a_duration_in_a_name_is_found(name: str, seconds: int | None) -> None:
    assert resolution_in_name(name) == seconds


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("BTC-USD", Pair("BTC", "USD")),
        ("ETH/USD_PT5M@BinanceUS", Pair("ETH", "USD")),
        ("coinbase_BTC-USD_4h_2024-2025", Pair("BTC", "USD")),
        ("Coinbase-ETH-USD-PT1D-20160517_20260310", Pair("ETH", "USD")),
        ("BTC-ETH-USD", None),
        ("candles", None),
        ("2024-USD", None),
        ("USD-USD", None),
    ],
)
def test_a_pair_in_a_name_is_found_when_it_is_the_only_one(name: str, pair: Pair | None) -> None:
    assert pair_in_name(name) == pair


def ndjson(content: bytes, target: RowTarget = TARGET) -> NdjsonFile:
    return NdjsonFile(io.BytesIO(content), target)


def test_ndjson_rows_are_completed_and_keep_their_digits() -> None:
    lines = (
        b'\xef\xbb\xbf{"item":"eth","price":13.0,"quantity":1E-3,"observedAt":"x"}\n\n{"externalId":"a:1","source":"s"}'
    )
    file = ndjson(lines)
    rows = list(file.rows())
    assert file.kind is BatchKind.PRICE_POINTS
    assert [(row.number, json.loads(row.content)) for row in rows] == [
        (
            1,
            {
                "item": "eth",
                "price": "13.0",
                "quantity": "1E-3",
                "observedAt": "x",
                "source": "coinbase",
                "kind": "market",
                "currency": "USD",
            },
        ),
        (3, {"externalId": "a:1", "source": "s", "kind": "market", "currency": "USD"}),
    ]


def test_ndjson_candles_are_told_by_their_first_row() -> None:
    file = ndjson(b'{"bucket":"2024-01-01T00:00:00Z","resolution":3600}\n')
    assert file.kind is BatchKind.CANDLES
    assert json.loads(next(file.rows()).content)["resolution"] == 3600


def test_lines_that_are_no_objects_are_rejected_by_their_number() -> None:
    file = ndjson(b'{"price":1}\nnope\n[1]\n\xff\n{"a":"\\ud800"}\n{"price":2}\n')
    assert [row.number for row in file.rows()] == [1, 6]
    assert [row.number for row in file.rejected] == [2, 3, 4, 5]
    assert file.rejected[1].reason == "A row is one JSON object on one line; this is a list of 1."


@pytest.mark.parametrize(
    "content", [b"", b"\n \n", b"# Trove\n", b"[1]\n", b"x" * (MOST_BYTES_A_LINE + 1), b"[" * 100_000]
)
def test_a_file_that_is_no_ndjson_is_refused_in_one_sentence(content: bytes) -> None:
    with pytest.raises(FileNotUnderstood, match="ndjson expects one JSON object a line"):
        ndjson(content)


@given(sizes=st.lists(st.integers(0, 40), max_size=30), most_rows=st.integers(1, 7), most_bytes=st.integers(50, 120))
def test_batches_keep_every_row_in_order_and_their_limits(sizes: list[int], most_rows: int, most_bytes: int) -> None:
    rows = [CanonicalRow(number * 2, b"x" * size) for number, size in enumerate(sizes, start=1)]
    batches = list(in_batches(rows, most_rows=most_rows, most_bytes=most_bytes))
    assert b"".join(batch.payload for batch in batches) == b"".join(row.content + b"\n" for row in rows)
    assert [number for batch in batches for number in batch.numbers] == [row.number for row in rows]
    assert all(0 < len(batch.numbers) <= most_rows and len(batch.payload) <= most_bytes for batch in batches)


@given(
    first=st.integers(0, 10_000),
    gaps=st.lists(st.integers(1, 3), min_size=3, max_size=40),
    resolution=st.sampled_from([60, 300, 3600, 14_400, 86_400]),
    exclusive=st.booleans(),
)
def test_ends_and_starts_of_the_same_candles_give_the_same_buckets(
    first: int, gaps: list[int], resolution: int, exclusive: bool
) -> None:
    begin = NEW_YEAR + first * resolution
    labels = [begin + sum(gaps[:index]) * resolution for index in range(len(gaps) + 1)]
    by_start = read_coinbase_candles(coinbase_file(*map(coinbase_candle, labels)), resolution=resolution)
    ends = [(label + resolution) * 1000 - (0 if exclusive else 1) for label in labels]
    by_end = read_binance_candles(binance_file(*ends), resolution=resolution)
    expected = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=label) for label in labels]
    assert starts(by_start) == starts(by_end) == expected
    assert by_start.rejected == by_end.rejected == []


@pytest.mark.parametrize(
    ("file", "read", "resolution", "count", "label"),
    [
        ("coinbase_BTC-USD_4h_2024-2025.json", read_coinbase_candles, 14_400, 3996, "start"),
        ("coinbase_ETH-USD_1d_2016-2023.json", read_binance_candles, 86_400, 2781, "endTime"),
        ("binanceus_ETH-USD_5m_first400.json", read_binance_candles, 300, 400, "endTime"),
    ],
)
def test_the_real_files_are_read_whole(
    trove_data: Path, file: str, read: Reader, resolution: int, count: int, label: str
) -> None:
    content = (trove_data / "crypto" / file).read_bytes()
    candles = read(content, file_name=Path(file).stem)
    assert (candles.resolution, len(candles.candles), candles.duplicates, candles.rejected) == (
        resolution,
        count,
        0,
        [],
    )
    document = json.loads(content, parse_float=Decimal)
    first = (document.get("candles") or document["ohlc"])[0]
    seconds = int(first[label]) if label == "start" else (first[label] + 1) // 1000 - resolution
    assert int(candles.candles[0][0].timestamp()) == seconds
