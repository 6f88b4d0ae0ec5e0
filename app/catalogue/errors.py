"""What the catalogue refuses."""

from app.core.errors import BadUserInput, Conflict, NotFound


class ItemsContradict(Conflict):
    """Two things that are told apart are one item, or one item is said to be two."""


class UnknownItem(NotFound):
    """The catalogue has no such item; the message says how to add it."""


class CatalogueNotUnderstood(BadUserInput):
    """The files of a catalogue are missing or of another shape; the message names the file and what was expected."""
