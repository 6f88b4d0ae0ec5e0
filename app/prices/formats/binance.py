"""`binance-candles`: `{"name", "ohlc": [{"endTime", "openPrice", "highPrice", "lowPrice", "closePrice", "volume"}]}`.

`endTime` is the candle's end in milliseconds since 1970: its last millisecond (…99999), or the instant after it. So
1463616000000 (2016-05-19T00:00Z) labels the daily candle of 2016-05-18. `amount` is the turnover, unless it is zero.
"""

from typing import Any

from app.prices.formats.candles import CandleFile, Label, arrange
from app.prices.formats.durations import resolution_in_name
from app.prices.formats.errors import FileNotUnderstood
from app.prices.formats.json_files import describe, read_json
from app.prices.formats.labelled import CandleFields, read_candles

_FIELDS = CandleFields(
    label="endTime",
    milliseconds=1,
    open="openPrice",
    high="highPrice",
    low="lowPrice",
    close="closePrice",
    volume="volume",
    turnover="amount",
)


def read_binance_candles(content: bytes, *, file_name: str = "", resolution: int | None = None) -> CandleFile:
    """The candles of a file; `resolution` in seconds overrides what the names or the data say.

    Raises `FileNotUnderstood` for a file of another shape.
    """
    document = read_json(content)
    if not isinstance(document, dict) or not isinstance(document.get("ohlc"), list):
        raise FileNotUnderstood(
            'binance-candles expects {"name": …, "ohlc": [{"endTime": 1678730699999, "openPrice": …, "highPrice": …, '
            f'"lowPrice": …, "closePrice": …, "volume": …}}]}}, and this file holds {describe(document)}.'
        )
    name: Any = document.get("name")
    candles, rejected = read_candles(document["ohlc"], _FIELDS, expected="binance-candles")
    return arrange(
        candles,
        label=Label.END,
        name=name if isinstance(name, str) else None,
        resolution=resolution or resolution_in_name(str(name)) or resolution_in_name(file_name),
        rejected=rejected,
    )
