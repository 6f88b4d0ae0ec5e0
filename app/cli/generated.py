"""Files that are made from the code."""

from pathlib import Path

import typer


def write_generated(file: Path, text: str) -> None:
    """Write the file where it differs from the text, and say whether it did."""
    if file.exists() and file.read_text(encoding="utf-8") == text:
        typer.echo(f"{file} is up to date.")
        return
    file.write_text(text, encoding="utf-8")
    typer.echo(f"Wrote {file}.")
