"""What an import tells of the rows that stay out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row or line that did not go in: its number in the file, from 1, and the reason."""

    number: int
    reason: str
