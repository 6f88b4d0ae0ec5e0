"""The services that a command needs: those of the settings, those of a running `trove up`, or private ones."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.cli.database import migrate_database
from app.core.embedded import PrivateServices
from app.core.settings import Settings


@contextmanager
def private_services(settings: Settings) -> Iterator[Settings]:
    """The settings with both addresses filled in; what was started for it stops at the end of the block."""
    given = settings.database_url or settings.worker_database_url
    services = PrivateServices(settings.directory, database_url=given, redis_url=settings.redis_url)
    with services as addresses:
        filled = settings.model_copy(update={"database_url": addresses.database_url, "redis_url": addresses.redis_url})
        if services.owns and given is None:
            migrate_database(filled)
        yield filled
