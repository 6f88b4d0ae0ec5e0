"""The private Postgres and Redis of a laptop, and of the tests: found, started, and stopped with their owner.

Both listen on unix sockets only. `PrivateServices` starts them (or attaches to those already running over the same
directory), `running_services` finds those another command started, `python -m app.core.embedded` says which binaries
would be used. May call nothing outside the standard library.
"""

from app.core.embedded.installations import PostgresInstallation, RedisInstallation, find_postgres, find_redis
from app.core.embedded.services import PrivateServices, ServiceAddresses, default_directory, running_services
from app.core.errors import ServiceUnavailable

__all__ = [
    "PostgresInstallation",
    "PrivateServices",
    "RedisInstallation",
    "ServiceAddresses",
    "ServiceUnavailable",
    "default_directory",
    "find_postgres",
    "find_redis",
    "running_services",
]
