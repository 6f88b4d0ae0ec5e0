"""`trove`: the commands, each thin over the part that does the work."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from app.cli import imports, keys, people, portfolios, prices
from app.cli.database import check_migrations, migrate_database, require_current_database
from app.cli.doctor import examine
from app.cli.readme import check as check_readme
from app.cli.readme import refresh as refresh_readme
from app.cli.schema import check_schema, print_schema
from app.cli.serve import serve_api, serve_worker
from app.cli.services import private_services
from app.cli.up import run_everything
from app.core.errors import Refusal
from app.core.settings import current_settings

app = typer.Typer(
    name="trove",
    help="Trove: one GraphQL API for what people own: what a thing is, what it is worth, and where it is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(imports.app)
app.add_typer(keys.commands)
app.add_typer(people.commands)
app.add_typer(portfolios.commands)
app.add_typer(prices.commands)
errors = Console(stderr=True)


@app.command()
def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: TROVE_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; default: TROVE_PORT, or the next free one from 8000.")
    ] = None,
) -> None:
    """Start everything on this machine: database, Redis, API, worker, demo data and a live price feed."""
    settings = current_settings()
    if port is None and "port" in settings.model_fields_set:
        port = settings.port
    sys.exit(run_everything(settings, host=host or settings.host, port=port))


@app.command()
def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on; default: TROVE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; default: TROVE_PORT.")] = None,
) -> None:
    """Serve the API over DATABASE_URL and REDIS_URL."""
    settings = current_settings()
    require_current_database(settings)
    serve_api(settings, host=host or settings.host, port=settings.port if port is None else port)


@app.command()
def worker() -> None:
    """Run the jobs: process ingest batches, make partitions, prune."""
    settings = current_settings()
    require_current_database(settings)
    serve_worker(settings)


@app.command()
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


@app.command()
def schema(
    check: Annotated[bool, typer.Option("--check", help="Fail when the file differs from the code.")] = False,
    file: Annotated[Path, typer.Argument(help="Where the schema stands.")] = Path("schema.graphql"),
) -> None:
    """Print the public graph into schema.graphql."""
    if check:
        check_schema(file)
    else:
        print_schema(file)


@app.command()
def docs(
    check: Annotated[bool, typer.Option("--check", help="Fail when a block differs from the code.")] = False,
    file: Annotated[Path, typer.Argument(help="The file with generated blocks.")] = Path("README.md"),
) -> None:
    """Refresh what stands in the README but is made from the code: the settings and the picture of the graph."""
    if check:
        check_readme(file)
    else:
        refresh_readme(file)


@app.command()
def doctor() -> None:
    """Look at this machine and say what is missing."""
    sys.exit(examine(current_settings()))


def main() -> None:
    """The entry point: a refusal is one sentence and exit code 1, never a traceback."""
    try:
        app()
    except Refusal as refusal:
        errors.print(refusal.message, style="red", markup=False, highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
