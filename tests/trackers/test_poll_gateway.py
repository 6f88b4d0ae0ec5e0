"""The gateway is asked for the trackers that are due, each once, and nothing that it says or fails to say is lost."""

import asyncio
import base64
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import insert, select, text, update
from typer.testing import CliRunner

from app.cli.trackers import commands
from app.core.clock import utc_now
from app.core.database import Database
from app.core.public_addresses import PublicAddresses
from app.core.retrying import Retries
from app.core.settings import Settings
from app.ingestion.delivery import process_batches
from app.operations.models import JobRun, RunState
from app.providers.errors import ProviderDisabled
from app.providers.models import Provider
from app.trackers.find_my import KeyPair
from app.trackers.gateway import GatewayMissing, gateway_of
from app.trackers.models import Tracker, TrackerKey
from tests.conftest import environment_of
from tests.lock_waits import until_somebody_waits
from tests.operations.builders import Clock, look, runs, scheduler
from tests.prices.connectors.fakes import Asked, open_fake, said
from tests.providers.builders import answer, calls, provider_row
from tests.trackers.gateway import LOGIN, FakeGateway, found, gateway_at, poll, together
from tests.trackers.sending import HANDLERS, Tag, add_key, add_tag, hashed, reasons, rows_of, stored
from workers.scheduled import JOBS
from workers.settings import _jobs_of

NOW = utc_now().replace(microsecond=0)
SEEN = NOW - timedelta(hours=3)
LATER = timedelta(minutes=31)


@pytest.fixture
async def tag(database: Database) -> Tag:
    """A tracker."""
    return await add_tag(database)


@pytest.fixture
async def pair(database: Database, tag: Tag) -> KeyPair:
    """Its key."""
    return await add_key(database, tag)


@pytest.fixture
async def fake() -> AsyncIterator[FakeGateway]:
    """A gateway whose network has no reports yet."""
    async with open_fake(FakeGateway()) as opened:
        assert isinstance(opened, FakeGateway)
        yield opened


async def take_in(database: Database, batch_ids: list[UUID]) -> tuple[int, int, int]:
    """Process batches as a worker does: how many rows were accepted, known already, and rejected."""
    delivery = await process_batches(database, HANDLERS, batch_ids)
    return delivery.accepted, delivery.duplicates, delivery.rejected_count


async def change(database: Database, tag: Tag, **columns: Any) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Tracker).where(Tracker.id == tag.id).values(**columns))


async def asked_at(database: Database, tag: Tag) -> datetime | None:
    async with database.transaction() as transaction:
        return await transaction.connection.scalar(select(Tracker.last_report_requested_at).where(Tracker.id == tag.id))


async def batch_count(database: Database) -> int:
    ((count,),) = await rows_of(database, "SELECT count(*) FROM ingestion.ingest_batches")
    return int(count)


async def unblock(database: Database) -> None:
    """Let the pause go by that the gateway asked for."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Provider).values(blocked_until=None))


async def test_one_round_brings_the_reports_of_all_trackers_in(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway
) -> None:
    second, other = await add_key(database, tag), await add_tag(database)
    others = await add_key(database, other)
    minute = timedelta(minutes=1)
    fake.reports = [
        found(pair, at=SEEN, latitude=48.5, accuracy=12, confidence=3),
        found(second, at=SEEN + minute, is_long=True),
        # Without a time of publication, and long ago: the network forgets it, and so does the gateway.
        found(others, at=SEEN + 2 * minute, published_after=None),
        found(others, at=NOW - timedelta(days=8)),
    ]
    outcome = await poll(database, fake, at=NOW)
    assert (outcome.due, outcome.asked, outcome.failed, outcome.reports) == (2, 2, 0, 3)
    assert (outcome.failure, outcome.cut_short) == (None, None)
    assert {frozenset(keys) for keys in fake.asked_for} == {
        frozenset({hashed(pair), hashed(second)}),
        frozenset({hashed(others)}),
    }
    assert {json.loads(asked.body)["days"] for asked in fake.asked} == {7}
    assert await take_in(database, outcome.batch_ids) == (3, 0, 0)
    rows = await rows_of(database, "SELECT * FROM trackers.location_reports ORDER BY reported_at")
    assert [(row.tracker_id, row.subject, row.reported_at) for row in rows] == [
        (tag.id, pair.hashed_key, SEEN),
        (tag.id, second.hashed_key, SEEN + minute),
        (other.id, others.hashed_key, SEEN + 2 * minute),
    ]
    assert (rows[0].latitude_e7, rows[0].accuracy_meters, rows[0].confidence, rows[0].source) == (
        485_000_000,
        12,
        3,
        "find_my",
    )
    assert [row.published_at - row.reported_at for row in rows] == [7 * minute, 7 * minute, 0 * minute]
    trackers = await rows_of(database, "SELECT * FROM trackers.trackers")
    assert {row.last_report_requested_at for row in trackers} == {NOW}
    assert all(row.last_report_received_at is not None for row in trackers)
    senders = await rows_of(database, "SELECT sender_id FROM ingestion.ingest_batches")
    assert [row.sender_id for row in senders] == [None, None]
    assert [(call.provider, call.endpoint, call.status) for call in await calls(database)] == [
        ("find-my-gateway", "reports", 200)
    ] * 2


async def test_an_answer_that_says_the_same_again_changes_nothing(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway
) -> None:
    fake.reports = [found(pair, at=SEEN), found(pair, at=SEEN + timedelta(minutes=1))]
    first = await poll(database, fake, at=NOW)
    assert await take_in(database, first.batch_ids) == (2, 0, 0)
    before = await stored(database)
    assert (await poll(database, fake, at=NOW)).due == 0
    # In another order, and each twice: it is the same batch.
    results = [*fake.reports, *fake.reports]
    fake.instead = lambda asked: together(results)
    second = await poll(database, fake, at=NOW + LATER)
    assert (second.asked, second.reports, second.batch_ids) == (1, 0, [])
    assert (await stored(database), await batch_count(database)) == (before, 1)
    results.append(found(pair, at=SEEN + timedelta(minutes=2)))
    third = await poll(database, fake, at=NOW + 2 * LATER)
    assert await take_in(database, third.batch_ids) == (1, 2, 0)


QUIET = {"created_at": NOW - timedelta(days=30), "last_report_received_at": NOW - timedelta(days=15)}
# When it was asked for, in minutes ago; what else is known of it; whether it is due; whether a new key makes it so.
TRACKERS: list[tuple[int | None, dict[str, datetime], bool, bool]] = [
    (None, {}, True, True),
    (29, {}, False, False),
    (30, {}, True, True),
    (None, {"retired_at": NOW}, False, False),
    (None, QUIET, True, True),
    (31, QUIET, False, True),
    (5 * 60, {"created_at": NOW - timedelta(days=15)}, False, True),
    (6 * 60, {"created_at": NOW - timedelta(days=15)}, True, True),
    (31, QUIET | {"last_report_received_at": NOW - timedelta(days=13)}, True, True),
]


async def test_a_tracker_is_due_after_its_interval_which_is_longer_where_nobody_reports_it(
    database: Database, fake: FakeGateway
) -> None:
    tags = [await add_tag(database) for _ in TRACKERS]

    async def ask_all() -> list[bool]:
        """Whether each of the trackers is asked for, by its keys so far."""
        for tag, (minutes_ago, columns, *_) in zip(tags, TRACKERS, strict=True):
            before = None if minutes_ago is None else NOW - timedelta(minutes=minutes_ago)
            await change(database, tag, last_report_requested_at=before, **columns)
        fake.asked.clear()
        await poll(database, fake, at=NOW)
        asked = {key for keys in fake.asked_for for key in keys}
        return [hashed(pair) in asked for pair in pairs]

    pairs = [await add_key(database, tag) for tag in tags]
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(TrackerKey).values(created_at=NOW - timedelta(days=20)))
    assert await ask_all() == [is_due for _, _, is_due, _ in TRACKERS]
    for tag in tags:
        await add_key(database, tag)
    assert await ask_all() == [is_due for *_, is_due in TRACKERS]


async def test_who_was_asked_for_longest_ago_comes_first_and_who_has_no_key_in_use_does_not_come(
    database: Database, fake: FakeGateway
) -> None:
    order: list[str] = []
    for hours in (2, 5, 3, None):
        tag = await add_tag(database)
        pair = await add_key(database, tag)
        await change(database, tag, last_report_requested_at=None if hours is None else NOW - timedelta(hours=hours))
        order.append(hashed(pair))
    await add_tag(database)
    retired = await add_key(database, await add_tag(database))
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(TrackerKey).where(TrackerKey.hashed_key == retired.hashed_key).values(retired_at=NOW)
        )
    assert (await poll(database, fake, at=NOW)).due == 4
    assert fake.asked_for == [[order[place]] for place in (3, 1, 2, 0)]


async def test_a_tracker_with_many_keys_is_asked_for_by_several_questions_and_makes_one_batch(
    database: Database, tag: Tag, fake: FakeGateway
) -> None:
    pairs = [await add_key(database, tag) for _ in range(45)]
    fake.reports = [found(pair, at=SEEN + timedelta(seconds=number)) for number, pair in enumerate(pairs)]
    outcome = await poll(database, fake, at=NOW)
    assert [len(keys) for keys in fake.asked_for] == [20, 20, 5]
    assert {key for keys in fake.asked_for for key in keys} == {hashed(pair) for pair in pairs}
    assert len(outcome.batch_ids) == 1
    assert await take_in(database, outcome.batch_ids) == (45, 0, 0)


HTML = answer(b"<html>Bad Gateway</html>", headers="Content-Type: text/html\r\n")
FAULTS = {
    "a page": (HTML, "answered something that is not JSON"),
    "a failure": (answer(b"{}", status="500 Internal Server Error"), "status 500"),
    "a refusal for a while": (answer(b"", status="429 Slow", headers="Retry-After: 600\r\n"), "status 429"),
    "a refusal without a time": (answer(b"", status="429 Slow"), "status 429"),
    "another login": (answer(b"", status="401 Unauthorized"), "status 401"),
    "JSON that is cut": (said('{"results": [{"id": "'), "not JSON"),
    "an answer that is cut": (answer(b'{"results": []}', length=5_000), "not HTTP"),
    "nothing at all": (b" ", "not HTTP"),
    "a list": (said([]), "without a list of results"),
    "no results": (said({"statusCode": "200"}), "without a list of results"),
    "results that are no list": (said({"results": {"id": 1}}), "without a list of results"),
    "a failure of the network": (said({"results": [], "statusCode": "401"}), "by its statusCode that it failed"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_a_gateway_fails_to_answer_is_asked_again(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway, log: io.StringIO, name: str
) -> None:
    fault, told = FAULTS[name]
    fake.reports = [found(pair, at=SEEN)]
    fake.faults = [fault]
    failed = await poll(database, fake, at=NOW)
    assert (failed.asked, failed.failed, failed.reports) == (1, 1, 0)
    assert failed.first_failure is not None
    assert told in failed.first_failure
    assert failed.failure == f"All 1 questions failed, the first so: {failed.first_failure}"
    assert ((await provider_row(database)).blocked_until is not None) is name.startswith("a refusal")
    await unblock(database)
    again = await poll(database, fake, at=NOW + LATER)
    assert await take_in(database, again.batch_ids) == (1, 0, 0)
    logged = log.getvalue()
    assert "gateway_question_failed" in logged
    for secret in (hashed(pair), LOGIN, base64.b64encode(LOGIN.encode()).decode(), fake.reports[0]["payload"]):
        assert secret not in logged
        assert secret not in repr(failed)


async def test_a_question_that_fails_in_passing_is_asked_again_at_once(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway
) -> None:
    fake.reports = [found(pair, at=SEEN)]
    fake.faults = [b" ", answer(b"", status="502 Bad Gateway")]
    outcome = await poll(database, fake, at=NOW, retries=Retries(first_seconds=0.01))
    assert (outcome.failed, outcome.reports) == (0, 1)
    assert [call.status for call in await calls(database)] == [None, 502, 200]


ODD_RESULTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a text": lambda good: "report",
    "nothing": lambda good: None,
    "no key": lambda good: {**good, "id": None},
    "a key that is none": lambda good: {**good, "id": "!"},
    "a short key": lambda good: {**good, "id": base64.b64encode(b"short").decode()},
    "no payload": lambda good: {**good, "payload": None},
    "an endless payload": lambda good: {**good, "payload": "A" * 2_000},
}


async def test_what_is_no_report_is_counted_and_the_others_go_in(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway, log: io.StringIO
) -> None:
    good, strange = found(pair, at=SEEN), found(await add_key(database, await retired_tag(database)), at=SEEN)
    other = found(pair, at=SEEN + timedelta(minutes=1))
    url_safe = {**other, "id": base64.urlsafe_b64encode(pair.hashed_key).decode().rstrip("=")}
    odd = [make(good) for make in ODD_RESULTS.values()]
    results = [*odd, good, strange, url_safe, other]
    fake.instead = lambda asked: said({"results": results})
    outcome = await poll(database, fake, at=NOW)
    assert (outcome.failed, outcome.reports, outcome.unreadable, outcome.foreign) == (0, 2, len(ODD_RESULTS), 1)
    assert await take_in(database, outcome.batch_ids) == (2, 0, 0)
    assert {row.tracker_id for row in await stored(database)} == {tag.id}
    logged = log.getvalue()
    assert "gateway_answer_odd" in logged
    assert not [secret for secret in (good["id"], strange["id"], good["payload"]) if secret in logged]


async def retired_tag(database: Database) -> Tag:
    """A tracker that is not asked for."""
    tag = await add_tag(database)
    await change(database, tag, retired_at=NOW)
    return tag


async def test_a_report_whose_publication_makes_no_sense_is_one_all_the_same(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway
) -> None:
    tomorrow = (NOW.timestamp() + 86_400) * 1000
    odd: list[object] = ["yesterday", None, True, [], -5, 0, 1_000_000, 1e300, 10**18, tomorrow]
    results = [
        {**found(pair, at=SEEN + timedelta(seconds=number)), "datePublished": published}
        for number, published in enumerate(odd)
    ]
    fake.instead = lambda asked: together(results)
    outcome = await poll(database, fake, at=NOW)
    assert await take_in(database, outcome.batch_ids) == (len(odd), 0, 0)
    rows = await rows_of(database, "SELECT published_at FROM trackers.location_reports")
    assert {row.published_at for row in rows} == {None}


async def test_payloads_that_are_no_reports_are_rejected_with_their_reasons_once_a_day(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway
) -> None:
    good = found(pair, at=SEEN)
    payload = base64.b64decode(good["payload"])
    broken = payload[:-1] + bytes([payload[-1] ^ 1])
    bad = [{**good, "payload": base64.b64encode(odd).decode()} for odd in (payload[:87], broken)]
    fake.instead = lambda asked: together([*bad, good])
    outcome = await poll(database, fake, at=NOW)
    assert await take_in(database, outcome.batch_ids) == (1, 0, 2)
    told = {reason for _, reason in await reasons(database)}
    assert {reason.partition(" ")[0] for reason in told} == {"`payload`", "The"}
    ((received_at,),) = await rows_of(database, "SELECT received_at FROM ingestion.ingest_batches")
    evening = received_at.replace(hour=23, minute=59)
    for days, batches in ((0, 1), (1, 2), (1, 2), (2, 3)):
        await change(database, tag, last_report_requested_at=None)
        again = await poll(database, fake, at=evening + timedelta(days=days))
        assert await batch_count(database) == batches, days
        await take_in(database, again.batch_ids)


async def test_a_batch_that_was_given_up_is_tried_again(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway
) -> None:
    fake.reports = [found(pair, at=SEEN)]
    await poll(database, fake, at=NOW)
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("UPDATE ingestion.ingest_batches SET status = 'failed'"))
    again = await poll(database, fake, at=NOW + LATER)
    assert await take_in(database, again.batch_ids) == (1, 0, 0)


async def test_ten_megabytes_of_results_are_all_kept(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway
) -> None:
    results = [
        {"id": hashed(pair), "payload": base64.b64encode(os.urandom(88)).decode(), "description": "x" * 50}
        for _ in range(41_000)
    ]
    content = together(results)
    assert len(content) > 10_000_000
    fake.instead = lambda asked: content
    outcome = await poll(database, fake, at=NOW)
    assert (outcome.failed, outcome.reports) == (0, len(results))
    ((rows,),) = await rows_of(database, "SELECT sum(row_count) FROM ingestion.ingest_batches")
    assert rows == len(results)


async def test_two_workers_at_once_ask_for_each_tracker_once(database: Database, fake: FakeGateway) -> None:
    pairs = [await add_key(database, await add_tag(database)) for _ in range(6)]
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("SELECT FROM trackers.trackers FOR UPDATE"))
        workers = [asyncio.create_task(poll(database, fake, at=NOW)) for _ in range(2)]
        await until_somebody_waits(database, count=2)
    outcomes = await asyncio.gather(*workers)
    assert [outcome.due for outcome in outcomes] == [6, 6]
    assert sum(outcome.asked for outcome in outcomes) == 6
    assert sorted(fake.asked_for) == sorted([hashed(pair)] for pair in pairs)


async def test_what_is_lost_with_the_process_is_asked_for_again(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway, trove_settings: Settings
) -> None:
    fake.reports = [found(pair, at=SEEN)]
    answered = asyncio.Event()

    def answering(asked: Asked) -> bytes:
        answered.set()
        return fake.answers(asked)

    fake.instead = answering
    async with database.transaction() as transaction:
        # The answer is there by the time that the batch is to be written.
        await transaction.connection.execute(text("LOCK TABLE ingestion.ingest_batches IN SHARE MODE"))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "app.cli.main", "trackers", "poll"),
            env=environment_of(trove_settings) | variables(fake.port),
        )
        try:
            async with asyncio.timeout(60):
                await answered.wait()
            await until_somebody_waits(database)
        finally:
            process.kill()
            await process.wait()
    assert (len(fake.asked), await batch_count(database)) == (1, 0)
    before = await asked_at(database, tag)
    assert before is not None
    assert (await poll(database, fake, at=before + timedelta(minutes=29))).due == 0
    again = await poll(database, fake, at=before + LATER)
    assert await take_in(database, again.batch_ids) == (1, 0, 0)


def variables(port: int) -> dict[str, str]:
    """The settings of a gateway on loopback, as the environment has them."""
    return {
        "TROVE_TRACKER_GATEWAY_URL": f"http://127.0.0.1:{port}",
        "TROVE_TRACKER_GATEWAY_LOGIN": LOGIN,
        "TROVE_TRACKER_GATEWAY_IS_PRIVATE": "true",
    }


async def test_a_gateway_that_is_away_ends_the_round_and_the_next_one_begins_with_the_others(
    database: Database, fake: FakeGateway
) -> None:
    pairs = [await add_key(database, await add_tag(database)) for _ in range(5)]
    fake.reports = [found(pair, at=SEEN) for pair in pairs]
    fake.faults = [HTML] * 3
    failed = await poll(database, fake, at=NOW)
    assert (failed.due, failed.asked, failed.failed) == (5, 3, 3)
    assert failed.cut_short is not None
    assert failed.cut_short.startswith("The gateway failed 3 times in a row; at last: 127.0.0.1:")
    again = await poll(database, fake, at=NOW + timedelta(minutes=5))
    assert (again.due, again.asked, again.reports) == (2, 2, 2)
    last = await poll(database, fake, at=NOW + LATER)
    assert (last.due, last.reports) == (3, 3)


async def test_what_the_gateway_cannot_answer_for_stops_nobody_else(database: Database, fake: FakeGateway) -> None:
    pairs = [await add_key(database, await add_tag(database)) for _ in range(6)]
    fake.reports = [found(pair, at=SEEN) for pair in pairs]
    fake.faults = [HTML, HTML, b"", HTML, HTML]
    outcome = await poll(database, fake, at=NOW)
    assert (outcome.asked, outcome.failed, outcome.reports, outcome.cut_short) == (6, 4, 2, None)
    assert outcome.failure is None


async def test_who_was_not_asked_for_because_the_gateway_is_to_be_left_alone_is_due_still(
    database: Database, fake: FakeGateway
) -> None:
    tags = [await add_tag(database) for _ in range(3)]
    for tag in tags:
        await add_key(database, tag)
    earlier = NOW - timedelta(hours=2)
    await change(database, tags[2], last_report_requested_at=earlier)
    fake.faults = [answer(b"", status="429 Slow", headers="Retry-After: 600\r\n")]
    outcome = await poll(database, fake, at=NOW)
    assert (outcome.asked, outcome.failed, len(fake.asked)) == (1, 1, 1)
    assert outcome.cut_short is not None
    assert "find-my-gateway" in outcome.cut_short
    assert sorted([await asked_at(database, tag) for tag in tags], key=str) == [earlier, NOW, None]
    busy = await poll(database, fake, at=NOW)
    assert (busy.asked, busy.failure) == (0, f"Nothing was asked: {busy.cut_short}")


async def test_a_gateway_that_staff_turned_off_is_not_asked(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway
) -> None:
    await poll(database, fake, at=NOW)
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Provider).values(is_enabled=False, request_count=7))
    with pytest.raises(ProviderDisabled):
        await poll(database, fake, at=NOW + LATER)
    assert (len(fake.asked), await asked_at(database, tag)) == (1, NOW)


async def test_the_row_of_the_gateway_follows_its_address_and_keeps_its_pace(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway
) -> None:
    async with open_fake(FakeGateway()) as other:
        await poll(database, other, at=NOW)
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Provider).values(request_count=7))
    await poll(database, fake, at=NOW + LATER)
    row = await provider_row(database)
    assert (row.code, row.base_url, row.request_count) == ("find-my-gateway", f"http://127.0.0.1:{fake.port}", 7)
    assert len(fake.asked) == 1


async def test_a_gateway_of_the_own_network_is_asked_only_where_the_settings_say_so(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway
) -> None:
    outcome = await poll(database, fake, at=NOW, gateway=gateway_at(fake.port, is_private=False))
    assert outcome.first_failure == f"127.0.0.1:{fake.port} has an address that is not public."
    assert fake.asked == []
    public = PublicAddresses(is_allowed=lambda address: True)
    again = await poll(
        database, fake, at=NOW + LATER, gateway=gateway_at(fake.port, is_private=False), addresses=public
    )
    assert (again.failed, len(fake.asked)) == (0, 1)


@pytest.mark.parametrize(
    ("url", "is_private", "is_allowed"),
    [
        ("https://gateway.example", False, True),
        ("https://gateway.example:8443/finder", False, True),
        ("http://gateway.example", False, False),
        ("http://127.0.0.1:6176", False, False),
        ("http://gateway:6176", True, True),
        ("https://gateway", True, True),
        ("ftp://gateway", True, False),
        ("gateway", True, False),
        ("https://", False, False),
        ("https://trove:very-secret@gateway.example", False, False),
        ("https://gateway.example/?key=very-secret", False, False),
    ],
)
def test_the_address_of_a_gateway_is_secure_or_private(url: str, is_private: bool, is_allowed: bool) -> None:
    if is_allowed:
        gateway = gateway_of(Settings(tracker_gateway_url=url, tracker_gateway_is_private=is_private))
        assert gateway is not None
        assert (gateway.url, gateway.is_private) == (url, is_private)
        return
    with pytest.raises(ValidationError, match="must begin with https://") as refusal:
        Settings(tracker_gateway_url=url, tracker_gateway_is_private=is_private)
    assert "very-secret" not in str(refusal.value)


@pytest.mark.parametrize("login", ["very-secret", ":very-secret", "trove:very-secret\n", ""])
def test_a_login_that_is_none_is_refused_and_shown_to_nobody(login: str) -> None:
    with pytest.raises(ValidationError, match="user:password") as refusal:
        Settings(tracker_gateway_login=SecretStr(login))
    assert "very-secret" not in str(refusal.value)
    settings = Settings(tracker_gateway_url="https://x.example", tracker_gateway_login=SecretStr(LOGIN))
    assert "very-secret" not in f"{settings!r} {gateway_of(settings)!r}"


async def test_the_job_asks_and_tells_what_came_of_it(
    database: Database, tag: Tag, pair: KeyPair, fake: FakeGateway, trove_settings: Settings
) -> None:
    settings = with_gateway(trove_settings, fake)
    fake.reports = [found(pair, at=SEEN)]
    jobs = [job for job in JOBS if job.name == "poll-gateway"]
    async with scheduler(database, settings, Clock(utc_now()), jobs) as worker:
        for fault in (b"", answer(b"", status="401 Unauthorized")):
            fake.faults = [fault]
            await change(database, tag, last_report_requested_at=None)
            async with database.transaction() as transaction:
                await transaction.connection.execute(insert(JobRun).values(job=jobs[0].name))
            await look(worker)
    succeeded, failed = await runs(database)
    assert (succeeded.state, succeeded.error) == (RunState.SUCCEEDED, None)
    assert succeeded.result == {
        "due": 1,
        "asked": 1,
        "failed": 0,
        "reports": 1,
        "foreign": 0,
        "unreadable": 0,
        "batches": 1,
        "cutShort": None,
    }
    assert (failed.state, failed.result["failed"]) == (RunState.FAILED, 1)
    assert failed.error.startswith("All 1 questions failed, the first so: 127.0.0.1:")


async def test_the_job_without_a_gateway_says_what_is_missing(database: Database, trove_settings: Settings) -> None:
    jobs = [job for job in JOBS if job.name == "poll-gateway"]
    async with scheduler(database, trove_settings, Clock(utc_now()), jobs) as worker:
        async with database.transaction() as transaction:
            await transaction.connection.execute(insert(JobRun).values(job=jobs[0].name))
        await look(worker)
    (run,) = await runs(database)
    assert (run.state, run.error) == (RunState.FAILED, GatewayMissing().message)


@pytest.mark.parametrize(
    ("asks_outside", "url", "is_enabled"),
    [(True, "https://gateway.example", True), (True, None, False), (False, "https://gateway.example", False)],
)
def test_the_job_is_enabled_where_there_is_a_gateway(asks_outside: bool, url: str | None, is_enabled: bool) -> None:
    settings = Settings(asks_outside=asks_outside, tracker_gateway_url=url)
    assert {job.name: job.is_enabled for job in _jobs_of(settings)}["poll-gateway"] is is_enabled


def with_gateway(settings: Settings, fake: FakeGateway) -> Settings:
    """The settings with this gateway."""
    return settings.model_copy(
        update={
            "tracker_gateway_url": f"http://127.0.0.1:{fake.port}",
            "tracker_gateway_login": SecretStr(LOGIN),
            "tracker_gateway_is_private": True,
        }
    )


async def test_the_command_does_one_round_and_takes_in_what_came(
    database: Database,
    tag: Tag,
    pair: KeyPair,
    fake: FakeGateway,
    trove_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = trove_settings
    monkeypatch.setattr("app.cli.trackers.current_settings", lambda: settings)
    without = await asyncio.to_thread(CliRunner().invoke, commands, ["poll"])
    assert isinstance(without.exception, GatewayMissing)
    settings = with_gateway(trove_settings, fake)
    fake.reports = [found(pair, at=SEEN)]
    done = await asyncio.to_thread(CliRunner().invoke, commands, ["poll"])
    assert (done.exit_code, done.output.splitlines()) == (
        0,
        ["1 trackers were due: 1 asked for, 0 failed", "1 reports: 1 accepted, 0 duplicates, 0 rejected"],
    )
    assert [row.tracker_id for row in await stored(database)] == [tag.id]
    await change(database, tag, last_report_requested_at=None)
    fake.instead = lambda asked: HTML
    failed = await asyncio.to_thread(CliRunner().invoke, commands, ["poll"])
    assert failed.exit_code == 1
    assert "answered something that is not JSON" in failed.output
