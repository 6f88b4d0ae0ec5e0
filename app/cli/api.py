"""`trove api`: serves the graph, once there is a database for it and an address to listen on."""

from typing import Annotated

import typer

from app.cli.database import require_current_database
from app.cli.listening import handed_on, listen_on
from app.cli.loading import loaded
from app.core.settings import current_settings

commands = typer.Typer()


@commands.command("api")
def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: TROVE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: TROVE_PORT.")] = None,
    fd: Annotated[
        int | None, typer.Option(help="A socket that listens already, as whoever started this handed it on.")
    ] = None,
) -> None:
    """Serve the API over DATABASE_URL and REDIS_URL."""
    settings = current_settings()
    require_current_database(settings)
    if fd is not None:
        listener = handed_on(fd)
    else:
        listener = listen_on(host or settings.host, settings.port if port is None else port)
    loaded("app.cli.serving:serve_api")(settings, listener)
