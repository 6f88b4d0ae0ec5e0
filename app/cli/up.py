"""`trove up`: everything on one machine, started in order, watched, and stopped together."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated

import httpx
import typer
from rich.console import Console

from app.cli.database import migrate_database
from app.cli.doctor import require_redis
from app.cli.listening import listen_on
from app.cli.services import with_local_keys
from app.core.embedded import PrivateServices
from app.core.errors import ServiceUnavailable
from app.core.key_rings import key_ring_of
from app.core.mail import MAIL_FOLDER
from app.core.settings import Settings, current_settings
from app.demo.people import EMAIL, PASSWORD_FILE, TOKEN_FILE, ensure_demo_person
from app.demo.portfolios import load_portfolios
from app.demo.rules import load_rules
from app.demo.trackers import load_trackers
from app.demo.world import load_world

DEFAULT_PORT = 8000
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
PORTS_TO_TRY = 50
READY_SECONDS = 180.0
STOP_SECONDS = 15.0
LOOK_EVERY_SECONDS = 0.2
PR_SET_PDEATHSIG = 1

commands = typer.Typer()
console = Console()


@commands.command("up")
def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: TROVE_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; default: TROVE_PORT, or the next free one from 8000.")
    ] = None,
) -> None:
    """Start everything on this machine: database, Redis, API, worker, demo data and a live price feed."""
    settings = current_settings()
    if port is None and "port" in settings.model_fields_set:
        port = settings.port
    sys.exit(run_everything(settings, host=host or settings.host, port=port))


@dataclass(frozen=True, slots=True)
class Child:
    """A process of ours, by the name it has in messages."""

    name: str
    process: "subprocess.Popen[bytes]"


class Stopped(Exception):
    """SIGINT or SIGTERM has come."""


def run_everything(settings: Settings, *, host: str, port: int | None) -> int:
    """Run until Ctrl-C; returns the exit code."""
    with ExitStack() as stack:
        # Held from here on, so that nobody else takes it while the rest starts, and answers in our name.
        listener = stack.enter_context(_listener(host, port))
        try:
            stack.enter_context(_stop_on_signals())
            _run(settings, stack, host, listener)
        except Stopped:
            console.print("\nStopping.")
            return 0
    return 1


def _run(settings: Settings, stack: ExitStack, host: str, listener: socket.socket) -> None:
    services = PrivateServices(settings.directory, database_url=settings.database_url, redis_url=settings.redis_url)
    with console.status("Starting PostgreSQL and Redis"):
        addresses = stack.enter_context(services)
    if not services.owns and settings.database_url is None:
        raise ServiceUnavailable(f"Trove is already running over {services.directory}: stop it first, or use it.")
    settings = settings.model_copy(update={"database_url": addresses.database_url, "redis_url": addresses.redis_url})
    settings = with_local_keys(settings, services.directory)
    # One that cannot be used is refused here, and not by each program.
    key_ring_of(settings)
    require_redis(addresses.redis_url)
    with console.status("Migrating the database"):
        migrate_database(settings)
    with console.status("Loading the demo world"):
        load_world(settings)
        demo = ensure_demo_person(settings, services.directory)
        load_portfolios(settings)
        load_trackers(settings)
        load_rules(settings)
    port = listener.getsockname()[1]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    environment = os.environ | {
        "DATABASE_URL": addresses.database_url,
        "REDIS_URL": addresses.redis_url,
        "TROVE_ENVIRONMENT": "development",
        "TROVE_HOST": host,
        "TROVE_LOG_LEVEL": os.environ.get("TROVE_LOG_LEVEL", "WARNING"),
        "TROVE_DEMO_TOKEN": demo.token,
    }
    if settings.public_url is None and host in LOOPBACK_NAMES:
        # By its name, since passkeys belong to names and not to numbers.
        environment["TROVE_PUBLIC_URL"] = f"http://localhost:{port}"
    if settings.secret_keys_file is not None:
        environment["TROVE_SECRET_KEYS_FILE"] = str(settings.secret_keys_file)
    trove = [sys.executable, "-m", "app.cli.main"]
    children: list[Child] = []
    stack.callback(_stop, children)
    children.append(_start("API", [*trove, "api", "--fd", str(listener.fileno())], environment, listener.fileno()))
    listener.close()
    children.append(_start("worker", [*trove, "worker"], environment))
    with console.status("Waiting for the API"):
        _wait_until_ready(url, children)
    token_file = services.directory / TOKEN_FILE
    feed = [sys.executable, "-m", "app.demo.feed", "--url", url, "--token-file", str(token_file)]
    children.append(_start("price feed", feed, environment))
    _welcome(environment.get("TROVE_PUBLIC_URL") or url, services.directory)
    _watch(children)


def _listener(host: str, port: int | None) -> socket.socket:
    """One that listens on the port asked for, or on the first free one from 8000 on."""
    if port is not None:
        return listen_on(host, port)
    for candidate in range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TO_TRY):
        try:
            return listen_on(host, candidate)
        except ServiceUnavailable:
            console.print(f"Port {candidate} is in use; trying the next one.")
    raise ServiceUnavailable(f"No port from {DEFAULT_PORT} on is free: choose one with --port.")


def _end_with_parent() -> None:
    """Runs in the child before it becomes its program: should this process be killed, the kernel ends the child too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _start(name: str, arguments: list[str], environment: dict[str, str], *handed_on: int) -> Child:
    # A session of its own: Ctrl-C reaches only us, and we stop the children in order.
    process = subprocess.Popen(
        arguments, env=environment, start_new_session=True, preexec_fn=_end_with_parent, pass_fds=handed_on
    )
    return Child(name, process)


def _stop(children: list[Child]) -> None:
    """End the children, the last started first; what does not end in time is killed."""
    for child in reversed(children):
        if child.process.poll() is None:
            child.process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for child in reversed(children):
        try:
            child.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()


def _require_alive(children: list[Child]) -> None:
    for child in children:
        status = child.process.poll()
        if status is not None:
            raise ServiceUnavailable(
                f"The {child.name} has ended (exit code {status}); what it said stands above. The rest was stopped."
            )


def _wait_until_ready(url: str, children: list[Child]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    said = "it does not answer"
    while time.monotonic() < deadline:
        _require_alive(children)
        try:
            answer = httpx.get(f"{url}/readyz", timeout=2)
        except httpx.HTTPError:
            time.sleep(LOOK_EVERY_SECONDS)
            continue
        if answer.is_success:
            return
        said = answer.text
        time.sleep(LOOK_EVERY_SECONDS)
    raise ServiceUnavailable(f"The API did not become ready within {READY_SECONDS:g} seconds: {said}.")


def _watch(children: list[Child]) -> None:
    while True:
        _require_alive(children)
        time.sleep(LOOK_EVERY_SECONDS)


def _welcome(url: str, directory: Path) -> None:
    console.print(
        f"\n[bold]Trove is running.[/] Open [link={url}/graphiql]{url}/graphiql[/link] and run the seven tabs:\n"
        "  a walk through the catalogue, who you are, what you own, where things are, what you are told, a\n"
        "  mutation that sends a price, and prices as they move;\n"
        "  one click there signs you in as the demo collector.\n\n"
        f"  GraphQL        {url}/graphql\n"
        f"  send prices    {url}/ingest/prices\n"
        f"  send reports   {url}/ingest/locations   (of where trackers are)\n"
        f"  your token     {directory / TOKEN_FILE}   (send it as Authorization: Bearer …)\n"
        f"  your password  {directory / PASSWORD_FILE}   (of {EMAIL})\n"
        f"  mails          {directory / MAIL_FOLDER}   (each is a file, once there is one)\n"
        f"  health         {url}/readyz  {url}/metrics\n\n"
        "Ctrl-C stops all of it; the data stays for the next time.",
        highlight=False,
        soft_wrap=True,
    )


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped, once; later ones are ignored, so that stopping is not interrupted."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    yield
