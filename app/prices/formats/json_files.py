"""Whole JSON files with exact decimals, and sentences about what they hold."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from app.prices.formats.errors import FileNotUnderstood

MOST_BYTES_A_FILE = 256 * 1024 * 1024
# Prices fit well within; a number of a million digits is an attack or an accident.
MOST_DIGITS = 60
_SPELLED_NUMBER = re.compile(r"[+-]?[0-9]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?")


def read_json(content: bytes) -> Any:
    """The JSON value of a file, numbers as decimals just as they are spelled; raises `FileNotUnderstood`."""
    if len(content) > MOST_BYTES_A_FILE:
        raise FileNotUnderstood(
            f"A JSON file of up to {MOST_BYTES_A_FILE // 1024 // 1024} MB was expected, and this one has "
            f"{len(content) // 1024 // 1024} MB; split it, or turn it into ndjson."
        )
    try:
        return json.loads(content, parse_float=Decimal, parse_int=Decimal)
    except UnicodeDecodeError as error:
        raise FileNotUnderstood("A JSON file in UTF-8 was expected, and this file is not text.") from error
    except json.JSONDecodeError as error:
        raise FileNotUnderstood(
            f"A JSON file was expected, and this one is not JSON: {error.msg} in line {error.lineno}."
        ) from error
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise FileNotUnderstood(
            "A JSON file was expected, and this one is nested too deeply or holds no JSON."
        ) from error


def describe(value: object) -> str:
    """What a JSON value is, in a few words."""
    match value:
        case dict():
            keys = [f"`{str(key)[:40]}`" for key in value]
            named = ", ".join(keys[:6]) + (", …" if len(keys) > 6 else "")
            return f"an object with the keys {named}" if keys else "an empty object"
        case list():
            return f"a list of {len(value)}"
        case str():
            return "a text"
        case bool() | None:
            return str(value).lower().replace("none", "null")
        case _:
            return "a number"


def decimal_of(value: object) -> Decimal | None:
    """The finite decimal that a JSON number or a text spells, or None."""
    if isinstance(value, str):
        # Decimal would take 1_000 and ٣ too.
        if not _SPELLED_NUMBER.fullmatch(value):
            return None
        try:
            value = Decimal(value)
        except InvalidOperation:
            return None
    if not isinstance(value, Decimal) or not value.is_finite():
        return None
    exponent = value.as_tuple().exponent
    is_sane = isinstance(exponent, int) and abs(exponent) <= MOST_DIGITS and abs(value.adjusted()) <= MOST_DIGITS
    return value if is_sane else None
