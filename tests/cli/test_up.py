"""`trove up` on a machine of its own: everything starts, works, and stops; what it kept is there the next time."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.policy import default as default_policy
from pathlib import Path

import httpx
import pytest

from app.cli.listening import handed_on, listen_on
from app.core.errors import ServiceUnavailable
from app.core.key_rings import read_key_ring

UP_SECONDS = 90.0
COUNT = (
    '{ items { totalCount } item(slug: "demo-harbourcoin") { series(source: "my-shop") { points { totalCount } } } }'
)
SEND = """
mutation { ingestPrices(input: {idempotencyKey: "kept", points: [
  {slug: "demo-harbourcoin", source: "my-shop", currency: USD, price: "1"}]}) { userErrors { message } } }
""".replace("USD", '"USD"')
KEPT = {"items": {"totalCount": 40}, "item": {"series": [{"points": {"totalCount": 1}}]}}


@pytest.fixture
def directory() -> Iterator[Path]:
    """A folder that an unprivileged server can reach too."""
    with tempfile.TemporaryDirectory(prefix="trove-up-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def environment(directory: Path) -> dict[str, str]:
    """The environment of a newcomer."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TROVE_", "DATABASE_", "REDIS_"))}
    return kept | {"TROVE_DIRECTORY": str(directory)}


def start(directory: Path, *arguments: str) -> "subprocess.Popen[str]":
    """`trove up` in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "app.cli.main", "up", *arguments],
        env=environment(directory),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def address_of(process: "subprocess.Popen[str]") -> str:
    """The address that it prints once it serves."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(r"GraphQL +(http\S+)/graphql", line):
            return found[1]
    raise AssertionError("".join(said))


def processes_of(directory: Path) -> list[str]:
    """The command lines of the processes that name the folder, or were told of it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            if str(directory).encode() in told and process.name != str(os.getpid()):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


ASK_FOR_LINK = """mutation {
    requestMagicLink(input: { email: "newcomer@example.com", deliver: BODY }) { browserToken userErrors { message } }
}"""
OPEN_LINK = """mutation ($token: String!, $browser: String!) {
    signInWithMagicLink(input: { token: $token, browserToken: $browser, deliver: BODY }) {
        session { viewer { email } }
    }
}"""


def environments_with(variable: str) -> set[str]:
    """Which of the API and the workers were given the variable."""
    given = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().decode().split("\0")
            if variable.encode() in (process / "environ").read_bytes().split(b"\0"):
                given |= {"api", "worker"} & set(words)
        except OSError:
            continue
    return given


def wait_until_none_is_left(directory: Path) -> None:
    """Fail when processes of it remain."""
    deadline = time.monotonic() + 20
    while left := processes_of(directory):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@contextmanager
def up(directory: Path) -> Iterator[tuple["subprocess.Popen[str]", httpx.Client]]:
    """Everything running, and a client with the token; killed at the end if the test did not stop it."""
    process = start(directory)
    try:
        address = address_of(process)
        token = (directory / "demo-token").read_text()
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as client:
            yield process, client
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ask(client: httpx.Client, query: str) -> dict[str, object]:
    """The data of an answer."""
    answer = client.post("/graphql", json={"query": query}).json()
    assert "errors" not in answer, answer
    return dict(answer["data"])


def a_newcomer_signs_in_by_mail(directory: Path, client: httpx.Client) -> object:
    """Sign in by a link that was laid into the folder of mails; gives whose account it is."""
    asked = ask(client, ASK_FOR_LINK)["requestMagicLink"]
    deadline = time.monotonic() + 30
    while not (mails := list((directory / "mail").glob("*.eml"))):
        assert time.monotonic() < deadline, "no mail was laid into the folder"
        time.sleep(0.1)
    text = message_from_bytes(mails[0].read_bytes(), policy=default_policy).get_content()
    found = re.search(r"http://localhost:\d+/auth/magic-link\?token=(\w+)", text)
    assert found, text
    variables = {"token": found[1], "browser": asked["browserToken"]}  # type: ignore[index]  # shape of ASK_FOR_LINK
    answer = client.post("/graphql", json={"query": OPEN_LINK, "variables": variables}).json()
    return answer["data"]["signInWithMagicLink"]["session"]["viewer"]["email"]


def test_it_serves_live_data_and_goes_on_where_it_ended_however_it_was_stopped(directory: Path) -> None:
    file = directory / "secret-keys.json"
    with up(directory) as (process, client):
        ring = read_key_ring(file)
        assert len(ring.keys) == 1
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert environments_with(f"TROVE_SECRET_KEYS_FILE={file}") >= {"api", "worker"}
        assert client.get("/readyz").json()["ready"]
        assert "graphiql" in client.get("/graphiql").text.lower()
        ask(client, SEND)
        deadline = time.monotonic() + 30
        while not ask(client, COUNT)["item"]["series"]:  # type: ignore[index]  # shape of COUNT
            assert time.monotonic() < deadline, "the price was not processed"
            time.sleep(0.1)
        assert a_newcomer_signs_in_by_mail(directory, client) == "newcomer@example.com"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0
    wait_until_none_is_left(directory)

    with up(directory) as (process, client):
        assert read_key_ring(file) == ring
        assert ask(client, COUNT) == KEPT
        process.kill()
    wait_until_none_is_left(directory)

    # Also what it was killed over.
    with up(directory) as (process, client):
        assert read_key_ring(file) == ring
        assert ask(client, COUNT) == KEPT
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
    wait_until_none_is_left(directory)


def test_a_port_in_use_is_said_in_one_sentence(directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(directory, "--port", str(taken.getsockname()[1]))
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "is in use: choose another with --port" in " ".join(said.split())
    assert "Traceback" not in said


def test_a_port_is_held_before_anything_is_served_on_it() -> None:
    with listen_on("127.0.0.1", 0) as held:
        port = held.getsockname()[1]
        with pytest.raises(ServiceUnavailable, match=f"Port {port} on 127.0.0.1 is in use"):
            listen_on("127.0.0.1", port)


def test_only_a_socket_that_listens_is_handed_on() -> None:
    with listen_on("127.0.0.1", 0) as held, handed_on(os.dup(held.fileno())) as taken:
        assert taken.getsockname() == held.getsockname()
    with socket.socket() as silent, pytest.raises(ServiceUnavailable, match="Nothing listens behind --fd"):
        handed_on(os.dup(silent.fileno()))
    with Path(os.devnull).open() as file, pytest.raises(ServiceUnavailable, match="hand on a socket that does"):
        handed_on(file.fileno())
