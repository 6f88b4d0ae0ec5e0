"""Where a text has the words that somebody searched for."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

_WORD = re.compile(r"[^\W_]+")
_ALIKE = 0.6


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text, from `start` up to `end`, in UTF-16 code units as browsers count."""

    start: int
    end: int


def spans_of(text: str, words: Sequence[str], *, corrected: bool = False) -> Sequence[Span]:
    """The words of a text that were asked for by folded words, the last of which may be a mere beginning.

    With `corrected`, words that are like them count too.
    """
    return [
        Span(_units(text[:start]), _units(text[:end]))
        for start, end, folded in _folded_words(text)
        if any(_means(word, folded, is_last=word is words[-1], corrected=corrected) for word in words)
    ]


def _means(word: str, folded: str, *, is_last: bool, corrected: bool) -> bool:
    if folded == word or (is_last and folded.startswith(word)):
        return True
    return corrected and SequenceMatcher(None, word, folded).ratio() >= _ALIKE


def _folded_words(text: str) -> Iterator[tuple[int, int, str]]:
    for match in _WORD.finditer(text):
        decomposed = unicodedata.normalize("NFKD", match.group())
        letters = "".join(character for character in decomposed if not unicodedata.combining(character))
        yield match.start(), match.end(), letters.lower()


def _units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
