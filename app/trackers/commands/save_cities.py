"""Saves cities: what a fix is near."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import exists, select, text

from app.core.database import Transaction
from app.trackers.cities import KnownCity, bundled_cities
from app.trackers.models import City


@dataclass(frozen=True, slots=True)
class SavedCities:
    """How many cities were new, how many differed from what was stored, and how many did not."""

    inserted: int
    updated: int
    unchanged: int


async def save_cities(transaction: Transaction, cities: Sequence[KnownCity]) -> SavedCities:
    """Save these cities, by their ids; others stay as they are.

    Fixes that are stored keep the city that they have; new ones know these.
    """
    if not cities:
        return SavedCities(0, 0, 0)
    written = (
        await transaction.connection.execute(
            _SAVE,
            {
                "ids": [city.id for city in cities],
                "names": [city.name for city in cities],
                "countries": [city.country for city in cities],
                "populations": [city.population for city in cities],
                "latitudes": [city.latitude for city in cities],
                "longitudes": [city.longitude for city in cities],
            },
        )
    ).all()
    inserted = sum(row.is_new for row in written)
    return SavedCities(inserted, len(written) - inserted, len(cities) - len(written))


async def ensure_cities(transaction: Transaction) -> SavedCities | None:
    """Save the cities that come with Trove where there are none at all; else None."""
    if await transaction.connection.scalar(select(exists().where(City.id.is_not(None)))):
        return None
    return await save_cities(transaction, bundled_cities())


_SAVE = text("""
    INSERT INTO trackers.cities AS stored (id, name, country, population, position)
    SELECT id, name, country, population,
        CAST(ST_SetSRID(ST_MakePoint(longitude, latitude), 4326) AS geography)
    FROM unnest(
        CAST(:ids AS integer[]), CAST(:names AS text[]), CAST(:countries AS text[]), CAST(:populations AS integer[]),
        CAST(:latitudes AS double precision[]), CAST(:longitudes AS double precision[])
    ) AS given (id, name, country, population, latitude, longitude)
    ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, country = excluded.country, population = excluded.population, position = excluded.position
    WHERE (stored.name, stored.country, stored.population) IS DISTINCT FROM
            (excluded.name, excluded.country, excluded.population)
        OR NOT CAST(stored.position AS geometry) ~= CAST(excluded.position AS geometry)
    RETURNING xmax = 0 AS is_new
""")
