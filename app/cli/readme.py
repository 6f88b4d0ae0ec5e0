"""The parts of a Markdown file that are made from the code: refreshed in place, and held against it by a check."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from app.cli.generated import write_generated
from app.core.errors import BadUserInput
from app.core.settings import settings_table
from app.graph.picture import PICTURES, draw_graph
from app.identity.scopes import scopes_table

commands = typer.Typer()

_BEGINNING = re.compile(r"<!-- generated: (\S+) -->")
_BLOCK = re.compile(r"<!-- generated: (?P<name>\S+) -->\n(?P<content>.*?)<!-- end: (?P=name) -->", re.DOTALL)


def _picture(name: str) -> str:
    return f"```mermaid\n{draw_graph(rooms=PICTURES[name])}\n```"


BLOCKS: Mapping[str, Callable[[], str]] = {
    "settings": settings_table,
    "scopes": scopes_table,
    **{name: partial(_picture, name) for name in PICTURES},
}


@commands.command("docs")
def docs(
    is_check: Annotated[bool, typer.Option("--check", help="Fail when a block differs from the code.")] = False,
    file: Annotated[Path, typer.Argument(help="The file with generated blocks.")] = Path("README.md"),
) -> None:
    """Refresh what stands in the README but is made from the code: the settings and the picture of the graph."""
    if is_check:
        check(file)
    else:
        refresh(file)


def refresh(file: Path) -> None:
    """Write what the code says now between `<!-- generated: NAME -->` and `<!-- end: NAME -->`."""
    write_generated(file, _refreshed(file))


def check(file: Path) -> None:
    """Fail when a generated block differs from the code, naming which."""
    written, wanted = _blocks(_read(file)), _blocks(_refreshed(file))
    stale = [name for name, content in wanted.items() if written[name] != content]
    if stale:
        raise BadUserInput(
            f"{file} differs from the code in its generated blocks ({', '.join(stale)}): run `trove docs`, and look at "
            "what changed."
        )


def _refreshed(file: Path) -> str:
    text = _read(file)
    begun = _BEGINNING.findall(text)
    unknown = sorted(set(begun) - BLOCKS.keys())
    if unknown:
        raise BadUserInput(
            f"{file} asks for a generated block `{unknown[0]}`, and there are only {', '.join(sorted(BLOCKS))}.",
            allowed=sorted(BLOCKS),
        )
    closed = [match["name"] for match in _BLOCK.finditer(text)]
    if begun != closed:
        raise BadUserInput(
            f"A generated block of {file} has no end: close each with `<!-- end: NAME -->`, and let none hold another."
        )
    return _BLOCK.sub(_made_anew, text)


def _made_anew(block: re.Match[str]) -> str:
    name = block["name"]
    return f"<!-- generated: {name} -->\n\n{BLOCKS[name]()}\n\n<!-- end: {name} -->"


def _blocks(text: str) -> dict[str, str]:
    return {match["name"]: match["content"] for match in _BLOCK.finditer(text)}


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise BadUserInput(f"{file} cannot be read: {(error.strerror or str(error)).lower()}.") from error
