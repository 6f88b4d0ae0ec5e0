"""Anime series from the rules of anime-relations: titles from comments, ids of three lists."""

import asyncio
import gzip
import re
from pathlib import Path

import pytest
from sqlalchemy import select

from app.catalogue.anime import PROVIDERS, NewSeries, read_anime_relations
from app.catalogue.commands.import_series import ImportedSeries, import_series
from app.catalogue.commands.save_related import save_names
from app.catalogue.errors import CatalogueNotUnderstood, FileBreaksOff
from app.catalogue.file_import import import_opened_series, open_series
from app.catalogue.json_rows import open_plain
from app.catalogue.left_out import LeftOut
from app.catalogue.models import Series, SeriesExternalId
from app.core.database import Database

HEAD = "# A file.\n\n::meta\n\n- version: 1.3.0\n\n::rules\n\n"


def read(file: Path) -> tuple[list[NewSeries], list[LeftOut]]:
    with open_plain(file) as stream:
        return read_anime_relations(stream, file.name)


async def imported(database: Database, directory: Path, rules: str) -> tuple[ImportedSeries, list[LeftOut]]:
    file = directory / "anime-relations.txt"
    await asyncio.to_thread(file.write_text, HEAD + rules)
    series, odd = read(file)
    async with database.transaction() as transaction:
        return await import_series(transaction, series), odd


async def ids(database: Database) -> dict[str, dict[str, str]]:
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(Series.name, SeriesExternalId.provider, SeriesExternalId.external_id).join(
                SeriesExternalId, SeriesExternalId.series_id == Series.id
            )
        )
        stored: dict[str, dict[str, str]] = {}
        for row in rows:
            stored.setdefault(row.name, {})[row.provider] = row.external_id
        return stored


async def test_a_rule_names_two_series_and_repeated_ones_are_one(database: Database, tmp_path: Path) -> None:
    async with database.transaction() as transaction:
        await save_names(transaction.connection, Series, ["river  stories"])
    rules = (
        "# River Stories -> ~ 2nd Season\n- 1|?|3:14-26 -> 4|5|?:1-13!\n- 1|2|?:27 -> 4|5|6:14\n\n"
        "# Otter -> ~\n- 7|8|9:0 -> ~|~|~:1\n"
    )
    first, odd = await imported(database, tmp_path, rules)
    assert (first, odd) == (ImportedSeries(inserted=2, updated=1, unchanged=0, rejected=()), [])
    assert await ids(database) == {
        "river stories": {"myanimelist": "1", "kitsu": "2", "anilist": "3"},
        "River Stories 2nd Season": {"myanimelist": "4", "kitsu": "5", "anilist": "6"},
        "Otter": {"myanimelist": "7", "kitsu": "8", "anilist": "9"},
    }
    again, _ = await imported(database, tmp_path, rules)
    assert again == ImportedSeries(inserted=0, updated=0, unchanged=3, rejected=())


async def test_what_contradicts_or_is_no_rule_is_told_with_its_line(database: Database, tmp_path: Path) -> None:
    rules = (
        "- 20|20|20:1 -> 21|21|21:1\n"
        "# A -> B\n- 1|1|1:1 -> 2|2|2:1\n"
        "# A -> C\n- 9|9|9:1 -> 3|3|3:1\n"
        "# D -> E\n- 1|2|?:1 -> 5|5|5:1\n"
        "# F -> ~ 2,3\n- 6|6|6:2 -> 7|7|7:1\n- 6|6|6:3 -> 8|8|8:1\n"
        "# G -> H\n- 1:2\n"
    )
    outcome, odd = await imported(database, tmp_path, rules)
    lines = {row.number: row.reason for row in (*odd, *outcome.rejected)}
    assert lines == {
        9: "the comment above does not give two titles",
        13: "“A” is known by other ids",
        15: "the ids of “D” are those of 2 series",
        17: "“F -> ~ 2,3” does not tell its later series apart",
        18: "“F -> ~ 2,3” does not tell its later series apart",
        20: "“- 1:2” is no rule",
    }
    assert set(await ids(database)) == {"A", "B", "C", "E", "F"}


async def test_series_that_stay_out_are_counted_once(database: Database, tmp_path: Path) -> None:
    await imported(database, tmp_path, "# A -> ~\n- 1|?|?:1 -> 1|?|?:2\n# B -> ~\n- ?|2|?:1 -> ?|2|?:2\n")
    file = tmp_path / "anime-relations.txt"
    await asyncio.to_thread(file.write_text, f"{HEAD}# C -> ~\n- 1|2|?:1 -> 1|2|?:2\n- 1:2\n")
    summary = await import_opened_series(database, open_series(file))
    assert (summary.result["read"], summary.result["rejected"]) == (2, 2)
    assert not summary.something_went_in


@pytest.mark.parametrize(
    ("content", "refusal", "sentence"),
    [
        (b"nothing", CatalogueNotUnderstood, "has no line `::rules`"),
        (b"\xff\xfe", FileBreaksOff, "breaks off"),
        (b"<html>", CatalogueNotUnderstood, "is a page of HTML"),
        (gzip.compress(b"::rules" + b"\n" * 9 * 1024**2), CatalogueNotUnderstood, "has more than 8 MiB"),
    ],
)
def test_another_file_is_refused(
    tmp_path: Path, content: bytes, refusal: type[CatalogueNotUnderstood], sentence: str
) -> None:
    file = tmp_path / "rules.txt"
    file.write_bytes(content)
    with pytest.raises(refusal, match=sentence):
        read(file)


async def test_every_id_of_the_real_file_is_stored_but_those_of_untold_series(
    database: Database, trove_data: Path
) -> None:
    file = trove_data / "figures" / "anime-relations.txt"
    series, odd = read(file)
    lines = (await asyncio.to_thread(file.read_text)).splitlines()
    rules = {number: line for number, line in enumerate(lines, start=1) if re.match(r"- [0-9?]+\|", line)}
    assert len(rules) == 425
    async with database.transaction() as transaction:
        outcome = await import_series(transaction, series)
    left_out = {row.number for row in (*odd, *outcome.rejected)}
    assert len(odd) == 34
    stored = {(provider, name) for names in (await ids(database)).values() for provider, name in names.items()}

    def named(numbers: set[int]) -> set[tuple[str, str]]:
        triples = [
            triple for number in numbers for triple in re.findall(r"([0-9?]+)\|([0-9?]+)\|([0-9?]+):", rules[number])
        ]
        return {(PROVIDERS[place], name) for triple in triples for place, name in enumerate(triple) if name != "?"}

    assert named(set(rules) - left_out) <= stored <= named(set(rules))
    assert outcome.inserted == len(await ids(database)) == 682
    async with database.transaction() as transaction:
        again = await import_series(transaction, series)
    assert (again.inserted, again.updated, again.unchanged) == (0, 0, outcome.inserted)
    assert again.rejected == outcome.rejected
