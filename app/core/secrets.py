"""Secrets at rest: envelope encryption with AES-256-GCM, under a ring of keys that can be changed.

Each secret has a data key of its own, which is encrypted by a key of the ring. Both layers are bound to the place where
the secret stands (table, column, row), so a ciphertext moved to another place cannot be read there.
"""

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.orm import MappedColumn, mapped_column

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
VERSION = b"\x01"
LONGEST_KEY_ID = 64
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
    """Where a secret stands: the table with its schema, the column, and the row's primary key."""

    table: str
    column: str
    row: str

    @property
    def associated_data(self) -> bytes:
        """What the ciphertext is bound to."""
        return "\0".join((self.table, self.column, self.row)).encode()


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys by their ids; `current` encrypts, the others still decrypt."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "KeyRing":
        """Read `{"current": "id", "keys": {"id": "base64 of 32 bytes"}}`; raises InvalidKeyRing."""
        try:
            ring = json.loads(text)
            keys = {str(key_id): base64.b64decode(key, validate=True) for key_id, key in ring["keys"].items()}
            current = str(ring["current"])
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            raise InvalidKeyRing('it is JSON such as {"current": "2026", "keys": {"2026": "…"}}') from None
        if current not in keys:
            raise InvalidKeyRing("`current` names a key that is not among `keys`")
        for key_id, key in keys.items():
            if not 0 < len(key_id.encode()) <= LONGEST_KEY_ID:
                raise InvalidKeyRing(f"the id of a key has 1 to {LONGEST_KEY_ID} bytes")
            if len(key) != KEY_BYTES:
                raise InvalidKeyRing(f"the key {key_id} is not the base64 of {KEY_BYTES} bytes")
        return cls(current, keys)

    def text(self) -> str:
        """The ring as `parse` reads it."""
        keys = {key_id: base64.b64encode(key).decode() for key_id, key in self.keys.items()}
        return json.dumps({"current": self.current, "keys": keys}, indent=2) + "\n"

    def with_new_key(self, key_id: str) -> "KeyRing":
        """The ring with a fresh key, which is the current one from now on."""
        if key_id in self.keys:
            raise InvalidKeyRing(f"the ring has a key {key_id} already")
        return KeyRing(key_id, {**self.keys, key_id: os.urandom(KEY_BYTES)})


class Secrets:
    """Encrypts and decrypts under a ring of keys.

    A ciphertext is: version (1 byte), length of the key's id (1), the id, nonce (12), encrypted data key (48), nonce
    (12), encrypted secret with its tag.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._current = ring.current
        self._keys = {key_id: AESGCM(key) for key_id, key in ring.keys.items()}

    def encrypt(self, secret: bytes, place: SecretPlace) -> bytes:
        """The ciphertext of a secret that stands at this place."""
        bound_to = place.associated_data
        data_key = AESGCM.generate_key(KEY_BYTES * 8)
        key_nonce, nonce = os.urandom(NONCE_BYTES), os.urandom(NONCE_BYTES)
        wrapped = self._keys[self._current].encrypt(key_nonce, data_key, bound_to)
        return self.current_prefix + key_nonce + wrapped + nonce + AESGCM(data_key).encrypt(nonce, secret, bound_to)

    def decrypt(self, ciphertext: bytes, place: SecretPlace) -> bytes:
        """The secret; raises SecretUnreadable for what was changed, moved, or encrypted under a key that is gone."""
        key_id = key_id_of(ciphertext)
        key = self._keys.get(key_id)
        if key is None:
            raise SecretUnreadable(
                f"the key {key_id} is not in the ring; put it back until `trove keys rotate` is done"
            )
        rest = ciphertext[len(_prefix(key_id)) :]
        wrapped_end = NONCE_BYTES + KEY_BYTES + TAG_BYTES
        key_nonce, wrapped = rest[:NONCE_BYTES], rest[NONCE_BYTES:wrapped_end]
        nonce, content = rest[wrapped_end : wrapped_end + NONCE_BYTES], rest[wrapped_end + NONCE_BYTES :]
        try:
            data_key = key.decrypt(key_nonce, wrapped, place.associated_data)
            return AESGCM(data_key).decrypt(nonce, content, place.associated_data)
        except (InvalidTag, ValueError):
            raise SecretUnreadable(f"a ciphertext in {place.table}.{place.column} was changed or moved") from None

    @property
    def current_prefix(self) -> bytes:
        """What every ciphertext under the current key begins with."""
        return _prefix(self._current)


def key_id_of(ciphertext: bytes) -> str:
    """The id of the key that a ciphertext was made under; raises SecretUnreadable where it is none."""
    if ciphertext[:1] != VERSION or len(ciphertext) < 2 or len(ciphertext) < 2 + ciphertext[1]:
        raise SecretUnreadable("this is no ciphertext of ours")
    return ciphertext[2 : 2 + ciphertext[1]].decode(errors="replace")


def _prefix(key_id: str) -> bytes:
    return VERSION + bytes([len(key_id.encode())]) + key_id.encode()
