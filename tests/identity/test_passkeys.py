"""Passkeys: a software authenticator registers and signs in, and no lie of it, nor any nonsense, is taken."""

import copy
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from app.identity.passkeys import (
    KnownPasskey,
    NewPasskey,
    PasskeyRefused,
    RelyingParty,
    VerifiedPasskey,
    credential_id_of,
    registration_options,
    sign_in_options,
    verify_registration,
    verify_sign_in,
)
from tests.identity.software_authenticator import (
    EDDSA,
    ES256,
    PRESENT,
    RS256,
    VERIFIED,
    Flags,
    Json,
    Lies,
    SoftwarePasskey,
    cose_key,
    create,
    decode,
    encode,
    get,
    new_private_key,
)

PARTY = RelyingParty("trove.example", "Trove", ("https://trove.example", "https://app.trove.example"))
ORIGIN = "https://app.trove.example"
HANDLE = bytes(range(16))
CHALLENGE = bytes(range(32))
BEGUN, ENDED = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
BACKED_UP = VERIFIED | Flags.BACKUP_ELIGIBLE | Flags.BACKED_UP


def registration(**how: Any) -> tuple[SoftwarePasskey, Json, bytes]:
    """A new passkey, the browser's answer, and the challenge it answers."""
    options = registration_options(PARTY, user_handle=HANDLE, username="ada", display_name="Ada Lovelace", existing=[])
    passkey, response = create(options.json, origin=how.pop("origin", ORIGIN), **how)
    return passkey, response, options.challenge


def registered(**how: Any) -> tuple[SoftwarePasskey, NewPasskey]:
    """A passkey, and what is known of it after its registration."""
    passkey, response, challenge = registration(**how)
    return passkey, verify_registration(PARTY, challenge=challenge, response=response)


def sign_in(passkey: SoftwarePasskey, known: NewPasskey, **how: Any) -> VerifiedPasskey:
    """A sign-in by the passkey, whose response may be changed by `change`, against what is known of it."""
    options = sign_in_options(PARTY, allowed=[KnownPasskey(known.credential_id)], require_user_verification=False)
    change = how.pop("change", lambda response: response)
    expected = {"require_user_verification": False, "sign_count": known.sign_count, **how.pop("expected", {})}
    response = change(get(options.json, passkey, origin=how.pop("origin", ORIGIN), **how))
    return verify_sign_in(
        PARTY,
        challenge=options.challenge,
        response=response,
        credential_id=known.credential_id,
        public_key=known.public_key,
        **expected,
    )


def test_a_browser_is_asked_for_a_passkey_that_may_stand_alone() -> None:
    options = registration_options(
        PARTY, user_handle=HANDLE, username="ada", display_name="Ada Lovelace", existing=[b"one", b"two"]
    )
    assert options.json == {
        "rp": {"id": "trove.example", "name": "Trove"},
        "user": {"id": encode(HANDLE), "name": "ada", "displayName": "Ada Lovelace"},
        "challenge": encode(options.challenge),
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in (EDDSA, ES256, RS256)],
        "timeout": 300_000,
        "excludeCredentials": [{"id": encode(name), "type": "public-key"} for name in (b"one", b"two")],
        "authenticatorSelection": {
            "residentKey": "preferred",
            "requireResidentKey": False,
            "userVerification": "preferred",
        },
        "attestation": "none",
    }


@pytest.mark.parametrize(("is_required", "wish"), [(True, "required"), (False, "preferred")])
def test_a_browser_is_asked_to_sign_in_by_the_passkeys_allowed(is_required: bool, wish: str) -> None:
    allowed = [KnownPasskey(b"one", ("usb", "hybrid", "telepathy")), KnownPasskey(b"two")]
    options = sign_in_options(PARTY, allowed=allowed, require_user_verification=is_required)
    assert options.json == {
        "challenge": encode(options.challenge),
        "rpId": "trove.example",
        "timeout": 300_000,
        "allowCredentials": [
            {"id": encode(b"one"), "type": "public-key", "transports": ["usb", "hybrid"]},
            {"id": encode(b"two"), "type": "public-key"},
        ],
        "userVerification": wish,
    }


def test_where_no_passkey_is_named_the_browser_offers_its_own() -> None:
    assert sign_in_options(PARTY, allowed=[], require_user_verification=True).json["allowCredentials"] == []


def test_every_challenge_is_new_and_long() -> None:
    options = [sign_in_options(PARTY, allowed=[], require_user_verification=True) for _ in range(100)]
    assert len({each.challenge for each in options}) == 100
    assert min(len(each.challenge) for each in options) >= 32
    assert json.loads(json.dumps(options[0].json)) == options[0].json
    assert encode(options[0].challenge) not in repr(options[0])


@pytest.mark.parametrize("handle", [b"", bytes(65)])
def test_a_user_handle_has_1_to_64_bytes(handle: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 64 bytes"):
        registration_options(PARTY, user_handle=handle, username="ada", display_name="Ada", existing=[])


@pytest.mark.parametrize("algorithm", [ES256, EDDSA, RS256])
def test_a_passkey_of_each_algorithm_registers_and_signs_in(algorithm: int) -> None:
    passkey, known = registered(algorithm=algorithm)
    assert known == NewPasskey(
        credential_id=passkey.credential_id,
        public_key=passkey.public_key,
        sign_count=1,
        transports=("internal", "hybrid"),
        is_backed_up=False,
        is_user_verified=True,
    )
    assert sign_in(passkey, known) == VerifiedPasskey(sign_count=2, is_backed_up=False, is_user_verified=True)
    assert sign_in(passkey, known, origin="https://trove.example").sign_count == 3


def test_whether_it_is_backed_up_and_verified_its_holder_is_told() -> None:
    passkey, known = registered(flags=BACKED_UP)
    assert (known.is_backed_up, known.is_user_verified) == (True, True)
    verified = sign_in(passkey, known, flags=PRESENT | Flags.BACKUP_ELIGIBLE)
    assert (verified.is_backed_up, verified.is_user_verified) == (False, False)


def test_as_second_factor_presence_suffices_and_alone_it_does_not() -> None:
    passkey, known = registered(flags=PRESENT)
    assert not known.is_user_verified
    assert not sign_in(passkey, known, flags=PRESENT).is_user_verified
    with pytest.raises(PasskeyRefused) as refused:
        sign_in(passkey, known, flags=PRESENT, expected={"require_user_verification": True})
    assert "User verification is required" in refused.value.reason
    assert sign_in(passkey, known, expected={"require_user_verification": True}).is_user_verified


def test_an_authenticator_without_a_counter_signs_in_again_and_again() -> None:
    passkey, known = registered(counts=False)
    assert [sign_in(passkey, known).sign_count for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(("kept", "shown"), [(7, 7), (7, 6), (7, 0), (1, 1), (2**32 - 1, 1)])
def test_a_counter_that_does_not_grow_is_refused(kept: int, shown: int) -> None:
    passkey, known = registered()
    with pytest.raises(PasskeyRefused) as refused:
        sign_in(passkey, known, lies=Lies(sign_count=shown), expected={"sign_count": kept})
    assert "sign count" in refused.value.reason


def test_a_registration_works_for_its_own_challenge_only() -> None:
    _, response, challenge = registration()
    assert verify_registration(PARTY, challenge=challenge, response=response)
    with pytest.raises(PasskeyRefused):
        verify_registration(PARTY, challenge=CHALLENGE, response=response)


# Each with some words of the reason that tells it.
LIES_OF_BOTH = {
    "another challenge": (Lies(challenge=CHALLENGE), "not expected challenge"),
    "no challenge": (Lies(challenge=b""), "not expected challenge"),
    "another origin": (Lies(origin="https://trove.example.evil.example"), "client data origin"),
    "an origin without its scheme": (Lies(origin="trove.example"), "client data origin"),
    "an origin by http": (Lies(origin="http://trove.example"), "client data origin"),
    "an origin with a port": (Lies(origin="https://trove.example:8443"), "client data origin"),
    "an origin in capitals": (Lies(origin="https://TROVE.example"), "client data origin"),
    "an origin that is a list": (Lies(origin=["https://trove.example"]), "client data origin"),
    "an origin with a zero byte": (Lies(origin="https://trove.example\0\ud800" + "x" * 10_000), "client data origin"),
    "another relying party": (Lies(rp_id="evil.example"), "RP ID hash"),
    "another type": (Lies(type="payment.get"), "client data type"),
    "a type that is a number": (Lies(type=7), "client data type"),
    "nobody present": (Lies(flags=Flags.USER_VERIFIED), "resen"),
    "backed up but not eligible": (Lies(flags=VERIFIED | Flags.BACKED_UP), "backed up"),
    "in a frame of another origin": (Lies(client_data={"crossOrigin": True}), "page of another origin"),
    "in a frame, told by a text": (Lies(client_data={"crossOrigin": "false"}), "page of another origin"),
    "in a frame, told by nothing": (Lies(client_data={"crossOrigin": None}), "page of another origin"),
    "in a frame of a named origin": (Lies(client_data={"topOrigin": "https://evil.example"}), "page of another origin"),
    "a long text beside what is asked": (Lies(client_data={"more": "x" * 20_000}), "a field of"),
    "more bytes than it says": (Lies(more_data=b"more"), "malformed"),
    "extensions that are none": (Lies(flags=VERIFIED | Flags.EXTENSIONS), "malformed"),
}
LIES_OF_A_REGISTRATION = {
    "the type of a sign-in": (Lies(type="webauthn.get"), "client data type"),
    "no credential": (Lies(attests=False), "attested credential data"),
    "another credential attested": (Lies(attested_id=bytes(32)), "another id"),
    "a credential without id": (Lies(attested_id=b""), "credential ID"),
    "an id that is too long": (Lies(attested_id=bytes(1024)), "another id"),
    "an unknown attestation": (Lies(attestation={"fmt": "homemade"}), "attestation type"),
    "an attestation that was not asked for": (Lies(attestation={"fmt": "android-key"}), "Android Key"),
    "a packed attestation without signature": (
        Lies(attestation={"fmt": "packed", "attStmt": {"alg": ES256}}),
        "missing signature",
    ),
    "a statement where there is to be none": (
        Lies(attestation={"attStmt": {"sig": b"sig"}}),
        "unexpected attestation statement",
    ),
    "authenticator data that is text": (Lies(attestation={"authData": "text"}), "malformed"),
    "an empty key": (Lies(cose={}), "KTY"),
    "an unknown algorithm": (
        Lies(cose={1: 2, 3: -9999, -1: 1, -2: bytes(32), -3: bytes(32)}),
        "Unsupported credential public key alg",
    ),
    "a point that is not on the curve": (
        Lies(cose={1: 2, 3: ES256, -1: 1, -2: b"\1" * 32, -3: b"\1" * 32}),
        "not on the curve",
    ),
    "a point on another curve": (
        Lies(cose=cose_key(ec.generate_private_key(ec.SECP384R1())) | {-1: 2}),
        "belong to its algorithm",
    ),
    "an Ed25519 key that calls itself ES256": (
        Lies(cose=cose_key(ed25519.Ed25519PrivateKey.generate()) | {3: ES256}),
        "not supported",
    ),
    "an ES256 key that calls itself EdDSA": (
        Lies(cose=cose_key(new_private_key(ES256)) | {3: EDDSA}),
        "belong to its algorithm",
    ),
    "a short Ed25519 key": (Lies(cose={1: 1, 3: EDDSA, -1: 6, -2: bytes(31)}), "32 bytes"),
    "a short RSA key": (Lies(cose=cose_key(rsa.generate_private_key(65537, 1024))), "belong to its algorithm"),
    "a huge RSA key": (Lies(cose={1: 3, 3: RS256, -1: b"\xff" * 2048, -2: b"\1\0\1"}), "belong to its algorithm"),
}
LIES_OF_A_SIGN_IN = {
    "the type of a registration": (Lies(type="webauthn.create"), "client data type"),
    "signed by another key": (
        Lies(signed_by=SoftwarePasskey(new_private_key(ES256), PARTY.id, HANDLE)),
        "authentication signature",
    ),
    "signed by a key of another kind": (
        Lies(signed_by=SoftwarePasskey(new_private_key(EDDSA), PARTY.id, HANDLE)),
        "authentication signature",
    ),
    "a signature cut short": (Lies(edit_signature=lambda signature: signature[:-1]), "authentication signature"),
    "no signature": (Lies(edit_signature=lambda signature: b""), "missing required signature"),
    "a flag set after signing": (
        Lies(edit_authenticator_data=lambda data: data[:32] + bytes([data[32] | Flags.BACKUP_ELIGIBLE]) + data[33:]),
        "authentication signature",
    ),
    "a count raised after signing": (
        Lies(edit_authenticator_data=lambda data: data[:33] + b"\0\0\1\0" + data[37:]),
        "authentication signature",
    ),
    "client data changed after signing": (
        Lies(edit_client_data=lambda data: data.replace(b"}", b" }")),
        "authentication signature",
    ),
}


@pytest.mark.parametrize("lie", [*LIES_OF_BOTH, *LIES_OF_A_REGISTRATION])
def test_no_lie_of_a_registration_is_taken(lie: str) -> None:
    lies, reason = (LIES_OF_BOTH | LIES_OF_A_REGISTRATION)[lie]
    _, response, challenge = registration(lies=lies)
    assert reason in assert_refused_alike(lambda: verify_registration(PARTY, challenge=challenge, response=response))


@pytest.mark.parametrize("lie", [*LIES_OF_BOTH, *LIES_OF_A_SIGN_IN])
def test_no_lie_of_a_sign_in_is_taken(lie: str) -> None:
    passkey, known = registered()
    lies, reason = (LIES_OF_BOTH | LIES_OF_A_SIGN_IN)[lie]
    assert reason in assert_refused_alike(lambda: sign_in(passkey, known, lies=lies))
    assert sign_in(passkey, known).is_user_verified


def test_a_packed_attestation_by_its_own_key_is_taken() -> None:
    passkey, response, challenge = registration()
    attestation = cbor2.loads(decode(response["response"]["attestationObject"]))
    digest = digest_of_client_data(response)
    attestation |= {"fmt": "packed", "attStmt": {"alg": ES256, "sig": passkey.sign(attestation["authData"] + digest)}}
    response["response"]["attestationObject"] = encode(cbor2.dumps(attestation))
    assert verify_registration(PARTY, challenge=challenge, response=response).credential_id == passkey.credential_id


def test_a_right_attestation_by_a_makers_certificate_is_refused_since_none_was_asked_for() -> None:
    passkey, response, challenge = registration()
    attestation = cbor2.loads(decode(response["response"]["attestationObject"]))
    key = ec.generate_private_key(ec.SECP256R1())
    maker = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "A maker")])
    builder = x509.CertificateBuilder(maker, maker, key.public_key(), x509.random_serial_number(), BEGUN, ENDED)
    certificate = builder.sign(key, SHA256())
    point = cose_key(passkey.private_key)
    told = b"\0" + attestation["authData"][:32] + digest_of_client_data(response) + passkey.credential_id
    signature = key.sign(told + b"\4" + cast(bytes, point[-2]) + cast(bytes, point[-3]), ec.ECDSA(SHA256()))
    attestation |= {"fmt": "fido-u2f", "attStmt": {"x5c": [certificate.public_bytes(Encoding.DER)], "sig": signature}}
    response["response"]["attestationObject"] = encode(cbor2.dumps(attestation))
    reason = assert_refused_alike(lambda: verify_registration(PARTY, challenge=challenge, response=response))
    assert reason == "unexpected attestation fido-u2f"


def test_a_response_of_another_credential_is_refused_even_if_it_is_ones_own() -> None:
    first, first_known = registered()
    second, second_known = registered()
    assert_refused_alike(lambda: sign_in(second, first_known))
    renamed = {"id": encode(first.credential_id), "rawId": encode(first.credential_id)}
    assert_refused_alike(lambda: sign_in(second, first_known, change=lambda response: response | renamed))
    assert sign_in(second, second_known)


def test_a_response_under_another_id_is_refused_though_the_signature_is_right() -> None:
    passkey, known = registered()
    renamed = {"id": encode(bytes(32)), "rawId": encode(bytes(32))}
    reason = assert_refused_alike(lambda: sign_in(passkey, known, change=lambda response: response | renamed))
    assert "another credential" in reason


def test_a_response_that_names_another_user_is_refused() -> None:
    passkey, known = registered()
    assert sign_in(passkey, known, expected={"user_handle": HANDLE})
    assert_refused_alike(lambda: sign_in(passkey, known, expected={"user_handle": bytes(16)}))

    def unnamed(response: Json) -> Json:
        response["response"]["userHandle"] = None
        return response

    assert sign_in(passkey, known, expected={"user_handle": bytes(16)}, change=unnamed)


def test_the_id_of_a_response_is_read_before_anything_is_verified() -> None:
    passkey, response, _ = registration()
    assert credential_id_of(response) == passkey.credential_id
    for changed in ({"id": "AAAA"}, {"rawId": "AAAA"}, {"id": "", "rawId": ""}, {"rawId": 7}, {"rawId": "A" * 17_000}):
        assert_refused_alike(lambda changed=changed: credential_id_of(response | changed))  # type: ignore[misc]


def test_transports_that_are_unknown_or_repeated_are_left_out() -> None:
    _, response, challenge = registration()
    response["response"]["transports"] = ["usb", "usb", "telepathy", 7, {"a": []}, "nfc", *["ble"] * 10_000]
    known = verify_registration(PARTY, challenge=challenge, response=response)
    assert known.transports == ("usb", "nfc", "ble")


PLACES = [
    ("id",),
    ("rawId",),
    ("type",),
    ("response",),
    ("response", "clientDataJSON"),
    ("response", "attestationObject"),
    ("response", "authenticatorData"),
    ("response", "signature"),
]
NESTED: Any = []
for _ in range(5_000):
    NESTED = [NESTED]
NONSENSE: dict[str, Any] = {
    "nothing": None,
    "a number": 7,
    "a float": float("nan"),
    "true": True,
    "a list": ["AAAA"],
    "an object": {"AAAA": "AAAA"},
    "bytes": b"AAAA",
    "no text": "",
    "no base64": "§$%&",
    "half a character": "\ud800",
    "a huge text": "A" * 2_000_000,
    "large but not too large": "A" * 16_384,
    "a deep list": NESTED,
    "deep JSON": encode(b"[" * 12_000),
    "deep objects": encode(b'{"a":' * 2_400),
    "deep CBOR": encode(b"\x81" * 12_000),
    "CBOR of a great length": encode(b"\x5b\x7f" + b"\xff" * 7),
    "a CBOR list of a great length": encode(b"\x9b\x7f" + b"\xff" * 7),
    "CBOR of itself": encode(b"\xd8\x1c\x81\xd8\x1d\x00"),
    "a great number": encode(b'{"type":1' + b"0" * 12_000 + b"}"),
    "JSON that is no object": encode(b'"text"'),
    "no UTF-8": encode(b"\xff\xfe\xfd"),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_nonsense_in_any_place_is_refused(nonsense: str) -> None:
    passkey, known = registered()
    options = sign_in_options(PARTY, allowed=[], require_user_verification=False)
    _, made, challenge = registration()
    for place in PLACES:
        if place[-1] not in {"authenticatorData", "signature"}:
            assert_refused_alike(
                lambda place=place: verify_registration(  # type: ignore[misc]
                    PARTY, challenge=challenge, response=with_value(made, place, NONSENSE[nonsense])
                )
            )
        if place[-1] != "attestationObject":
            answer = with_value(get(options.json, passkey, origin=ORIGIN), place, NONSENSE[nonsense])
            assert_refused_alike(lambda answer=answer: verify(answer, known, options.challenge))  # type: ignore[misc]


@pytest.mark.parametrize("response", [None, 7, "text", [], {}, {"response": {}}, {"id": 1, "rawId": 1, "type": 1}])
def test_what_is_no_response_at_all_is_refused(response: Any) -> None:
    _, known = registered()
    assert_refused_alike(lambda: credential_id_of(response))
    assert_refused_alike(lambda: verify(response, known, CHALLENGE))
    assert_refused_alike(lambda: verify_registration(PARTY, challenge=CHALLENGE, response=response))


@pytest.mark.parametrize("public_key", [b"", b"\x04", b"\x80", bytes(77), cbor2.dumps({1: 2, 3: -7})])
def test_a_kept_key_that_is_damaged_is_refused(public_key: bytes) -> None:
    passkey, known = registered()
    options = sign_in_options(PARTY, allowed=[], require_user_verification=False)
    answer = get(options.json, passkey, origin=ORIGIN)
    assert verify(answer, known, options.challenge)
    assert_refused_alike(lambda: verify(answer, known, options.challenge, public_key=public_key))


KNOWN_PASSKEY, KNOWN = registered()
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary().map(encode),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NAMES = ("clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle", "transports")
ANY_RESPONSE = st.fixed_dictionaries(
    {},
    optional={
        "id": ANY_JSON,
        "rawId": ANY_JSON,
        "type": st.just("public-key") | ANY_JSON,
        "response": st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, ANY_JSON)) | ANY_JSON,
    },
)
BITS = st.tuples(st.integers(0), st.integers(0, 7))


@settings(deadline=None)
@given(response=ANY_JSON | ANY_RESPONSE)
def test_any_json_is_refused(response: Any) -> None:
    assert_refused_alike(lambda: verify(response, KNOWN, CHALLENGE))
    assert_refused_alike(lambda: verify_registration(PARTY, challenge=CHALLENGE, response=response))


@settings(deadline=None)
@given(
    response=ANY_JSON | ANY_RESPONSE | st.binary(max_size=4).map(encode).map(lambda text: {"id": text, "rawId": text})
)
def test_an_id_is_read_as_it_is_written_or_refused(response: Any) -> None:
    try:
        credential_id = credential_id_of(response)
    except PasskeyRefused:
        return
    assert credential_id
    assert encode(credential_id) == response["id"]


@settings(deadline=None)
@given(client_data=ANY_JSON, authenticator_data=st.binary(max_size=200), signature=st.binary(max_size=80))
def test_any_data_under_the_right_id_is_refused(client_data: Any, authenticator_data: bytes, signature: bytes) -> None:
    response = {
        "clientDataJSON": encode(json.dumps(client_data).encode()),
        "authenticatorData": encode(authenticator_data),
        "attestationObject": encode(authenticator_data),
        "signature": encode(signature),
    }
    credential_id = encode(KNOWN.credential_id)
    answer = {"id": credential_id, "rawId": credential_id, "type": "public-key", "response": response}
    assert_refused_alike(lambda: verify(answer, KNOWN, CHALLENGE))
    assert_refused_alike(lambda: verify_registration(PARTY, challenge=CHALLENGE, response=answer))


@settings(deadline=None)
@given(place=st.sampled_from(["clientDataJSON", "authenticatorData", "signature"]), bit=BITS)
def test_a_sign_in_with_any_one_bit_turned_is_refused(place: str, bit: tuple[int, int]) -> None:
    options = sign_in_options(PARTY, allowed=[], require_user_verification=False)
    answer = get(options.json, KNOWN_PASSKEY, origin=ORIGIN)
    assert verify(answer, KNOWN, options.challenge)
    answer["response"][place] = encode(turned(decode(answer["response"][place]), bit))
    assert_refused_alike(lambda: verify(answer, KNOWN, options.challenge))


@settings(deadline=None)
@given(bit=BITS)
def test_a_registration_with_any_one_bit_turned_is_refused_or_about_the_same_id(bit: tuple[int, int]) -> None:
    passkey, response, challenge = registration()
    response["response"]["attestationObject"] = encode(turned(decode(response["response"]["attestationObject"]), bit))
    try:
        known = verify_registration(PARTY, challenge=challenge, response=response)
    except PasskeyRefused:
        return
    # Nothing signs a registration without attestation; what is left to turn is of the authenticator's own telling.
    assert known.credential_id == passkey.credential_id


@settings(deadline=None)
@given(
    cose=st.dictionaries(
        st.sampled_from([1, 3, -1, -2, -3]) | st.integers(),
        st.sampled_from([1, 2, 3, 7, -7, -8, -257, -48]) | st.binary(max_size=70) | st.integers() | st.none(),
        max_size=6,
    )
)
def test_a_registration_with_any_key_is_refused_or_of_a_key_that_can_verify(cose: dict[int, object]) -> None:
    _, response, challenge = registration(lies=Lies(cose=cose))
    try:
        known = verify_registration(PARTY, challenge=challenge, response=response)
    except PasskeyRefused:
        return
    assert cbor2.loads(known.public_key)[3] in {ES256, EDDSA, RS256}


def verify(response: Any, known: NewPasskey, challenge: bytes, *, public_key: bytes | None = None) -> VerifiedPasskey:
    """The verification of a sign-in by this passkey, as second factor."""
    return verify_sign_in(
        PARTY,
        challenge=challenge,
        response=response,
        credential_id=known.credential_id,
        public_key=known.public_key if public_key is None else public_key,
        sign_count=0,
        require_user_verification=False,
    )


def with_value(response: Json, place: tuple[str, ...], value: object) -> Json:
    """A copy with another value in one place."""
    changed = copy.deepcopy(response)
    inner = changed
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return changed


def digest_of_client_data(response: Json) -> bytes:
    """What an authenticator signs of the browser's words."""
    return hashlib.sha256(decode(response["response"]["clientDataJSON"])).digest()


def turned(data: bytes, bit: tuple[int, int]) -> bytes:
    """The data with one bit turned."""
    changed = bytearray(data)
    changed[bit[0] % len(data)] ^= 1 << bit[1]
    return bytes(changed)


def assert_refused_alike(action: Callable[[], object]) -> str:
    """That it is refused, in the words of every refusal, with a reason that any log can hold: the reason."""
    with pytest.raises(PasskeyRefused) as refused:
        action()
    assert refused.value.message == "This passkey could not be verified; try again, or use another way to sign in."
    assert refused.value.reason
    assert len(refused.value.reason) <= 200
    assert refused.value.reason.isprintable()
    assert refused.value.reason.isascii()
    return refused.value.reason
