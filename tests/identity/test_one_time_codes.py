"""One-time codes: the vectors of RFC 6238, the window, replay, what is typed; and recovery codes."""

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.identity.one_time_codes import (
    RECOVERY_ALPHABET,
    accepted_step,
    new_recovery_codes,
    new_totp_secret,
    recovery_code_hash,
    totp_text,
    totp_uri,
)

SECRET = b"12345678901234567890"
# RFC 6238, appendix B, SHA-1; of its eight digits an app shows the last six.
VECTORS = [
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
]


def at(seconds: float) -> datetime:
    """The instant so many seconds after 1970 began."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize(("seconds", "code"), VECTORS)
def test_the_codes_of_the_standard_are_accepted_at_their_step(seconds: int, code: str) -> None:
    assert accepted_step(SECRET, code[-6:], now=at(seconds), last_step=None) == seconds // 30


@pytest.mark.parametrize(
    ("seconds", "step"),
    [(1111111049, None), (1111111050, 37037036), (1111111080, 37037036), (1111111139.9, 37037036), (1111111140, None)],
)
def test_a_code_is_accepted_one_step_early_and_one_step_late_and_no_more(seconds: float, step: int | None) -> None:
    # 081804 is the code of 1111111080 to 1111111109.
    assert accepted_step(SECRET, "081804", now=at(seconds), last_step=None) == step


def test_a_code_works_once_and_none_before_it_works_after_it() -> None:
    now = at(1111111111)
    step = accepted_step(SECRET, "050471", now=now, last_step=None)
    assert step == 37037037
    assert accepted_step(SECRET, "050471", now=now, last_step=step) is None
    assert accepted_step(SECRET, "081804", now=now, last_step=step) is None
    assert accepted_step(SECRET, "081804", now=now, last_step=step - 2) == step - 1
    assert accepted_step(SECRET, "050471", now=now, last_step=step - 1) == step


def test_a_code_that_stands_for_two_steps_of_the_window_is_used_up_for_both() -> None:
    # With this secret the steps 153567 and 153569 have the same code.
    now = at(153568 * 30)
    step = accepted_step(SECRET, "468457", now=now, last_step=None)
    assert step == 153569
    assert accepted_step(SECRET, "468457", now=now, last_step=step) is None
    assert accepted_step(SECRET, "468457", now=at(153566 * 30), last_step=None) == 153567


def test_codes_are_accepted_from_the_first_step_on() -> None:
    # RFC 4226, appendix D: 755224 is the code of counter 0, and 287082 of counter 1.
    assert accepted_step(SECRET, "755224", now=at(0), last_step=None) == 0
    assert accepted_step(SECRET, "755224", now=at(59), last_step=None) == 0
    assert accepted_step(SECRET, "287082", now=at(0), last_step=0) == 1


def test_the_same_instant_in_another_zone_has_the_same_code() -> None:
    now = datetime.fromisoformat("2005-03-18T10:58:29+09:00")
    assert accepted_step(SECRET, "081804", now=now, last_step=None) == 37037036


@pytest.mark.parametrize("typed", ["081 804", " 081804\n", "0 8 1 8 0 4", "081-804", "081\u00a0804"])
def test_spaces_in_a_code_do_not_matter(typed: str) -> None:
    assert accepted_step(SECRET, typed, now=at(1111111109), last_step=None) == 37037036


@pytest.mark.parametrize(
    "typed",
    ["", "81804", "0818040", "07081804", "081805", "+81804", "08180a", "０８１８０４", "٠٨١٨٠٤", "\ud800", "0" * 10**6],
)
def test_anything_else_is_refused(typed: str) -> None:
    assert accepted_step(SECRET, typed, now=at(1111111109), last_step=None) is None


# Those that SECRET has at 1111111111 and in the steps around it.
WINDOW = {"081804": 37037036, "050471": 37037037, "266759": 37037038}


@given(st.text(alphabet="0123456789 -x٣", max_size=9) | st.sampled_from(sorted(WINDOW)).map(" - ".join))
@example("266759")
def test_only_the_three_codes_of_the_window_are_ever_accepted(typed: str) -> None:
    digits = re.sub(r"[ -]", "", typed)
    assert accepted_step(SECRET, typed, now=at(1111111111), last_step=None) == WINDOW.get(digits)


def test_a_secret_is_160_random_bits() -> None:
    assert {len(new_totp_secret()) for _ in range(100)} == {20}
    assert len({new_totp_secret() for _ in range(100)}) == 100


def test_the_address_for_an_app_says_all_that_it_needs() -> None:
    address = urlsplit(totp_uri(SECRET, account="ada@example.com", issuer="Trove"))
    assert (address.scheme, address.netloc, unquote(address.path)) == ("otpauth", "totp", "/Trove:ada@example.com")
    assert parse_qs(address.query) == {
        "secret": ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"],
        "issuer": ["Trove"],
        "algorithm": ["SHA1"],
        "digits": ["6"],
        "period": ["30"],
    }


def test_names_with_signs_of_their_own_stay_whole_in_the_address() -> None:
    text = totp_uri(SECRET, account="a+b:c?d&e=f#g@例え.jp", issuer="My Trove+")
    address = urlsplit(text)
    assert "+" not in text
    assert unquote(address.path) == "/My Trove+:a+b:c?d&e=f#g@例え.jp"
    assert parse_qs(address.query)["issuer"] == ["My Trove+"]
    assert address.path.count(":") == 1


def test_a_secret_is_typed_in_groups_of_four() -> None:
    text = totp_text(SECRET)
    assert text == "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"
    assert base64.b32decode(text.replace(" ", "")) == SECRET


def test_there_are_ten_recovery_codes_of_80_bits_in_letters_that_are_not_misread() -> None:
    codes = new_recovery_codes()
    assert len(set(codes)) == 10
    assert all(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){3}", code) for code in codes)
    assert len(RECOVERY_ALPHABET) ** 16 == 2**80


def test_every_letter_of_the_alphabet_is_used() -> None:
    codes = "".join(code for _ in range(100) for code in new_recovery_codes())
    assert set(codes) == {*RECOVERY_ALPHABET, "-"}


@pytest.mark.parametrize(
    "typed",
    [
        "7KQ2-M9XT-4HR0-1ZCE",
        "7kq2-m9xt-4hr0-1zce",
        "7KQ2M9XT4HR01ZCE",
        " 7kq2 m9xt\t4hr0 1zce\n",
        "7kq2--m9xt-4hro-lzce",
    ],
)
def test_a_recovery_code_may_be_typed_in_many_ways(typed: str) -> None:
    assert recovery_code_hash(typed) == hashlib.sha256(b"7KQ2M9XT4HR01ZCE").digest()


@pytest.mark.parametrize("typed", ["", "7KQ2-M9XT-4HR0-1ZCF", "7KQ2-M9XT-4HR0", "7KQ2-M9XT-4HR0-1ZCE-0", "\ud800", "é"])
def test_another_recovery_code_has_another_hash(typed: str) -> None:
    assert recovery_code_hash(typed) != recovery_code_hash("7KQ2-M9XT-4HR0-1ZCE")
