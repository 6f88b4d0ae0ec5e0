"""What the prices room says of rows and rates that it does not take in."""

from app.core.errors import BadUserInput, NotFound


class BadRow(Exception):
    """A row of a batch is not taken in; the message says why, and what would be."""


class SeriesGone(Exception):
    """A series was merged into another after it was found; whoever tries again finds the other one."""


class RatesContradict(BadUserInput):
    """Two exchange rates of one currency for one day differ."""


class WrongRate(BadUserInput):
    """A value that no exchange rate can have."""


class SourceNotFound(NotFound):
    """There is no source of the code."""


class WrongSourceName(BadUserInput):
    """A name that no source can have."""
