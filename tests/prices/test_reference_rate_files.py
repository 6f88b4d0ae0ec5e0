"""The central bank's files: the same rates from each of their formats, bad rows by number, a clear word to nonsense."""

import gzip
import io
import zipfile
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.ingestion.file_rows import RejectedRow
from app.prices.exchange_rates import ReferenceRate
from app.prices.formats.ecb import FIRST_DAY, MOST_BYTES, read_reference_rates
from app.prices.formats.errors import FileNotUnderstood

TODAY = date(2026, 4, 20)
HISTORY = b"Date,USD,JPY,HRK,\n2024-12-31,1.0389,163.06,N/A,\n2022-12-30,1.0666,140.66,7.5365,\n"
DAILY = b"Date, USD, JPY, HRK, \n31 December 2024, 1.0389, 163.060, N/A, \n"
XML = """<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01"
    xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
  <gesmes:subject>Reference rates</gesmes:subject>
  <gesmes:Sender><gesmes:name>European Central Bank</gesmes:name></gesmes:Sender>
  <Cube>{days}</Cube>
</gesmes:Envelope>
"""
LAST_OF_2024 = "<Cube time='2024-12-31'><Cube currency='USD' rate='1.0389'/><Cube currency='JPY' rate='163.06'/></Cube>"
LAST_OF_2022 = (
    "<Cube time='2022-12-30'><Cube currency='USD' rate='1.0666'/><Cube currency='JPY' rate='140.66'/>"
    "<Cube currency='HRK' rate='7.5365'/></Cube>"
)
RATES = {
    ("USD", date(2024, 12, 31)): Decimal("1.0389"),
    ("JPY", date(2024, 12, 31)): Decimal("163.06"),
    ("USD", date(2022, 12, 30)): Decimal("1.0666"),
    ("JPY", date(2022, 12, 30)): Decimal("140.66"),
    ("HRK", date(2022, 12, 30)): Decimal("7.5365"),
}


def xml_file(*days: str) -> bytes:
    return XML.format(days="".join(days)).encode()


def zip_file(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return packed.getvalue()


def rates_in(content: bytes) -> dict[tuple[str, date], Decimal]:
    read = read_reference_rates(content, today=TODAY)
    assert not read.rejected
    assert len({(rate.currency, rate.rate_date) for rate in read.rates}) == len(read.rates)
    return {(rate.currency, rate.rate_date): rate.units_per_eur for rate in read.rates}


def rejected_in(content: bytes) -> list[RejectedRow]:
    return list(read_reference_rates(content, today=TODAY).rejected)


def refusal_of(content: bytes) -> str:
    with pytest.raises(FileNotUnderstood) as refused:
        read_reference_rates(content, today=TODAY)
    return refused.value.message


@pytest.mark.parametrize(
    "content",
    [
        HISTORY,
        HISTORY.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + HISTORY,
        HISTORY + b"\n\n",
        HISTORY.replace(b",\n", b"\n"),
        gzip.compress(HISTORY, mtime=0),
        zip_file(eurofxref_csv=HISTORY),
        zip_file(eurofxref_CSV=HISTORY, readme_txt=b"words"),
        xml_file(LAST_OF_2024, LAST_OF_2022),
        b"\xef\xbb\xbf" + xml_file(LAST_OF_2024, LAST_OF_2022),
        zip_file(eurofxref_xml=xml_file(LAST_OF_2024, LAST_OF_2022)),
        gzip.compress(xml_file(LAST_OF_2022, LAST_OF_2024, LAST_OF_2022), mtime=0),
    ],
)
def test_each_format_and_wrapping_says_the_same(content: bytes) -> None:
    assert rates_in(content) == RATES


def test_the_daily_file_spells_its_day_in_words() -> None:
    assert rates_in(DAILY) == {key: rate for key, rate in RATES.items() if key[1].year == 2024}


def test_a_rate_keeps_every_digit_that_is_printed() -> None:
    (rate,) = read_reference_rates(b"Date, USD, \n1 March 2024, 366.90, \n", today=TODAY).rates
    assert rate == ReferenceRate("USD", date(2024, 3, 1), Decimal("366.9"))
    assert str(rate.units_per_eur) == "366.90"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("2024-12-30,1.0444,164.57", "3 cells, and the first line has 5"),
        ("2024-12-30,1.0444,164.57,N/A,7.5", "a rate that belongs to no currency"),
        ("2024-12-30,1.0444,164.57,N/A,,", "6 cells, and the first line has 5"),
        ("2024-12-30,1.0444,-,N/A,", "The rate of JPY is “-”"),
        ("2024-12-30,1.0444,0,N/A,", "The rate of JPY is “0”"),
        ("2024-12-30,1.0444,0.000,N/A,", "The rate of JPY is “0.000”"),
        ("2024-12-30,1.0444,-164.57,N/A,", "The rate of JPY is “-164.57”"),
        ("2024-12-30,1.0444,1e9,N/A,", "The rate of JPY is “1e9”"),
        ("2024-12-30,1.0444,NaN,N/A,", "The rate of JPY is “NaN”"),
        ("2024-12-30,1.0444,Infinity,N/A,", "The rate of JPY is “Infinity”"),
        ("2024-12-30,1.0444,164.5700000000001,N/A,", "The rate of JPY is “164.5700000000001”"),
        ("2024-12-30,1.0444,1000000000,N/A,", "The rate of JPY is “1000000000”"),
        ("2024-12-30,1.0444,١٦٤,N/A,", "The rate of JPY"),
        ('2024-12-30,1.0444,"164.57",N/A,', "The rate of JPY"),
        ("2024-13-30,1.0444,164.57,N/A,", "“2024-13-30” is no day"),
        ("30 Dezember 2024,1.0444,164.57,N/A,", "“30 Dezember 2024” is no day"),
        ("30/12/2024,1.0444,164.57,N/A,", "“30/12/2024” is no day"),
        ("1998-12-31,1.0444,164.57,N/A,", "1998-12-31 cannot be"),
        ("2026-04-21,1.0444,164.57,N/A,", "2026-04-21 cannot be"),
        ("2024-12-31,1.0388,163.06,N/A,", "It says other rates for 2024-12-31 than row 2."),
    ],
)
def test_a_bad_row_is_listed_by_its_line_and_the_rest_is_taken(row: str, reason: str) -> None:
    first, second, third = HISTORY.decode().splitlines()
    read = read_reference_rates("\n".join([first, second, row, third, ""]).encode(), today=TODAY)
    assert {(rate.currency, rate.rate_date): rate.units_per_eur for rate in read.rates} == RATES
    (rejected,) = read.rejected
    assert rejected.number == 3
    assert reason in rejected.reason


def test_a_row_that_is_repeated_counts_once() -> None:
    assert rates_in(HISTORY + HISTORY.splitlines(keepends=True)[1]) == RATES


def test_a_history_that_breaks_off_within_a_number_gives_no_wrong_one() -> None:
    for length in range(len(HISTORY) - 2, HISTORY.index(b"2022"), -1):
        read = read_reference_rates(HISTORY[:length], today=TODAY)
        assert {rate.rate_date for rate in read.rates} == {date(2024, 12, 31)}, HISTORY[:length]
        assert [row.number for row in read.rejected] == [3]


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("<Cube time='2024-12-30'><Cube currency='USD' rate='one'/></Cube>", "The rate of USD is “one”"),
        ("<Cube time='2024-12-30'><Cube currency='USD'/><Cube currency='USD' rate='1'/></Cube>", ""),
        ("<Cube time='2024-12-30'><Cube currency='EUR' rate='1'/></Cube>", "“EUR” is no currency"),
        ("<Cube time='2024-12-30'><Cube currency='usd' rate='1'/></Cube>", "“usd” is no currency"),
        (
            "<Cube time='2024-12-30'><Cube currency='USD' rate='1'/><Cube currency='USD' rate='2'/></Cube>",
            "It gives USD twice",
        ),
        ("<Cube time='soon'><Cube currency='USD' rate='1'/></Cube>", "“soon” is no day"),
    ],
)
def test_a_bad_day_of_an_xml_file_is_listed_by_its_place(day: str, reason: str) -> None:
    rejected = rejected_in(xml_file(LAST_OF_2024, day, LAST_OF_2022))
    assert [(row.number, reason in row.reason) for row in rejected] == ([(2, True)] if reason else [])


BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01">&b;</gesmes:Envelope>"""
THEFT = BOMB.replace('<!ENTITY a "lol">', '<!ENTITY a SYSTEM "file:///etc/hostname">')


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b" \r\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "as web pages have"),
        (b"<html><body>Not found</body></html>", "this XML is a “html”"),
        (b'<Envelope xmlns="http://example.org"/>', "this XML is a “Envelope”"),
        (BOMB.encode(), "has a DOCTYPE"),
        (THEFT.encode(), "has a DOCTYPE"),
        (xml_file(LAST_OF_2024)[:-20], "breaks off in line"),
        (xml_file(), "has no rates"),
        (b"Not found", "the first line of this one is “Not found”"),
        (b"Date,\n2024-12-31,\n", "the first line"),
        (b"Datum,USD\n2024-12-31,1.1\n", "the first line of this one is “Datum,USD”"),
        (b"Date,USD,USD,\n2024-12-31,1.1,1.2,\n", "names “USD”"),
        (b"Date,USD,,JPY\n2024-12-31,1.1,,163\n", "names “”"),
        (b"Date,US dollar,\n2024-12-31,1.1,\n", "names “US dollar”"),
        (b"Date,USD,JPY,\n", "has no rates"),
        (b'{"rates": {"USD": 1.1}}', "the first line"),
        (HISTORY.decode().encode("utf-16"), "not text in UTF-8"),
        (bytes(range(128, 256)), "not text in UTF-8"),
        (gzip.compress(HISTORY, mtime=0)[:-12], "breaks off"),
        (gzip.compress(HISTORY, mtime=0)[:12] + b"nonsense", "gzip file"),
        (zip_file(eurofxref_csv=HISTORY)[:-30], "zip is broken"),
        (zip_file(one_csv=HISTORY, two_csv=HISTORY), "this one has 2"),
        (zip_file(readme_txt=HISTORY), "this one has 0"),
    ],
)
def test_what_is_no_file_of_rates_is_refused_with_the_reason(content: bytes, said: str) -> None:
    assert said in refusal_of(content)


@pytest.mark.parametrize("packed", [lambda content: zip_file(eurofxref_csv=content), gzip.compress])
def test_what_unpacks_to_more_than_is_read_is_refused(packed: Callable[[bytes], bytes]) -> None:
    assert "larger than 64 MB" in refusal_of(packed(b"0" * (MOST_BYTES + 1)))


def as_csv(rates: Mapping[str, str], day: date) -> bytes:
    return f"{','.join(['Date', *rates])},\n{','.join([str(day), *rates.values()])},\n".encode()


def as_xml(rates: Mapping[str, str], day: date) -> bytes:
    cubes = "".join(f"<Cube currency='{code}' rate='{rate}'/>" for code, rate in rates.items())
    return xml_file(f"<Cube time='{day}'>{cubes}</Cube>")


@given(
    some.dictionaries(
        some.from_regex(r"[A-Z]{3}", fullmatch=True).filter(lambda code: code != "EUR"),
        some.decimals("0.000001", 999_999, places=6).map(str),
        min_size=1,
        max_size=8,
    ),
    some.dates(FIRST_DAY, TODAY),
    some.sampled_from([as_csv, as_xml]),
)
def test_what_is_written_is_read(
    rates: dict[str, str], day: date, write: Callable[[Mapping[str, str], date], bytes]
) -> None:
    assert rates_in(write(rates, day)) == {(code, day): Decimal(rate) for code, rate in rates.items()}
