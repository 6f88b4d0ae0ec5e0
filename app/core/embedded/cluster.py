"""The private database cluster: made once, then the command line that serves it."""

import os
import platform
import shutil
from collections.abc import Mapping
from pathlib import Path

from app.core.embedded.account import Account
from app.core.embedded.installations import PostgresInstallation, find_postgres
from app.core.errors import ServiceUnavailable

PORT = 5432
NAME = "trove"

SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "timezone": "UTC",
    "jit": "off",
    "cluster_name": "trove",
    "logging_collector": "off",
    "lc_messages": "C",
}
# For data nobody would miss: a crash of the machine may ruin the cluster.
NOT_DURABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


def installation_for(data: Path) -> PostgresInstallation:
    """The Postgres to serve `data` with: of the version that made it, or any when there is nothing yet."""
    major = made_by(data)
    try:
        return find_postgres(major=major)
    except ServiceUnavailable:
        if major is None:
            raise
        newest = find_postgres().version[0]
        raise ServiceUnavailable(
            f"The database in {data} was made by PostgreSQL {major} and this machine has PostgreSQL {newest}: "
            f"install PostgreSQL {major} with PostGIS again, or delete that directory to start empty."
        ) from None


def made_by(data: Path) -> int | None:
    """The major version of Postgres that made the cluster in `data`, or None when there is none."""
    try:
        return int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None
    except PermissionError:
        raise ServiceUnavailable(
            f"The database in {data} belongs to another user: run Trove as that user or as root, or delete it."
        ) from None


def make_cluster(
    installation: PostgresInstallation, data: Path, account: Account, *, durable: bool, keep_open: int
) -> None:
    """Make the cluster with an empty database in it; all or nothing, so an interrupted first start leaves no half one.

    `keep_open` is the lock's file descriptor: initdb may outlive us when we are killed, and holds it until it ends.
    """
    draft = data.with_name(f"{data.name}.new")
    if draft.exists():
        shutil.rmtree(draft)
    draft.mkdir()
    account.own(draft)
    steps = [
        ([*_initdb(installation), "--pgdata", str(draft), *([] if durable else ["--no-sync"])], ""),
        (
            [installation.binary("postgres"), "--single", "-D", str(draft), "-F", "template1"],
            f"CREATE DATABASE {NAME}\n",
        ),
    ]
    for command, stdin in steps:
        try:
            result = account.run(command, environment=server_environment(), stdin=stdin, keep_open=[keep_open])
        except PermissionError:
            raise ServiceUnavailable(
                f"The user that Postgres runs as (number {account.uid}, for it refuses to run as root) may not execute "
                f"{command[0]}: install Postgres for every user, or run Trove as an ordinary one."
            ) from None
        if result.returncode != 0:
            raise ServiceUnavailable(f"Postgres could not make its database in {data}: {_last_line(result.stdout)}")
    draft.rename(data)


def server_command(
    installation: PostgresInstallation, data: Path, sockets: Path, *, durable: bool, settings: Mapping[str, str]
) -> list[str]:
    """The command line that serves the cluster, settings included: no file has to be edited or kept in step."""
    chosen = {**SETTINGS, "unix_socket_directories": str(sockets), **({} if durable else NOT_DURABLE), **settings}
    options = [part for name, value in chosen.items() for part in ("-c", f"{name}={value}")]
    return [installation.binary("postgres"), "-D", str(data), *options]


def server_environment() -> dict[str, str]:
    """Our environment without the variables that would steer the servers somewhere else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def forget_dead_server(data: Path) -> None:
    """Remove the pid file of a server that is gone.

    Postgres does this too, unless another process has the number by now, and after a restart of the machine one often
    has. Only called under the lock, so that no server of ours can be meant.
    """
    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        pid_file.unlink(missing_ok=True)
        return
    if str(data).encode() in _command_line(pid):
        raise ServiceUnavailable(
            f"A Postgres that Trove did not start, process {pid}, is serving {data}: stop it first."
        )
    pid_file.unlink()


def _initdb(installation: PostgresInstallation) -> list[str]:
    command = [installation.binary("initdb"), "--username", NAME, "--encoding", "UTF8"]
    command += ["--auth-local", "trust", "--auth-host", "reject"]
    if installation.version[0] >= 17:
        return [*command, "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"]
    if platform.system() == "Darwin":  # which has no C.UTF-8
        return [*command, "--locale", "C", "--lc-ctype", "en_US.UTF-8"]
    return [*command, "--locale", "C.UTF-8"]


def _command_line(pid: int) -> bytes:
    if platform.system() == "Linux":
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return b""
    me = Account(os.geteuid(), os.getegid(), switch=False)
    return me.run(["ps", "-p", str(pid), "-o", "command="], environment=os.environ).stdout.encode()


def _last_line(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason."
