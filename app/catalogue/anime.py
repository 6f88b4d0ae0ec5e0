"""Anime series and their names on MyAnimeList, Kitsu and AniList, from the file anime-relations. No tables in here."""

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.catalogue.errors import CatalogueNotUnderstood, FileBreaksOff
from app.catalogue.fields import MOST_CHARACTERS
from app.catalogue.left_out import LeftOut

PROVIDERS = ("myanimelist", "kitsu", "anilist")

# The file has 40 KB.
_MOST_BYTES = 8 * 1024 * 1024
_RULE = re.compile(r"- (?P<source>\S+?):\S+ -> (?P<destination>\S+?):\S+")
_IDS = re.compile(r"(?:[0-9]{1,20}|\?|~)(?:\|(?:[0-9]{1,20}|\?|~)){2}")
_ARROW = " -> "


@dataclass(frozen=True, slots=True)
class NewSeries:
    """A series: its title, and what each of the three lists calls it, or None."""

    number: int
    title: str
    ids: tuple[str | None, str | None, str | None]


def read_anime_relations(stream: io.BufferedReader, name: str) -> tuple[list[NewSeries], list[LeftOut]]:
    """The series that the rules of a file name, each once, and the lines that name none.

    A comment above rules gives the titles of the earlier and the later series, `~` standing for the first one. Of
    several later series below one comment none has a title of its own, so they stay out.

    Raises `CatalogueNotUnderstood` for a file without rules, and `FileBreaksOff` for one that is not text.
    """
    try:
        content = stream.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise CatalogueNotUnderstood(
                f"{name} has more than {_MOST_BYTES // 1024**2} MiB; give the file anime-relations.txt."
            )
        lines = content.decode("utf-8").splitlines()
    except (UnicodeDecodeError, EOFError, OSError, zlib.error, gzip.BadGzipFile) as error:
        raise FileBreaksOff(name, rows=0, reason=str(error)) from error
    if "::rules" not in lines:
        raise CatalogueNotUnderstood(f"{name} has no line `::rules`; give the file anime-relations.txt.")
    series: list[NewSeries] = []
    odd: list[LeftOut] = []
    for titles, rules in _blocks(lines, lines.index("::rules") + 1):
        found, not_found = _series_of(titles, rules)
        series += found
        odd += not_found
    return series, odd


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str


def _blocks(lines: Sequence[str], start: int) -> Iterator[tuple[str | None, list[_Line]]]:
    """Each comment with the rules below it."""
    titles: str | None = None
    rules: list[_Line] = []
    for number, line in enumerate(lines[start:], start=start + 1):
        if line.startswith("#"):
            if rules:
                yield titles, rules
            titles, rules = line.removeprefix("#").strip(), []
        elif line.strip():
            rules.append(_Line(number, line.strip()))
    if rules:
        yield titles, rules


def _series_of(titles: str | None, rules: Sequence[_Line]) -> tuple[list[NewSeries], list[LeftOut]]:
    odd: list[LeftOut] = []
    sources: list[NewSeries] = []
    destinations: list[NewSeries] = []
    first, arrow, second = (titles or "").partition(_ARROW)
    second = second.replace("~", first, 1).strip()
    for line in rules:
        rule = _RULE.fullmatch(line.text)
        if rule is None or not _IDS.fullmatch(rule["source"]) or not _IDS.fullmatch(rule["destination"]):
            odd.append(LeftOut(line.number, f"“{line.text[:80]}” is no rule"))
        elif not first or not arrow or "\0" in (titles or "") or max(len(first), len(second)) > MOST_CHARACTERS:
            odd.append(LeftOut(line.number, "the comment above does not give two titles"))
        else:
            source = _ids(rule["source"], rule["source"])
            sources.append(NewSeries(line.number, first, source))
            destination = _ids(rule["destination"], rule["source"])
            if not _are_one(source, destination):
                destinations.append(NewSeries(line.number, second, destination))
    if destinations and not all(_are_one(destinations[0].ids, one.ids) for one in destinations[1:]):
        odd += [LeftOut(one.number, f"“{titles}” does not tell its later series apart") for one in destinations]
        destinations = []
    return sources + destinations, odd


_Ids = tuple[str | None, str | None, str | None]


def _ids(text: str, source: str) -> _Ids:
    """The three ids; `~` repeats the source's, `?` is not known."""
    parts = [
        of_source if part == "~" else part for part, of_source in zip(text.split("|"), source.split("|"), strict=True)
    ]
    one, two, three = (None if part in {"?", "~"} else part for part in parts)
    return one, two, three


def _are_one(ids: _Ids, others: _Ids) -> bool:
    return any(one is not None and one == other for one, other in zip(ids, others, strict=True))
