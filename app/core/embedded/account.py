"""The system account that Postgres and Redis run as: never root."""

import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.core.errors import ServiceUnavailable


@dataclass(frozen=True)
class Account:
    """Who runs the servers; `switch` is True when we are root and must become that user first."""

    uid: int
    gid: int
    switch: bool

    def own(self, path: Path) -> None:
        """Give the path to this account, for nobody else to read."""
        path.chmod(0o700)
        if self.switch:
            os.chown(path, self.uid, self.gid)

    def run(
        self, command: Sequence[str], *, environment: Mapping[str, str], stdin: str = "", keep_open: Sequence[int] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end as this account, from the root directory (ours may be closed to it)."""
        return subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd="/",
            env=dict(environment),
            pass_fds=tuple(keep_open),
            user=self.uid if self.switch else None,
            group=self.gid if self.switch else None,
            extra_groups=[] if self.switch else None,
            start_new_session=True,
            check=False,
        )


def account_for(directory: Path, data: Path) -> Account:
    """The account for servers whose things live in `directory` and whose database, if there is one, in `data`.

    We ourselves, unless we are root. Then whoever owns the database, or else the directory (so that `sudo make run` in
    a person's checkout leaves nothing that person cannot use), or else the system's `postgres`, or else `nobody`.
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), switch=False)
    for path in (data, directory):
        owner = path.stat().st_uid if path.exists() else 0
        if owner != 0:
            try:
                return Account(owner, pwd.getpwuid(owner).pw_gid, switch=True)
            except KeyError:
                continue  # initdb refuses to run as a user without a name
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, switch=True)
    raise ServiceUnavailable(
        "Postgres refuses to run as root and this machine has neither a `postgres` nor a `nobody` user: "
        "run Trove as an ordinary user, or run everything in containers with `docker compose up`."
    )
