"""Find My: key pairs of tags on P-224, and the reports of strangers' phones, which only the private key opens.

Nothing of a key stands in what is raised here.
"""

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF

from app.trackers.errors import BadReport
from app.trackers.models import ADVERTISED_KEY_BYTES, HASH_BYTES

PRIVATE_KEY_BYTES = 28
PAYLOAD_BYTES = 88
# Newer phones put one more byte between time and confidence.
LONG_PAYLOAD_BYTES = 89
EPOCH = datetime(2001, 1, 1, tzinfo=UTC)

_TIME_BYTES = 4
_POINT_BYTES = 57
_CIPHER_BYTES = 10
_AES_KEY_BYTES = 16
_CONTENT = struct.Struct(">iiBB")


class BadKey(ValueError):
    """A text is no key of Find My; the message says why, and nothing of the key."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A key pair of a tag: the private key (28 bytes, big-endian) and the x coordinate of its point (28 bytes)."""

    private_key: bytes = field(repr=False)
    advertised_key: bytes

    @property
    def hashed_key(self) -> bytes:
        """Under what the tag is reported."""
        return hashed_key_of(self.advertised_key)


@dataclass(frozen=True, slots=True)
class OpenedReport:
    """What a phone wrote of a tag: where in ten-millionths of a degree, how exactly in metres, and two raw bytes."""

    reported_at: datetime
    latitude_e7: int
    longitude_e7: int
    accuracy_meters: int
    confidence: int
    status_byte: int


def make_key_pair() -> KeyPair:
    """A fresh key pair."""
    return _pair_of(ec.generate_private_key(ec.SECP224R1()))


def key_pair_of(private_key: bytes) -> KeyPair:
    """The pair of a private key of 28 bytes; raises BadKey."""
    return _pair_of(_private_key(private_key))


def read_private_key(text: str) -> KeyPair:
    """The pair of a private key in base64, of either alphabet, padded or not; raises BadKey."""
    decoded = _decoded(text)
    if decoded is None:
        raise BadKey("A private key is the base64 of 28 bytes, and this is no base64.")
    return key_pair_of(decoded)


def hashed_key_of(advertised_key: bytes) -> bytes:
    """The SHA-256 of an advertised key; raises BadKey where that has not 28 bytes."""
    if len(advertised_key) != ADVERTISED_KEY_BYTES:
        raise BadKey(f"An advertised key has {ADVERTISED_KEY_BYTES} bytes, and not {len(advertised_key)}.")
    return hashlib.sha256(advertised_key).digest()


def read_hashed_key(text: str) -> bytes:
    """The 32 bytes of a hashed key in base64, of either alphabet, padded or not; raises BadReport."""
    decoded = _decoded(text)
    if decoded is None or len(decoded) != HASH_BYTES:
        raise BadReport(f"`hashedKey` is not the base64 of {HASH_BYTES} bytes, the SHA-256 of an advertised key.")
    return decoded


def read_payload(text: str) -> bytes:
    """The bytes of an encrypted report in base64, 88 in either form; raises BadReport."""
    decoded = _decoded(text)
    if decoded is None:
        raise BadReport("`payload` is not base64.")
    if len(decoded) == LONG_PAYLOAD_BYTES:
        return decoded[:_TIME_BYTES] + decoded[_TIME_BYTES + 1 :]
    if len(decoded) != PAYLOAD_BYTES:
        raise BadReport(
            f"`payload` has {len(decoded)} bytes, and an encrypted report {PAYLOAD_BYTES} or {LONG_PAYLOAD_BYTES}."
        )
    return decoded


def reported_at_of(payload: bytes) -> datetime:
    """When the tag was seen, which is not encrypted."""
    return EPOCH + timedelta(seconds=int.from_bytes(payload[:_TIME_BYTES], "big"))


class ReportOpener:
    """Opens the reports of one key pair."""

    def __init__(self, private_key: bytes) -> None:
        """Take the private key, 28 bytes; raises BadKey."""
        self._key = _private_key(private_key)

    def open(self, payload: bytes) -> OpenedReport:
        """What a payload of 88 bytes, as `read_payload` gives it, says; raises BadReport."""
        point = payload[_TIME_BYTES + 1 : -_CIPHER_BYTES - _AES_KEY_BYTES]
        try:
            ephemeral = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP224R1(), point)
            shared = self._key.exchange(ec.ECDH(), ephemeral)
        except ValueError:
            raise BadReport("The point in `payload` is not on the curve P-224: the payload was changed.") from None
        derived = X963KDF(hashes.SHA256(), 2 * _AES_KEY_BYTES, sharedinfo=point).derive(shared)
        key, nonce = derived[:_AES_KEY_BYTES], derived[_AES_KEY_BYTES:]
        try:
            content = AESGCM(key).decrypt(nonce, payload[-_CIPHER_BYTES - _AES_KEY_BYTES :], None)
        except InvalidTag:
            raise BadReport("The tag of `payload` does not hold: it was changed, or is of another key.") from None
        latitude_e7, longitude_e7, accuracy, status = _CONTENT.unpack(content)
        return OpenedReport(reported_at_of(payload), latitude_e7, longitude_e7, accuracy, payload[_TIME_BYTES], status)


def _pair_of(key: ec.EllipticCurvePrivateKey) -> KeyPair:
    numbers = key.private_numbers()
    return KeyPair(
        private_key=numbers.private_value.to_bytes(PRIVATE_KEY_BYTES, "big"),
        advertised_key=numbers.public_numbers.x.to_bytes(ADVERTISED_KEY_BYTES, "big"),
    )


def _private_key(value: bytes) -> ec.EllipticCurvePrivateKey:
    if len(value) != PRIVATE_KEY_BYTES:
        raise BadKey(f"A private key has {PRIVATE_KEY_BYTES} bytes, and not {len(value)}.")
    try:
        return ec.derive_private_key(int.from_bytes(value, "big"), ec.SECP224R1())
    except ValueError:
        # Without what was raised: it tells the number.
        pass
    raise BadKey("A private key is above zero and below the order of the curve P-224.")


def _decoded(text: str) -> bytes | None:
    """The bytes of base64 in either alphabet, padded or not; None where it is none."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
