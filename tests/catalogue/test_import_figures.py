"""Figures from CSV and JSON: known ones are found by JAN, slug or name, and what is doubtful stays out."""

import asyncio
import csv
import gzip
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from app.catalogue import file_import
from app.catalogue.commands.edit_items import edit_item
from app.catalogue.commands.merge_items import merge_items
from app.catalogue.commands.save_items import SavedItems
from app.catalogue.errors import CatalogueNotUnderstood
from app.catalogue.figures import COLUMNS
from app.catalogue.file_import import CatalogueSummary, import_figure_file
from app.catalogue.given import GivenItem
from app.catalogue.models import FigureRelease, Item, Series
from app.catalogue.new_items import NewRelease
from app.catalogue.queries.items import releases_by_figure
from app.catalogue.slugs import slug_of
from app.core.database import Database
from tests.catalogue.builders import coin, figure, saved

FERRYMAN = {
    "name": "The Ferryman of the Long Night",
    "manufacturer": "North Pier",
    "scale": "1/7",
    "series": "River Stories; Lantern Fleet",
    "characters": "Ferryman",
    "released_on": "2025-11-01",
    "list_price": "46000",
    "currency": "JPY",
    "jan": "4580000000010",
    "is_nsfw": "no",
}


def as_csv(*rows: dict[str, Any]) -> bytes:
    text = StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_json(*rows: dict[str, Any]) -> bytes:
    return json.dumps(rows).encode()


async def imported(database: Database, directory: Path, content: bytes) -> CatalogueSummary:
    file = directory / "figures.csv"
    await asyncio.to_thread(file.write_bytes, content)
    return await import_figure_file(database, file)


async def names(database: Database) -> list[str]:
    async with database.transaction() as transaction:
        return list(await transaction.connection.scalars(select(Item.name).order_by(Item.name)))


async def jans(database: Database, name: str) -> list[str | None]:
    async with database.transaction() as transaction:
        rows = select(FigureRelease.jan).join(Item, Item.id == FigureRelease.item_id).where(Item.name == name)
        return list(await transaction.connection.scalars(rows.order_by(FigureRelease.position)))


@pytest.mark.parametrize("written", [as_csv, as_json])
async def test_a_figure_comes_with_everything_that_its_row_tells(
    database: Database, tmp_path: Path, written: Any
) -> None:
    content = b"\xef\xbb\xbf" + written(FERRYMAN)
    assert (await imported(database, tmp_path, content)).items == SavedItems(inserted=1)
    assert (await imported(database, tmp_path, content)).items == SavedItems(unchanged=1)
    async with database.transaction() as transaction:
        item = (await transaction.connection.execute(select(Item.id, Item.slug, Item.name, Item.is_nsfw))).one()
        assert item[1:] == ("the-ferryman-of-the-long-night", "The Ferryman of the Long Night", False)
        releases = await releases_by_figure(transaction.connection, [item.id])
        assert releases[item.id] == [NewRelease(date(2025, 11, 1), Decimal(46000), "JPY", "4580000000010")]
        series = await transaction.connection.scalars(select(Series.name).order_by(Series.name))
        assert series.all() == ["Lantern Fleet", "River Stories"]


@pytest.mark.parametrize(
    ("changed", "expected", "stored"),
    [
        ({"name": "Charon"}, SavedItems(updated=1), ["Charon"]),
        ({"jan": "", "released_on": ""}, SavedItems(updated=1), [FERRYMAN["name"]]),
        ({"name": "the ferryman of the  long night", "jan": "4580000000027"}, SavedItems(updated=1), None),
        ({"name": "The Ferryman of the Long Nights", "jan": ""}, SavedItems(unchanged=1), [FERRYMAN["name"]]),
        ({"name": "The Ferryman of the Long Nights", "jan": "4580000000027"}, "doubtful", [FERRYMAN["name"]]),
        ({"name": "Ferryman of the Night", "jan": ""}, "doubtful", [FERRYMAN["name"]]),
        ({"name": "The Ferryman of the Long Night 2", "jan": ""}, "doubtful", [FERRYMAN["name"]]),
        ({"manufacturer": "", "jan": ""}, "doubtful", [FERRYMAN["name"]]),
        ({"scale": "1/4", "jan": ""}, SavedItems(inserted=1), [FERRYMAN["name"]] * 2),
        ({"manufacturer": "South Pier", "jan": ""}, SavedItems(inserted=1), [FERRYMAN["name"]] * 2),
        ({"name": "Otter", "jan": ""}, SavedItems(inserted=1), ["Otter", FERRYMAN["name"]]),
        ({"name": "Ferryman of the Night", "jan": "", "slug": FERRYMAN["name"]}, "rejected", [FERRYMAN["name"]]),
        (
            {"name": "Night", "jan": "", "slug": "the-ferryman-of-the-long-night"},
            SavedItems(updated=1),
            ["Night"],
        ),
        (
            {"name": "Ferryman of the Night", "jan": "", "slug": "ferryman-of-the-night"},
            SavedItems(inserted=1),
            ["Ferryman of the Night", FERRYMAN["name"]],
        ),
        ({"slug": "another"}, "rejected", [FERRYMAN["name"]]),
        ({"jan": "", "slug": "bitcoin"}, "rejected", [FERRYMAN["name"]]),
    ],
)
async def test_a_row_finds_the_figure_that_it_tells_of(
    database: Database, tmp_path: Path, changed: dict[str, str], expected: object, stored: list[str] | None
) -> None:
    await saved(database, coin("bitcoin", "~Bitcoin"))
    await imported(database, tmp_path, as_csv(FERRYMAN))
    summary = await imported(database, tmp_path, as_csv(FERRYMAN | changed))
    if expected == "doubtful":
        assert [(doubt.number, doubt.candidate) for doubt in summary.doubtful] == [(1, FERRYMAN["name"])]
        assert (summary.items, summary.something_went_in) == (SavedItems(), False)
    elif expected == "rejected":
        assert [row.number for row in summary.rejected] == [1]
        assert (summary.items, summary.something_went_in) == (SavedItems(), False)
    else:
        assert (summary.items, summary.doubtful, summary.rejected) == (expected, [], [])
    if stored is not None:
        assert await names(database) == [*stored, "~Bitcoin"]


@pytest.fixture
async def merged_figure(database: Database, tmp_path: Path) -> Item:
    """The ferryman, into whom staff have merged the river spirit, with a release of each."""
    spirit = {"name": "River Spirit", "manufacturer": "North Pier", "scale": "1/7", "released_on": "2024-02-02"}
    await imported(database, tmp_path, as_csv(FERRYMAN, spirit))
    async with database.transaction() as transaction:
        ids = {row.slug: row.id for row in await transaction.connection.execute(select(Item.slug, Item.id))}
        winner, loser = ids["the-ferryman-of-the-long-night"], ids["river-spirit"]
        await merge_items(transaction, winner_id=winner, loser_id=loser, editor_id=None, followers=[])
    return Item(id=winner, name=FERRYMAN["name"])


@pytest.mark.parametrize(
    "row",
    [
        {"slug": "river-spirit"},
        # Told by its name alone, as in the file that it came from.
        {"manufacturer": "North Pier", "scale": "1/7"},
        {"slug": "river-spirit", "jan": "4580000000010"},
    ],
)
async def test_what_is_merged_into_a_figure_goes_on_telling_of_it(
    database: Database, tmp_path: Path, merged_figure: Item, row: dict[str, str]
) -> None:
    told = {"name": "River Spirit", "released_on": "2026-01-01"} | row
    summary = await imported(database, tmp_path, as_csv(told))
    assert (summary.items, summary.rejected, summary.doubtful) == (SavedItems(updated=1), [], [])
    assert (await imported(database, tmp_path, as_csv(told))).items == SavedItems(unchanged=1)
    assert await names(database) == [merged_figure.name]
    async with database.transaction() as transaction:
        releases = (await releases_by_figure(transaction.connection, [merged_figure.id]))[merged_figure.id]
    assert {"4580000000010"} == {release.jan for release in releases if release.jan}
    assert {date(2024, 2, 2), date(2026, 1, 1)} <= {release.released_on for release in releases}


async def test_a_new_figure_is_not_the_one_that_had_the_slug_of_its_name(
    database: Database, tmp_path: Path, merged_figure: Item
) -> None:
    other = {"name": "River Spirit", "manufacturer": "South Quay", "scale": "1/4", "released_on": "2026-01-01"}
    assert (await imported(database, tmp_path, as_csv(other))).items == SavedItems(inserted=1)
    assert (await imported(database, tmp_path, as_csv(other))).items == SavedItems(unchanged=1)
    assert await names(database) == ["River Spirit", merged_figure.name]
    nobodys = {"name": "River Spirit", "released_on": "2026-01-01"}
    (doubt,) = (await imported(database, tmp_path, as_csv(nobodys))).doubtful
    assert doubt.candidate in await names(database)


async def test_rows_of_one_figure_are_its_releases_and_the_same_again_changes_nothing(
    database: Database, tmp_path: Path
) -> None:
    again = FERRYMAN | {"jan": "4580000000027", "released_on": "2027-01-01"}
    rows = as_csv(FERRYMAN, again, FERRYMAN | {"name": "Otter", "jan": "", "released_on": ""})
    first = await imported(database, tmp_path, rows)
    assert (first.rows, first.items) == (3, SavedItems(inserted=2))
    assert await jans(database, FERRYMAN["name"]) == ["4580000000010", "4580000000027"]
    assert (await imported(database, tmp_path, rows)).items == SavedItems(unchanged=2)
    assert (await imported(database, tmp_path, as_csv(again))).items == SavedItems(unchanged=1)
    dearer = await imported(database, tmp_path, as_csv(again | {"list_price": "50000"}))
    assert (dearer.items, dearer.items.changed) == (SavedItems(updated=1), (FERRYMAN["name"],))
    assert await jans(database, FERRYMAN["name"]) == ["4580000000010", "4580000000027"]


async def test_a_row_tells_of_the_release_with_its_jan_before_one_of_the_same_day(
    database: Database, tmp_path: Path
) -> None:
    undated = FERRYMAN | {"jan": "", "list_price": "", "currency": "", "released_on": "2025-12-01"}
    await imported(database, tmp_path, as_json(undated, FERRYMAN))
    await imported(database, tmp_path, as_json(FERRYMAN | {"released_on": "2025-12-01"}))
    assert await jans(database, FERRYMAN["name"]) == [None, FERRYMAN["jan"]]


async def test_rows_of_one_file_are_compared_with_each_other_across_chunks_or_not(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = as_csv(FERRYMAN | {"jan": ""}, FERRYMAN | {"jan": "", "name": "Ferryman of the Night"})
    within = await imported(database, tmp_path, rows)
    assert [(doubt.number, doubt.candidate) for doubt in within.doubtful] == [(2, FERRYMAN["name"])]
    monkeypatch.setattr(file_import, "FIGURES_IN_A_CHUNK", 1)
    across = await imported(database, tmp_path, rows)
    assert (across.doubtful, across.items) == (within.doubtful, SavedItems(unchanged=1))


async def test_a_slug_that_is_given_is_kept_for_its_figure(database: Database, tmp_path: Path) -> None:
    rows = as_csv({"name": "Otter"}, {"name": "The Heron of the Reeds", "slug": "otter"})
    assert (await imported(database, tmp_path, rows)).items == SavedItems(inserted=2)
    assert (await imported(database, tmp_path, rows)).items == SavedItems(unchanged=2)
    async with database.transaction() as transaction:
        heron = await transaction.connection.scalar(select(Item.name).where(Item.slug == "otter"))
    assert heron == "The Heron of the Reeds"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": ""}, "it has no name"),
        ({"list_price": ""}, "list_price and currency go together"),
        ({"list_price": "-1"}, "list_price “-1” is not an amount from 0"),
        ({"list_price": "1e999"}, "list_price “1e999” is above 10^15, or has more than 18 decimal places"),
        ({"list_price": "1e-20000"}, "list_price “1e-20000” is above 10^15, or has more than 18 decimal places"),
        ({"list_price": "0e20000"}, "list_price “0e20000” is above 10^15, or has more than 18 decimal places"),
        (
            {"list_price": "0." + "1" * 19},
            "list_price “0.1111111111111111111” is above 10^15, or has more than 18 decimal places",
        ),
        ({"list_price": "1" * 200}, f"list_price “{'1' * 40}…” is above 10^15, or has more than 18 decimal places"),
        ({"list_price": "NaN"}, "list_price “NaN” is not an amount from 0"),
        ({"jan": "1" * 501}, "jan has 501 characters, more than 500"),
        ({"currency": "XXXX"}, "“XXXX” is no currency that Trove knows; give a code such as JPY"),
        ({"jan": "123"}, "jan “123” does not have 8 or 13 digits"),
        ({"jan": "4580000000014"}, "jan “4580000000014” should end in 0 by its other digits; look at it again"),
        ({"jan": "73513538"}, "jan “73513538” should end in 7 by its other digits; look at it again"),
        ({"name": "\u200b \u2060"}, "it has no name"),
        ({"list_price": "46_000"}, "list_price “46_000” is not an amount"),
        ({"list_price": "４６０００"}, "list_price “４６０００” is not an amount"),
        ({"released_on": "2025W101"}, "released_on “2025W101” is not a day such as 2017-04-28"),
        ({"released_on": "next year"}, "released_on “next year” is not a day such as 2017-04-28"),
        ({"is_nsfw": "perhaps"}, "is_nsfw is not true or false"),
        ({"slug": "The Ferryman"}, "slug “The Ferryman” is not made of lower-case words joined by hyphens"),
    ],
)
async def test_a_bad_row_is_told_with_its_reason(
    database: Database, tmp_path: Path, fields: dict[str, str], reason: str
) -> None:
    summary = await imported(database, tmp_path, as_csv(FERRYMAN | fields, {"name": "Otter"}))
    assert [(row.number, row.reason) for row in summary.rejected] == [(1, reason)]
    assert summary.items == SavedItems(inserted=1)


async def test_names_without_latin_letters_are_known_again(database: Database, tmp_path: Path) -> None:
    rows = as_json({"name": "初音ミク", "manufacturer": "北"}, {"name": "巡音ルカ", "manufacturer": "北"})
    assert (await imported(database, tmp_path, rows)).items == SavedItems(inserted=2)
    assert (await imported(database, tmp_path, rows)).items == SavedItems(unchanged=2)


@pytest.mark.parametrize(
    "content",
    [b"title,maker\nOtter,North Pier\n", b"name,maker\nOtter,North Pier\n", b"name,jan,scale,jan\nOtter,,,\n"],
    ids=["no name", "odd column", "a column twice"],
)
async def test_a_file_of_other_columns_is_refused(database: Database, tmp_path: Path, content: bytes) -> None:
    with pytest.raises(CatalogueNotUnderstood, match=r"not so: .*(maker|jan)"):
        await imported(database, tmp_path, content)


@pytest.mark.parametrize("endless", ["x", '"x\n",'], ids=["a line", "a row"])
async def test_a_csv_file_whose_row_has_no_end_is_not_read_on(database: Database, tmp_path: Path, endless: str) -> None:
    content = gzip.compress(f"name\nOtter\n{endless * (5 * 1024**2 // len(endless))}".encode())
    broken = await imported(database, tmp_path, content)
    assert broken.breaks_off is not None
    assert "at row 2 (a row has more than 4 MiB)" in broken.breaks_off


async def test_a_csv_file_that_stops_being_text_says_where(database: Database, tmp_path: Path) -> None:
    broken = await imported(database, tmp_path, b'name\nOtter\n"Ferry')
    assert broken.breaks_off is not None
    assert "breaks off at row 2" in broken.breaks_off
    assert await names(database) == []


@pytest.mark.parametrize("rows", [0, 900], ids=["at its beginning", "after a chunk"])
async def test_a_csv_file_that_is_not_utf_8_is_told_so(database: Database, tmp_path: Path, rows: int) -> None:
    before = "".join(f"Otter {number},Maker {number}\n" for number in range(rows))
    told = await imported(database, tmp_path, f"name,manufacturer\n{before}Fähre,Pier\n".encode("cp1252"))
    assert told.breaks_off is not None
    assert "figures.csv is not UTF-8; save it as UTF-8" in told.breaks_off
    assert "breaks off" not in told.breaks_off
    assert len(await names(database)) == (500 if rows else 0)


async def test_a_row_without_a_maker_goes_in_where_its_name_is_like_no_other(
    database: Database, tmp_path: Path
) -> None:
    await imported(database, tmp_path, as_csv(FERRYMAN))
    rows = as_csv({"name": "Otter"}, {"name": FERRYMAN["name"]})
    summary = await imported(database, tmp_path, rows)
    assert (summary.items, [doubt.number for doubt in summary.doubtful]) == (SavedItems(inserted=1), [2])
    assert (await imported(database, tmp_path, as_csv({"name": "otter"}))).items == SavedItems(unchanged=1)


async def test_a_row_of_a_figure_that_was_merged_tells_of_what_it_became(database: Database, tmp_path: Path) -> None:
    row = FERRYMAN | {"jan": "", "released_on": "2020-01-01", "manufacturer": "Hollow Pine"}
    release = NewRelease(date(2024, 1, 1), Decimal(5), "EUR", "4901234567894")
    keeper = replace(figure("keeper", releases=(release,)), name="Somebody Else")
    await imported(database, tmp_path, as_json(row))
    ids = await saved(database, keeper)
    async with database.transaction() as transaction:
        await merge_items(
            transaction, winner_id=ids["keeper"], loser_id=ids[slug_of(row["name"])], editor_id=None, followers=()
        )
        before = await releases_by_figure(transaction.connection, [ids["keeper"]])
    assert len(before[ids["keeper"]]) == 2
    await imported(database, tmp_path, as_json(row))
    await imported(database, tmp_path, as_json(row | {"slug": slug_of(row["name"])}))
    async with database.transaction() as transaction:
        assert await releases_by_figure(transaction.connection, [ids["keeper"]]) == before
    assert len(await names(database)) == 1


async def test_a_new_figure_does_not_become_one_that_had_its_slug(database: Database, tmp_path: Path) -> None:
    ids = await saved(database, figure(slug_of(FERRYMAN["name"]), "The Ferryman"))
    async with database.transaction() as transaction:
        given = GivenItem({"slug": "beacon", "name": "Somebody Else"})
        await edit_item(transaction, ids[slug_of(FERRYMAN["name"])], given, editor_id=None)
    await imported(database, tmp_path, as_json(FERRYMAN))
    assert await names(database) == ["Somebody Else", FERRYMAN["name"]]
