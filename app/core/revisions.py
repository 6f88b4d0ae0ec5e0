"""Which migration the database is at, and which this code needs."""

from functools import cache
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def alembic_config(database_url: str | None = None) -> Config:
    """Alembic's configuration for our migrations, over this database."""
    config = Config(attributes={"url": database_url})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


@cache
def needed_revision() -> str | None:
    """The newest migration that this code knows."""
    return ScriptDirectory.from_config(alembic_config()).get_current_head()


async def current_revision(connection: AsyncConnection) -> str | None:
    """The migration that the database is at, None for one that was never migrated."""
    try:
        revision: str | None = await connection.scalar(text("SELECT version_num FROM public.alembic_version"))
    except ProgrammingError:
        return None
    return revision
