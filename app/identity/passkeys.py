"""Passkeys (WebAuthn): what is asked of a browser, and whether what it answers is true.

A passkey may stand beside a password or alone. Alone it has to prove that its holder was verified, by a fingerprint or
the device's own code, since possession would be all that is known otherwise. No attestation is asked for: which maker
built an authenticator is no concern of ours.
"""

import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import (
    base64url_to_bytes,
    bytes_to_base64url,
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json,
    parse_authentication_credential_json,
    parse_registration_credential_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AttestationFormat,
    AuthenticatorSelectionCriteria,
    AuthenticatorTransport,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from app.core.errors import BadUserInput

# How long a browser waits for its user.
TIMEOUT_MILLISECONDS = 300_000
LONGEST_USER_HANDLE = 64
LONGEST_CREDENTIAL_ID = 1023
# In characters of base64; what authenticators send without attestation is far below.
LONGEST_FIELD = 1 << 14
LONGEST_REASON = 200
MOST_TRANSPORTS = 16
ALGORITHMS = [
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    # Windows Hello on older machines has nothing else.
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
RSA_BITS = range(2048, 4097)
# Where none is asked for, an authenticator without a maker's certificate may still attest by its own key.
ATTESTATIONS = frozenset({AttestationFormat.NONE, AttestationFormat.PACKED})

_FIELDS_OF_A_RESPONSE = ("clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle")


class PasskeyRefused(BadUserInput):
    """A passkey's answer does not hold. The message does not tell what was wrong; `reason` does, for the audit log.

    The reason is printable ASCII and short, whatever the answer contained.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("This passkey could not be verified; try again, or use another way to sign in.")
        self.reason = ascii(reason)[1:-1][:LONGEST_REASON]


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Who asks for passkeys: a domain, the name people read, and the origins of the pages that may ask."""

    id: str
    name: str
    origins: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KnownPasskey:
    """A passkey that may answer, and the ways by which a browser can reach its authenticator."""

    credential_id: bytes
    transports: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class PasskeyOptions:
    """What a browser hands to `navigator.credentials`, as JSON, and the challenge in it, to be kept for the answer."""

    challenge: bytes = field(repr=False)
    json: dict[str, object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewPasskey:
    """A passkey that was made: its id, its public key (COSE), and what its authenticator said of itself."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    transports: tuple[str, ...]
    is_backed_up: bool
    is_user_verified: bool


@dataclass(frozen=True, slots=True)
class VerifiedPasskey:
    """A passkey that proved itself: the count to keep, and whether its holder was verified too."""

    sign_count: int
    is_backed_up: bool
    is_user_verified: bool


def registration_options(
    party: RelyingParty, *, user_handle: bytes, username: str, display_name: str, existing: Sequence[bytes]
) -> PasskeyOptions:
    """What to ask of a browser for a new passkey; authenticators that hold one of `existing` sit it out.

    The handle (1 to 64 bytes) says nothing of the person. A passkey that needs no username typed is preferred, and so
    is one that verifies its holder; a security key that can do neither still serves as second factor.
    """
    if not 0 < len(user_handle) <= LONGEST_USER_HANDLE:
        raise ValueError(f"a user handle has 1 to {LONGEST_USER_HANDLE} bytes, not {len(user_handle)}")
    options = generate_registration_options(
        rp_id=party.id,
        rp_name=party.name,
        user_id=user_handle,
        user_name=username,
        user_display_name=display_name,
        timeout=TIMEOUT_MILLISECONDS,
        attestation=AttestationConveyancePreference.NONE,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=UserVerificationRequirement.PREFERRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=credential_id) for credential_id in existing],
        supported_pub_key_algs=ALGORITHMS,
    )
    return PasskeyOptions(options.challenge, json.loads(options_to_json(options)))


def verify_registration(party: RelyingParty, *, challenge: bytes, response: Mapping[str, object]) -> NewPasskey:
    """The passkey that a browser made for this challenge; raises PasskeyRefused."""
    with _refusing():
        credential = parse_registration_credential_json(_known_fields(response))
        verified = verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            supported_pub_key_algs=ALGORITHMS,
        )
        if verified.fmt not in ATTESTATIONS:
            raise PasskeyRefused(f"unexpected attestation {verified.fmt}")
        if verified.credential_id != credential_id_of(response):
            raise PasskeyRefused("the attested credential has another id")
        _check_origin_is_its_own(credential.response.client_data_json)
        _check_public_key(verified.credential_public_key)
        transports = dict.fromkeys(transport.value for transport in credential.response.transports or ())
        return NewPasskey(
            credential_id=verified.credential_id,
            public_key=verified.credential_public_key,
            sign_count=verified.sign_count,
            transports=tuple(transports),
            is_backed_up=verified.credential_backed_up,
            is_user_verified=verified.user_verified,
        )


def sign_in_options(
    party: RelyingParty, *, allowed: Sequence[KnownPasskey], require_user_verification: bool
) -> PasskeyOptions:
    """What to ask of a browser for a sign-in by one of these passkeys, or by any that it has for us if none is named.

    A passkey that stands alone has to verify its holder; beside a password that is only preferred.
    """
    options = generate_authentication_options(
        rp_id=party.id,
        timeout=TIMEOUT_MILLISECONDS,
        allow_credentials=[
            PublicKeyCredentialDescriptor(id=passkey.credential_id, transports=_transports(passkey.transports))
            for passkey in allowed
        ],
        user_verification=UserVerificationRequirement.REQUIRED
        if require_user_verification
        else UserVerificationRequirement.PREFERRED,
    )
    return PasskeyOptions(options.challenge, json.loads(options_to_json(options)))


def credential_id_of(response: Mapping[str, object]) -> bytes:
    """Which passkey a response claims to be of; raises PasskeyRefused."""
    with _refusing():
        credential_id = base64url_to_bytes(_short(_mapping(response)["rawId"]))
        if not 0 < len(credential_id) <= LONGEST_CREDENTIAL_ID:
            raise PasskeyRefused(f"a credential id of {len(credential_id)} bytes")
        if bytes_to_base64url(credential_id) != response["id"]:
            raise PasskeyRefused("id and rawId differ")
        return credential_id


def verify_sign_in(
    party: RelyingParty,
    *,
    challenge: bytes,
    response: Mapping[str, object],
    credential_id: bytes,
    public_key: bytes,
    sign_count: int,
    require_user_verification: bool,
    user_handle: bytes | None = None,
) -> VerifiedPasskey:
    """What a browser proved by answering this challenge with the passkey of this key and count; raises PasskeyRefused.

    A count that does not grow is refused, as its authenticator was copied; those that always say 0 do not count. Where
    `user_handle` is given, a response that names its user has to name this one.
    """
    with _refusing():
        if credential_id_of(response) != credential_id:
            raise PasskeyRefused("the response is of another credential")
        credential = parse_authentication_credential_json(_known_fields(response))
        verified = verify_authentication_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=list(party.origins),
            credential_public_key=public_key,
            credential_current_sign_count=sign_count,
            require_user_verification=require_user_verification,
        )
        _check_origin_is_its_own(credential.response.client_data_json)
        named = credential.response.user_handle
        if user_handle is not None and named and not hmac.compare_digest(named, user_handle):
            raise PasskeyRefused("the response is of another user")
        return VerifiedPasskey(
            sign_count=verified.new_sign_count,
            is_backed_up=verified.credential_backed_up,
            is_user_verified=verified.user_verified,
        )


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except PasskeyRefused:
        raise
    except Exception as error:  # noqa: BLE001  # strangers' bytes: whatever the libraries trip over, it is not verified
        raise PasskeyRefused(f"{type(error).__name__}: {error}") from None


def _known_fields(response: Mapping[str, object]) -> dict[str, object]:
    """What of a response is verified, and nothing that is not."""
    response = _mapping(response)
    inner = _mapping(response["response"])
    fields: dict[str, object] = {name: _short(inner[name]) for name in _FIELDS_OF_A_RESPONSE if inner.get(name)}
    transports = inner.get("transports")
    if isinstance(transports, Sequence) and not isinstance(transports, str):
        fields["transports"] = list(transports[:MOST_TRANSPORTS])
    return {"id": response["id"], "rawId": _short(response["rawId"]), "type": response["type"], "response": fields}


def _mapping(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise PasskeyRefused(f"an object was expected, not {type(value).__name__}")
    return value


def _short(value: object) -> str:
    if not isinstance(value, str):
        raise PasskeyRefused(f"text was expected, not {type(value).__name__}")
    if len(value) > LONGEST_FIELD:
        raise PasskeyRefused(f"a field of {len(value)} characters")
    return value


def _transports(names: Sequence[str]) -> list[AuthenticatorTransport]:
    return [transport for transport in AuthenticatorTransport if transport.value in names]


def _check_origin_is_its_own(client_data_json: bytes) -> None:
    """Refuse an answer that was given inside a frame of another site's page."""
    client_data = json.loads(client_data_json)
    if client_data.get("crossOrigin", False) is not False or "topOrigin" in client_data:
        raise PasskeyRefused("the answer was given inside a page of another origin")


def _check_public_key(public_key: bytes) -> None:
    """Refuse a key that no signature could be verified by: its parts have to be those of its algorithm."""
    decoded = decode_credential_public_key(public_key)
    match decoded.alg, decoded_public_key_to_cryptography(decoded):
        case COSEAlgorithmIdentifier.EDDSA, Ed25519PublicKey():
            return
        case COSEAlgorithmIdentifier.ECDSA_SHA_256, EllipticCurvePublicKey(curve=SECP256R1()):
            return
        case COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256, RSAPublicKey(key_size=bits) if bits in RSA_BITS:
            return
    raise PasskeyRefused(f"a key that does not belong to its algorithm {decoded.alg}")
