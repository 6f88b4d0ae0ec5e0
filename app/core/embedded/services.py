"""Starting, finding and stopping the private servers."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypedDict

from app.core.embedded import cluster, guard
from app.core.embedded.account import Account, account_for
from app.core.embedded.installations import PostgresInstallation, find_redis
from app.core.embedded.places import home_for, make_socket_directory
from app.core.errors import ServiceUnavailable

START_SECONDS = 120.0
STOP_SECONDS = 60.0
LARGEST_LOG_BYTES = 10_000_000


@dataclass(frozen=True)
class ServiceAddresses:
    """Where Postgres and Redis are reached: a SQLAlchemy URL for asyncpg, and a redis-py URL."""

    database_url: str
    redis_url: str


class Running(TypedDict):
    """What `services.json` says while servers run: their URLs (None for one not asked for) and pids at the start."""

    database_url: str | None
    redis_url: str | None
    owner: int
    guard: int
    pids: dict[str, int]


class PrivateServices:
    """A Postgres and a Redis of our own, which end with this process.

    `directory` holds everything (default: `.trove` beside the code); `durable=False` trades safety against a crash of
    the machine for speed. A `database_url` or `redis_url` says that this one is the caller's own: it is passed through
    and nothing is started for it. `postgres_settings` are added to the server's, or override them.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        durable: bool = True,
        database_url: str | None = None,
        redis_url: str | None = None,
        postgres_settings: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = (directory or default_directory()).resolve()
        self.durable = durable
        self.database_url = database_url
        self.redis_url = redis_url
        self.postgres_settings = dict(postgres_settings or {})
        self._guard: subprocess.Popen[bytes] | None = None
        self._owner = 0

    @property
    def owns(self) -> bool:
        """Whether the servers were started here, and so end here; False when they were found running."""
        return self._guard is not None

    def start(self) -> ServiceAddresses:
        """Start the servers and wait until they answer, or attach to those running over the same directory.

        Raises ServiceUnavailable when they cannot be had. Blocks: seconds at the first start, then well under one.
        """
        if self.database_url and self.redis_url:
            return ServiceAddresses(self.database_url, self.redis_url)
        _make_directory(self.directory)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with _lock(self.directory) as lock:
                if lock is not None:
                    return self._start(lock)
            found = running_services(self.directory, database_url=self.database_url, redis_url=self.redis_url)
            if found is not None:
                return found
            time.sleep(0.05)  # somebody else is starting them, or the last ones are just ending
        raise ServiceUnavailable(f"The servers of {self.directory} are neither up nor gone; see the logs there.")

    def stop(self) -> None:
        """Stop the servers if they were started by this object in this process, and wait until they have gone."""
        process = self._guard
        if process is None or self._owner != os.getpid():
            return
        process.terminate()
        process.wait(STOP_SECONDS)
        self._guard = None

    def __enter__(self) -> ServiceAddresses:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, lock: int) -> ServiceAddresses:
        (self.directory / "services.json").unlink(missing_ok=True)
        link, data = self.directory / "elsewhere", self.directory / "postgres"
        account = account_for(self.directory, link / "postgres" if link.is_symlink() else data)
        home = home_for(self.directory, account)
        redis = None if self.redis_url else find_redis()
        postgres = None if self.database_url else self._prepare_cluster(home / "postgres", account, lock)
        sockets = make_socket_directory(home, account)
        servers = []
        if postgres:
            command = cluster.server_command(
                postgres, home / "postgres", sockets, durable=self.durable, settings=self.postgres_settings
            )
            servers.append(self._server("postgres", command, account, signal.SIGINT))  # SIGINT: fast, waits for nobody
        if redis:
            servers.append(self._server("redis", _redis_command(redis.binary, sockets), account, signal.SIGTERM))
        orders: guard.Orders = {
            "parent": os.getpid(),
            "lock": lock,
            "servers": servers,
            "remove": [str(self.directory / "services.json"), str(sockets)],
        }
        try:
            return self._run(orders, sockets)
        except BaseException:
            self.stop()
            raise

    def _prepare_cluster(self, data: Path, account: Account, lock: int) -> PostgresInstallation:
        installation = cluster.installation_for(data)
        if cluster.made_by(data) is None:
            cluster.make_cluster(installation, data, account, durable=self.durable, keep_open=lock)
        cluster.forget_dead_server(data)
        return installation

    def _server(self, name: str, command: list[str], account: Account, stop_signal: signal.Signals) -> guard.Server:
        log = self.directory / f"{name}.log"
        if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
            log.unlink()
        log.touch(mode=0o600)
        _give_to_owner(log)
        return {
            "name": name,
            "command": command,
            "log": str(log),
            "stop_signal": int(stop_signal),
            "user": account.uid if account.switch else None,
            "group": account.gid if account.switch else None,
        }

    def _run(self, orders: guard.Orders, sockets: Path) -> ServiceAddresses:
        # -I -S: only the standard library, whatever the environment says; and a start in milliseconds. A session of its
        # own, so that Ctrl-C in the terminal reaches us alone and the servers outlast our own clean-up.
        reading, writing = os.pipe()
        with os.fdopen(reading) as answers:
            try:
                process = self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", guard.__file__, json.dumps(orders)],
                    stdin=subprocess.DEVNULL,
                    stdout=writing,
                    cwd="/",
                    env=cluster.server_environment(),
                    pass_fds=[orders["lock"]],
                    start_new_session=True,
                )
            finally:
                os.close(writing)
            self._owner = os.getpid()
            answer = answers.readline()
        pids: dict[str, int] = json.loads(answer) if answer else {}
        self._wait_until_up(process, orders, sockets)
        process.send_signal(signal.SIGUSR1)
        name, port = cluster.NAME, cluster.PORT
        database_url = f"postgresql+asyncpg://{name}@/{name}?host={sockets}&port={port}"  # plain, see places.PLAIN_PATH
        running: Running = {
            "database_url": None if self.database_url else database_url,
            "redis_url": None if self.redis_url else f"unix://{sockets}/redis.sock?db=0",
            "owner": os.getpid(),
            "guard": process.pid,
            "pids": pids,
        }
        _write(self.directory / "services.json", running)
        return _complete(running, self.directory, self.database_url, self.redis_url)

    def _wait_until_up(self, process: subprocess.Popen[bytes], orders: guard.Orders, sockets: Path) -> None:
        answers = {"postgres": _postgres_answers, "redis": _redis_answers}
        waiting = [server["name"] for server in orders["servers"]]
        deadline = time.monotonic() + START_SECONDS
        while waiting:
            if process.poll() is not None or time.monotonic() > deadline:
                reasons = " ".join(_last_line(Path(server["log"])) for server in orders["servers"])
                raise ServiceUnavailable(
                    f"The private {' and '.join(waiting)} in {self.directory} did not start: {reasons}"
                )
            waiting = [name for name in waiting if not answers[name](sockets)]
            time.sleep(0.01)


def default_directory() -> Path:
    """`.trove` in the checkout this code runs from; in the current directory when it is installed elsewhere."""
    checkout = Path(__file__).resolve().parents[3]
    return (checkout if (checkout / "pyproject.toml").exists() else Path.cwd()) / ".trove"


def running_services(
    directory: Path | None = None, *, database_url: str | None = None, redis_url: str | None = None
) -> ServiceAddresses | None:
    """The servers that another process runs over this directory, or None when there are none.

    A given URL wins over the private one, as in PrivateServices. Raises ServiceUnavailable when what runs there lacks
    a server that is needed, because it was started with a URL that is missing here.
    """
    place = (directory or default_directory()).resolve()
    try:
        with _lock(place, shared=True) as lock:
            if lock is not None:
                return None  # whatever services.json says is left from a crash
        running: Running = json.loads((place / "services.json").read_text())
    except FileNotFoundError:
        return None
    return _complete(running, place, database_url, redis_url)


def _complete(running: Running, directory: Path, database_url: str | None, redis_url: str | None) -> ServiceAddresses:
    database = database_url or running["database_url"]
    redis = redis_url or running["redis_url"]
    if not database or not redis:
        absent = "REDIS_URL" if database else "DATABASE_URL"
        raise ServiceUnavailable(
            f"The servers running in {directory} were started with {absent} set: set it here as well."
        )
    return ServiceAddresses(database, redis)


@contextlib.contextmanager
def _lock(directory: Path, *, shared: bool = False) -> Iterator[int | None]:
    """The file descriptor of the directory's lock, or None while somebody else has it.

    The servers inherit it, so it is never stale: it is free exactly when none of them is left. A shared lock only
    asks; two who ask do not mistake each other for a server.
    """
    descriptor = os.open(directory / "lock", os.O_RDONLY if shared else os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not shared:
            _give_to_owner(directory / "lock")
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        yield None
    else:
        yield descriptor
    finally:
        os.close(descriptor)


def _make_directory(directory: Path) -> None:
    try:
        if not directory.exists():
            directory.mkdir(parents=True, exist_ok=True)  # somebody else may be starting at this very moment
            _give_to_owner(directory)
        if os.geteuid() == 0:
            directory.chmod(directory.stat().st_mode & 0o777 | 0o011)  # the servers' account has to pass through
    except OSError as error:
        raise ServiceUnavailable(f"Trove cannot use {directory} for its private servers: {error.strerror}.") from error


def _give_to_owner(path: Path) -> None:
    """What root makes in a person's directory belongs to that person, who may run Trove without root next time."""
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _write(path: Path, running: Running) -> None:
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(running, indent=2) + "\n")
    _give_to_owner(draft)
    draft.rename(path)


def _redis_command(binary: Path, sockets: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": f"{sockets}/redis.sock",
        "unixsocketperm": "700",
        "dir": str(sockets),
        "databases": "64",
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
    }
    return [str(binary), *(part for name, value in options.items() for part in (f"--{name}", value))]


def _postgres_answers(sockets: Path) -> bool:
    """Whether the database lets us in: the reply to a start-up message begins with R then, with E while it recovers."""
    parameters = f"user\0{cluster.NAME}\0database\0{cluster.NAME}\0\0".encode()
    start_up = struct.pack("!II", 8 + len(parameters), 3 << 16) + parameters
    goodbye = b"X\0\0\0\4"
    return _reply(f"{sockets}/.s.PGSQL.{cluster.PORT}", start_up, goodbye) == b"R"


def _redis_answers(sockets: Path) -> bool:
    return _reply(f"{sockets}/redis.sock", b"PING\r\n", b"QUIT\r\n") == b"+"


def _reply(path: str, message: bytes, goodbye: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        try:
            connection.connect(path)
            connection.sendall(message)
            first = connection.recv(1)
            connection.sendall(goodbye)
        except OSError:
            return b""
        return first


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1] if lines else ""
