"""`coinbase-candles`: `{"candles": [{"start": "1704067200", "low", "high", "open", "close", "volume"}]}`.

This is the answer of Coinbase's product-candles endpoint, or several of them joined. `start` is the candle's first
second since 1970, and every value is a text.
"""

from typing import Any

from app.prices.formats.candles import CandleFile, Label, arrange
from app.prices.formats.durations import resolution_in_name
from app.prices.formats.errors import FileNotUnderstood
from app.prices.formats.json_files import describe, read_json
from app.prices.formats.labelled import CandleFields, read_candles

_FIELDS = CandleFields(
    label="start", milliseconds=1000, open="open", high="high", low="low", close="close", volume="volume"
)


def read_coinbase_candles(content: bytes, *, file_name: str = "", resolution: int | None = None) -> CandleFile:
    """The candles of a file; `resolution` in seconds overrides what the names or the data say.

    Raises `FileNotUnderstood` for a file of another shape.
    """
    document = read_json(content)
    if not isinstance(document, dict) or not isinstance(document.get("candles"), list):
        raise FileNotUnderstood(
            'coinbase-candles expects {"candles": [{"start": "1704067200", "low": …, "high": …, "open": …, "close": …, '
            f'"volume": …}}]}}, and this file holds {describe(document)}.'
        )
    name: Any = document.get("name")
    candles, rejected = read_candles(document["candles"], _FIELDS, expected="coinbase-candles")
    return arrange(
        candles,
        label=Label.START,
        name=name if isinstance(name, str) else None,
        resolution=resolution or resolution_in_name(str(name)) or resolution_in_name(file_name),
        rejected=rejected,
    )
