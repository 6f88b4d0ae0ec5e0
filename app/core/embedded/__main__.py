"""`python -m app.core.embedded [postgres|redis]`: say which server would be used, or what to install (and fail)."""

import sys
from collections.abc import Callable

from app.core.embedded.installations import find_postgres, find_redis
from app.core.errors import ServiceUnavailable


def postgres() -> str:
    """One line about the Postgres to use."""
    found = find_postgres()
    return f"PostgreSQL {'.'.join(map(str, found.version))} with PostGIS in {found.bin_directory}"


def redis() -> str:
    """One line about the Redis to use."""
    return f"Redis at {find_redis().binary}"


def main(names: list[str]) -> int:
    """Look for the named servers, or for both; the exit status is 1 when one is missing."""
    searches: dict[str, Callable[[], str]] = {"postgres": postgres, "redis": redis}
    status = 0
    for name in names or list(searches):
        try:
            sys.stdout.write(f"{searches[name]()}\n")
        except ServiceUnavailable as refusal:
            sys.stderr.write(f"{refusal}\n")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
