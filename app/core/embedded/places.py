"""Where the database and the sockets live, when the directory asked for cannot hold them."""

import hashlib
import logging
import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

from app.core.embedded.account import Account
from app.core.errors import ServiceUnavailable

logger = logging.getLogger(__name__)

# A unix socket's path fits in 104 bytes on macOS and 108 on Linux, its end included.
LONGEST_SOCKET_PATH = 103
LONGEST_SOCKET_NAME = len("/.s.PGSQL.5432.lock")
# Both servers and both URLs would each need their own quoting of anything else.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._-]+")


def home_for(directory: Path, account: Account) -> Path:
    """The directory that holds the database: `directory`, or one outside it when the account cannot get there.

    Below /root nobody but root can look, and some shared file systems know no owners. The other place is remembered
    by a link called `elsewhere`.
    """
    link = directory / "elsewhere"
    if link.is_symlink():
        return _made(link.readlink())
    if (directory / "postgres").exists() or _suits(directory, account):
        return directory
    name = f"trove-{hashlib.sha256(bytes(directory)).hexdigest()[:12]}"
    home = _made((Path("/var/lib") if account.switch else _own_data_directory()) / name)
    if not _suits(home, account):
        raise ServiceUnavailable(f"Postgres can keep its data neither in {directory} nor in {home}.")
    logger.warning("Postgres cannot keep its data in %s, so it is in %s.", directory, home)
    link.symlink_to(home)
    return home


def make_socket_directory(home: Path, account: Account) -> Path:
    """A fresh directory for the sockets: in `home` where sockets work and the path is short and plain, else in /tmp.

    Only called when no server of `home` is running, so whatever lies there is left from a crash.
    """
    inside = home / "sockets"
    shutil.rmtree(inside, ignore_errors=True)
    inside.mkdir(mode=0o700)
    if not _can_hold_sockets(inside):
        inside.rmdir()
        inside = Path(tempfile.mkdtemp(prefix="trove-", dir="/tmp"))  # mkdtemp: nobody can be there before us
    account.own(inside)
    return inside


def _suits(home: Path, account: Account) -> bool:
    probe = home / f"probe-{os.getpid()}"
    try:
        probe.mkdir()
        account.own(probe)
        status = probe.stat()
        if status.st_uid != account.uid or status.st_mode & 0o777 != 0o700:
            return False
        return account.run(["/bin/sh", "-c", 'test -w "$0"', str(probe)], environment={}).returncode == 0
    except OSError:
        return False
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def _can_hold_sockets(directory: Path) -> bool:
    if not PLAIN_PATH.fullmatch(str(directory)):
        return False
    if len(bytes(directory)) + LONGEST_SOCKET_NAME > LONGEST_SOCKET_PATH:
        return False
    trial = directory / "trial"
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(trial))
        trial.unlink()
    except OSError:
        return False
    return True


def _made(home: Path) -> Path:
    try:
        home.mkdir(mode=0o711, parents=True, exist_ok=True)
    except OSError as error:
        raise ServiceUnavailable(f"Trove cannot make {home} for its database: {error.strerror}.") from error
    return home


def _own_data_directory() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
