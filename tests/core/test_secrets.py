"""Encryption of secrets: what is changed, moved or under another key cannot be read, and nothing tells of the keys."""

import base64
import json
import logging
import traceback
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, LargeBinary, MetaData, Table, Text

from app.core.database import Base
from app.core.secrets import (
    ENCRYPTED,
    InvalidKeyRing,
    KeyRing,
    SecretPlace,
    Secrets,
    SecretUnreadable,
    fresh_key_id,
    key_id_of,
    place_of,
)
from app.identity.models import Challenge, Credential, OutgoingMail, SigningKey, TotpSecret, User

RING = KeyRing.fresh()
SECRETS = Secrets(RING)
USER, OTHER_USER = UUID(int=1), UUID(int=2)
PLACE = place_of(Credential.password_hash, USER)
SECRET = b"correct horse battery staple"
KEYS = base64.b64encode(bytes(32)).decode()


@given(secret=st.binary(max_size=300), row=st.text(max_size=40), is_rotated=st.booleans())
def test_what_was_encrypted_is_read_back_also_after_a_new_key(secret: bytes, row: str, is_rotated: bool) -> None:
    place = SecretPlace("identity.credentials", "password_hash", row)
    ciphertext = SECRETS.encrypt(secret, place)
    reader = Secrets(RING.with_new_key("new")) if is_rotated else SECRETS
    assert reader.decrypt(ciphertext, place) == secret
    assert key_id_of(ciphertext) == RING.current
    assert ciphertext.startswith(SECRETS.current_prefix)


def test_the_same_secret_is_never_encrypted_alike() -> None:
    assert len({SECRETS.encrypt(SECRET, PLACE) for _ in range(50)}) == 50


@given(data=st.data(), secret=st.binary(max_size=60))
def test_a_ciphertext_with_any_bit_flipped_is_refused(data: st.DataObject, secret: bytes) -> None:
    ciphertext = bytearray(SECRETS.encrypt(secret, PLACE))
    bit = data.draw(st.integers(0, len(ciphertext) * 8 - 1))
    ciphertext[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SecretUnreadable):
        SECRETS.decrypt(bytes(ciphertext), PLACE)


@given(data=st.data(), secret=st.binary(max_size=60))
def test_a_ciphertext_of_another_length_is_refused(data: st.DataObject, secret: bytes) -> None:
    ciphertext = SECRETS.encrypt(secret, PLACE)
    shorter = ciphertext[: data.draw(st.integers(0, len(ciphertext) - 1))]
    longer = ciphertext + data.draw(st.binary(min_size=1, max_size=9))
    for changed in (shorter, longer):
        with pytest.raises(SecretUnreadable):
            SECRETS.decrypt(changed, PLACE)


@given(noise=st.binary(max_size=200))
def test_anything_else_is_refused(noise: bytes) -> None:
    for text in (noise, SECRETS.current_prefix + noise):
        with pytest.raises(SecretUnreadable):
            SECRETS.decrypt(text, PLACE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        place_of(Credential.password_hash, OTHER_USER),
        place_of(TotpSecret.secret, USER),
        SecretPlace(PLACE.table, "secret", PLACE.row),
        SecretPlace("identity.totp_secrets", PLACE.column, PLACE.row),
    ],
)
def test_a_ciphertext_that_was_moved_is_refused(elsewhere: SecretPlace) -> None:
    ciphertext = SECRETS.encrypt(SECRET, PLACE)
    with pytest.raises(SecretUnreadable, match="changed or moved"):
        SECRETS.decrypt(ciphertext, elsewhere)


def test_the_layers_of_two_ciphertexts_of_one_place_cannot_be_mixed() -> None:
    one, other = SECRETS.encrypt(SECRET, PLACE), SECRETS.encrypt(SECRET, PLACE)
    middle = len(SECRETS.current_prefix) + 12 + 48
    with pytest.raises(SecretUnreadable, match="changed or moved"):
        SECRETS.decrypt(one[:middle] + other[middle:], PLACE)


def test_another_key_of_the_same_id_is_refused() -> None:
    imposter = Secrets(KeyRing(RING.current, {RING.current: bytes(32)}))
    with pytest.raises(SecretUnreadable, match="changed or moved"):
        imposter.decrypt(SECRETS.encrypt(SECRET, PLACE), PLACE)


def test_a_ciphertext_cannot_be_put_under_another_id_of_the_same_key() -> None:
    key = RING.keys[RING.current]
    twice = Secrets(KeyRing("a", {"a": key, "b": key}))
    ciphertext = twice.encrypt(SECRET, PLACE)
    with pytest.raises(SecretUnreadable, match="changed or moved"):
        twice.decrypt(ciphertext.replace(b"\x01\x01a", b"\x01\x01b", 1), PLACE)


def test_a_key_that_is_gone_is_named() -> None:
    ciphertext = SECRETS.encrypt(SECRET, PLACE)
    with pytest.raises(SecretUnreadable, match=f"the key {RING.current} is not in the ring"):
        Secrets(KeyRing.fresh()).decrypt(ciphertext, PLACE)


def test_a_place_is_the_table_the_column_and_the_primary_key() -> None:
    assert place_of(Credential.password_hash, USER) == SecretPlace(
        "identity.credentials", "password_hash", "00000000-0000-0000-0000-000000000001"
    )
    assert place_of(SigningKey.private_key, "2026-a").row == "2026-a"
    assert place_of(Base.metadata.tables["identity.credentials"].columns["password_hash"], USER) == PLACE


def test_places_of_longer_keys_do_not_run_together() -> None:
    table = Table(
        "parts",
        MetaData(),
        Column("name", Text, primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("digest", LargeBinary, primary_key=True),
        Column("secret", LargeBinary, info={ENCRYPTED: True}),
    )
    rows = {
        place_of(table.c.secret, name, number, digest).row
        for name, number, digest in [("a", 11, b""), ("a1", 1, b""), ("a", 1, b"\x01"), ("a", 1, b"1"), ("", 1, b"a")]
    }
    assert len(rows) == 5
    with pytest.raises(TypeError):
        place_of(table.c.secret, "a\0" + "1", 1, b"")
    with pytest.raises(TypeError, match="has 3 values, not 1"):
        place_of(table.c.secret, "a")


def test_a_key_of_another_type_and_a_column_that_is_not_encrypted_make_no_place() -> None:
    with pytest.raises(TypeError, match="takes a UUID, not a str"):
        place_of(Credential.password_hash, str(USER))
    with pytest.raises(ValueError, match="not made by `encrypted"):
        place_of(User.email, USER)


def test_every_ciphertext_of_the_room_has_a_place() -> None:
    for column in (Challenge.content, OutgoingMail.content, Credential.password_hash, TotpSecret.secret):
        assert place_of(column, USER).column == column.key


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is JSON"),
        ("[]", "it is JSON"),
        ("{", "it is JSON"),
        ("[" * 100_000, "it is JSON"),
        ('{"current": "a"}', "it is JSON"),
        ('{"current": "a", "keys": ["a"]}', "it is JSON"),
        ('{"current": "a", "keys": {"a": 1}}', "it is JSON"),
        ('{"current": "a", "keys": {"a": "no base64!"}}', "it is JSON"),
        (f'{{"current": "a", "keys": {{"a": "{KEYS}", "a": "{KEYS}"}}}}', "no name stands in it twice"),
        (f'{{"current": "b", "keys": {{"a": "{KEYS}"}}}}', "not among"),
        (f'{{"current": 1, "keys": {{"1": "{KEYS}"}}}}', "not among"),
        ('{"current": "a", "keys": {"a": "c2hvcnQ="}}', "the key a is not the base64 of 32 bytes"),
        (f'{{"current": "", "keys": {{"": "{KEYS}"}}}}', "1 to 32 letters"),
        (f'{{"current": "a b", "keys": {{"a b": "{KEYS}"}}}}', "1 to 32 letters"),
        (f'{{"current": "{"a" * 33}", "keys": {{"{"a" * 33}": "{KEYS}"}}}}', "1 to 32 letters"),
    ],
)
def test_a_text_that_is_no_ring_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidKeyRing, match=reason):
        KeyRing.parse(text)


def test_a_ring_is_read_as_it_was_written_in_one_line() -> None:
    ring = RING.with_new_key("second").with_new_key("third", is_current=False)
    assert KeyRing.parse(ring.text()) == ring
    assert "\n" not in ring.text()
    assert (ring.current, list(ring.keys)) == ("second", [RING.current, "second", "third"])


def test_keys_are_added_chosen_and_taken_out() -> None:
    ring = RING.with_new_key("second", is_current=False)
    assert (ring.current, ring.using("second").current) == (RING.current, "second")
    assert list(ring.using("second").without(RING.current).keys) == ["second"]
    assert ring.keys["second"] != ring.keys[RING.current]
    refusals: list[Callable[[], KeyRing]] = [
        lambda: ring.with_new_key("second"),
        lambda: ring.with_new_key("no name"),
        lambda: ring.using("third"),
        lambda: ring.without("third"),
        lambda: ring.without(RING.current),
    ]
    for refused in refusals:
        with pytest.raises(InvalidKeyRing):
            refused()


def test_ids_of_fresh_keys_differ() -> None:
    assert len({fresh_key_id() for _ in range(100)}) == 100


def written_forms(key: bytes) -> list[str]:
    """How a key might be met in a text."""
    return [base64.b64encode(key).decode(), base64.urlsafe_b64encode(key).decode(), key.hex(), repr(key)]


def everything_of(error: BaseException) -> str:
    """What a log, a debugger or an error tracker may show of an exception and of those behind it."""
    told = ["".join(traceback.format_exception(error))]
    seen: BaseException | None = error
    while seen is not None:
        told += [repr(seen), str(seen), repr(seen.args), repr(getattr(seen, "__dict__", {}))]
        told += [repr(getattr(seen, name, None)) for name in ("doc", "object")]
        seen = seen.__cause__ or seen.__context__
    return "\n".join(told)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-2],
        lambda text: text + "\udcff",
        lambda text: text.replace('"current": "', '"current": "x'),
        lambda text: text.replace("=", ""),
        lambda text: json.dumps(
            {"current": "a", "keys": {key: name for name, key in json.loads(text)["keys"].items()}}
        ),
        lambda text: json.dumps({"current": json.loads(text)["keys"]["only"], "keys": json.loads(text)["keys"]}),
    ],
)
def test_a_broken_ring_does_not_show_its_keys(spoil: Callable[[str], str]) -> None:
    ring = KeyRing("only", {}).with_new_key("only")
    with pytest.raises(InvalidKeyRing) as refused:
        KeyRing.parse(spoil(ring.text()))
    told = everything_of(refused.value)
    assert not [form for form in written_forms(ring.keys["only"]) if form.rstrip("=") in told]


def test_neither_keys_nor_secrets_show_in_what_is_printed_or_raised(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ciphertext = SECRETS.encrypt(SECRET, PLACE)
    told = [repr(RING), str(RING), repr(SECRETS), repr(PLACE)]
    for reader in (SECRETS, Secrets(KeyRing.fresh()), Secrets(KeyRing(RING.current, {RING.current: bytes(32)}))):
        with pytest.raises(SecretUnreadable) as refused:
            reader.decrypt(ciphertext[:-1], PLACE)
        told.append(everything_of(refused.value))
    shown = "\n".join([*told, caplog.text])
    forms = [*written_forms(RING.keys[RING.current]), SECRET.decode(), *written_forms(SECRET)]
    assert not [form for form in forms if form in shown]
