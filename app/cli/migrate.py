"""`trove migrate`: the database to the newest migration, or the migrations to the test."""

from typing import Annotated

import typer

from app.cli.database import check_migrations, migrate_database
from app.cli.services import private_services
from app.core.settings import current_settings

commands = typer.Typer()


@commands.command("migrate")
def migrate(
    check: Annotated[
        bool, typer.Option("--check", help="Run every migration up and down on a scratch database instead.")
    ] = False,
) -> None:
    """Bring the database to the newest migration."""
    if check:
        check_migrations()
        return
    settings = current_settings()
    if settings.database_url is not None:
        migrate_database(settings)
        return
    with private_services(settings):
        # Starting private services has migrated their database.
        pass
