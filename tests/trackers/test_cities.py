"""Cities: the table that comes with Trove, files of others, and how the nearest is found."""

from pathlib import Path

import pytest
from sqlalchemy import text

from app.core.database import Database
from app.trackers.cities import CitiesNotUnderstood, KnownCity, read_cities
from app.trackers.commands.save_cities import SavedCities, ensure_cities, save_cities
from app.trackers.commands.stored_histories import NEAREST_CITIES, nearest_cities
from app.trackers.points import Point


async def test_the_table_that_comes_with_trove_knows_where_cities_are(database: Database) -> None:
    async with database.transaction() as transaction:
        saved = await ensure_cities(transaction)
        assert saved is not None
        assert saved.inserted > 30_000
        assert await ensure_cities(transaction) is None
        # In Ljubljana; in a village on the way to Trieste; in the middle of the Atlantic.
        points = [Point(460500000, 145100000), Point(456700000, 138000000), Point(300000000, -400000000)]
        found = await nearest_cities(transaction.connection, points)
        names = {
            row.id: (row.name, row.country)
            for row in await transaction.connection.execute(text("SELECT * FROM trackers.cities"))
        }
        assert names[found[0] or 0] == ("Ljubljana", "Slovenia")
        assert names[found[1] or 0] == ("Trieste", "Italy")
        assert found[2] is None
        parameters = {"latitudes": [46.05], "longitudes": [14.51], "farthest": 50_000}
        plan = await transaction.connection.execute(text(f"EXPLAIN {NEAREST_CITIES.text}"), parameters)
        lines = [row[0] for row in plan]
    assert any("Index Scan using cities_by_position" in line for line in lines), lines


async def test_a_file_of_cities_goes_in_once(database: Database, trove_data: Path) -> None:
    cities = read_cities(trove_data / "location" / "cities.json")
    assert len({city.id for city in cities}) == len(cities) == 3004
    assert all(city.id < 0 for city in cities)
    async with database.transaction() as transaction:
        assert await save_cities(transaction, cities) == SavedCities(3004, 0, 0)
        assert await save_cities(transaction, cities) == SavedCities(0, 0, 3004)
        first = cities[0]
        renamed = KnownCity(first.id, "Bost", first.country, first.population, first.latitude, first.longitude)
        moved = KnownCity(cities[1].id, cities[1].name, cities[1].country, cities[1].population, 36.7, 69.5)
        assert await save_cities(transaction, [renamed, moved, cities[2]]) == SavedCities(0, 2, 1)


def test_a_city_that_stands_twice_in_a_file_is_one(tmp_path: Path) -> None:
    file = tmp_path / "cities.json"
    row = '{"city": "A", "country": "B", "pop": 7, "lat": 1.5, "lng": -2}'
    file.write_bytes(b"\xef\xbb\xbf" + f"[{row}, {row}]".encode())
    assert [(city.name, city.population, city.longitude) for city in read_cities(file)] == [("A", 7, -2.0)]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is no JSON"),
        ("[{", "is no JSON"),
        ("{}", "is no list of cities"),
        ("[]", "is no list of cities"),
        ("[7]", "row 1: no object"),
        ('[{"city": "", "country": "B", "pop": 7, "lat": 1, "lng": 2}]', "`city` and `country`"),
        ('[{"city": "A", "country": "B", "pop": -1, "lat": 1, "lng": 2}]', "`pop`"),
        ('[{"city": "A", "country": "B", "pop": 1, "lat": 91, "lng": 2}]', "`lat` and `lng`"),
        ('[{"city": "A", "country": "B", "pop": 1, "lat": 1}]', "are numbers"),
    ],
)
def test_what_is_no_list_of_cities_is_refused_with_the_row(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "cities.json"
    file.write_text(content)
    with pytest.raises(CitiesNotUnderstood, match=reason):
        read_cities(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CitiesNotUnderstood, match=r"nothing\.json cannot be read"):
        read_cities(tmp_path / "nothing.json")
