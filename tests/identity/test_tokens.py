"""Opaque tokens: what they look like, what is kept of them, and how a mistyped one is told."""

import hashlib
import re
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.identity.tokens import ALPHABET, hash_of_token, is_token, new_token

API = "trove_api"


def test_a_token_has_its_prefix_43_random_characters_and_6_of_checksum() -> None:
    token = new_token(API)
    assert re.fullmatch(r"trove_api_[0-9A-Za-z]{49}", token.text)
    assert is_token(token.text, API)


def test_the_checksum_is_the_crc_32_of_all_before_it_to_base_62() -> None:
    # CRC-32 is 240 476 230, reckoned by hand: 16·62⁴ + 17·62³ + 0·62² + 52·62 + 54.
    body = "trove_api_" + "0" * 43
    assert 16 * 62**4 + 17 * 62**3 + 52 * 62 + 54 == 240_476_230 == zlib.crc32(body.encode())
    assert is_token(body + "0GH0qs", API)


def test_no_two_tokens_are_the_same() -> None:
    assert len({new_token(API).text for _ in range(1000)}) == 1000


def test_every_character_of_the_alphabet_appears_at_every_random_place() -> None:
    texts = [new_token(API).text.removeprefix("trove_api_") for _ in range(3000)]
    # The first digit holds what is left of 2 ** 256, so it does not reach the end of the alphabet.
    assert all({text[place] for text in texts} == set(ALPHABET) for place in range(1, 43))


def test_what_is_kept_is_the_sha_256_of_the_whole_text() -> None:
    token = new_token("trove_refresh")
    assert token.hash == hash_of_token(token.text) == hashlib.sha256(token.text.encode()).digest()


def test_what_is_shown_is_the_prefix_and_six_characters() -> None:
    token = new_token(API)
    assert token.shown_prefix == token.text[: len("trove_api_") + 6]


def test_the_secret_is_not_in_the_representation() -> None:
    token = new_token(API)
    assert repr(token) == f"NewToken(shown_prefix={token.shown_prefix!r})"


@given(place=st.integers(0, 48), other=st.sampled_from(ALPHABET))
def test_one_wrong_character_anywhere_is_noticed(place: int, other: str) -> None:
    text = new_token(API).text
    place += len("trove_api_")
    wrong = text[:place] + other + text[place + 1 :]
    assert is_token(wrong, API) is (wrong == text)


@given(place=st.integers(10, 57))
def test_two_swapped_neighbours_are_noticed(place: int) -> None:
    text = new_token(API).text
    wrong = text[:place] + text[place + 1] + text[place] + text[place + 2 :]
    assert is_token(wrong, API) is (wrong == text)


def test_a_token_of_another_kind_is_not_taken_even_under_the_right_prefix() -> None:
    refresh = new_token("trove_refresh").text
    assert not is_token(refresh, API)
    assert not is_token(refresh.replace("trove_refresh", API), API)


@pytest.mark.parametrize(
    "change", [lambda text: text + "\n", lambda text: " " + text, lambda text: text[:-1], str.lower]
)
def test_what_was_copied_badly_is_no_token(change: Callable[[str], str]) -> None:
    assert not is_token(change(new_token(API).text), API)


@given(st.text())
def test_any_other_text_is_no_token_and_still_has_a_hash(text: str) -> None:
    assert not is_token(text, API)
    assert not is_token("trove_api_" + text, API)
    assert len(hash_of_token(text)) == 32


def test_a_text_that_is_not_unicode_is_no_token_and_still_has_a_hash() -> None:
    assert not is_token("trove_api_" + "\ud800" * 49, API)
    assert hash_of_token("\ud800") != hash_of_token("?")


@pytest.mark.parametrize("prefix", ["", "Trove", "trove_", "_trove", "trove api", "trove_api\n", "tröve"])
def test_a_prefix_is_lower_case_words(prefix: str) -> None:
    with pytest.raises(ValueError, match="lower-case words"):
        new_token(prefix)
