"""JAN codes of figures: EAN of 8 or 13 digits, of which the last one checks the others. No tables in here."""

import re

_JAN = re.compile(r"[0-9]{8}|[0-9]{13}")


def is_jan_shaped(code: str) -> bool:
    """Whether it has as many digits as a JAN code, and nothing else."""
    return _JAN.fullmatch(code) is not None


def check_digit_of(code: str) -> str:
    """The digit that a code of 8 or 13 digits has to end in, by the ones before it."""
    digits = [int(digit) for digit in reversed(code[:-1])]
    # With it the sum is a multiple of ten; every second digit, from the one before it, counts three times.
    return str(-(3 * sum(digits[0::2]) + sum(digits[1::2])) % 10)
