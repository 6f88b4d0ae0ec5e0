"""The cities of the world: the table that comes with Trove, and files of the same."""

import csv
import gzip
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import orjson

from app.core.errors import BadUserInput

BUNDLED = Path(__file__).parent / "cities.csv.gz"
MOST_BYTES = 64 * 1024 * 1024
LONGEST_NAME = 200
MOST_PEOPLE = 2_000_000_000
MOST_ID = 2**31 - 1


class CitiesNotUnderstood(BadUserInput):
    """A file is not a list of cities; the message says what was expected and what was found."""


@dataclass(frozen=True, slots=True)
class KnownCity:
    """A city; ids are those of GeoNames, or below zero for the cities of other files."""

    id: int
    name: str
    country: str
    population: int
    latitude: float
    longitude: float


def bundled_cities() -> list[KnownCity]:
    """The cities that come with Trove; see NOTICE beside the table."""
    with gzip.open(BUNDLED, "rt", encoding="utf-8", newline="") as table:
        return [
            KnownCity(
                id=int(row["id"]),
                name=row["name"],
                country=row["country"],
                population=int(row["population"]),
                latitude=float(row["latitude"]),
                longitude=float(row["longitude"]),
            )
            for row in csv.DictReader(table)
        ]


def read_cities(file: Path) -> list[KnownCity]:
    """The cities of a JSON file: an array of objects with `city`, `country`, `pop`, `lat` and `lng`.

    Such cities have no ids: theirs follow from what they are, so the same file names the same cities. Raises
    CitiesNotUnderstood, with the number of the row that is at fault.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise CitiesNotUnderstood(f"{file} cannot be read: {reason}. Give the path of a file.") from error
    if len(content) > MOST_BYTES:
        raise CitiesNotUnderstood(f"{file.name} has more than {MOST_BYTES // 1024 // 1024} MiB: give a smaller file.")
    try:
        rows = orjson.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError as error:
        raise CitiesNotUnderstood(f"{file.name} is no JSON: {error}.") from error
    if not isinstance(rows, list) or not rows:
        raise CitiesNotUnderstood(f"{file.name} is no list of cities: give an array of objects.")
    return list(_with_ids(file.name, rows))


def _with_ids(file_name: str, rows: Sequence[object]) -> Iterator[KnownCity]:
    taken: dict[int, KnownCity] = {}
    for number, row in enumerate(rows, start=1):
        city = _read(file_name, number, row)
        while (same := taken.setdefault(city.id, city)) != city:
            # Two that come to the same number: the second has the next one.
            city = KnownCity(
                max(same.id - 1, -MOST_ID), city.name, city.country, city.population, city.latitude, city.longitude
            )
        if same is city:
            yield city


def _read(file_name: str, number: int, row: object) -> KnownCity:
    if not isinstance(row, Mapping):
        raise CitiesNotUnderstood(f"{file_name}, row {number}: no object.")
    name, country, people = row.get("city"), row.get("country"), row.get("pop")
    latitude, longitude = row.get("lat"), row.get("lng")
    if not _is_name(name) or not _is_name(country):
        raise CitiesNotUnderstood(f"{file_name}, row {number}: `city` and `country` are names.")
    if not isinstance(people, int | float) or not _is_within(people, 0, MOST_PEOPLE):
        raise CitiesNotUnderstood(f"{file_name}, row {number}: `pop` is how many people live there.")
    if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
        raise CitiesNotUnderstood(f"{file_name}, row {number}: `lat` and `lng` are numbers.")
    if not _is_within(latitude, -90, 90) or not _is_within(longitude, -180, 180):
        raise CitiesNotUnderstood(f"{file_name}, row {number}: `lat` and `lng` are degrees on earth.")
    place = f"{name}\n{country}\n{latitude}\n{longitude}"
    city_id = -1 - crc32(place.encode()) % MOST_ID
    return KnownCity(city_id, str(name), str(country), int(people), float(latitude), float(longitude))


def _is_name(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= LONGEST_NAME and "\x00" not in text


def _is_within(number: float, least: float, most: float) -> bool:
    return not isinstance(number, bool) and least <= number <= most
