"""What the prices room says of rows that it does not take in."""


class BadRow(Exception):
    """A row of a batch is not taken in; the message says why, and what would be."""
