"""`python -m app.core.embedded`: say which Postgres and Redis would be used, or what to install (and fail).

A server whose URL is set in the environment is not looked for.
"""

import os
import sys

from app.core.embedded.errors import ServiceUnavailable
from app.core.embedded.installations import find_postgres, find_redis


def main() -> int:
    """Look for both and print the outcome."""
    try:
        if not os.environ.get("DATABASE_URL"):
            postgres = find_postgres()
            version = ".".join(map(str, postgres.version))
            sys.stdout.write(f"PostgreSQL {version} with PostGIS in {postgres.bin_directory}\n")
        if not os.environ.get("REDIS_URL"):
            sys.stdout.write(f"Redis at {find_redis().binary}\n")
    except ServiceUnavailable as refusal:
        sys.stderr.write(f"{refusal}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
