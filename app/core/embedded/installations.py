"""Which Postgres and Redis binaries of this machine to use."""

import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.core.embedded.errors import missing

OLDEST_POSTGRES = 14

# Debian, PGDG on Fedora and RHEL, Alpine, Homebrew (Apple silicon, Intel, Linux), Postgres.app.
POSTGRES_PATTERNS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
)
REDIS_PLACES = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin", "/home/linuxbrew/.linuxbrew/bin")


@dataclass(frozen=True, order=True)
class PostgresInstallation:
    """A Postgres with PostGIS; `version` is (major, minor)."""

    version: tuple[int, int]
    bin_directory: Path

    def binary(self, name: str) -> str:
        """The path of one of its programs, such as `initdb`."""
        return str(self.bin_directory / name)


@dataclass(frozen=True)
class RedisInstallation:
    """A Redis or Valkey server; `binary` is kept as found, because Debian's server goes by the name it is called."""

    binary: Path


def find_postgres(places: Iterable[Path] | None = None, *, major: int | None = None) -> PostgresInstallation:
    """The Postgres to use: the first one on the PATH that has PostGIS, else the newest elsewhere that has it.

    `places` are the bin directories to look in, instead of all known ones; `major` asks for one major version.
    Raises ServiceUnavailable when there is none.
    """
    for installation in _installations(postgres_places() if places is None else places):
        found = installation.version[0]
        if found >= OLDEST_POSTGRES and major in (None, found) and has_postgis(installation):
            return installation
    wanted = f"PostgreSQL {major}" if major else f"PostgreSQL (version {OLDEST_POSTGRES} or newer)"
    raise missing(f"{wanted} with PostGIS")


def find_redis(places: Iterable[Path] | None = None) -> RedisInstallation:
    """The Redis (or Valkey) server to use; raises ServiceUnavailable when there is none."""
    directories = _path_directories() + [Path(place) for place in REDIS_PLACES] if places is None else list(places)
    for name in ("redis-server", "valkey-server"):
        for directory in directories:
            if os.access(directory / name, os.X_OK):
                return RedisInstallation(directory / name)
    raise missing("Redis")


def postgres_places() -> list[Path]:
    """Every bin directory that may hold a Postgres: those of the PATH first, then the known ones, newest first."""
    on_path = [place for directory in _path_directories() for place in _places_behind(directory)]
    known = [path for pattern in POSTGRES_PATTERNS for path in Path("/").glob(pattern.lstrip("/"))]
    return list(dict.fromkeys([*on_path, *sorted(known, key=_number_in, reverse=True)]))


def has_postgis(installation: PostgresInstallation) -> bool:
    """Whether the PostGIS extension is installed for this Postgres."""
    control_files = [share / "extension" / "postgis.control" for share in _share_directories(installation)]
    return any(os.access(control_file, os.R_OK) for control_file in control_files)


def _installations(places: Iterable[Path]) -> Iterator[PostgresInstallation]:
    for place in places:
        if all(os.access(place / name, os.X_OK) for name in ("postgres", "initdb")):
            match = re.search(r"(\d+)(?:\.(\d+))?", _output([place / "postgres", "--version"]))
            if match:
                yield PostgresInstallation((int(match[1]), int(match[2] or 0)), place)


def _places_behind(directory: Path) -> Iterator[Path]:
    """A PATH entry itself, where a linked `postgres` in it really lives, and where its `pg_config` points."""
    yield directory
    for name in ("postgres", "initdb"):
        if (directory / name).is_symlink():
            yield (directory / name).resolve().parent
    if os.access(directory / "pg_config", os.X_OK):
        told = _output([directory / "pg_config", "--bindir"])
        if told:
            yield Path(told)


def _share_directories(installation: PostgresInstallation) -> Iterator[Path]:
    places, major = installation.bin_directory, installation.version[0]
    if os.access(places / "pg_config", os.X_OK):
        told = _output([places / "pg_config", "--sharedir"])
        if told:
            # The installation has answered for itself: a guess could only name a neighbour's directory.
            yield Path(told)
            return
    if places.is_relative_to(f"/usr/lib/postgresql/{major}"):
        yield Path(f"/usr/share/postgresql/{major}")  # Debian keeps pg_config in libpq-dev, which few have
    elif places == Path("/usr/bin"):
        yield from (Path("/usr/share/pgsql"), Path("/usr/share/postgresql"))
    elif places.is_relative_to("/usr/libexec"):
        yield Path(f"/usr/share/postgresql{major}")
    else:
        yield from (places.parent / "share", places.parent / "share" / "postgresql")
        yield places.parent / "share" / f"postgresql@{major}"


def _path_directories() -> list[Path]:
    # Root's PATH often survives `su`, and what we may not enter would only raise.
    return [Path(entry) for entry in os.get_exec_path() if Path(entry).is_absolute() and os.access(entry, os.X_OK)]


def _number_in(place: Path) -> int:
    numbers = re.findall(r"\d+", str(place))
    return int(numbers[-1]) if numbers else 0


def _output(command: Sequence[str | Path]) -> str:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
