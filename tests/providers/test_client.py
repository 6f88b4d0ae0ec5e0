"""A provider is asked in time, kept in mind, and whatever it answers comes to a clear outcome that the ledger knows."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from decimal import Decimal
from typing import Any

import brotli
import httpx
import pytest
from sqlalchemy import update

from app.core.database import Database
from app.core.ids import new_id
from app.core.outbound import OutsideFailure, OutsideServiceFailed, client_options
from app.core.retrying import ONCE, Retries
from app.providers.client import LARGEST_ANSWER_BYTES, ProviderClient, Question, provider_http
from app.providers.errors import ProviderBusy
from app.providers.models import ProviderLookup
from tests.core.mail_builders import server_that
from tests.providers.builders import CODE, add_provider, answer, calls, open_shop, provider_row

PRICES = Question(endpoint="prices", path="/v1/prices", params={"app": "730"})
AT_ONCE = Retries(attempts=3, first_seconds=0.01)


@asynccontextmanager
async def client_of(
    database: Database, port: int, *, retries: Retries = ONCE, patience: float = 20, **columns: Any
) -> AsyncIterator[ProviderClient]:
    """A client of a provider that listens there."""
    await add_provider(database, port, **columns)
    async with provider_http() as http:
        yield ProviderClient(database, CODE, http, retries=retries, patience_seconds=patience)


async def failure_of(client: ProviderClient, question: Question = PRICES) -> OutsideServiceFailed:
    """How a question fails."""
    with pytest.raises(OutsideServiceFailed) as failed:
        await client.ask_json(question)
    return failed.value


async def test_an_answer_comes_back_and_the_provider_sees_who_asks(database: Database) -> None:
    async with open_shop(answer(b'{"price": "1.50"}')) as shop, client_of(database, shop.port) as client:
        assert await client.ask_json(PRICES) == {"price": "1.50"}
    (asked,) = shop.asked
    assert asked.startswith(b"GET /v1/prices?app=730 HTTP/1.1\r\n")
    assert b"\r\nUser-Agent: Trove/" in asked
    assert b"\r\nAccept: application/json\r\n" in asked
    (call,) = await calls(database)
    assert (call.endpoint, call.status, call.error) == ("prices", 200, None)
    assert call.ended_at is not None


async def test_the_call_stands_in_the_ledger_before_the_provider_is_asked(database: Database) -> None:
    seen: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        seen.extend(await calls(database))
        writer.write(answer())
        await writer.drain()

    async with server_that(serve) as port, client_of(database, port) as client:
        await client.ask_json(PRICES)
    (call,) = seen
    assert (call.endpoint, call.ended_at) == ("prices", None)


@pytest.mark.parametrize(
    ("said", "failure", "status"),
    [
        (answer(status="429 Slow Down"), OutsideFailure.REFUSED, 429),
        (answer(status="500 Oh No"), OutsideFailure.REFUSED, 500),
        (answer(status="404 Not Here"), OutsideFailure.REFUSED, 404),
        (answer(b"<!doctype html><title>One moment</title>"), OutsideFailure.NOT_JSON, 200),
        (answer(b""), OutsideFailure.NOT_JSON, 200),
        (answer(gzip.compress(b"{}", mtime=0)), OutsideFailure.NOT_JSON, 200),
        (answer(b'{"half":', length=1000), OutsideFailure.NOT_HTTP, 200),
        (
            answer(gzip.compress(b'{"a": 1}', mtime=0)[:-9], headers="Content-Encoding: gzip\r\n"),
            OutsideFailure.NOT_HTTP,
            200,
        ),
        (answer(b"{}", headers="Content-Encoding: gzip\r\n"), OutsideFailure.NOT_HTTP, 200),
        (answer(b"{}", headers="Content-Encoding: br\r\n"), OutsideFailure.NOT_HTTP, 200),
        (answer(b"{}", headers="Content-Encoding: zstd\r\n"), OutsideFailure.NOT_HTTP, 200),
        (answer(brotli.compress(b'{"a": 1}')[:-2], headers="Content-Encoding: br\r\n"), OutsideFailure.NOT_HTTP, 200),
        (
            answer(gzip.compress(b" " * (LARGEST_ANSWER_BYTES + 1), mtime=0), headers="Content-Encoding: gzip\r\n"),
            OutsideFailure.TOO_LARGE,
            200,
        ),
        (
            answer(brotli.compress(b" " * (LARGEST_ANSWER_BYTES + 1), quality=1), headers="Content-Encoding: br\r\n"),
            OutsideFailure.TOO_LARGE,
            200,
        ),
        (b"220 shop.test ESMTP\r\n", OutsideFailure.NOT_HTTP, None),
        (b"", OutsideFailure.NOT_HTTP, None),
    ],
    ids=[
        "429",
        "500",
        "404",
        "HTML",
        "nothing",
        "gzip though not declared",
        "cut in the middle",
        "gzip cut in the middle",
        "declared gzip and is not",
        "declared brotli and is not",
        "compressed in another way",
        "brotli cut in the middle",
        "a gzip bomb",
        "a brotli bomb",
        "no HTTP",
        "hangs up",
    ],
)
async def test_a_bad_answer_is_a_failure_that_the_ledger_knows(
    database: Database, said: bytes, failure: OutsideFailure, status: int | None
) -> None:
    async with open_shop(said) as shop, client_of(database, shop.port) as client:
        failed = await failure_of(client)
    assert failed.failure is failure
    (call,) = await calls(database)
    assert (call.status, call.error) == (status, failure.value)
    assert call.ended_at is not None


async def test_gzip_that_is_declared_is_read(database: Database) -> None:
    said = answer(gzip.compress(b'{"price": 1}', mtime=0), headers="Content-Encoding: gzip\r\n")
    async with open_shop(said) as shop, client_of(database, shop.port) as client:
        assert await client.ask_json(PRICES) == {"price": 1}
    assert b"\r\nAccept-Encoding: gzip\r\n" in shop.asked[0]


async def test_brotli_is_read_where_it_is_asked_for(database: Database) -> None:
    content = b'{"price": [' + b"1, " * 1_000_000 + b"2]}"
    question = Question(endpoint="items", path="/v1/items", headers={"Accept-Encoding": "br"})
    said = answer(brotli.compress(content, quality=1), headers="Content-Encoding: br\r\n")
    async with open_shop(said) as shop, client_of(database, shop.port) as client:
        assert await client.ask(question) == content
    assert b"\r\nAccept-Encoding: br\r\n" in shop.asked[0]


async def test_numbers_are_decimals_where_digits_count(database: Database) -> None:
    said = answer(b'{"price": 1234567.123456789012345678, "count": 3, "odd": 1e-9}')
    async with open_shop(said) as shop, client_of(database, shop.port) as client:
        assert await client.ask_exact_json(PRICES) == {
            "price": Decimal("1234567.123456789012345678"),
            "count": Decimal(3),
            "odd": Decimal("1e-9"),
        }


@pytest.mark.parametrize("said", [b'{"price": NaN}', b'{"price": -Infinity}', b"[" * 100_000, b"\xff", b"<p>", b""])
async def test_what_is_no_json_gives_no_decimals(database: Database, said: bytes) -> None:
    async with open_shop(answer(said)) as shop, client_of(database, shop.port) as client:
        with pytest.raises(OutsideServiceFailed, match="not JSON"):
            await client.ask_exact_json(PRICES)


async def test_an_answer_that_drips_ends(database: Database) -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)

    async with server_that(drip) as port:
        await add_provider(database, port)
        async with httpx.AsyncClient(**client_options(total_seconds=0.4)) as http:
            failed = await failure_of(ProviderClient(database, CODE, http, retries=ONCE))
    assert failed.failure is OutsideFailure.TIMED_OUT
    (call,) = await calls(database)
    assert (call.status, call.error) == (200, "did not answer in time")


async def test_a_redirect_is_not_followed_wherever_it_leads(database: Database) -> None:
    async with open_shop() as private:
        moved = answer(status="302 Found", headers=f"Location: http://127.0.0.1:{private.port}/\r\n")
        async with open_shop(moved) as shop, client_of(database, shop.port) as client:
            assert (await failure_of(client)).failure is OutsideFailure.REFUSED
        assert private.asked == []
    assert [call.status for call in await calls(database)] == [302]


async def test_a_refusal_for_the_pace_stops_everybody(database: Database) -> None:
    said = (answer(status="429 Slow Down"), answer())
    async with (
        open_shop(*said) as shop,
        client_of(database, shop.port, patience=5, pause_seconds=3600) as client,
        provider_http() as http,
    ):
        await failure_of(client)
        other = ProviderClient(database, CODE, http, patience_seconds=5)
        for blocked in (client, other):
            with pytest.raises(ProviderBusy) as busy:
                await blocked.ask_json(PRICES)
            assert 3590 <= (busy.value.retry_after_seconds or 0) <= 3600
    assert len(shop.asked) == 1
    assert len(await calls(database)) == 1


async def test_a_question_waits_out_a_short_pause_and_is_asked_again(database: Database) -> None:
    said = (answer(status="429 Slow Down", headers="Retry-After: 1\r\n"), answer(b"[1]"))
    async with open_shop(*said) as shop, client_of(database, shop.port, retries=AT_ONCE) as client:
        assert await client.ask_json(PRICES) == [1]
    first, second = await calls(database)
    assert [first.status, second.status] == [429, 200]
    assert second.started_at - first.ended_at >= timedelta(seconds=1)


@pytest.mark.parametrize(
    ("said", "statuses"),
    [
        (answer(status="503 Away"), [503, 503, 200]),
        (b"", [None, None, 200]),
        (answer(b'{"half":', length=1000), [200, 200, 200]),
    ],
    ids=["503", "hangs up", "cut in the middle"],
)
async def test_what_passes_is_tried_again(database: Database, said: bytes, statuses: list[int | None]) -> None:
    async with open_shop(said, said, answer()) as shop, client_of(database, shop.port, retries=AT_ONCE) as client:
        assert await client.ask_json(PRICES) == {}
    assert [call.status for call in await calls(database)] == statuses


async def test_what_does_not_pass_is_not_tried_again(database: Database) -> None:
    for number, said in enumerate((answer(status="403 No"), answer(b"<p>"))):
        code_of_its_own = {"code": f"shop-{number}"}
        async with open_shop(said) as shop, provider_http() as http:
            await add_provider(database, shop.port, **code_of_its_own)
            await failure_of(ProviderClient(database, code_of_its_own["code"], http, retries=AT_ONCE))
            assert len(shop.asked) == 1


async def test_what_changes_something_is_asked_once_and_what_only_asks_again(database: Database) -> None:
    change = Question(endpoint="order", path="/order", method="POST", body={"query": "{ a }"})
    read = Question(endpoint="media", path="/", method="POST", body={"query": "{ a }"}, is_idempotent=True)
    away = answer(status="503 Away")
    async with open_shop(away) as shop, client_of(database, shop.port, retries=AT_ONCE) as client:
        await failure_of(client, change)
        assert len(shop.asked) == 1
        await failure_of(client, read)
        assert len(shop.asked) == 4
    assert b"\r\nContent-Type: application/json\r\n" in shop.asked[0]


async def test_a_question_that_is_cancelled_goes_on_counting(database: Database) -> None:
    arrived = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()

    async with server_that(silent) as port, client_of(database, port, request_count=1, patience=0.2) as client:
        asking = asyncio.create_task(client.ask_json(PRICES))
        await arrived.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        with pytest.raises(ProviderBusy):
            await client.ask_json(PRICES)
    (call,) = await calls(database)
    assert call.ended_at is None


KEPT = Question(endpoint="prices", path="/v1/prices", kept_for=timedelta(hours=1))


async def expire(database: Database) -> None:
    """Have what is kept be too old."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(ProviderLookup).values(expires_at=ProviderLookup.expires_at - timedelta(hours=2))
        )


async def test_what_is_kept_is_not_asked_for_again_by_any_process(database: Database) -> None:
    async with open_shop(answer(b"[1]"), answer(b"[2]")) as shop, client_of(database, shop.port) as client:
        assert await client.ask_json(KEPT) == [1]
        async with provider_http() as http:
            assert await ProviderClient(database, CODE, http).ask_json(KEPT) == [1]
        assert await client.ask(KEPT) == b"[1]"
        assert len(await calls(database)) == 1
        await expire(database)
        assert await client.ask_json(KEPT) == [2]
        others = Question(endpoint="prices", path="/v1/prices", params={"app": "440"}, kept_for=timedelta(hours=1))
        await client.ask_json(others)
    assert len(shop.asked) == 3


async def test_the_same_is_asked_for_once_however_many_want_to_know_it_at_a_time(database: Database) -> None:
    other = Question(endpoint="prices", path="/v1/other", kept_for=timedelta(hours=1))
    async with open_shop(answer(b"[1]")) as shop, client_of(database, shop.port) as client:
        answers = await asyncio.gather(*(client.ask_json(KEPT) for _ in range(10)), client.ask_json(other))
    assert answers == [[1]] * 11
    assert sorted(asked.split(b" ")[1] for asked in shop.asked) == [b"/v1/other", b"/v1/prices"]
    assert len(await calls(database)) == 2


async def test_who_waits_for_the_same_asks_where_the_first_one_failed(database: Database) -> None:
    async with (
        open_shop(answer(status="404 Not Here"), answer(b"[1]")) as shop,
        client_of(database, shop.port) as client,
    ):
        asked = await asyncio.gather(*(client.ask_json(KEPT) for _ in range(5)), return_exceptions=True)
    assert sorted(type(one).__name__ for one in asked) == ["OutsideServiceFailed", "list", "list", "list", "list"]
    assert len(shop.asked) == 2


async def test_an_answer_that_another_process_kept_meanwhile_is_taken(database: Database) -> None:
    arrived, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await may_answer.wait()
        writer.write(answer(b"[1]"))
        await writer.drain()

    async with (
        server_that(slow) as port,
        client_of(database, port, request_count=1, window_seconds=3600) as client,
        provider_http() as http,
    ):
        first = asyncio.create_task(client.ask_json(KEPT))
        await arrived.wait()
        # It waits for its turn, for all the calls that are allowed are under way.
        second = asyncio.create_task(ProviderClient(database, CODE, http, patience_seconds=20).ask_json(KEPT))
        await asyncio.sleep(0.1)
        may_answer.set()
        assert [await first, await second] == [[1], [1]]
    assert len(await calls(database)) == 1


async def test_who_waits_for_the_same_has_no_endless_patience(database: Database) -> None:
    arrived = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()

    async with server_that(silent) as port, client_of(database, port, patience=0.2) as client:
        first = asyncio.create_task(client.ask_json(KEPT))
        await arrived.wait()
        with pytest.raises(ProviderBusy):
            await client.ask_json(KEPT)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first


async def test_what_has_not_changed_is_kept_on(database: Database) -> None:
    said = (answer(b"[1]", headers='ETag: "v1"\r\n'), answer(b"", status="304 Not Modified"), answer(b"[2]"))
    async with open_shop(*said) as shop, client_of(database, shop.port) as client:
        assert await client.ask_json(KEPT) == [1]
        assert b"If-None-Match" not in shop.asked[0]
        await expire(database)
        assert await client.ask_json(KEPT) == [1]
        assert b'\r\nIf-None-Match: "v1"\r\n' in shop.asked[1]
        assert await client.ask_json(KEPT) == [1]
    assert [call.status for call in await calls(database)] == [200, 304]


async def test_what_has_not_changed_may_name_how_it_was_compressed(database: Database) -> None:
    etag_of_gzip = 'ETag: "v1"\r\nContent-Encoding: gzip\r\n'
    said = (
        answer(gzip.compress(b"[1]", mtime=0), headers=etag_of_gzip),
        f"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n{etag_of_gzip}\r\n".encode(),
    )
    async with open_shop(*said) as shop, client_of(database, shop.port) as client:
        assert await client.ask_json(KEPT) == [1]
        await expire(database)
        assert await client.ask_json(KEPT) == [1]
    assert [call.status for call in await calls(database)] == [200, 304]


@pytest.mark.parametrize(
    "headers",
    ["Retry-After: Mon, 01 Jan 99999999999 00:00:00 GMT\r\n", "Retry-After: 600\r\nContent-Encoding: gzip\r\n"],
    ids=["nonsense in Retry-After", "a body that is not gzip"],
)
async def test_a_refusal_for_the_pace_is_heard_however_odd_it_is(database: Database, headers: str) -> None:
    said = answer(status="429 Too Many Requests", headers=headers)
    async with open_shop(said) as shop, client_of(database, shop.port) as client:
        assert (await failure_of(client)).failure is OutsideFailure.REFUSED
    (call,) = await calls(database)
    assert call.status == 429
    assert call.ended_at is not None
    assert (await provider_row(database)).blocked_until is not None


async def test_nonsense_is_not_kept(database: Database) -> None:
    async with open_shop(answer(b"<p>"), answer(b"[2]")) as shop, client_of(database, shop.port) as client:
        await failure_of(client, KEPT)
        assert await client.ask_json(KEPT) == [2]


async def test_bytes_are_taken_as_they_are_and_nothing_is_a_failure(database: Database) -> None:
    async with open_shop(answer(b"<Envelope/>"), answer(b"")) as shop, client_of(database, shop.port) as client:
        assert await client.ask(PRICES) == b"<Envelope/>"
        with pytest.raises(OutsideServiceFailed, match="answered nothing"):
            await client.ask(PRICES)


async def test_a_limit_in_the_headers_is_learned(database: Database) -> None:
    told = "X-RateLimit-Limit: 30\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 50\r\n"
    async with open_shop(answer(headers=told)) as shop, client_of(database, shop.port, patience=1) as client:
        await client.ask_json(PRICES)
        with pytest.raises(ProviderBusy):
            await client.ask_json(PRICES)
    assert (await provider_row(database)).learned_count == 30


def test_what_is_asked_for_a_person_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match="others would be shown it"):
        Question(endpoint="inventory", path="/", user_id=new_id(), kept_for=timedelta(hours=1))


def test_a_path_cannot_lead_to_another_host() -> None:
    with pytest.raises(ValueError, match="another host"):
        Question(endpoint="prices", path="@evil.example/")


async def test_a_client_that_would_wait_longer_than_the_ledger_counts_is_refused(database: Database) -> None:
    for timeout in (None, 61.0):
        async with httpx.AsyncClient(timeout=timeout) as http:
            with pytest.raises(ValueError, match="break the pace"):
                ProviderClient(database, CODE, http)


async def test_nothing_of_a_question_but_its_word_is_told(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    secret = "very-secret"
    question = Question(
        endpoint="prices", path=f"/{secret}", params={"key": secret}, headers={"X-Key": secret}, body=[secret]
    )
    caplog.set_level("DEBUG")
    async with open_shop(answer(status="401 No")) as shop, client_of(database, shop.port) as client:
        failed = await failure_of(client, question)
    assert secret.encode() in shop.asked[0]
    for told in (str(failed), caplog.text, str(await calls(database))):
        assert secret not in told
    assert "params" not in repr(question)
    assert "provider_call_failed" in caplog.text
