"""A real HTTP server on loopback for a fake of an outside service, and the ways in which it can misbehave."""

import asyncio
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qsl

import uvicorn
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.prompt_server import PromptServer

READY_SECONDS = 10.0


class Fault(StrEnum):
    """How an address misbehaves."""

    HTML = "answers HTML"
    SERVER_ERROR = "answers 500"
    NOT_FOUND = "answers 404"
    NOT_JSON_OF_OURS = "answers a JSON list"
    TOO_LONG = "answers three megabytes"
    REDIRECTS = "redirects"
    TRICKLES = "answers a byte now and then, for ever"
    COMPRESSES = "compresses without being asked"


# What a reason says of each, whoever it is about.
REASONS = {
    Fault.HTML: "is not understood",
    Fault.SERVER_ERROR: "answered 500",
    Fault.NOT_FOUND: "answered 404|is not understood",
    Fault.NOT_JSON_OF_OURS: "is not understood",
    Fault.TOO_LONG: "answered more than is read",
    Fault.REDIRECTS: "redirects, and is not followed",
    Fault.TRICKLES: "did not answer in time",
    Fault.COMPRESSES: "answered something that is not HTTP as it was asked for",
}


def patience_with(fault: Fault) -> float:
    """Seconds to wait for a whole answer: short only where it never ends."""
    return 0.4 if fault is Fault.TRICKLES else READY_SECONDS


def _answer_of(fault: Fault) -> Response:
    answers: dict[Fault, Callable[[], Response]] = {
        Fault.HTML: lambda: HTMLResponse("<!doctype html><title>Hello</title>"),
        Fault.SERVER_ERROR: lambda: PlainTextResponse("no", 500),
        Fault.NOT_FOUND: lambda: PlainTextResponse("no", 404),
        Fault.NOT_JSON_OF_OURS: lambda: PlainTextResponse("[]"),
        Fault.TOO_LONG: lambda: StreamingResponse(_megabytes(3), media_type="application/json"),
        Fault.REDIRECTS: lambda: RedirectResponse("/elsewhere", 307),
        Fault.TRICKLES: lambda: StreamingResponse(_trickle(), media_type="application/json"),
        Fault.COMPRESSES: lambda: Response(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
    }
    return answers[fault]()


async def _megabytes(count: int) -> AsyncIterator[bytes]:
    yield b'{"padding": "'
    for _ in range(count * 16):
        yield b" " * 65536
    yield b'"}'


async def _trickle() -> AsyncIterator[bytes]:
    while True:
        yield b" "
        await asyncio.sleep(0.02)


@dataclass(slots=True)
class Traffic:
    """Which paths misbehave, and how often each was asked for."""

    faults: dict[str, Fault] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)

    def watching(self, app: ASGIApp) -> ASGIApp:
        """The application, counted, and misbehaving where it is told to."""

        async def watched(scope: Scope, receive: Receive, send: Send) -> None:
            path = scope["path"]
            self.asked[path] += 1
            fault = self.faults.get(path)
            await (app if fault is None else _answer_of(fault))(scope, receive, send)

        return watched


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form; each is there once."""
    assert request.headers["Content-Type"].startswith("application/x-www-form-urlencoded")
    pairs = parse_qsl((await request.body()).decode(), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def free_listener() -> socket.socket:
    """A socket on a free port of loopback."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener


def url_of(listener: socket.socket, *, scheme: str = "http") -> str:
    """Where the socket is reached."""
    return f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def serving(
    app: ASGIApp, listener: socket.socket, *, certificate: Path | None = None, key: Path | None = None
) -> Iterator[None]:
    """Serve from a thread of its own until the block ends; over TLS where there is a certificate."""
    server = PromptServer(
        uvicorn.Config(
            app,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    with listener:
        thread.start()
        deadline = time.monotonic() + READY_SECONDS
        while not server.started:
            assert thread.is_alive(), "the server has ended instead of serving"
            assert time.monotonic() < deadline, "the server did not become ready"
            time.sleep(0.005)
        try:
            yield
        finally:
            server.should_exit = True
            thread.join()
