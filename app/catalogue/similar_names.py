"""Which of many names are similar to another, by trigrams as PostgreSQL's pg_trgm has them. No tables in here."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from ctypes import c_float
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spelling:
    """A name as it is compared: in lower case, and its trigrams, each once, as `show_trgm` tells them."""

    lower: str
    trigrams: tuple[str, ...]


class SimilarNames:
    """Names to look among for those that are the same but for case, or at least so similar, from 0 to 1.

    A name's trigrams are bits of a number, so that what two names have in common is one operation.
    """

    def __init__(self, names: Mapping[int, Spelling], *, least: float) -> None:
        self._least = least
        self._bits: dict[str, int] = {}
        for name in names.values():
            for trigram in name.trigrams:
                self._bits.setdefault(trigram, 1 << len(self._bits))
        self._names = [(key, self._bits_of(name.trigrams), len(name.trigrams)) for key, name in names.items()]
        self._by_lower: dict[str, list[int]] = defaultdict(list)
        for key, name in names.items():
            self._by_lower[name.lower].append(key)

    def __iter__(self) -> Iterator[int]:
        return (key for key, _, _ in self._names)

    def similar_to(self, name: Spelling) -> dict[int, float]:
        """How similar the names are that may be meant by this one, from 0 to 1, by their keys.

        It is what pg_trgm's `similarity` is to the last bit: the trigrams that both have, among all that one has.
        """
        found = dict.fromkeys(self._by_lower.get(name.lower, ()), 0.0)
        bits, size = self._bits_of(name.trigrams), len(name.trigrams)
        for key, others, other_size in self._names:
            common = (bits & others).bit_count()
            if common and (share := common / (size + other_size - common)) >= self._least:
                found[key] = c_float(share).value
        return found

    def _bits_of(self, trigrams: Iterable[str]) -> int:
        bits, known = 0, self._bits
        for trigram in trigrams:
            bits |= known.get(trigram, 0)
        return bits
