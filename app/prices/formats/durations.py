"""The length of candles, as people and file names spell it."""

import re

from app.prices.formats.errors import FileNotUnderstood

LONGEST_RESOLUTION = 366 * 86_400
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
# `1M` is what many write for a month, and no minute.
_SPELLED = re.compile(r"(?P<count>[1-9][0-9]{0,6})(?P<unit>[sSmhHdDwW]?)")
# `P1M` is a month, which has no length; with a T it is a minute. Files say `PT1D` as well as `P1D`.
_IN_NAME = re.compile(
    r"(?<![A-Za-z0-9])P(?:(?P<count>[1-9][0-9]{0,3})(?P<unit>[DW])|T(?P<timed>[1-9][0-9]{0,5})(?P<time>[SMHDW]))(?![A-Za-z0-9])"
)


def parse_resolution(text: str) -> int:
    """Seconds from `14400`, `4h`, `5m`, `1d`, `1w` or ISO 8601 (`PT4H`, `P1D`); raises `FileNotUnderstood`."""
    spelled = _SPELLED.fullmatch(text.strip())
    if spelled is None:
        seconds = resolution_in_name(text.strip())
    else:
        seconds = int(spelled["count"]) * _SECONDS[spelled["unit"].lower() or "s"]
    if seconds is None or seconds > LONGEST_RESOLUTION:
        raise FileNotUnderstood(
            f"A length of candles such as 5m, 4h, 1d or 14400 (seconds) was expected, not `{text}`."
        )
    return seconds


def resolution_in_name(name: str) -> int | None:
    """Seconds of the one ISO 8601 duration in a name (`ETH/USD_PT5M@BinanceUS`), or None."""
    found = {
        int(match["count"] or match["timed"]) * _SECONDS[(match["unit"] or match["time"]).lower()]
        for match in _IN_NAME.finditer(name.replace("_", " "))
    }
    return found.pop() if len(found) == 1 and max(found) <= LONGEST_RESOLUTION else None


def spell_resolution(seconds: int) -> str:
    """The shortest spelling of a length: 14400 is `4h`."""
    for unit in ("w", "d", "h", "m"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"
