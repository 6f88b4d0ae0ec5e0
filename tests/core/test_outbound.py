"""Outside services are called within bounds, and whatever they do, what is private stays out of messages and logs."""

import asyncio
import gzip
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from app.core.outbound import (
    LARGEST_ANSWER_BYTES,
    TOTAL_SECONDS,
    OutsideFailure,
    OutsideServiceFailed,
    client_options,
    fetch,
    fetch_json,
    outside_client,
)
from tests.core.mail_builders import server_that, throw_away_certificate

SECRET = "very-secret"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(content: bytes = b"{}", *, status: str = "200 OK", headers: str = "", length: int | None = None) -> bytes:
    """An answer as it goes over the wire."""
    length = len(content) if length is None else length
    return f"HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n".encode() + content


def answering(said: bytes, *, requests: list[bytes] | None = None, keeps_open: bool = False) -> Serve:
    """A service that says this to every request, and then hangs up or keeps silent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            if requests is not None:
                requests.append(request)
            with suppress(ConnectionError):
                writer.write(said)
                await writer.drain()
                if keeps_open:
                    await reader.read()

    return serve


async def _drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    with suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)


async def _drips_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()


async def _hangs_up(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


async def _never_answers(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read()


def client_expecting(failure: OutsideFailure) -> httpx.AsyncClient:
    """A client that waits a moment only where nothing is to come."""
    is_in_vain = failure is OutsideFailure.TIMED_OUT
    return httpx.AsyncClient(**client_options(total_seconds=0.4 if is_in_vain else TOTAL_SECONDS))


def address_of(port: int, *, scheme: str = "http") -> str:
    """An address with a secret in every place where there may be one."""
    return f"{scheme}://user:{SECRET}@127.0.0.1:{port}/path-{SECRET}?key={SECRET}"


async def test_json_comes_back_and_the_request_says_who_asks() -> None:
    requests: list[bytes] = []
    async with (
        server_that(answering(answer(b'{"name": "Ada"}'), requests=requests)) as port,
        outside_client() as client,
    ):
        assert await fetch_json(client, "GET", f"http://127.0.0.1:{port}/", params={"q": "x y"}) == {"name": "Ada"}
    (request,) = requests
    assert request.startswith(b"GET /?q=x+y HTTP/1.1\r\n")
    assert b"\r\nUser-Agent: Trove/" in request
    assert b"\r\nAccept-Encoding: identity\r\n" in request


@pytest.mark.parametrize(
    ("serve", "failure"),
    [
        (answering(b""), OutsideFailure.NOT_HTTP),
        (_never_answers, OutsideFailure.TIMED_OUT),
        (_drips, OutsideFailure.TIMED_OUT),
        (_drips_without_end, OutsideFailure.TOO_LARGE),
        (answering(answer(b'"' + b"x" * LARGEST_ANSWER_BYTES + b'"')), OutsideFailure.TOO_LARGE),
        (answering(answer(b'{"half":', length=1000)), OutsideFailure.NOT_HTTP),
        (answering(answer(b'{"half":', length=1000), keeps_open=True), OutsideFailure.TIMED_OUT),
        (answering(b"220 mail.test ESMTP\r\n"), OutsideFailure.NOT_HTTP),
        (answering(answer(f"<p>{SECRET}".encode())), OutsideFailure.NOT_JSON),
        (answering(answer(b"")), OutsideFailure.NOT_JSON),
        (answering(answer(b'"\xff"')), OutsideFailure.NOT_JSON),
        (answering(answer(b"[" * 100_000)), OutsideFailure.NOT_JSON),
        (answering(answer(b"NaN")), OutsideFailure.NOT_JSON),
        (answering(answer(f'"{SECRET}"'.encode(), status="400 Bad Request")), OutsideFailure.REFUSED),
        (answering(answer(status="500 Oh No")), OutsideFailure.REFUSED),
        (answering(answer(status="429 Slow Down", headers="Retry-After: 5\r\n")), OutsideFailure.REFUSED),
        (answering(answer(status="302 Found", headers="Location: http://127.0.0.1:1/\r\n")), OutsideFailure.REFUSED),
        (
            answering(answer(gzip.compress(b"{}"), headers="Content-Encoding: gzip\r\n")),
            OutsideFailure.NOT_HTTP,
        ),
    ],
    ids=[
        "hangs up",
        "never answers",
        "drips",
        "drips without end",
        "too large",
        "half an answer",
        "half an answer, then silence",
        "no HTTP",
        "no JSON",
        "nothing",
        "no UTF-8",
        "too deep",
        "not a number",
        "400",
        "500",
        "429",
        "redirect",
        "compressed",
    ],
)
async def test_every_way_to_misbehave_is_one_kind_of_failure_that_tells_no_tales(
    serve: Serve, failure: OutsideFailure, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    headers = {"X-Key": SECRET}
    async with server_that(serve) as port, client_expecting(failure) as client:
        with pytest.raises(OutsideServiceFailed) as failed:
            await fetch_json(client, "POST", address_of(port), headers=headers, content=SECRET)
        assert failed.value.host == f"127.0.0.1:{port}"
    assert failed.value.failure is failure
    assert_tells_no_tales(failed.value, caplog)


def assert_tells_no_tales(failed: OutsideServiceFailed, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of the request but its host is in the message, in what led to it, or in the logs."""
    assert str(failed).startswith(failed.host)
    for told in (str(failed), repr(failed), *map(str, causes_of(failed)), caplog.text):
        assert SECRET not in told
        assert "path" not in told


def causes_of(error: BaseException) -> list[BaseException]:
    """What a traceback shows beneath an error."""
    below = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return [] if below is None else [below, *causes_of(below)]


@pytest.mark.parametrize("scheme", ["http", "https", "ftp"])
async def test_nobody_at_home_is_a_failure_too(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with server_that(_hangs_up) as port:
        pass
    async with outside_client() as client:
        with pytest.raises(OutsideServiceFailed) as failed:
            await fetch_json(client, "GET", address_of(port, scheme=scheme))
    assert failed.value.failure is OutsideFailure.UNREACHABLE
    assert_tells_no_tales(failed.value, caplog)


async def test_a_refusal_can_be_read_by_who_asked() -> None:
    said = answer(b'{"error": "invalid_grant"}', status="400 Bad Request")
    async with server_that(answering(said)) as port, outside_client() as client:
        with pytest.raises(OutsideServiceFailed) as failed:
            await fetch(client, "POST", f"http://127.0.0.1:{port}/token", data={"code": "x"})
    assert failed.value.answer is not None
    assert failed.value.answer.status_code == 400
    assert failed.value.answer.json() == {"error": "invalid_grant"}
    assert str(failed.value) == f"127.0.0.1:{port} refused, or answered by a redirect (status 400)."


TOO_LARGE = b" " * (LARGEST_ANSWER_BYTES + 1)


@pytest.mark.parametrize(
    ("content", "headers", "length"),
    [
        (b"", "Content-Encoding: gzip\r\n", None),
        (b"", "Content-Encoding: zstd\r\n", None),
        (b"not gzip", "Content-Encoding: gzip\r\n", None),
        (gzip.compress(b"slow down")[:-4], "Content-Encoding: gzip\r\n", None),
        (b"slow down", "Content-Encoding: zstd\r\n", None),
        (TOO_LARGE, "", None),
        (gzip.compress(TOO_LARGE), "Content-Encoding: gzip\r\n", None),
        (b"cut", "", 1000),
    ],
    ids=["empty gzip", "empty zstd", "no gzip", "half a gzip", "zstd", "too large", "a bomb", "cut"],
)
async def test_a_refusal_is_known_by_its_status_and_headers_whatever_its_body(
    content: bytes, headers: str, length: int | None
) -> None:
    said = answer(content, status="429 Slow Down", headers=f"Retry-After: 600\r\n{headers}", length=length)
    async with (
        server_that(answering(said)) as port,
        httpx.AsyncClient(**client_options(reads_compressed=True)) as client,
    ):
        with pytest.raises(OutsideServiceFailed) as failed:
            await fetch(client, "GET", f"http://127.0.0.1:{port}/")
    assert failed.value.failure is OutsideFailure.REFUSED
    assert failed.value.answer is not None
    assert (failed.value.answer.status_code, failed.value.answer.content) == (429, b"")
    assert failed.value.answer.headers["Retry-After"] == "600"


async def test_a_refusal_whose_body_never_ends_is_one_all_the_same() -> None:
    said = answer(b"slow", status="429 Slow Down", headers="Retry-After: 600\r\n", length=1000)
    async with (
        server_that(answering(said, keeps_open=True)) as port,
        client_expecting(OutsideFailure.TIMED_OUT) as client,
    ):
        with pytest.raises(OutsideServiceFailed) as failed:
            await fetch(client, "GET", f"http://127.0.0.1:{port}/")
    assert failed.value.answer is not None
    assert (failed.value.failure, failed.value.answer.status_code) == (OutsideFailure.REFUSED, 429)


async def test_a_success_that_cannot_be_read_still_shows_its_headers() -> None:
    said = answer(b"odd", headers="X-RateLimit-Remaining: 0\r\nContent-Encoding: zstd\r\n")
    async with server_that(answering(said)) as port, outside_client() as client:
        with pytest.raises(OutsideServiceFailed) as failed:
            await fetch(client, "GET", f"http://127.0.0.1:{port}/")
    assert failed.value.failure is OutsideFailure.NOT_HTTP
    assert failed.value.answer is not None
    assert failed.value.answer.headers["X-RateLimit-Remaining"] == "0"


async def test_an_answer_as_large_as_is_allowed_is_read() -> None:
    content = b'"' + b"x" * (LARGEST_ANSWER_BYTES - 2) + b'"'
    async with server_that(answering(answer(content))) as port, outside_client() as client:
        assert len(await fetch_json(client, "GET", f"http://127.0.0.1:{port}/")) == LARGEST_ANSWER_BYTES - 2


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    of_server, of_client = throw_away_certificate(tmp_path)
    server = await asyncio.start_server(_serving_tls, "127.0.0.1", 0, ssl=of_server)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    async with outside_client() as client:
        with pytest.raises(OutsideServiceFailed) as failed:
            await fetch_json(client, "GET", url)
    assert failed.value.failure is OutsideFailure.UNREACHABLE
    async with httpx.AsyncClient(**client_options(tls_context=of_client)) as client:
        assert await fetch_json(client, "GET", url) == {}
    server.close()
    await server.wait_closed()


async def _serving_tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await answering(answer())(reader, writer)
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def test_a_cookie_is_not_kept_for_the_next_one_who_asks() -> None:
    requests: list[bytes] = []
    said = answer(headers="Set-Cookie: session=ada; Path=/\r\n")
    async with server_that(answering(said, requests=requests)) as port, outside_client() as client:
        for _ in range(2):
            await fetch(client, "GET", f"http://127.0.0.1:{port}/")
    assert len(requests) == 2
    assert not [request for request in requests if b"cookie" in request.lower()]


async def test_a_client_is_of_use_after_a_failure() -> None:
    async with (
        server_that(_drips_without_end) as bad,
        server_that(answering(answer())) as good,
        outside_client() as client,
    ):
        for _ in range(3):
            with pytest.raises(OutsideServiceFailed):
                await fetch_json(client, "GET", f"http://127.0.0.1:{bad}/")
            assert await fetch_json(client, "GET", f"http://127.0.0.1:{good}/") == {}
