"""Opaque tokens: random text that only its holder knows; the database keeps a hash of it.

A token is `trove_api_`, 43 characters of chance and 6 of checksum. The beginning lets secret scanners find it; the
checksum tells a mistyped one, or one that a scanner took by mistake, without asking the database.
"""

import hashlib
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_BYTES = 32
# As many digits to base 62 as 32 bytes and a CRC-32 need.
RANDOM_LENGTH = 43
CHECKSUM_LENGTH = 6
SHOWN_LENGTH = 6

_PREFIX = re.compile(r"[a-z]+(_[a-z]+)*")
_SECRET = re.compile(rf"[0-9A-Za-z]{{{RANDOM_LENGTH + CHECKSUM_LENGTH}}}")


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token as its holder gets it, once; the hash to keep; and the beginning that its holder recognises it by."""

    text: str = field(repr=False)
    hash: bytes = field(repr=False)
    shown_prefix: str


def new_token(prefix: str) -> NewToken:
    """A token of 256 random bits; the prefix is lower-case words joined by `_`, such as `trove_api`."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"the prefix of a token is lower-case words joined by _, not {prefix!r}")
    random = _base62(int.from_bytes(secrets.token_bytes(RANDOM_BYTES)), length=RANDOM_LENGTH)
    body = f"{prefix}_{random}"
    text = body + _checksum(body)
    return NewToken(text, hash_of_token(text), body[: len(prefix) + 1 + SHOWN_LENGTH])


def hash_of_token(text: str) -> bytes:
    """What the database knows a token by: SHA-256, since nobody can guess 256 random bits, however fast they try."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def is_token(text: str, prefix: str) -> bool:
    """Whether the text has the shape and checksum of a token with this prefix; not whether it is one that we made."""
    start = f"{prefix}_"
    if not text.startswith(start) or not _SECRET.fullmatch(text, len(start)):
        return False
    return text[-CHECKSUM_LENGTH:] == _checksum(text[:-CHECKSUM_LENGTH])


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), length=CHECKSUM_LENGTH)


def _base62(number: int, *, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
