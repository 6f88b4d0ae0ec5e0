"""The database from the command line: migrate it, check the migrations, refuse to work on an old one."""

import asyncio
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from asyncpg import PostgresError
from sqlalchemy.exc import DBAPIError

from app.core.database import create_engine, is_database_away
from app.core.embedded import PrivateServices
from app.core.errors import ServiceUnavailable
from app.core.revisions import alembic_config, current_revision, needed_revision
from app.core.settings import Settings


def unreachable(url: str, error: BaseException) -> ServiceUnavailable:
    """The sentence for a database that does not answer; the password stays out of it."""
    place = url.rpartition("@")[2] or url
    return ServiceUnavailable(
        f"The database at {place} cannot be reached ({first_line(error)}): "
        "check DATABASE_URL and that PostgreSQL is running."
    )


def first_line(error: BaseException) -> str:
    """What the database said, without the statement."""
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()
    return reason[0] if reason else type(error).__name__


async def _revision(url: str) -> str | None:
    engine = create_engine(url, role=None, pool_size=1, application_name="trove-revision")
    try:
        async with engine.connect() as connection:
            return await current_revision(connection)
    finally:
        await engine.dispose()


def database_revision(settings: Settings) -> str | None:
    """The migration that the database is at, None when it was never migrated."""
    url = settings.database_url or settings.api_database_url or settings.worker_database_url
    if url is None:
        raise ServiceUnavailable("There is no database: set DATABASE_URL, or use `trove up`, which brings its own.")
    try:
        return asyncio.run(_revision(url))
    except (DBAPIError, PostgresError, OSError, TimeoutError) as error:
        raise unreachable(url, error) from error


def require_current_database(settings: Settings) -> None:
    """Refuse to work on a database at another migration than this code's."""
    revision = database_revision(settings)
    if revision != needed_revision():
        at = f"at migration {revision}" if revision else "not migrated yet"
        raise ServiceUnavailable(
            f"The database is {at}, and this version of Trove needs {needed_revision()}: run `trove migrate` first."
        )


def migrate_database(settings: Settings) -> None:
    """Run the migrations that the database lacks."""
    url = settings.database_url or ""
    try:
        command.upgrade(alembic_config(url), "head")
    except (DBAPIError, PostgresError, OSError, TimeoutError) as error:
        if is_database_away(error):
            raise unreachable(url, error) from error
        raise ServiceUnavailable(f"The migration was refused and undone: {first_line(error)}.") from error
    except CommandError as error:
        raise ServiceUnavailable(
            f"The migrations do not fit this database ({error}): is it of a newer version of Trove?"
        ) from error


def check_migrations() -> None:
    """Run every migration up, hold the result against the models, then down and up again one at a time."""
    with tempfile.TemporaryDirectory(prefix="trove-migrations-") as directory:
        Path(directory).chmod(0o755)
        with PrivateServices(Path(directory), durable=False) as addresses:
            config = alembic_config(addresses.database_url)
            command.upgrade(config, "head")
            command.check(config)
            revisions = list(ScriptDirectory.from_config(config).walk_revisions())
            for _ in revisions:
                command.downgrade(config, "-1")
            for _ in revisions:
                command.upgrade(config, "+1")
            command.check(config)
