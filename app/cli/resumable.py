"""Long work of a command over the database: it may be ended at any time, and run again it goes on."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer
from rich.console import Console
from sqlalchemy.ext.asyncio import AsyncEngine

from app.cli.database import first_line, require_current_database
from app.cli.services import private_services
from app.core.database import DATABASE_FAILURES, DatabaseRole, create_engine
from app.core.errors import ServiceUnavailable
from app.core.settings import Settings, current_settings

INTERRUPTED = 130

Result = TypeVar("Result")


@contextmanager
def settings_with_database() -> Iterator[Settings]:
    """The settings with a database that is up to date, and of a private one with its keys. Redis is not needed."""
    settings = current_settings()
    if settings.worker_database_url or settings.database_url:
        require_current_database(settings)
        yield settings
        return
    with private_services(settings) as filled:
        require_current_database(filled)
        yield filled


def run_over_database(
    settings: Settings, work: Callable[[AsyncEngine], Awaitable[Result]], *, connections: int, application_name: str
) -> Result:
    """What the work gives, done as the worker's role over so many connections.

    Ends the command with a sentence at Ctrl-C. Raises ServiceUnavailable where the database refuses or goes away.
    """
    url = settings.worker_database_url or settings.database_url or ""

    async def over_the_database() -> Result:
        engine = create_engine(url, role=DatabaseRole.WORKER, pool_size=connections, application_name=application_name)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    with ending_at_ctrl_c():
        try:
            return asyncio.run(over_the_database())
        except DATABASE_FAILURES as error:
            raise ServiceUnavailable(
                f"The database refused or went away ({first_line(error)}); what was done is kept. "
                "Run it again to go on."
            ) from error


@contextmanager
def ending_at_ctrl_c() -> Iterator[None]:
    """End the command with one sentence, and without a traceback, at Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        errors.print("Interrupted; what was done is kept. Run it again to go on.", style="red")
        raise typer.Exit(INTERRUPTED) from None
