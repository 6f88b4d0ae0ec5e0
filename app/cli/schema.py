"""`schema.graphql`: printed from the code, and held against it; breaking changes are named."""

from pathlib import Path
from typing import Annotated

import typer
from graphql import build_schema, find_breaking_changes

from app.cli.generated import write_generated
from app.core.errors import BadUserInput
from app.graph.schema import print_graph

commands = typer.Typer()


@commands.command("schema")
def schema(
    check: Annotated[bool, typer.Option("--check", help="Fail when the file differs from the code.")] = False,
    file: Annotated[Path, typer.Argument(help="Where the schema stands.")] = Path("schema.graphql"),
) -> None:
    """Print the public graph into schema.graphql."""
    if check:
        check_schema(file)
    else:
        print_schema(file)


def print_schema(file: Path) -> None:
    """Write the graph as it stands in the code."""
    write_generated(file, print_graph())


def check_schema(file: Path) -> None:
    """Fail when the file differs from the code, naming what would break clients."""
    printed = print_graph()
    committed = file.read_text(encoding="utf-8") if file.exists() else ""
    if committed == printed:
        return
    breaking = (
        [change.description for change in find_breaking_changes(build_schema(committed), build_schema(printed))]
        if committed
        else []
    )
    for description in breaking:
        typer.echo(f"breaking: {description}", err=True)
    raise BadUserInput(
        f"{file} differs from the code ({len(breaking)} breaking changes): run `make schema` and look at what changed."
    )
