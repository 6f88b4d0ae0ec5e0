"""Batches of reports: what is stored, what is refused, and who may report which tracker."""

import asyncio
import base64
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from app.core.clock import utc_now
from app.core.database import Database
from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag, new_id, public_id
from app.ingestion.commands import MAXIMUM_ROWS
from app.ingestion.processing import process_batch
from app.trackers.commands.orphans import RefusedOrphan, attach_orphans
from app.trackers.find_my import make_key_pair
from tests.identity.builders import SECRETS, add_person
from tests.trackers.sending import (
    HANDLERS,
    NOON,
    Line,
    Tag,
    accepted,
    add_client,
    add_key,
    add_tag,
    ago,
    hashed,
    ndjson,
    reasons,
    rows_of,
    sealed,
    sealed_payload,
    sent,
    sighting,
    stored,
)

NO_SUCH_TRACKER = "There is no tracker with this id that you may send reports for; "


@pytest.fixture
async def tag(database: Database) -> Tag:
    """A tracker, and who may send reports of it."""
    return await add_tag(database)


async def orphan_count(database: Database) -> int:
    ((count,),) = await rows_of(database, "SELECT count(*) FROM trackers.orphan_reports")
    return int(count)


async def attached(database: Database, *, limit: int = 100) -> tuple[int, int, Sequence[RefusedOrphan]]:
    async with database.transaction() as transaction:
        outcome = await attach_orphans(transaction, SECRETS, limit=limit)
    return outcome.taken, outcome.accepted, list(outcome.refused)


async def test_a_report_is_stored_as_it_was_said(database: Database, tag: Tag) -> None:
    row = sighting(tag, accuracy=12.5, confidence=3, publishedAt=(NOON + timedelta(minutes=9)).isoformat())
    assert await sent(database, ndjson(row), sender_id=tag.operator_id) == (1, 0, 0)
    (report,) = await rows_of(database, "SELECT * FROM trackers.location_reports")
    assert (report.subject, report.tracker_id, report.client_id) == (tag.id.bytes, tag.id, tag.client_id)
    assert (report.latitude_e7, report.longitude_e7) == (488_566_000, -23_522_000)
    assert (report.accuracy_meters, report.confidence, report.status_byte, report.source) == (12.5, 3, None, "partner")
    assert (report.reported_at, report.published_at) == (NOON, NOON + timedelta(minutes=9))
    ((received_at, last_at),) = await rows_of(
        database,
        """SELECT b.received_at, t.last_report_received_at FROM ingestion.ingest_batches b, trackers.trackers t""",
    )
    assert report.received_at == received_at == last_at


async def test_a_sealed_report_is_opened_with_the_key_of_its_tracker(database: Database, tag: Tag) -> None:
    old, new = await add_key(database, tag), await add_key(database, tag)
    rows = [
        sealed(old, sealed_payload(old, at=NOON, accuracy=35, confidence=2, status=64)),
        sealed(new, sealed_payload(new, at=NOON + timedelta(hours=1), is_long=True), publishedAt=ago(minutes=1)),
    ]
    assert await sent(database, ndjson(*rows), sender_id=tag.operator_id) == (2, 0, 0)
    found = await rows_of(database, "SELECT * FROM trackers.location_reports ORDER BY reported_at")
    assert [report.subject for report in found] == [old.hashed_key, new.hashed_key]
    assert {(report.tracker_id, report.latitude_e7, report.longitude_e7) for report in found} == {
        (tag.id, 488_566_000, -23_522_000)
    }
    assert (found[0].accuracy_meters, found[0].confidence, found[0].status_byte, found[0].source) == (
        35,
        2,
        64,
        "find_my",
    )


async def test_a_repeat_changes_nothing_in_a_batch_or_a_later_one(database: Database, tag: Tag) -> None:
    rows = [sighting(tag, minutes=minute) for minute in (0, 1, 0, 2)]
    assert await sent(database, ndjson(*rows)) == (3, 1, 0)
    assert await sent(database, ndjson(*rows, sighting(tag, minutes=3))) == (1, 4, 0)
    assert len(await stored(database)) == 4


async def test_reports_of_one_time_at_two_places_are_two(database: Database, tag: Tag) -> None:
    rows = [sighting(tag), sighting(tag, latitude=48.8566001), sighting(tag, longitude=-2.3522001)]
    assert await sent(database, ndjson(*rows)) == (3, 0, 0)
    # Below what is kept of a degree there is no other place.
    assert await sent(database, ndjson(sighting(tag, latitude=48.85660004))) == (0, 1, 0)


async def test_the_same_reports_in_any_order_and_batching_come_to_the_same(database: Database) -> None:
    pictures: list[Sequence[Any]] = []
    # Any seed does: the orders differ, what comes of them does not.
    drawn = random.Random(3)
    for pieces in (1, 4, 30):
        tag = await add_tag(database)
        said = [
            sighting(tag, minutes=minute, latitude=latitude, accuracy=accuracy, confidence=confidence)
            for minute in (0, 7, 12, 50_000)
            for latitude in (48.8566, 48.8567)
            for accuracy, confidence in ((None, None), (20, 1), (10, None), (10, 2), (10, 1), (10.0000001, 3))
            # In the precision in which they are stored the last one is as exact as those before it.
        ]
        drawn.shuffle(said)
        for start in range(pieces):
            await sent(database, ndjson(*said[start::pieces]))
        pictures.append(await told_of(database, tag))
    assert pictures[0] == pictures[1] == pictures[2]
    assert len(pictures[0]) == 8
    assert {(row.accuracy_meters, row.confidence) for row in pictures[0]} == {(10, 3)}


async def told_of(database: Database, tag: Tag) -> Sequence[Any]:
    """The reports of a tracker, each with the fix that follows from it."""
    return await rows_of(
        database,
        """SELECT r.reported_at, r.latitude_e7, r.accuracy_meters, r.confidence, f.bucket, ST_AsText(f.position),
            f.accuracy_meters AS fix_accuracy, f.report_count
        FROM trackers.location_reports r LEFT JOIN trackers.location_fixes f
            ON f.tracker_id = r.tracker_id AND f.bucket = date_bin('10 minutes', r.reported_at, '2000-01-01Z')
        WHERE r.tracker_id = :tracker ORDER BY r.reported_at, r.latitude_e7""",
        tracker=tag.id,
    )


async def test_a_text_that_names_a_tracker_in_one_row_names_no_key_in_another(database: Database, tag: Tag) -> None:
    pair = await add_key(database, tag)
    rows = [
        sighting(tag),
        sealed(pair) | {"hashedKey": tag.public_id},
        sealed(pair),
        sighting(tag, minutes=1) | {"tracker": hashed(pair)},
    ]
    assert await sent(database, ndjson(*rows)) == (2, 0, 2)
    (of_key, said_of_key), (of_id, said_of_id) = await reasons(database)
    assert (of_key, of_id) == (2, 4)
    assert "`hashedKey` is not the base64 of 32 bytes" in said_of_key
    assert "not the id of a tracker" in said_of_id


@pytest.mark.parametrize("role", ["operator", "owner"])
async def test_operators_and_owners_may_report(database: Database, role: str) -> None:
    tag = await add_tag(database, role=role)
    assert await sent(database, ndjson(sighting(tag)), sender_id=tag.operator_id) == (1, 0, 0)


async def test_others_are_told_the_same_as_of_a_tracker_that_is_not_there(database: Database, tag: Tag) -> None:
    viewer = await add_tag(database, role="viewer")
    for sender_id in (viewer.operator_id, tag.operator_id):
        absent = Tag(new_id(), tag.client_id, tag.operator_id)
        assert await sent(database, ndjson(sighting(viewer), sighting(absent)), sender_id=sender_id) == (0, 0, 2)
    said = await reasons(database)
    assert [number for number, _ in said] == [1, 2, 1, 2]
    assert len({reason for _, reason in said}) == 1
    assert said[0][1].startswith(NO_SUCH_TRACKER)
    assert await stored(database) == []


async def test_two_workers_at_once_double_and_lose_nothing(database: Database, tag: Tag) -> None:
    others = [await add_tag(database) for _ in range(3)]
    batches = []
    for shift in range(4):
        rows = [sighting(of, minutes=minute) for of in (tag, *others) for minute in range(shift, shift + 20)]
        batches.append(await accepted(database, ndjson(*(rows if shift % 2 else reversed(rows)))))

    async def work(batch_id: Any) -> int:
        async with database.transaction() as transaction:
            done = await process_batch(transaction, HANDLERS, batch_id)
        assert done is not None
        return done.counts.accepted

    counts = await asyncio.gather(*(work(batch.id) for batch in batches))
    assert sum(counts) == len(await stored(database)) == 4 * 23


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"latitude": 91}, "`latitude` is “91”, and not between -90 and 90"),
        ({"latitude": -90.0000001}, "not between"),
        ({"longitude": 180.5}, "`longitude` is “180.5”"),
        ({"latitude": 0, "longitude": 0.00000004}, "(0, 0)"),
        ({"latitude": "48.1"}, "not a number of degrees"),
        ({"latitude": True}, "not a number of degrees"),
        ({"latitude": None}, "`latitude` is missing"),
        ({"reportedAt": "1901-12-13T20:45:52Z"}, "before the year 2000"),
        ({"reportedAt": ago(hours=-3)}, "in the future"),
        ({"reportedAt": ago(days=-1)}, "in the future"),
        ({"reportedAt": "2026-01-02T03:04:05"}, "lacks an offset"),
        ({"reportedAt": "2026-02-30T03:04:05Z"}, "does not exist"),
        ({"reportedAt": "0001-01-01T00:00:00+02:00"}, "does not exist"),
        ({"reportedAt": 1767323045}, "not a time such as"),
        ({"reportedAt": None}, "`reportedAt` is missing"),
        ({"publishedAt": ago(days=-1)}, "`publishedAt` is "),
        ({"accuracy": -1}, "`accuracy` is “-1”"),
        ({"accuracy": 100_001}, "not between 0 and 100000"),
        ({"accuracy": "5"}, "not a number of metres"),
        ({"confidence": 256}, "`confidence` is “256”"),
        ({"confidence": 1.5}, "`confidence` is “1.5”"),
        ({"source": "find_my"}, "`source` is “find_my”"),
        ({"source": []}, "`source` is a list"),
        ({"tracker": "dHI"}, "not the id of a tracker"),
        ({"tracker": public_id(PublicIdTag.ITEM, new_id())}, "not the id of a tracker"),
        ({"tracker": 5}, "`tracker` is “5”"),
        ({"tracker": None}, "Name the tracker"),
        ({"hashedKey": "A" * 43}, "one of them"),
        ({"tracker": None, "hashedKey": "AAAA"}, "not the base64 of 32 bytes"),
        ({"lattitude": 5}, "perhaps `latitude` was meant"),
        ({"padding": "x" * 20_000}, "longer than"),
    ],
)
async def test_a_bad_row_is_rejected_with_its_number_and_a_reason(
    database: Database, tag: Tag, changes: dict[str, object], says: str
) -> None:
    bad = {name: value for name, value in (sighting(tag) | changes).items() if value is not None or name == "latitude"}
    assert await sent(database, ndjson(sighting(tag), bad, sighting(tag, minutes=1))) == (2, 0, 1)
    ((number, reason),) = await reasons(database)
    assert number == 2
    assert says in reason
    assert reason.endswith(".")


@pytest.mark.parametrize(
    "line", [b"[]", b"{", b'{"latitude": NaN}', b'{"latitude": Infinity}', b"1", b"\x00", b'"\\ud800"']
)
async def test_what_is_no_json_object_is_rejected(database: Database, tag: Tag, line: bytes) -> None:
    assert await sent(database, b"\xef\xbb\xbf" + ndjson(sighting(tag)) + b"\r\n\n" + line) == (1, 0, 1)
    ((number, reason),) = await reasons(database)
    assert number == 3
    assert "JSON" in reason


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"latitude": NaN}', "holds NaN"),
        (b'{"latitude": -Infinity}', "holds -Infinity"),
        (b'{"latitude": NaN', "not valid JSON"),
        (b"[", "one whole JSON object a line"),
    ],
)
async def test_what_json_does_not_have_is_named_and_ndjson_explained(
    database: Database, tag: Tag, content: bytes, says: str
) -> None:
    assert await sent(database, content) == (0, 0, 1)
    ((_, reason),) = await reasons(database)
    assert says in reason


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("colour", "a row has accuracy, confidence, hashedKey, latitude, longitude, message, payload, "),
        ("payloads", "perhaps `payload` was meant"),
    ],
)
async def test_a_field_that_means_nothing_is_told_all_fields_of_rows(
    database: Database, tag: Tag, field: str, says: str
) -> None:
    assert await sent(database, ndjson(sighting(tag) | {field: "x"})) == (0, 0, 1)
    ((_, reason),) = await reasons(database)
    assert says in reason


async def test_a_number_beyond_all_bounds_is_no_place(database: Database, tag: Tag) -> None:
    row = ndjson(sighting(tag)).replace(b"48.8566", b"1e999")
    assert await sent(database, row) == (0, 0, 1)


async def test_the_ends_of_what_is_allowed_are_taken(database: Database, tag: Tag) -> None:
    rows = [
        sighting(tag, latitude=90, longitude=180, accuracy=0, confidence=255),
        sighting(tag, latitude=-90, longitude=-180, accuracy=100_000, confidence=0),
        sighting(tag, reportedAt="2000-01-01T00:00:00Z"),
        sighting(tag, reportedAt=ago(minutes=-4)),
        sighting(tag, reportedAt="2026-01-02t03:04:05.123456789+05:30"),
    ]
    assert await sent(database, ndjson(*rows)) == (5, 0, 0)


async def test_a_payload_that_cannot_be_opened_is_rejected(database: Database, tag: Tag) -> None:
    pair = await add_key(database, tag)
    payload = sealed_payload(pair)
    broken = payload[:-1] + bytes([payload[-1] ^ 1])
    off_curve = payload[:6] + bytes(56) + payload[62:]
    rows: list[Line] = [
        sealed(pair, payload[:87]),
        sealed(pair, broken),
        sealed(pair, off_curve),
        sealed(pair, sealed_payload(pair, at=utc_now() + timedelta(days=1))),
        sealed(pair, sealed_payload(pair, latitude=0, longitude=0)),
        sealed(pair, sealed_payload(pair, latitude=91)),
        sealed(pair, payload, latitude=5),
        sealed(pair, payload) | {"payload": 5},
        sealed(pair, payload) | {"payload": "%"},
        {"tracker": tag.public_id, "payload": base64.b64encode(payload).decode()},
    ]
    assert await sent(database, ndjson(*rows)) == (0, 0, len(rows))
    said = dict(await reasons(database))
    for number, words in enumerate(
        (
            "87 bytes",
            "tag",
            "curve",
            "The time inside of `payload`",
            "(0, 0)",
            "its latitude is 91.0",
            "`latitude` is no field of such a row",
            "base64",
            "base64",
            "no field",
        ),
        start=1,
    ):
        assert words in said[number]


async def test_a_batch_of_one_row_too_many_is_refused_as_a_whole(database: Database, tag: Tag) -> None:
    with pytest.raises(BadUserInput, match="50,001"):
        await accepted(database, ndjson(sighting(tag)) + b"\n{}" * MAXIMUM_ROWS)


async def test_an_unknown_key_is_kept_and_taken_in_once_a_tracker_has_it(database: Database, tag: Tag) -> None:
    pair = make_key_pair()
    plain = {name: value for name, value in sighting(tag, minutes=5).items() if name != "tracker"}
    rows = [sealed(pair), {**plain, "hashedKey": hashed(pair)}]
    assert await sent(database, ndjson(*rows, rows[0]), sender_id=tag.operator_id) == (2, 1, 0)
    assert await sent(database, ndjson(*rows), sender_id=tag.operator_id) == (0, 2, 0)
    assert await attached(database) == (0, 0, [])
    await add_key(database, tag, pair)
    assert await attached(database, limit=1) == (1, 1, [])
    assert await attached(database) == (1, 1, [])
    assert await attached(database) == (0, 0, [])
    assert {report.tracker_id for report in await stored(database)} == {tag.id}
    assert await orphan_count(database) == 0
    ((received_at,),) = await rows_of(database, "SELECT last_report_received_at FROM trackers.trackers")
    assert received_at is not None


async def test_orphans_of_somebody_who_may_not_report_the_tracker_wait_until_they_may(
    database: Database, tag: Tag
) -> None:
    pair = await add_key(database, tag)
    _, stranger_id = await add_client(database)
    row = ndjson(sealed(pair))
    assert await sent(database, row, sender_id=stranger_id) == (1, 0, 0)
    assert await attached(database) == (0, 0, [])
    # What a stranger sent before is in nobody's way.
    assert await sent(database, row, sender_id=tag.operator_id) == (1, 0, 0)
    async with database.transaction() as transaction:
        await transaction.connection.exec_driver_sql(
            f"UPDATE trackers.memberships SET client_id = '{tag.client_id}' WHERE user_id = '{stranger_id}'"
        )
    assert await attached(database) == (1, 0, [])
    assert await orphan_count(database) == 0


async def test_an_orphan_that_turns_out_to_be_broken_says_why(database: Database, tag: Tag) -> None:
    pair = make_key_pair()
    payload = sealed_payload(pair)
    assert await sent(database, ndjson(sealed(pair, payload[:-1] + bytes([payload[-1] ^ 1])))) == (1, 0, 0)
    await add_key(database, tag, pair)
    ((received_at,),) = await rows_of(database, "SELECT received_at FROM ingestion.ingest_batches")
    taken, count, (refused,) = await attached(database)
    assert (taken, count) == (1, 0)
    assert (refused.hashed_key, refused.received_at) == (pair.hashed_key, received_at)
    assert "tag of `payload`" in refused.reason
    assert await orphan_count(database) == 0


async def test_orphans_are_as_many_as_there_is_room_for(
    database: Database, tag: Tag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.trackers.commands.orphans.MOST_ORPHANS_OF_A_SENDER", 3)
    rows = [sealed(make_key_pair()) for _ in range(5)]
    assert await sent(database, ndjson(*rows[:2]), sender_id=tag.operator_id) == (2, 0, 0)
    assert await sent(database, ndjson(*rows), sender_id=tag.operator_id) == (1, 2, 2)
    assert [number for number, _ in await reasons(database)] == [4, 5]
    # Each sender has room of their own.
    async with database.transaction() as transaction:
        await transaction.connection.exec_driver_sql("SET LOCAL ROLE trove_migrator")
        other_id = await add_person(transaction.connection)
    assert await sent(database, ndjson(*rows[2:]), sender_id=other_id) == (3, 0, 0)


async def test_two_workers_at_once_attach_an_orphan_once(database: Database, tag: Tag) -> None:
    pairs = [make_key_pair() for _ in range(10)]
    assert await sent(database, ndjson(*(sealed(pair) for pair in pairs))) == (10, 0, 0)
    for pair in pairs:
        await add_key(database, tag, pair)
    outcomes = await asyncio.gather(*(attached(database) for _ in range(3)))
    assert sorted(outcome[:2] for outcome in outcomes) == [(0, 0), (0, 0), (10, 10)]
