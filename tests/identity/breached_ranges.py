"""A server that speaks the range protocol of Pwned Passwords, and can be told to misbehave."""

import hashlib
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class Mood(StrEnum):
    """How the server answers."""

    WELL = "well"
    FAILING = "failing"
    SILENT = "silent"
    DRIBBLING = "dribbling"
    ENDLESS = "endless"
    A_PAGE = "a page"
    REDIRECTING = "redirecting"
    HANGING_UP = "hanging up"


@dataclass
class RangeServer:
    """Stolen passwords and how often each was, the mood of the server, and what it was asked."""

    url: str
    stolen: dict[str, int] = field(default_factory=dict)
    mood: Mood = Mood.WELL
    paths: list[str] = field(default_factory=list)
    paddings: list[str | None] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def lines(self, prefix: str) -> list[str]:
        """The range: the stolen ones of this prefix, and padding of count 0."""
        lines = [f"{digest[5:]}:{count}" for digest, count in self.digests.items() if digest.startswith(prefix)]
        padding = [hashlib.sha1(f"{prefix}{number}".encode()).hexdigest().upper()[5:] for number in range(800)]
        return sorted([*lines, *(f"{suffix}:0" for suffix in padding)])

    @property
    def digests(self) -> Mapping[str, int]:
        """The stolen passwords by their SHA-1."""
        return {hashlib.sha1(text.encode()).hexdigest().upper(): count for text, count in self.stolen.items()}


class Handler(BaseHTTPRequestHandler):
    """Answers `GET /range/ABCDE`."""

    state: ClassVar[RangeServer]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer as the mood is."""
        self.state.paths.append(self.path)
        self.state.paddings.append(self.headers["Add-Padding"])
        match self.state.mood:
            case Mood.WELL:
                asked = re.fullmatch(r"/range/([0-9A-F]{5})", self.path)
                self.answer(200, "\r\n".join(self.state.lines(asked[1]))) if asked else self.answer(400, "")
            case Mood.FAILING:
                self.answer(503, "down for maintenance")
            case Mood.A_PAGE:
                self.answer(200, "<html><body>Please sign in to this network.</body></html>")
            case Mood.REDIRECTING:
                self.answer(302, "", location=f"{self.state.url}/elsewhere")
            case Mood.SILENT:
                self.state.is_over.wait()
                self.close_connection = True
            case Mood.HANGING_UP:
                self.close_connection = True
            case Mood.DRIBBLING | Mood.ENDLESS:
                self.go_on()

    def answer(self, status: int, text: str, *, location: str | None = None) -> None:
        """One whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(text.encode())

    def go_on(self) -> None:
        """Send lines without end: one now and then, or as many as go."""
        self.close_connection = True
        self.send_response(200)
        self.end_headers()
        line = b"0" * 35 + b":0\r\n"
        try:
            while not self.state.is_over.wait(0.01 if self.state.mood is Mood.DRIBBLING else 0):
                self.wfile.write(line if self.state.mood is Mood.DRIBBLING else line * 1000)
        except OSError:
            return

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server that has nothing to say of clients that hang up."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Print what is no hang-up."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # a socket, by whatever name


@contextmanager
def range_server() -> Iterator[RangeServer]:
    """A server on loopback, until the block ends."""

    class OfThisServer(Handler):
        pass

    with Server(("127.0.0.1", 0), OfThisServer) as server:
        OfThisServer.state = RangeServer(f"http://127.0.0.1:{server.server_port}/range")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield OfThisServer.state
        finally:
            OfThisServer.state.is_over.set()
            server.shutdown()
            thread.join()
