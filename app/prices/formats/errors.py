"""What the readers of price files refuse."""

from app.core.errors import BadUserInput


class FileNotUnderstood(BadUserInput):
    """The file as a whole is of another shape; the message says what was expected and what was found."""
