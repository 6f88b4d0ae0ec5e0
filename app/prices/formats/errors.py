"""What the readers of price files refuse."""

from pathlib import Path

from app.core.errors import BadUserInput


class FileNotUnderstood(BadUserInput):
    """The file as a whole is of another shape; the message says what was expected and what was found."""


def unreadable(file: Path, error: OSError) -> FileNotUnderstood:
    """The refusal of a file that the system does not give out."""
    reason = (error.strerror or str(error)).lower()
    return FileNotUnderstood(f"{file} cannot be read: {reason}. Give the path of a file.")
