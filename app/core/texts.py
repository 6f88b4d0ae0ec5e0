"""Texts of others, as they may be stored and shown."""

from unicodedata import category

# Control characters, what turns the direction of writing and the like, and halves of characters.
_NOT_SHOWN = frozenset({"Cc", "Cf", "Cs"})


def showable(text: str) -> str:
    """A text in which a mark stands for each character that no terminal should be sent, or PostgreSQL cannot hold."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if character != "\n" and category(character) in _NOT_SHOWN else character
        for character in text
    )
