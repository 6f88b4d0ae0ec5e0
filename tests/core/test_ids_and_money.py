"""Public ids and amounts of money."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as some

from app.core.ids import PublicIdTag, new_id, parse_public_id, public_id
from app.core.money import MINOR_UNITS


@given(some.binary(min_size=16, max_size=16))
def test_a_public_id_comes_back_as_what_it_was_made_of(key_bytes: bytes) -> None:
    key = UUID(bytes=key_bytes)
    for tag in (PublicIdTag.ITEM, PublicIdTag.ITEM_VARIANT, PublicIdTag.INGEST_BATCH):
        assert parse_public_id(public_id(tag, key)) == (tag, key)


@given(some.integers(-(2**31), 2**31 - 1))
def test_a_public_id_of_a_series_holds_its_number(number: int) -> None:
    assert parse_public_id(public_id(PublicIdTag.PRICE_SERIES, number)) == (PublicIdTag.PRICE_SERIES, number)


@given(some.text(max_size=60))
def test_any_other_text_is_no_id_or_means_itself(text: str) -> None:
    parsed = parse_public_id(text)
    assert parsed is None or public_id(*parsed) == text


def test_keys_are_ordered_by_time() -> None:
    keys = [new_id() for _ in range(100)]
    assert keys == sorted(keys)
    assert {key.version for key in keys} == {7}


def test_currencies_are_those_of_iso_4217_and_some_crypto_codes() -> None:
    assert {code: MINOR_UNITS[code] for code in ("USD", "EUR", "JPY", "KWD", "ISK", "CLF", "ETH")} == {
        "USD": 2,
        "EUR": 2,
        "JPY": 0,
        "KWD": 3,
        "ISK": 0,
        "CLF": 4,
        "ETH": 18,
    }
    assert "XXX" not in MINOR_UNITS
