"""The services that a command needs: those of the settings, those of a running `trove up`, or private ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.cli.database import migrate_database
from app.core.embedded import PrivateServices
from app.core.key_rings import local_key_ring_file
from app.core.settings import Settings


def with_local_keys(settings: Settings, directory: Path) -> Settings:
    """The settings with a ring of keys: their own, or that of the private services' folder, which is made once."""
    if settings.secret_keys is not None or settings.secret_keys_file is not None:
        return settings
    return settings.model_copy(update={"secret_keys_file": local_key_ring_file(directory)})


@contextmanager
def private_services(settings: Settings) -> Iterator[Settings]:
    """The settings with both addresses filled in, and the keys of a private database.

    What was started for it stops at the end of the block.
    """
    given = settings.database_url or settings.worker_database_url
    services = PrivateServices(settings.directory, database_url=given, redis_url=settings.redis_url)
    with services as addresses:
        filled = settings.model_copy(update={"database_url": addresses.database_url, "redis_url": addresses.redis_url})
        if given is None:
            filled = with_local_keys(filled, services.directory)
        if services.owns and given is None:
            migrate_database(filled)
        yield filled
