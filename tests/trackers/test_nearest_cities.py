"""The nearest city is found among those around a cell as it is found among all."""

from random import Random

from app.core.database import Database
from app.trackers.cities import KnownCity, bundled_cities
from app.trackers.commands.save_cities import save_cities
from app.trackers.commands.stored_histories import nearest_cities
from app.trackers.points import Point, distance_meters

# Degrees north and east: crowded, at the antimeridian, at both poles, and where there is next to nothing.
AROUND = ((51.5, 7.2), (-17.8, 180.0), (-17.8, -180.0), (90.0, 20.0), (-90.0, 20.0), (71.0, 25.0), (0.0, 0.0))


def _place(city: KnownCity) -> Point:
    return Point(round(city.latitude * 1e7), round(city.longitude * 1e7))


async def test_the_city_nearest_to_a_point_is_the_one_that_all_distances_tell(database: Database) -> None:
    random = Random(7)
    points = [
        Point(
            max(-900_000_000, min(900_000_000, round((latitude + random.uniform(-0.6, 0.6)) * 1e7))),
            max(-1_800_000_000, min(1_800_000_000, round((longitude + random.uniform(-0.6, 0.6)) * 1e7))),
        )
        for latitude, longitude in AROUND
        for _ in range(10)
    ]
    twins = [KnownCity(number, "Twin", "Nowhere", 1, -17.8, 179.9) for number in (-1, -2)]
    polar = KnownCity(-3, "Camp", "Nowhere", 1, 89.9, -160.0)
    cities = [*bundled_cities(), *twins, polar]
    async with database.transaction() as transaction:
        await save_cities(transaction, cities)
        found = await nearest_cities(transaction.connection, points)
    places = [(_place(city), city.id) for city in cities]
    for point, city_id in zip(points, found, strict=True):
        near = [(place, key) for place, key in places if abs(place.latitude_e7 - point.latitude_e7) < 6_000_000]
        distance, nearest = min(((distance_meters(place, point), key) for place, key in near), default=(1e9, 0))
        assert city_id == (nearest if distance <= 50_000 else None), point
    assert {-2, -3} <= set(found)
    assert None in found
