"""Prices as shops print them become exact decimals; what could mean two things is refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.prices.formats.price_texts import PriceTextNotUnderstood, SpelledPrice, read_price_text

NBSP, NARROW = "\u00a0", "\u202f"


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("$1,234.56", "1234.56", "USD"),
        ("$0.03", "0.03", "USD"),
        ("$12.00 USD", "12.00", "USD"),
        ("$1,234,567", "1234567", "USD"),
        ("1.234,56€", "1234.56", "EUR"),
        ("1.234,56 €", "1234.56", "EUR"),
        (f"1{NBSP}234,56{NBSP}€", "1234.56", "EUR"),
        (f"1{NARROW}234{NARROW}567,5 €", "1234567.5", "EUR"),
        ("1.234,-- €", "1234", "EUR"),
        ("12,--€", "12", "EUR"),
        ("12,– €", "12", "EUR"),
        ("1.234 €", "1234", "EUR"),
        ("0,123 €", "0.123", "EUR"),
        ("€ 12.50", "12.50", "EUR"),
        ("1'234.50 CHF", "1234.50", "CHF"),
        ("CHF 1’234.50", "1234.50", "CHF"),
        ("R$ 1.234,56", "1234.56", "BRL"),
        ("CDN$ 1.50", "1.50", "CAD"),
        ("A$ 1,234.50", "1234.50", "AUD"),
        ("₹ 1,23,456.78", "123456.78", "INR"),
        ("₹ 12,34,56,789", "123456789", "INR"),
        ("1 234,50 pуб.", "1234.50", "RUB"),
        ("12,5 руб.", "12.5", "RUB"),
        ("1 234 ₽", "1234", "RUB"),
        ("₩ 1,234", "1234", "KRW"),
        ("1.234₫", "1234", "VND"),
        ("Rp 1 234 567", "1234567", "IDR"),
        ("S/.1.20", "1.20", "PEN"),
        ("12,34 zł", "12.34", "PLN"),
        ("R 1,234.50", "1234.50", "ZAR"),
        ("P1.50", "1.50", "PHP"),
        ("\u200fAED 1,234.50", "1234.50", "AED"),
        ("KD 1.234", "1.234", "KWD"),
        ("BTC 0.00012345", "0.00012345", "BTC"),
        ("12.5", "12.5", None),
        ("1,5", "1.5", None),
        ("1,234,567.8", "1234567.8", None),
        ("¥ 12.50", "12.50", None),
        ("1 234,50 kr", "1234.50", None),
    ],
)
def test_a_price_is_read(text: str, amount: str, currency: str | None) -> None:
    hint = (
        currency if not any(sign in text for sign in "$€₹₽₩₫£") and text[0].isdigit() and text[-1].isdigit() else None
    )
    assert read_price_text(text, currency=hint) == SpelledPrice(Decimal(amount), currency)


@pytest.mark.parametrize(
    ("text", "asked", "amount"),
    [
        ("¥ 1,234", "JPY", "1234"),
        ("¥ 1,234", "CNY", "1234"),
        ("¥ 1,234.50", "CNY", "1234.50"),
        ("$ 1.234", "CLP", "1234"),
        ("$1.50", "CAD", "1.50"),
        ("1 234 kr", "SEK", "1234"),
        ("12,--", "EUR", "12"),
        ("1.234", "USD", "1.234"),
        ("1,234", "JPY", "1234"),
        ("1.234", "BRL", "1234"),
    ],
)
def test_what_was_asked_for_settles_what_a_text_leaves_open(text: str, asked: str, amount: str) -> None:
    assert read_price_text(text, currency=asked) == SpelledPrice(Decimal(amount), asked)


@pytest.mark.parametrize("text", [None, "", "  ", "—", "–", "-", "--", "N/A", NBSP])
def test_no_price_is_no_price(text: str | None) -> None:
    assert read_price_text(text, currency="USD") is None


@pytest.mark.parametrize(
    ("text", "asked", "sentence"),
    [
        ("1,234", None, "may be a thousand or one; say which currency it is in"),
        ("¥ 1,234", None, "may be a thousand or one"),
        ("€1,234", None, "may be a thousand or one"),
        ("€ 5", "USD", "is in EUR, and USD was asked for"),
        ("$5 EUR", None, "names two currencies"),
        ("from $5", None, "holds more than a price"),
        ("$5 $6", None, "holds more than a price"),
        ("-$5", None, "holds more than a price"),
        ("$-5.00", None, "holds more than a price"),
        ("Sold out", None, "holds no number"),
        ("$١٢", None, "holds no number"),
        ("1.23.4567", "USD", "parts its digits in no known way"),
        ("1,234.567.890", "USD", "uses its separators in no known order"),
        ("12,34,5", "INR", "parts its digits in no known way"),
        ("1..5", "USD", "parts its digits in no known way"),
        ("1,,234", "USD", "parts its digits in no known way"),
        ("1e5", "USD", "holds more than a price"),
        ("NaN", "USD", "holds no number"),
        ("9" * 31, "USD", "has too many digits"),
        ("9" * 3000, "USD", "is too long for a price"),
    ],
)
def test_what_is_no_price_or_two_is_refused_in_a_sentence(text: str, asked: str | None, sentence: str) -> None:
    with pytest.raises(PriceTextNotUnderstood) as refusal:
        read_price_text(text, currency=asked)
    assert sentence in refusal.value.message


CUSTOMS = st.sampled_from([("$", "", ",", "."), ("", " €", ".", ","), ("", " €", " ", ","), ("CHF ", "", "'", ".")])


@given(CUSTOMS, st.integers(0, 10**12), st.integers(0, 99))
def test_whatever_is_printed_by_a_custom_is_read_back(
    custom: tuple[str, str, str, str], units: int, cents: int
) -> None:
    before, after, group, point = custom
    text = f"{before}{f'{units:,}'.replace(',', group)}{point}{cents:02}{after}"
    read = read_price_text(text)
    assert read is not None
    assert read.amount == Decimal(f"{units}.{cents:02}")


@given(st.text(max_size=80), st.sampled_from([None, "USD", "EUR", "JPY"]))
def test_any_text_is_a_price_no_price_or_refused(text: str, asked: str | None) -> None:
    try:
        read = read_price_text(text, currency=asked)
    except PriceTextNotUnderstood:
        return
    assert read is None or (read.amount.is_finite() and read.amount >= 0)
