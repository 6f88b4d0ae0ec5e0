"""`trove import` of catalogues: what the commands print, and with which code they end."""

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli.imports import CANNOT_BEGIN, NOTHING_READ, app
from app.core.database import Database
from app.core.settings import Settings
from tests.conftest import environment_of


class Commands:
    """The commands of `trove import` over the database of the test, in this process."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._environment = environment_of(settings)
        self._directory = directory

    async def run(self, command: str, **files: str) -> tuple[int, str]:
        """The exit code and everything printed, of a command over files with these contents."""
        paths = []
        for name, content in files.items():
            path = self._directory / name
            await asyncio.to_thread(path.write_text, content)
            paths.append(str(path))
        runner = CliRunner(env=self._environment)
        result = await asyncio.to_thread(runner.invoke, app, [command, *paths])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        # The line of progress leaves an empty one behind.
        return result.exit_code, "".join(line for line in result.output.splitlines(keepends=True) if line.strip())


@pytest.fixture
def commands(trove_settings: Settings, tmp_path: Path, database: Database) -> Commands:
    """The commands, over a database that is empty."""
    assert database is not None
    return Commands(trove_settings, tmp_path)


async def test_cards_of_several_files_are_counted_and_bad_rows_told(commands: Commands) -> None:
    cards = json.dumps([{"id": "1", "name": "Tide", "set": "abc"}, {"id": "2", "set": "abc"}])
    sets = json.dumps({"object": "list", "data": [{"object": "set", "code": "abc", "name": "Alphabet"}]})
    code, said = await commands.run("scryfall", cards=cards, sets=sets)
    assert code == 0
    assert said.splitlines() == [
        "cards: 2 rows: 1 items new, 0 changed, 0 as they were; 1 rows rejected",
        "  row 2 stays out: it has no name",
        "sets: 1 rows: 0 items new, 0 changed, 0 as they were; 0 sets new, 1 changed, 0 as they were; 0 rows rejected",
    ]
    code, said = await commands.run("scryfall", cards=cards.replace("Tide", "Ebb"))
    assert "0 items new, 1 changed" in said
    assert "  changed: Ebb\n" in said


async def test_a_file_that_breaks_off_and_a_page_of_html_end_with_a_code(commands: Commands) -> None:
    code, said = await commands.run("pokemon", cards='[\n{"id": "g1-1", "name": "Otter"},\n{"id": "g1-2"')
    assert code == NOTHING_READ
    assert "cards breaks off at row 2" in said
    code, said = await commands.run("coins", coins="<html>Too many requests")
    assert code == CANNOT_BEGIN
    assert "is a page of HTML, not data" in said


async def test_coins_figures_and_series_go_in(commands: Commands) -> None:
    code, said = await commands.run("coins", coins='[{"id": "bitcoin", "symbol": "btc", "name": "Bitcoin"}]')
    assert (code, "1 items new" in said) == (0, True)
    figures = "name,manufacturer\nThe Ferryman of the Night,North Pier\nA Ferryman of Night,North Pier\n,North Pier\n"
    code, said = await commands.run("figures", figures=figures)
    assert code == 0
    assert "3 rows: 1 items new, 0 changed, 0 as they were; 1 rows rejected and 1 in doubt\n" in said
    assert "row 2 stays out: “A Ferryman of Night” may be “The Ferryman of the Night”" in said
    code, said = await commands.run("anime", rules="::rules\n# River -> ~ 2\n- 1|2|?:1 -> 3|4|?:1\n- 5\n")
    assert code == 0
    assert said.splitlines() == [
        "rules: 2 series new, 0 with new ids, 0 as they were; 1 lines stay out",
        "  line 4: “- 5” is no rule",
    ]
    code, said = await commands.run("anime", rules="::rules\n# Lake -> ~\n- 1|9|?:1 -> 1|9|?:2\n")
    assert code == NOTHING_READ
    assert "“Lake” is known by other ids" in said


async def test_rates_of_which_a_file_holds_none_end_with_a_code(commands: Commands) -> None:
    some, none = "Date,USD,\n2024-12-31,1.0389,\n", "Date,USD,\n2024-12-30,x,\n"
    assert (await commands.run("fx", some=some))[0] == 0
    code, said = await commands.run("fx", some=some, none=none)
    assert code == NOTHING_READ
    assert "none: 0 rates: 0 new, 0 changed, 0 as they were; 1 rows rejected" in said


async def test_cities_go_in_from_a_file_once_and_a_file_of_others_is_refused(commands: Commands) -> None:
    cities = json.dumps([{"city": "Bled", "country": "Slovenia", "pop": 8000, "lat": 46.37, "lng": 14.11}])
    assert await commands.run("cities", cities=cities) == (0, "1 cities: 1 new, 0 changed, 0 as they were\n")
    assert await commands.run("cities", cities=cities) == (0, "1 cities: 0 new, 0 changed, 1 as they were\n")
    code, said = await commands.run("cities", cities=json.dumps([{"city": "Bled"}]))
    assert code == CANNOT_BEGIN
    assert "cities, row 1: `city` and `country` are names." in said
