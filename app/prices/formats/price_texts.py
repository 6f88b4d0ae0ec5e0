"""Prices as shops print them (`$1,234.56`, `1.234,56 €`, `₹ 1,23,456.78`): exact decimals, or refused."""

import re
from dataclasses import dataclass
from decimal import Decimal

from app.core.errors import BadUserInput
from app.core.money import MINOR_UNITS

LONGEST_TEXT = 64
MOST_DIGITS = 30
_SHOWN_LENGTH = 40


class PriceTextNotUnderstood(BadUserInput):
    """A text is no price, or could be two different ones; the message says which."""


@dataclass(frozen=True, slots=True)
class SpelledPrice:
    """The amount that a text spells, from 0, and its currency where the text or the reader's hint tells it."""

    amount: Decimal
    currency: str | None


_NO_PRICE = {"", "-", "--", "---", "–", "—", "n/a"}
# The signs that name one currency, as shops print them; Steam's ruble begins with a Latin p.
_SIGNS = {
    "CDN$": "CAD", "CA$": "CAD", "C$": "CAD", "A$": "AUD", "AU$": "AUD", "R$": "BRL", "NZ$": "NZD", "HK$": "HKD",
    "S$": "SGD", "NT$": "TWD", "MX$": "MXN", "MEX$": "MXN", "US$": "USD", "ARS$": "ARS", "CLP$": "CLP",
    "COL$": "COP", "$U": "UYU", "S/.": "PEN", "S/": "PEN", "€": "EUR", "£": "GBP", "₹": "INR", "RS.": "INR",
    "₽": "RUB", "РУБ.": "RUB", "РУБ": "RUB", "PУБ.": "RUB", "PУБ": "RUB", "₩": "KRW", "₪": "ILS", "₴": "UAH",
    "₫": "VND", "฿": "THB", "₱": "PHP", "₺": "TRY", "TL": "TRY", "₸": "KZT", "₡": "CRC", "ZŁ": "PLN", "KČ": "CZK",
    "FT": "HUF", "RP": "IDR", "RM": "MYR", "QR": "QAR", "SR": "SAR", "KD": "KWD", "R": "ZAR", "P": "PHP", "FR.": "CHF",
    "JP¥": "JPY", "CN¥": "CNY", "元": "CNY", "円": "JPY",
}  # fmt: skip
# A sign of several currencies: the hint decides; the first of these is meant without one, if any is.
_SHARED_SIGNS: dict[str, tuple[str | None, frozenset[str]]] = {
    "$": ("USD", frozenset({"USD", "CAD", "AUD", "NZD", "HKD", "SGD", "TWD", "MXN", "ARS", "CLP", "COP", "UYU"})),
    "¥": (None, frozenset({"JPY", "CNY"})),
    "￥": (None, frozenset({"JPY", "CNY"})),
    "KR": (None, frozenset({"SEK", "NOK", "DKK", "ISK"})),
    "KR.": (None, frozenset({"SEK", "NOK", "DKK", "ISK"})),
}
_ALL_SIGNS = {**_SHARED_SIGNS, **{sign: (code, frozenset({code})) for sign, code in _SIGNS.items()}}
_CODES = {code: (code, frozenset({code})) for code in MINOR_UNITS}

# Where these are used a comma parts the fraction, so a point can only part thousands. The euro's countries differ:
# see `_groups_by`.
_GROUPED_BY_POINTS = frozenset(
    {"ARS", "BRL", "CLP", "COP", "CRC", "CZK", "DKK", "EUR", "HUF", "IDR", "ISK", "NOK"}
    | {"PLN", "PYG", "RON", "RSD", "RUB", "SEK", "TRY", "UAH", "UYU", "VES", "VND"}
)

# Among them the marks that turn the direction of writing.
_SPACES = re.compile(r"[\s\u00a0\u2007\u2009\u202f\u200e\u200f\ufeff]+")
_NUMBER = re.compile(r"[0-9][0-9., '’]*[0-9]|[0-9]")
# Nothing after the point: `12,--€`, `12.-`.
_NO_FRACTION = re.compile(r"(?<=[0-9])[.,] ?[-–—]{1,2}")
_MARKS = re.compile(r"[.,]")
_BY_THREES = re.compile(r"[0-9]{1,3}(?:([.,'’ ])[0-9]{3})(?:\1[0-9]{3})*")
_INDIAN = re.compile(r"[0-9]{1,2}(?:,[0-9]{2})*,[0-9]{3}")


def read_price_text(text: str | None, *, currency: str | None = None) -> SpelledPrice | None:
    """The price that a text spells, or None where it says that there is none: null, blank, a dash.

    `currency` is what the reader asked for: it settles signs and separators that are used in several ways. Raises
    `PriceTextNotUnderstood` for what is no price, for a price in another currency than asked for, and for one like
    `1,234` that is a thousand in some currencies and one in others, when none is known.
    """
    if text is None:
        return None
    plain = _SPACES.sub(" ", text[: LONGEST_TEXT + 1]).strip()
    if plain.lower() in _NO_PRICE:
        return None
    if len(plain) > LONGEST_TEXT:
        raise PriceTextNotUnderstood(f"“{text[:_SHOWN_LENGTH]}…” is too long for a price.")
    found = _NUMBER.search(unfractioned := _NO_FRACTION.sub("", plain))
    if found is None:
        raise _refusal(plain, "holds no number")
    before, after = unfractioned[: found.start()].strip(), unfractioned[found.end() :].strip()
    code = _currency(plain, [part for part in (before, after) if part], currency)
    has_whole_units = unfractioned != plain
    amount = _amount(plain, found[0], code, sign_is_before=bool(before), has_whole_units=has_whole_units)
    return SpelledPrice(amount, code)


def _currency(text: str, marks: list[str], asked: str | None) -> str | None:
    """The currency that signs and codes around the number agree on."""
    possible: frozenset[str] | None = None
    usual: str | None = None
    for mark in (one for part in marks for one in _known_marks(text, part)):
        first, all_of_it = mark
        possible = all_of_it if possible is None else possible & all_of_it
        usual = first
        if not possible:
            raise _refusal(text, "names two currencies")
    if possible is None:
        return asked
    if asked is not None:
        if asked not in possible:
            named = " or ".join(sorted(possible))
            raise _refusal(text, f"is in {named}, and {asked} was asked for")
        return asked
    return next(iter(possible)) if len(possible) == 1 else usual


def _known_marks(text: str, part: str) -> list[tuple[str | None, frozenset[str]]]:
    """What a part beside the number says: a sign, a code, or both (`$12.00 USD`)."""
    whole = _mark(part)
    if whole is not None:
        return [whole]
    marks = [_mark(word) for word in part.split(" ")]
    known = [mark for mark in marks if mark is not None]
    if len(known) != len(marks):
        raise _refusal(text, "holds more than a price and its currency")
    return known


def _mark(word: str) -> tuple[str | None, frozenset[str]] | None:
    upper = word.upper()
    return _ALL_SIGNS.get(upper) or _ALL_SIGNS.get(upper.rstrip(".")) or _CODES.get(upper)


def _amount(text: str, number: str, currency: str | None, *, sign_is_before: bool, has_whole_units: bool) -> Decimal:
    if has_whole_units:
        return _decimal(text, _ungrouped(text, number), "")
    marks = _MARKS.findall(number)
    if not marks:
        return _decimal(text, _ungrouped(text, number), "")
    last = marks[-1]
    whole, _, fraction = number.rpartition(last)
    if marks.count(last) > 1:
        if len(set(marks)) > 1:
            raise _refusal(text, "uses its separators in no known order")
        return _decimal(text, _ungrouped(text, number), "")
    if len(marks) == 1 and _could_be_thousands(whole, fraction):
        groups_by = _groups_by(text, currency, sign_is_before=sign_is_before)
        if last == groups_by:
            return _decimal(text, whole + fraction, "")
    return _decimal(text, _ungrouped(text, whole), fraction)


def _could_be_thousands(whole: str, fraction: str) -> bool:
    """Whether a single mark may part thousands: `1,234`, but not `0,123`, `1234,567` or `1 234,567`."""
    return len(fraction) == 3 and whole.isdigit() and len(whole) <= 3 and whole[0] != "0"


def _groups_by(text: str, currency: str | None, *, sign_is_before: bool) -> str:
    """The mark that parts thousands by the custom of a currency."""
    if currency is None:
        raise _refusal(text, "may be a thousand or one; say which currency it is in")
    if currency == "EUR" and sign_is_before:
        raise _refusal(text, "may be a thousand or one: who writes € first does it in both ways")
    return "." if currency in _GROUPED_BY_POINTS else ","


def _ungrouped(text: str, whole: str) -> str:
    """The digits of a whole number, whose thousands may be parted."""
    if whole.isdigit():
        return whole
    if _BY_THREES.fullmatch(whole) or _INDIAN.fullmatch(whole):
        return re.sub(r"[^0-9]", "", whole)
    raise _refusal(text, "parts its digits in no known way")


def _decimal(text: str, whole: str, fraction: str) -> Decimal:
    if not (whole + fraction).isdigit():
        raise _refusal(text, "parts its digits in no known way")
    if len(whole + fraction) > MOST_DIGITS:
        raise _refusal(text, "has too many digits")
    return Decimal(f"{whole}.{fraction}" if fraction else whole)


def _refusal(text: str, what: str) -> PriceTextNotUnderstood:
    return PriceTextNotUnderstood(f"“{text[:_SHOWN_LENGTH]}” {what}.")
