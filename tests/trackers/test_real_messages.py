"""Real messages and files of phones and receivers: each has the outcome that its nature demands."""

import base64
import gzip
import io
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette

from app.cli.location_import import import_gpx
from app.core.database import Database
from app.core.events import EventBus
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.jobs import connect_redis
from app.core.settings import Settings
from app.doors.ingest import routes as ingest_routes
from app.doors.messages import routes
from app.identity.commands.api_tokens import API_TOKEN
from app.identity.models import ApiToken
from app.identity.scopes import Scope
from app.identity.services import identity_services
from app.identity.tokens import new_token
from app.trackers.errors import BadReport
from app.trackers.formats.gpx import GpxNotUnderstood
from app.trackers.formats.nmea import read_nmea
from app.trackers.formats.osmand import read_osmand
from app.trackers.history_models import ReportSource
from app.trackers.reports import Report
from tests.identity.builders import PARTNER_ID, PARTNER_TOKEN, SECRETS
from tests.trackers.sending import HANDLERS, NOON, Tag, add_tag, ndjson, reasons, rows_of, sighting, stored
from workers.ingestion import process_waiting_batches

TOKEN = PARTNER_TOKEN.text


@asynccontextmanager
async def doors(database: Database, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    assert settings.redis_url is not None
    redis = connect_redis(settings.redis_url)
    identity = identity_services(settings, database, EventBus(redis))
    await identity.start()
    application = Starlette(routes=[*ingest_routes(), *routes()])
    application.state.database = database
    application.state.identity = identity
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://trove") as client:
        yield client
    await identity.stop()
    await redis.aclose()


@pytest.fixture
async def client(api_database: Database, trove_settings: Settings, partner: None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the doors, over the API's role, where a partner is known."""
    async with doors(api_database, trove_settings) as client:
        yield client


@pytest.fixture
async def tag(database: Database, partner: None) -> Tag:
    """A tracker whose operator the partner is."""
    return await add_tag(database, operator_id=PARTNER_ID)


def basic(name: str, token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{token}".encode()).decode()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a message: its status, and then a report in ten-millionths of a degree at a time, or why not."""

    report: tuple[int, int, datetime | None, float | None] | None = None
    reject: str | None = None
    status: int = 200


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# More levels than JSON is written with, though it is read.
DEEP = b"[" * 300 + b"]" * 300
# Of the moment at which it came, or less than a day before.
LATELY = None
# In the order of the file. Where traccar's verdict differs, a comment says why ours is another.
OUTCOMES = [
    Outcome((374_219_983, -1_220_840_000, at("2025-06-15T13:45:12.862"), 5)),
    Outcome((374_219_983, -1_220_840_000, at("2025-06-15T13:45:12.862"), 5)),
    Outcome((377_858_340, -1_224_064_170, at("2025-05-09T04:11:30.579"), 5)),
    # traccar: something, cells and networks. Trove looks none of them up: that is no place.
    Outcome(reject="no `lat` and `lon`"),
    # traccar: nothing, as here: nobody knows of whom it is.
    Outcome(status=400),
    Outcome((420_628_800, -882_341_200, at("2016-01-27T18:55:47"), None)),
    Outcome((600_000_000, 300_000_000, at("2013-08-22T13:14:27"), None)),
    Outcome((600_000_000, 300_000_000, at("2013-08-22T13:14:27"), None)),
    # No time: it is of the moment in which it came.
    Outcome((600_000_000, 300_000_000, LATELY, None)),
    Outcome((460_681_247, 111_512_805, at("2019-03-06T12:21:18"), 15)),
    Outcome((488_583_300, 22_951_300, at("2017-06-13T10:21:56"), None)),
    Outcome((488_583_300, 22_951_300, at("2017-06-13T10:21:56"), 5)),
    Outcome((370_000_000, -1_220_000_000, at("2025-01-06T10:59:29"), 5)),
    Outcome((468_419_275, 127_684_327, at("2023-11-09T16:44:14.9"), None)),
    # GGA tells no day: the last such time before it came.
    Outcome((468_419_275, 127_684_327, LATELY, None)),
    Outcome((539_171_900, 107_354_517, LATELY, None)),
    Outcome((539_171_900, 107_354_517, at("2018-05-08T08:23:50"), None)),
    # traccar: a position, marked as not valid. It is (0, 0): Trove keeps no place where a receiver knew none.
    Outcome(reject="no fix"),
    # traccar: something, as the year 96 is none of any satellite receiver's. Before 2000 there are no reports.
    Outcome(reject="before the year 2000"),
    # traccar: a position; it does not look at checksums. This one does not hold, and more stands behind it.
    Outcome(reject="checksum"),
    Outcome((600_088_867, 303_419_867, at("2011-11-09T09:49:07"), None)),
    Outcome((372_873_346, -60_507_831, at("2013-03-01T06:44:11"), None)),
    # traccar: positions; it does not look at checksums. Somebody changed these sentences: theirs do not hold.
    Outcome(reject="checksum"),
    Outcome(reject="checksum"),
    Outcome(reject="checksum"),
]


async def send(client: httpx.AsyncClient, tag: Tag, message: dict[str, Any]) -> httpx.Response:
    """Send a message as its program does, of our tracker wherever it names one."""
    path, said, named = f"/ingest/{message['protocol']}", message["message"], basic(tag.public_id)
    match message["protocol"], message.get("method"):
        case "osmand", "GET":
            for name in ("id=123456", "id=902064"):
                said = said.replace(name, f"id={tag.public_id}")
            return await client.get(path + said[1:], headers={"Authorization": f"Bearer {TOKEN}"})
        case "osmand", _:
            body = orjson.loads(said) | {"device_id": tag.public_id}
            return await client.post(path, json=body, headers={"Authorization": f"Bearer {TOKEN}"})
    return await client.post(path, content=said, headers=named)


async def test_every_real_message_has_its_outcome(
    client: httpx.AsyncClient, database: Database, owner: AsyncEngine, tag: Tag, trove_data: Path
) -> None:
    messages = orjson.loads((trove_data / "location" / "tracker_messages.json").read_bytes())
    assert len(messages) == len(OUTCOMES)
    for message, outcome in zip(messages, OUTCOMES, strict=True):
        async with owner.begin() as connection:
            await connection.execute(text("DELETE FROM trackers.location_reports"))
            await connection.execute(text("DELETE FROM ingestion.ingest_batches"))
        response = await send(client, tag, message)
        assert response.status_code == (202 if message["protocol"] == "nmea" else outcome.status), message
        await process_waiting_batches(database, HANDLERS)
        found = [reason for _, reason in await reasons(database)]
        if outcome.reject is None:
            assert found == [], message
        else:
            assert outcome.reject in found[0], message
        reports = await stored(database)
        assert len(reports) == (outcome.report is not None), message
        for report in reports:
            await check(database, report, outcome, source=message["protocol"])


async def check(database: Database, report: Any, outcome: Outcome, *, source: str) -> None:
    assert outcome.report is not None
    latitude, longitude, reported_at, accuracy = outcome.report
    assert (report.latitude_e7, report.longitude_e7, report.accuracy_meters) == (latitude, longitude, accuracy)
    assert report.source == source
    if reported_at is not None:
        assert report.reported_at == reported_at
        return
    ((accepted_at,),) = await rows_of(database, "SELECT received_at FROM ingestion.ingest_batches")
    assert accepted_at - timedelta(days=1) < report.reported_at <= accepted_at + timedelta(minutes=5)


# How many points of each file are taken in, and why how many others are left out.
FILES: dict[str, tuple[int, dict[str, int]]] = {
    # Track points all have times; waypoints have none.
    "korita-zbevnica.gpx": (513, {"no `time`": 360}),
    "around-visnjan-with-car.gpx": (104, {}),
    # A clock that never was set.
    "Mojstrovka.gpx": (0, {"1901-12-13T20:45:52": 184}),
    "gpx1.1_with_all_fields.gpx": (3, {"no `time`": 5}),
    "gpx_with_garmin_extension.gpx": (1, {}),
    "route.gpx": (0, {"no `time`": 55}),
    "track-with-empty-segment.gpx": (9, {}),
    "track-with-small-floats.gpx": (0, {"no `time`": 3}),
    "unicode_with_bom.gpx": (1, {}),
}


async def test_every_real_journey_has_its_outcome_and_again_changes_nothing(
    database: Database, tag: Tag, trove_data: Path
) -> None:
    folder = trove_data / "location" / "gpx"
    assert sorted(file.name for file in folder.iterdir()) == sorted(FILES)
    for name, (accepted, left_out) in FILES.items():
        first = await import_gpx(database, SECRETS, folder / name, tag.id)
        again = await import_gpx(database, SECRETS, folder / name, tag.id)
        total = accepted + sum(left_out.values())
        assert (first.points, first.accepted, first.duplicates) == (total, accepted, 0), name
        assert (again.points, again.accepted, again.duplicates) == (total, 0, accepted), name
        assert first.rejected_count == again.rejected_count == sum(left_out.values()), name
        assert len(first.rejected) == min(10, first.rejected_count)
        assert all(any(words in row.reason for words in left_out) for row in first.rejected), name
    assert len(await stored(database)) == sum(accepted for accepted, _ in FILES.values())
    assert {report.source for report in await stored(database)} == {"gpx"}


POINT = '<trkpt lat="48.5" lon="2.5"><time>2026-01-02T03:04:05Z</time></trkpt>'
GPX = f"<gpx><trk><trkseg>{POINT}</trkseg></trk></gpx>"
BOMB = """<!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<gpx><wpt lat="1" lon="1"><time>&b;</time></wpt></gpx>"""
OUTSIDE = (
    '<!DOCTYPE gpx [<!ENTITY a SYSTEM "file:///etc/passwd">]><gpx><wpt lat="1" lon="1"><name>&a;</name></wpt></gpx>'
)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (BOMB, "document type"),
        (OUTSIDE, "document type"),
        ("<!DOCTYPE gpx>" + GPX, "document type"),
        ("", "no GPX"),
        ("lat,lon", "no GPX"),
        ('{"a": 1}', "no GPX"),
        ("<html><body/></html>", "begins with <html>"),
        ("<gpx>" + "<a>" * 200, "levels deep"),
        ('<?xml version="1.0" encoding="morse"?><gpx></gpx>', "unknown encoding"),
        ('<?xml version="1.0" encoding="Shift_JIS"?><gpx></gpx>', "encodings are not supported"),
    ],
    ids=["bomb", "outside", "type", "empty", "csv", "json", "html", "deep", "encoding", "letters"],
)
async def test_what_is_no_gpx_is_refused_as_a_whole(
    database: Database, tag: Tag, tmp_path: Path, content: str, says: str
) -> None:
    file = tmp_path / "journey.gpx"
    file.write_text(content)
    with pytest.raises(GpxNotUnderstood, match=says):
        await import_gpx(database, SECRETS, file, tag.id)
    assert await stored(database) == []


@pytest.mark.parametrize(
    ("content", "accepted", "numbers", "says"),
    [
        (GPX.replace("</trkseg></trk></gpx>", '<trkpt lat="48.6" lo'), 1, [2], "no XML"),
        (GPX.removesuffix("</gpx>"), 1, [2], "no XML"),
        (GPX.replace("48.5", "91"), 0, [1], "between -90 and 90"),
        (GPX.replace("48.5", "NaN"), 0, [1], "decimal"),
        (GPX.replace("48.5", "4.85e1"), 0, [1], "decimal"),
        (GPX.replace(' lon="2.5"', ""), 0, [1], "`lat` and `lon`"),
        (GPX.replace("2026", "2126"), 0, [1], "future"),
        (GPX.replace("2026-01-02T", "yesterday "), 0, [1], "not a time"),
        (GPX.replace(":05Z", ":05"), 1, [], ""),
        (GPX.replace(POINT, POINT + POINT.replace("05Z", "06Z").replace("2.5", "2.6") + POINT), 2, [], ""),
        ('<?xml version="1.0" encoding="ISO-8859-1"?><!-- \xe9 -->' + GPX, 1, [], ""),
    ],
)
async def test_a_bad_point_is_left_out_with_its_number_and_a_reason(
    database: Database, tag: Tag, tmp_path: Path, content: str, accepted: int, numbers: list[int], says: str
) -> None:
    file = tmp_path / "journey.gpx"
    file.write_bytes(content.encode("latin-1"))
    summary = await import_gpx(database, SECRETS, file, tag.id)
    assert summary.accepted == accepted
    assert [row.number for row in summary.rejected] == numbers
    assert all(says in row.reason for row in summary.rejected)


async def test_a_file_that_is_not_there_is_refused(database: Database, tag: Tag, tmp_path: Path) -> None:
    with pytest.raises(GpxNotUnderstood, match="no such file"):
        await import_gpx(database, SECRETS, tmp_path / "absent.gpx", tag.id)


async def test_a_batch_over_http_is_stored_and_its_reports_with_it(
    client: httpx.AsyncClient, database: Database, tag: Tag
) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "k", "Content-Encoding": "gzip"}
    body = gzip.compress(ndjson(sighting(tag), sighting(tag, minutes=1)))
    answers = [await client.post("/ingest/locations", content=body, headers=headers) for _ in range(2)]
    assert [(answer.status_code, answer.json()["rows"], answer.json()["repeated"]) for answer in answers] == [
        (202, 2, False),
        (202, 2, True),
    ]
    assert await process_waiting_batches(database, HANDLERS) == 1
    assert len(await stored(database)) == 2


@pytest.mark.parametrize("path", ["locations", "owntracks", "osmand", "nmea"])
async def test_who_shows_no_token_is_refused_everywhere(client: httpx.AsyncClient, tag: Tag, path: str) -> None:
    for headers in ({}, basic(tag.public_id, "wrong"), basic(tag.public_id, ""), {"Authorization": "Basic %%%"}):
        response = await client.post(f"/ingest/{path}", content=b"{}", headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "UNAUTHENTICATED")
        assert response.headers["www-authenticate"].startswith("Bearer" if path == "locations" else "Basic")


@pytest.mark.parametrize("path", ["locations", "owntracks", "osmand", "nmea"])
async def test_a_token_without_the_scope_sends_nothing_in(
    client: httpx.AsyncClient, database: Database, owner: AsyncEngine, tag: Tag, path: str
) -> None:
    token = new_token(API_TOKEN)
    async with owner.begin() as connection:
        await connection.execute(
            insert(ApiToken).values(
                id=new_id(),
                user_id=PARTNER_ID,
                name="Prices alone",
                prefix=token.shown_prefix,
                token_hash=token.hash,
                scopes=[Scope.PRICES_WRITE.value, Scope.TRACKERS_WRITE.value],
            )
        )
    headers = {"Authorization": f"Bearer {token.text}"} if path == "locations" else basic(tag.public_id, token.text)
    response = await client.post(f"/ingest/{path}", content=ndjson(sighting(tag)), headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert "locations:write" in response.json()["error"]["message"]
    assert await rows_of(database, "SELECT id FROM ingestion.ingest_batches") == []


@pytest.mark.parametrize(
    ("path", "content", "status"),
    [
        ("owntracks", b"", 400),
        ("owntracks", b"[]", 400),
        ("owntracks", b'{"_type":', 400),
        ("owntracks", b"{}", 400),
        ("owntracks", b'{"_type": "encrypted", "data": "x"}', 400),
        ("owntracks", b'{"_type": "location", "tid": "' + b"x" * 13_000 + b'"}', 413),
        ("owntracks", b'{"_type": "transition", "lat": 1}', 200),
        ("owntracks", b'{"_type": "location", "lat": 1, "deep": ' + DEEP + b"}", 400),
        ("osmand", b"{", 400),
        ("osmand", b'{"device_id": "", "location": ' + DEEP + b"}", 400),
        ("osmand", "id=é".encode(), 400),
        ("osmand", b"&".join(b"a=1" for _ in range(201)), 400),
        ("nmea", b"", 400),
        ("nmea", b"$GPGSV,1,1,00*79", 400),
    ],
)
async def test_what_is_no_message_is_refused_and_what_tells_of_no_place_passed_over(
    client: httpx.AsyncClient, database: Database, tag: Tag, path: str, content: bytes, status: int
) -> None:
    response = await client.post(f"/ingest/{path}", content=content, headers=basic(tag.public_id))
    assert response.status_code == status
    assert await rows_of(database, "SELECT id FROM ingestion.ingest_batches") == []


@pytest.mark.parametrize("name", ["", "phone", "dHI="])
async def test_a_device_names_a_tracker(client: httpx.AsyncClient, database: Database, tag: Tag, name: str) -> None:
    message = b'{"_type": "location", "lat": 1, "lon": 1, "tst": 1767323045}'
    response = await client.post("/ingest/owntracks", content=message, headers=basic(name))
    assert response.status_code == 400
    message_told = response.json()["error"]["message"]
    assert "user name" in message_told
    assert (f"“{name}” is not the id of a tracker" in message_told) == (name != "")
    named = {"Authorization": f"Bearer {TOKEN}", "X-Limit-U": tag.public_id}
    assert (await client.post("/ingest/owntracks", content=message, headers=named)).json() == []
    assert await process_waiting_batches(database, HANDLERS) == 1
    assert [report.latitude_e7 for report in await stored(database)] == [10_000_000]


async def test_every_door_tells_the_batch_that_it_stored(
    client: httpx.AsyncClient, database: Database, tag: Tag
) -> None:
    headers = basic(tag.public_id)
    answers = [
        await client.post(f"/ingest/{path}", content=content, headers=headers)
        for path, content in (
            ("owntracks", b'{"_type": "location", "lat": 91, "lon": 1, "tst": 1767323045}'),
            ("osmand", b"lat=60.0&lon=30.0"),
            ("nmea", b"$GPRMC,030405.00,A,4807.038,N,01131.000,E,,,020126,,,A"),
        )
    ]
    stored_ids = await rows_of(database, "SELECT id FROM ingestion.ingest_batches ORDER BY sequence")
    told = [answer.headers["Trove-Batch-Id"] for answer in answers]
    assert told == [public_id(PublicIdTag.INGEST_BATCH, key) for (key,) in stored_ids]
    passed_over = await client.post("/ingest/owntracks", content=b'{"_type": "lwt"}', headers=headers)
    assert "Trove-Batch-Id" not in passed_over.headers


async def test_a_token_in_the_address_is_written_down_nowhere(
    client: httpx.AsyncClient, database: Database, tag: Tag, log: io.StringIO
) -> None:
    query = f"id={tag.public_id}&lat=60.0&lon=30.0&key={TOKEN}"
    # What the client of the test logs of its own requests is not ours.
    logging.getLogger("httpx").disabled = True
    try:
        assert (await client.get(f"/ingest/osmand?{query}")).status_code == 200
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert (await client.post(f"/ingest/osmand?key={TOKEN}", content=query, headers=form)).status_code == 200
        payloads = await rows_of(database, "SELECT payload FROM ingestion.ingest_batches")
        assert len(payloads) == 2
        assert await process_waiting_batches(database, HANDLERS) == 2
        # Looking at an address sends nothing in.
        assert (await client.head(f"/ingest/osmand?{query}")).status_code == 405
    finally:
        logging.getLogger("httpx").disabled = False
    assert TOKEN not in log.getvalue()
    assert not [payload for (payload,) in payloads if TOKEN.encode() in payload]


@pytest.mark.parametrize(
    ("spelled", "read"),
    [
        ("1767323045", "2026-01-02T03:04:05"),
        ("1767323045862", "2026-01-02T03:04:05.862"),
        ("1767323045.5", "2026-01-02T03:04:05.5"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05"),
        ("2026-01-02T03:04:05.862+02:00", "2026-01-02T01:04:05.862"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05"),
    ],
)
def test_times_are_read_however_programs_spell_them(spelled: str, read: str) -> None:
    for query in (f"lat=1.5&lon=2&timestamp={spelled}", f"lat=1.5&lon=2&{urlencode({'timestamp': spelled})}"):
        assert read_osmand(query, accepted_at=NOON + timedelta(days=30)).reported_at == at(read)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("lat=91&lon=1", "between -90 and 90"),
        ("lat=nan&lon=1", "decimal number"),
        ("lat=inf&lon=1", "decimal number"),
        ("lat=0&lon=0.0", r"\(0, 0\)"),
        ("lat=1&lon=1&timestamp=-5", "not a time"),
        ("lat=1&lon=1&timestamp=soon", "not a time"),
        ("lat=1&lon=1&timestamp=9999999999999999", "not a time"),
        ("lat=1&lon=1&timestamp=1901-12-13T20:45:52Z", "before the year 2000"),
        ("lat=1&lon=1&timestamp=2026-01-03T12:00:00Z", "in the future"),
        ("lat=1&lon=1&accuracy=-1", "`accuracy` is “-1.0”"),
        ("lat=1&lon=1&valid=false", "no fix"),
        ("location=1", "no `lat` and `lon`"),
    ],
)
def test_a_bad_message_says_what_is_wrong(query: str, says: str) -> None:
    with pytest.raises(BadReport, match=says):
        read_osmand(query, accepted_at=NOON)


def test_a_point_in_one_field_is_read() -> None:
    report = read_osmand("/?location=48.5,2.5&hacc=7.5", accepted_at=NOON)
    assert report == Report(485_000_000, 25_000_000, NOON, 7.5, None, None, ReportSource.OSMAND, None)


@pytest.mark.parametrize(
    ("sentence", "says"),
    [
        ("$GPRMC,082350.000,A,9155.0314,N,01044.1271,E,26.20,184.27,080518,,", "between -90 and 90"),
        ("$GPRMC,082350.000,A,5360.0314,N,01044.1271,E,26.20,184.27,080518,,", "no angle"),
        ("$GPRMC,082350.000,A,5355.0314,X,01044.1271,E,26.20,184.27,080518,,", "no angle"),
        ("$GPRMC,252350.000,A,5355.0314,N,01044.1271,E,26.20,184.27,080518,,", "time is"),
        ("$GPRMC,082350.000,A,5355.0314,N,01044.1271,E,26.20,184.27,310218,,", "day is"),
        ("$GPRMC,082350.000,A,5355.0314,N", "ends early"),
        ("$GPGGA,082350.000,5355.0314,N,01044.1271,E,0,10,0.7,-46.0,M,0.0,M,0.0,0000", "no fix"),
        ("$GPGSV,1,1,00*79", "RMC and GGA"),
    ],
)
def test_a_bad_sentence_says_what_is_wrong(sentence: str, says: str) -> None:
    with pytest.raises(BadReport, match=says):
        read_nmea(sentence, accepted_at=NOON)


def test_a_sentence_without_a_day_is_of_the_day_that_makes_it_past() -> None:
    sentence = "$GPGGA,{},5355.0314,N,01044.1271,E,1,10,0.7,-46.0,M,0.0,M,0.0,0000"
    assert read_nmea(sentence.format("115900"), accepted_at=NOON).reported_at == at("2026-01-02T11:59:00")
    assert read_nmea(sentence.format("120400"), accepted_at=NOON).reported_at == at("2026-01-02T12:04:00")
    assert read_nmea(sentence.format("235900"), accepted_at=NOON).reported_at == at("2026-01-01T23:59:00")
    # A clock that is a little ahead is so at midnight too.
    midnight = at("2026-01-02T23:59:00")
    assert read_nmea(sentence.format("000300"), accepted_at=midnight).reported_at == at("2026-01-03T00:03:00")
    assert read_nmea(sentence.format("000430"), accepted_at=midnight).reported_at == at("2026-01-02T00:04:30")
