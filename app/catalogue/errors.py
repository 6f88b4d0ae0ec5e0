"""What the catalogue refuses."""

from app.core.errors import BadUserInput, Conflict, NotFound


class ItemsContradict(Conflict):
    """Two things that are told apart are one item, or one item is said to be two."""


class UnknownItem(NotFound):
    """The catalogue has no such item; the message says how to add it."""


class CatalogueNotUnderstood(BadUserInput):
    """The files of a catalogue are missing or of another shape; the message names the file and what was expected."""


class FileBreaksOff(CatalogueNotUnderstood):
    """A file ends, or stops being what it was, in the middle; `rows` is how many whole ones stood before."""

    def __init__(self, name: str, *, rows: int, reason: str) -> None:
        super().__init__(
            f"{name} breaks off at row {rows + 1:,} ({reason or 'the end is missing'}); get the whole file and import "
            "it again: what went in is kept and will not go in twice."
        )
        self.rows = rows


class RowNotUnderstood(BadUserInput):
    """A row of a catalogue's file cannot go in; the message is the reason."""
