"""An authenticator made of software, with the browser before it: it makes passkeys and signs with them.

It does as it is told even where that is a lie, so that tests can see each lie refused.
"""

import base64
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

Json = dict[str, Any]
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

ES256, EDDSA, RS256 = -7, -8, -257


class Flags(IntFlag):
    """What an authenticator says of an answer (WebAuthn, 6.1)."""

    USER_PRESENT = 1
    USER_VERIFIED = 4
    BACKUP_ELIGIBLE = 8
    BACKED_UP = 16
    ATTESTED = 64
    EXTENSIONS = 128


PRESENT = Flags.USER_PRESENT
VERIFIED = Flags.USER_PRESENT | Flags.USER_VERIFIED


@dataclass
class SoftwarePasskey:
    """A key for one relying party; `sign_count` is the last count it gave, and stays 0 where `counts` is false."""

    private_key: PrivateKey
    rp_id: str
    user_handle: bytes
    credential_id: bytes = field(default_factory=lambda: os.urandom(32))
    sign_count: int = 0
    counts: bool = True

    @property
    def algorithm(self) -> int:
        """The COSE number of the algorithm."""
        if isinstance(self.private_key, ec.EllipticCurvePrivateKey):
            return ES256
        return EDDSA if isinstance(self.private_key, ed25519.Ed25519PrivateKey) else RS256

    @property
    def public_key(self) -> bytes:
        """The public key as COSE."""
        return cbor2.dumps(cose_key(self.private_key))

    def sign(self, data: bytes) -> bytes:
        """The signature over the data."""
        if isinstance(self.private_key, ec.EllipticCurvePrivateKey):
            return self.private_key.sign(data, ec.ECDSA(SHA256()))
        if isinstance(self.private_key, ed25519.Ed25519PrivateKey):
            return self.private_key.sign(data)
        return self.private_key.sign(data, padding.PKCS1v15(), SHA256())

    def next_count(self) -> int:
        """The count of the next signature."""
        self.sign_count += int(self.counts)
        return self.sign_count


def new_private_key(algorithm: int) -> PrivateKey:
    """A fresh key of the algorithm."""
    if algorithm == ES256:
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == EDDSA:
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def cose_key(key: PrivateKey) -> dict[int, object]:
    """The public half of a key in the terms of COSE (RFC 9053)."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        size = (key.curve.key_size + 7) // 8
        return {1: 2, 3: ES256, -1: 1, -2: point.x.to_bytes(size), -3: point.y.to_bytes(size)}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return {1: 1, 3: EDDSA, -1: 6, -2: key.public_key().public_bytes_raw()}
    numbers = key.public_key().public_numbers()
    return {1: 3, 3: RS256, -1: numbers.n.to_bytes(key.key_size // 8), -2: numbers.e.to_bytes(3)}


@dataclass(frozen=True, slots=True)
class Lies:
    """What an answer says that is not so; None leaves the truth."""

    challenge: bytes | None = None
    origin: object = None
    type: object = None
    rp_id: str | None = None
    flags: int | None = None
    sign_count: int | None = None
    client_data: Json = field(default_factory=dict)
    cose: dict[int, object] | None = None
    signed_by: SoftwarePasskey | None = None
    attested_id: bytes | None = None
    attests: bool = True
    attestation: Json = field(default_factory=dict)
    more_data: bytes = b""
    edit_client_data: Callable[[bytes], bytes] = bytes
    edit_authenticator_data: Callable[[bytes], bytes] = bytes
    edit_signature: Callable[[bytes], bytes] = bytes


HONEST = Lies()


def encode(data: bytes) -> str:
    """Base64 for addresses, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """What `encode` was given."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def create(
    options: Json,
    *,
    origin: str,
    algorithm: int = ES256,
    counts: bool = True,
    flags: int = VERIFIED,
    lies: Lies = HONEST,
) -> tuple[SoftwarePasskey, Json]:
    """`navigator.credentials.create()`: a new passkey, and the answer of the browser as JSON."""
    passkey = SoftwarePasskey(
        new_private_key(algorithm), options["rp"]["id"], decode(options["user"]["id"]), counts=counts
    )
    client_data = _client_data("webauthn.create", options["challenge"], origin, lies)
    credential_id = passkey.credential_id if lies.attested_id is None else lies.attested_id
    key = cbor2.dumps(cose_key(passkey.private_key) if lies.cose is None else lies.cose)
    attested = bytes(16) + len(credential_id).to_bytes(2) + credential_id + key
    authenticator_data = _authenticator_data(passkey, flags, attested if lies.attests else b"", lies)
    attestation = {"fmt": "none", "attStmt": {}, "authData": authenticator_data, **lies.attestation}
    answer = {
        "clientDataJSON": encode(client_data),
        "attestationObject": encode(cbor2.dumps(attestation)),
        "authenticatorData": encode(authenticator_data),
        "transports": ["internal", "hybrid"],
    }
    return passkey, _credential(passkey, answer)


def get(options: Json, passkey: SoftwarePasskey, *, origin: str, flags: int = VERIFIED, lies: Lies = HONEST) -> Json:
    """`navigator.credentials.get()`: the answer of the browser, signed by the passkey, as JSON."""
    client_data = _client_data("webauthn.get", options["challenge"], origin, lies)
    authenticator_data = _authenticator_data(passkey, flags, b"", lies)
    signature = (lies.signed_by or passkey).sign(authenticator_data + hashlib.sha256(client_data).digest())
    return _credential(
        passkey,
        {
            "clientDataJSON": encode(lies.edit_client_data(client_data)),
            "authenticatorData": encode(lies.edit_authenticator_data(authenticator_data)),
            "signature": encode(lies.edit_signature(signature)),
            "userHandle": encode(passkey.user_handle),
        },
    )


def _client_data(kind: str, challenge: str, origin: str, lies: Lies) -> bytes:
    data = {
        "type": kind if lies.type is None else lies.type,
        "challenge": challenge if lies.challenge is None else encode(lies.challenge),
        "origin": origin if lies.origin is None else lies.origin,
        "crossOrigin": False,
        **lies.client_data,
    }
    return json.dumps(data).encode()


def _authenticator_data(passkey: SoftwarePasskey, flags: int, attested: bytes, lies: Lies) -> bytes:
    count = passkey.next_count() if lies.sign_count is None else lies.sign_count
    rp_id = passkey.rp_id if lies.rp_id is None else lies.rp_id
    flags = (flags if lies.flags is None else lies.flags) | (Flags.ATTESTED if attested else 0)
    head = hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + count.to_bytes(4)
    return head + attested + lies.more_data


def _credential(passkey: SoftwarePasskey, response: Json) -> Json:
    credential_id = encode(passkey.credential_id)
    return {
        "id": credential_id,
        "rawId": credential_id,
        "type": "public-key",
        "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
        "response": response,
    }
