"""What the name of a price file says of its item and currency."""

import re
from dataclasses import dataclass
from itertools import pairwise

from app.core.money import MINOR_UNITS

_SEPARATORS = re.compile(r"[-_/@. ]+")
_SYMBOL = re.compile(r"[A-Z][A-Z0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Pair:
    """A coin's symbol and the currency that it is priced in."""

    symbol: str
    currency: str


def pair_in_name(name: str) -> Pair | None:
    """The one pair that a name holds (`coinbase_BTC-USD_4h`, `ETH/USD_PT5M@BinanceUS`), or None."""
    words = _SEPARATORS.split(name)
    pairs = {
        Pair(symbol, currency)
        for symbol, currency in pairwise(words)
        if _SYMBOL.fullmatch(symbol) and currency in MINOR_UNITS and symbol != currency
    }
    return pairs.pop() if len(pairs) == 1 else None
