"""Find My: keys are made and read, and what phones encrypted for them is opened by them alone."""

import base64
import random
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.trackers.errors import BadReport
from app.trackers.find_my import (
    BadKey,
    KeyPair,
    OpenedReport,
    ReportOpener,
    hashed_key_of,
    key_pair_of,
    make_key_pair,
    read_hashed_key,
    read_payload,
    read_private_key,
)
from tests.trackers.sending import sealed_payload

PRIVATE_KEY = "jbyU6IAjIO2DAhWsCbt36eMLcD3pxY0MTxPkiQ=="
ADVERTISED_KEY = "kjg0eewhADMmYcYNyVvgHZNvAW0raVQJyEK7vA=="
HASHED_KEY = "efkKsr/t6N4Lt8f0Bwx2qAgvCnnKsGzSovrPlHQ9Bp0="
REPORT = (
    "LwdtJQIE5epSRp4ghgapjWtU+rsIEcrdz2Z18l5tB8GhsZnJtuiDZMNFpj758VytvlM5g9wfe9Qcja2mpz/P7/wsODsTG0U9JBIi0TiNypGR0ITVTa"
    "EMVQ=="
)
LONG_REPORT = (
    "LwdtJQACBOXqUkaeIIYGqY1rVPq7CBHK3c9mdfJebQfBobGZybbog2TDRaY++fFcrb5TOYPcH3vUHI2tpqc/z+/8LDg7ExtFPSQSItE4jcqRkdCE1U"
    "2hDFU="
)
OPENED = OpenedReport(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), 488_566_000, -23_522_000, 35, 2, 0)
UNPADDED = str.maketrans({"+": "-", "/": "_", "=": None})


@pytest.mark.parametrize("text", [PRIVATE_KEY, PRIVATE_KEY.translate(UNPADDED)], ids=["padded", "url-safe, unpadded"])
def test_a_private_key_tells_what_is_advertised_and_reported(text: str) -> None:
    pair = read_private_key(text)
    assert base64.b64encode(pair.advertised_key).decode() == ADVERTISED_KEY
    assert base64.b64encode(pair.hashed_key).decode() == HASHED_KEY


@pytest.mark.parametrize("text", [HASHED_KEY, HASHED_KEY.translate(UNPADDED)], ids=["padded", "url-safe, unpadded"])
def test_a_hashed_key_is_read_in_either_alphabet(text: str) -> None:
    assert read_hashed_key(text) == hashed_key_of(base64.b64decode(ADVERTISED_KEY))


@pytest.mark.parametrize("text", [REPORT, LONG_REPORT, LONG_REPORT.translate(UNPADDED)])
def test_the_vectors_are_opened(text: str) -> None:
    assert ReportOpener(base64.b64decode(PRIVATE_KEY)).open(read_payload(text)) == OPENED


def test_the_docs_show_the_vectors() -> None:
    told = (Path(__file__).resolve().parents[2] / "docs" / "sending-locations.md").read_text()
    assert [
        text for text in (PRIVATE_KEY, ADVERTISED_KEY, HASHED_KEY, REPORT, LONG_REPORT) if f"`{text}`" not in told
    ] == []


def test_a_thousand_reports_of_fresh_keys_open_to_what_went_in() -> None:
    # Any seed does: keys and points are fresh each time.
    drawn = random.Random(7)
    for number in range(1000):
        pair = make_key_pair()
        said = OpenedReport(
            reported_at=datetime(2001, 1, 1, tzinfo=UTC) + timedelta(seconds=drawn.randrange(2**32)),
            latitude_e7=drawn.randint(-900_000_000, 900_000_000),
            longitude_e7=drawn.randint(-1_800_000_000, 1_800_000_000),
            accuracy_meters=drawn.randrange(256),
            confidence=drawn.randrange(256),
            status_byte=drawn.randrange(256),
        )
        payload = sealed_payload(
            pair,
            at=said.reported_at,
            latitude=said.latitude_e7 / 1e7,
            longitude=said.longitude_e7 / 1e7,
            accuracy=said.accuracy_meters,
            confidence=said.confidence,
            status=said.status_byte,
            is_long=number % 2 == 1,
        )
        assert len(payload) == 88 + number % 2
        opener = ReportOpener(key_pair_of(pair.private_key).private_key)
        assert opener.open(read_payload(base64.b64encode(payload).decode())) == said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (base64.b64encode(bytes(87)).decode(), "has 87 bytes"),
        (base64.b64encode(bytes(90)).decode(), "has 90 bytes"),
        ("", "has 0 bytes"),
        ("%%%", "not base64"),
        ("é" * 120, "not base64"),
        (REPORT[:-3], "not base64"),
    ],
)
def test_what_is_no_payload_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadReport, match=says):
        read_payload(text)


@pytest.mark.parametrize("place", [*range(72, 88), 62, 71])
def test_a_changed_byte_of_content_or_tag_breaks_the_tag(place: int) -> None:
    payload = bytearray(read_payload(REPORT))
    payload[place] ^= 1
    with pytest.raises(BadReport, match="tag of `payload` does not hold"):
        ReportOpener(base64.b64decode(PRIVATE_KEY)).open(bytes(payload))


def test_a_report_of_another_key_is_not_opened() -> None:
    with pytest.raises(BadReport, match="of another key"):
        ReportOpener(make_key_pair().private_key).open(read_payload(REPORT))


@pytest.mark.parametrize("point", [bytes(57), b"\x04" + bytes(56), b"\x04" + b"\xff" * 56, b"\x02" + bytes(56)])
def test_a_point_that_is_not_on_the_curve_is_refused(point: bytes) -> None:
    payload = read_payload(REPORT)
    with pytest.raises(BadReport, match="not on the curve"):
        ReportOpener(base64.b64decode(PRIVATE_KEY)).open(payload[:5] + point + payload[62:])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("%", "no base64"),
        (base64.b64encode(bytes(27)).decode(), "not 27"),
        (base64.b64encode(bytes(28)).decode(), "above zero"),
        (base64.b64encode(b"\xff" * 28).decode(), "below the order"),
    ],
)
def test_what_is_no_private_key_is_refused_without_telling_it(text: str, says: str) -> None:
    with pytest.raises(BadKey, match=says) as refused:
        read_private_key(text)
    number = str(int.from_bytes(b"\xff" * 28, "big"))
    told = f"{refused.value!r} {refused.value.__cause__!r} {refused.value.__context__!r}"
    assert text not in told
    assert number not in told


def test_a_hashed_key_of_another_length_is_refused() -> None:
    with pytest.raises(BadReport, match="32 bytes"):
        read_hashed_key(ADVERTISED_KEY)
    with pytest.raises(BadKey, match="28 bytes"):
        hashed_key_of(bytes(27))


def test_a_pair_does_not_show_its_private_key() -> None:
    pair = make_key_pair()
    assert isinstance(pair, KeyPair)
    assert not re.search(re.escape(repr(pair.private_key)) + "|" + pair.private_key.hex(), repr(pair))
