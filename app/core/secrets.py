"""Secrets at rest: envelope encryption with AES-256-GCM, under a ring of keys that can be changed.

Each secret has a data key of its own, which is encrypted by a key of the ring. Both layers are bound to the place where
the secret stands (table, column, row), so a ciphertext moved to another place cannot be read there. An older ciphertext
of the same place can be put back unnoticed: whoever writes to the database may do that.
"""

import base64
import binascii
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlalchemy import Column, Table
from sqlalchemy.orm import InstrumentedAttribute, MappedColumn, mapped_column

from app.core.clock import utc_now

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
VERSION = b"\x01"
# Shorter than any writing of a key, so that a key that stands where its id should be is not taken for one and shown.
KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}", re.ASCII)
ENCRYPTED = "trove-encrypted"


class InvalidKeyRing(ValueError):
    """A text is no ring of keys; the message says why, and nothing of the keys."""


class SecretUnreadable(Exception):
    """A ciphertext was changed or moved, or its key is not in the ring."""


def encrypted() -> MappedColumn[Any]:
    """A column that holds a ciphertext; `trove keys rotate` finds it by this."""
    return mapped_column(info={ENCRYPTED: True})


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """Where a secret stands: the table with its schema, the column, and the row's primary key; see `place_of`."""

    table: str
    column: str
    row: str

    @property
    def associated_data(self) -> bytes:
        """What the ciphertext is bound to."""
        return "\0".join((self.table, self.column, self.row)).encode()


def place_of(attribute: InstrumentedAttribute[Any] | Column[Any], *key: object) -> SecretPlace:
    """The place of a secret: an encrypted column such as `Credential.password_hash`, and the row's primary key.

    The key's values come in the order of the table's primary key. Raises ValueError for a column that is not encrypted,
    and TypeError for values that are not of the key's types: they would make a place that nobody finds again.
    """
    column = attribute if isinstance(attribute, Column) else attribute.property.columns[0]
    if not column.info.get(ENCRYPTED):
        raise ValueError(f"{column} is not made by `encrypted()`, so `trove keys rotate` would not find it")
    table: Table = column.table
    key_columns = table.primary_key.columns
    if len(key) != len(key_columns):
        raise TypeError(f"the primary key of {table.fullname} has {len(key_columns)} values, not {len(key)}")
    row = "\0".join(_key_text(part, value) for part, value in zip(key_columns, key, strict=True))
    return SecretPlace(table.fullname, column.name, row)


def _key_text(column: Column[Any], value: object) -> str:
    """The one text of a key's value, whichever program wrote it."""
    if not isinstance(value, column.type.python_type):
        raise TypeError(f"{column} takes a {column.type.python_type.__name__}, not a {type(value).__name__}")
    match value:
        case bytes():
            return value.hex()
        case UUID() | int():
            return str(value)
        # PostgreSQL keeps no text with U+0000, so it can stand between the values of a longer key.
        case str() if "\0" not in value:
            return str(value)
    raise TypeError(f"{column} cannot be part of the place of a secret")


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys by their ids; `current` encrypts, the others still decrypt."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def fresh(cls) -> "KeyRing":
        """A ring with one key, made now."""
        key_id = fresh_key_id()
        return cls(key_id, {key_id: os.urandom(KEY_BYTES)})

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read `{"current": "id", "keys": {"id": "base64 of 32 bytes"}}`; raises InvalidKeyRing."""
        # Raised out here and not where it was caught: what the parser raises holds the whole text, keys and all.
        ring = _read(text)
        if isinstance(ring, str):
            raise InvalidKeyRing(ring)
        return ring

    def text(self) -> str:
        """The ring as `parse` reads it, in one line: it may stand in an environment variable."""
        keys = {key_id: base64.b64encode(key).decode() for key_id, key in self.keys.items()}
        return json.dumps({"current": self.current, "keys": keys})

    def with_new_key(self, key_id: str, *, is_current: bool = True) -> "KeyRing":
        """The ring with a fresh key, which is the current one from now on unless it is to wait."""
        if not KEY_ID.fullmatch(key_id):
            raise InvalidKeyRing("the id of a key has 1 to 32 letters, digits, dots, dashes and underscores")
        if key_id in self.keys:
            raise InvalidKeyRing(f"the ring has a key {key_id} already")
        keys = {**self.keys, key_id: os.urandom(KEY_BYTES)}
        return KeyRing(key_id if is_current else self.current, keys)

    def using(self, key_id: str) -> "KeyRing":
        """The ring with another of its keys as the current one; raises InvalidKeyRing when it has no such key."""
        self._require(key_id)
        return KeyRing(key_id, self.keys)

    def without(self, key_id: str) -> "KeyRing":
        """The ring without a key; raises InvalidKeyRing when it has no such key, or encrypts with it."""
        self._require(key_id)
        if key_id == self.current:
            raise InvalidKeyRing(f"{key_id} is the current key; add another first")
        return KeyRing(self.current, {other: key for other, key in self.keys.items() if other != key_id})

    def _require(self, key_id: str) -> None:
        if key_id not in self.keys:
            raise InvalidKeyRing(f"the ring has no such key; it has {', '.join(self.keys)}")


def fresh_key_id() -> str:
    """An id for a new key: the day, and something that keeps keys of one day and of several rings apart."""
    return f"{utc_now():%Y%m%d}-{secrets.token_hex(4)}"


def _read(text: str) -> KeyRing | str:
    """The ring, or why the text is none."""
    try:
        ring = json.loads(text, object_pairs_hook=_without_repetition)
        keys = {key_id: base64.b64decode(key, validate=True) for key_id, key in ring["keys"].items()}
        current = ring["current"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        return 'it is JSON such as {"current": "2026", "keys": {"2026": "…"}}, and no name stands in it twice'
    if not isinstance(current, str) or current not in keys:
        return "`current` names a key that is not among `keys`"
    for key_id, key in keys.items():
        if not KEY_ID.fullmatch(key_id):
            return "the id of a key has 1 to 32 letters, digits, dots, dashes and underscores"
        if len(key) != KEY_BYTES:
            return f"the key {key_id} is not the base64 of {KEY_BYTES} bytes"
    return KeyRing(current, keys)


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; a name that stands twice would lose one of two keys silently."""
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError
    return read


class Secrets:
    """Encrypts and decrypts under a ring of keys.

    A ciphertext is: version (1 byte), length of the key's id (1), the id, nonce (12), encrypted data key (48), nonce
    (12), encrypted secret with its tag. Everything before the first nonce is bound to the rest, like the place.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._current = ring.current
        self._current_key = ring.keys[ring.current]
        self._other_keys = [key for key_id, key in ring.keys.items() if key_id != ring.current]
        self._keys = {key_id: AESGCM(key) for key_id, key in ring.keys.items()}

    def derived_key(self, purpose: bytes) -> bytes:
        """32 bytes for a purpose of its own, the same in every process with this ring until its current key changes."""
        return _derived(self._current_key, purpose)

    def derived_keys(self, purpose: bytes) -> Sequence[bytes]:
        """The same of every key of the ring, the current one's first: for what must outlast a change of it."""
        return [_derived(key, purpose) for key in (self._current_key, *self._other_keys)]

    def encrypt(self, secret: bytes, place: SecretPlace) -> bytes:
        """The ciphertext of a secret that stands at this place."""
        bound_to = self.current_prefix + place.associated_data
        data_key = AESGCM.generate_key(KEY_BYTES * 8)
        key_nonce, nonce = os.urandom(NONCE_BYTES), os.urandom(NONCE_BYTES)
        wrapped = self._keys[self._current].encrypt(key_nonce, data_key, bound_to)
        return self.current_prefix + key_nonce + wrapped + nonce + AESGCM(data_key).encrypt(nonce, secret, bound_to)

    def decrypt(self, ciphertext: bytes, place: SecretPlace) -> bytes:
        """The secret; raises SecretUnreadable for what was changed, moved, or encrypted under a key that is gone."""
        key_id = key_id_of(ciphertext)
        key = self._keys.get(key_id)
        if key is None:
            raise SecretUnreadable(f"the key {key_id} is not in the ring: put it back")
        prefix = _prefix(key_id)
        rest, bound_to = ciphertext[len(prefix) :], prefix + place.associated_data
        wrapped_end = NONCE_BYTES + KEY_BYTES + TAG_BYTES
        key_nonce, wrapped = rest[:NONCE_BYTES], rest[NONCE_BYTES:wrapped_end]
        nonce, content = rest[wrapped_end : wrapped_end + NONCE_BYTES], rest[wrapped_end + NONCE_BYTES :]
        try:
            data_key = key.decrypt(key_nonce, wrapped, bound_to)
            return AESGCM(data_key).decrypt(nonce, content, bound_to)
        except (InvalidTag, ValueError):
            raise SecretUnreadable(f"a ciphertext in {place.table}.{place.column} was changed or moved") from None

    @property
    def current_prefix(self) -> bytes:
        """What every ciphertext under the current key begins with, and no other."""
        return _prefix(self._current)


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(hashes.SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(key)


def key_id_of(ciphertext: bytes) -> str:
    """The id of the key that a ciphertext was made under; raises SecretUnreadable where it is none."""
    if ciphertext[:1] == VERSION and len(ciphertext) > 1:
        key_id = ciphertext[2 : 2 + ciphertext[1]].decode("ascii", errors="replace")
        if len(key_id) == ciphertext[1] and KEY_ID.fullmatch(key_id):
            return key_id
    raise SecretUnreadable("this is no ciphertext of ours")


def _prefix(key_id: str) -> bytes:
    return VERSION + bytes([len(key_id)]) + key_id.encode()
