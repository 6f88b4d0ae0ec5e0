"""`trove`: the commands, each in a module of its own that is loaded when the command is used.

What the graph is made of takes longer to load than most commands take to run, and few of them need it.
"""

import sys
from typing import Any, NamedTuple

import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.main import get_group

from app.cli.loading import loaded
from app.core.errors import Refusal


class Command(NamedTuple):
    """Where a command stands, as `module:attribute`, and the line that `trove --help` has about it."""

    place: str
    help: str


COMMANDS = {
    "up": Command(
        "app.cli.up:commands",
        "Start everything on this machine: database, Redis, API, worker, demo data and a live price feed.",
    ),
    "api": Command("app.cli.api:commands", "Serve the API over DATABASE_URL and REDIS_URL."),
    "worker": Command("app.cli.worker:commands", "Run the jobs: process ingest batches, make partitions, prune."),
    "migrate": Command("app.cli.migrate:commands", "Bring the database to the newest migration."),
    "schema": Command("app.cli.schema:commands", "Print the public graph into schema.graphql."),
    "docs": Command(
        "app.cli.readme:commands",
        "Refresh what stands in the README but is made from the code: the settings and the picture of the graph.",
    ),
    "doctor": Command("app.cli.doctor:commands", "Look at this machine and say what is missing."),
    "import": Command("app.cli.imports:app", "Bring in price files, exchange rates, catalogues, cities and journeys."),
    "keys": Command("app.cli.keys:commands", "Make, change and check the keys of what is encrypted."),
    "people": Command("app.cli.people:commands", "Add people, grant them roles, make them tokens."),
    "portfolios": Command("app.cli.portfolios:commands", "Look after what follows from portfolios."),
    "prices": Command("app.cli.prices:commands", "Look after stored prices."),
    "trackers": Command("app.cli.trackers:commands", "Ask for reports of trackers."),
}


class LoadedWhenUsed(TyperGroup):
    """Lists what stands in the table, and loads the command that is run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """The command that the first word names, and the words that are left for it."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed if name is None else load(name), rest


def stand_in() -> None:
    """Stands in the list for a command that is not loaded."""


def load(name: str) -> Any:
    """The command of this name, from its module."""
    commands = typer.Typer()
    commands.add_typer(loaded(COMMANDS[name].place))
    return get_group(commands).commands[name]


app = typer.Typer(
    name="trove",
    cls=LoadedWhenUsed,
    help="Trove: one GraphQL API for what people own: what a thing is, what it is worth, and where it is.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command_name, command in COMMANDS.items():
    app.command(command_name, help=command.help)(stand_in)
errors = Console(stderr=True)


def main() -> None:
    """The entry point: a refusal is one sentence and exit code 1, never a traceback."""
    try:
        app()
    except Refusal as refusal:
        errors.print(refusal.message, style="red", markup=False, highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
