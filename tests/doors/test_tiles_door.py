"""`GET /tiles/{z}/{x}/{y}.mvt`: what tiles show to whom, and what is said to everything else."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import asinh, floor, pi, radians, tan
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import delete, insert, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.clock import utc_now
from app.core.database import Database, DatabaseViewer
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.settings import Settings
from app.identity.commands.api_tokens import API_TOKEN
from app.identity.models import ApiToken
from app.identity.scopes import OWN, Scope
from app.identity.tokens import new_token
from app.main import create_application
from app.trackers.models import Membership, Place, PlaceKind, Tracker, TrackerStatus
from app.trackers.queries.tiles import APART_FROM_ZOOM
from tests.doors.vector_tiles import POINT, POLYGON, Feature, read_tile
from tests.identity.builders import add_person
from tests.trackers.builders import WAREHOUSE, client_of, place_of_client, point, tracker_of
from tests.trackers.map_builders import located
from tests.trackers.plans import plans_of, spread_trackers

TOKEN, FOREIGN_TOKEN, BLIND_TOKEN = [new_token(API_TOKEN) for _ in range(3)]
ORIGIN = "https://map.example"
SYDNEY = (-33.8688, 151.2093)
NOT_READY = (
    "CREATE OR REPLACE FUNCTION trackers.clients_of_viewer(minimum text) RETURNS uuid[] LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the database system is starting up' USING ERRCODE = '57P03'; END $$"
)


@dataclass(frozen=True, slots=True)
class Map:
    """A client of the application, and of the people whose trackers are on the map."""

    http: httpx.AsyncClient
    database: Database
    client_id: UUID
    member_id: UUID

    async def get(self, zoom: int, x: int, y: int, *, token: Any = TOKEN, **headers: str) -> httpx.Response:
        """The answer to somebody who asks for a tile."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        sent = {"Authorization": f"Bearer {token.text}"} | named
        return await self.http.get(f"/tiles/{zoom}/{x}/{y}.mvt", headers=sent)

    async def layers(self, zoom: int, at: tuple[float, float]) -> Mapping[str, list[Feature]]:
        """The layers of the tile in which a point lies."""
        response = await self.get(zoom, *tile_at(zoom, at))
        assert response.status_code in (200, 204), response.text
        return read_tile(response.content)

    async def add(self, *places: tuple[float, float], **columns: Any) -> list[UUID]:
        """Trackers that were last heard of there."""
        async with self.database.transaction() as transaction:
            return [await located(transaction.connection, self.client_id, place, **columns) for place in places]


def tile_at(zoom: int, at: tuple[float, float]) -> tuple[int, int]:
    """The column and the row of the tile in which a point lies."""
    across = 2**zoom
    return (
        floor((at[1] + 180) / 360 * across),
        floor((1 - asinh(tan(radians(at[0]))) / pi) / 2 * across),
    )


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole application."""
    application = create_application(settings)
    async with application.router.lifespan_context(application):
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            yield client


@pytest.fixture
async def map_(trove_settings: Settings, owner: AsyncEngine, database: Database) -> AsyncIterator[Map]:
    """A map of a client without trackers; beside the member there are a stranger, and a token that sees none."""
    async with owner.begin() as connection:
        member, stranger = [await add_person(connection, username=name) for name in ("vera", "sten")]
        tokens = (
            (TOKEN, member, OWN),
            (FOREIGN_TOKEN, stranger, OWN),
            (BLIND_TOKEN, member, OWN - {Scope.TRACKERS_READ}),
        )
        for token, user_id, scopes in tokens:
            await connection.execute(
                insert(ApiToken).values(
                    id=new_id(),
                    user_id=user_id,
                    name="Map",
                    prefix=token.shown_prefix,
                    token_hash=token.hash,
                    scopes=[scope.value for scope in scopes],
                )
            )
        client_id = await client_of(connection, member)
        await client_of(connection, stranger, name="Tidewatch")
    async with served(trove_settings.model_copy(update={"allowed_origins": (ORIGIN,)})) as http:
        yield Map(http, database, client_id, member)


async def test_a_tile_shows_a_tracker_by_its_name_and_status_where_it_is(map_: Map) -> None:
    (tracker_id,) = await map_.add(WAREHOUSE, name="Box 7")
    for zoom in (0, 5, 13, 14, 22):
        (feature,) = (await map_.layers(zoom, WAREHOUSE))["trackers"]
        told = {name: value for name, value in feature.properties.items() if value != 0}
        assert told == {
            "id": public_id(PublicIdTag.TRACKER, tracker_id),
            "name": "Box 7",
            "status": "IN_TRANSIT",
            "count": 1,
            "in_transit": 1,
        }
        assert feature.kind == POINT
    # Of the tile of the world, 4096 wide.
    (feature,) = (await map_.layers(0, WAREHOUSE))["trackers"]
    across, down = (9.9661 + 180) / 360 * 4096, (1 - asinh(tan(radians(53.5461))) / pi) / 2 * 4096
    assert feature.begins == pytest.approx((across, down), abs=1)


async def test_trackers_that_lie_close_together_are_one_point_until_a_map_can_show_them_apart(map_: Map) -> None:
    near = (WAREHOUSE[0] + 0.001, WAREHOUSE[1] + 0.001)
    await map_.add(WAREHOUSE, near)
    await map_.add(near, status=TrackerStatus.SILENT.value)
    (cluster,) = (await map_.layers(3, WAREHOUSE))["trackers"]
    told = {name: value for name, value in cluster.properties.items() if value != 0}
    assert told == {"count": 3, "in_transit": 2, "silent": 1}
    counts = [feature.properties["count"] for feature in (await map_.layers(APART_FROM_ZOOM, WAREHOUSE))["trackers"]]
    # The two at one place stay together.
    assert counts == [2, 1]


async def test_each_tracker_is_in_one_tile_at_every_zoom(map_: Map) -> None:
    places = [
        *(
            (latitude, longitude)
            for latitude in (90.0, 85.06, 66.51326044311186, 0.0, -45.0, -90.0)
            for longitude in (-180.0, -90.0, 0.0, 45.0, 180.0)
        ),
    ]
    await map_.add(*places)
    for zoom in (0, 1, 3):
        tiles = [await map_.get(zoom, x, y) for x in range(2**zoom) for y in range(2**zoom)]
        features = [feature for tile in tiles for feature in read_tile(tile.content).get("trackers", ())]
        assert sum(feature.properties["count"] for feature in features) == len(places)
        assert all(0 <= place <= 4096 for feature in features for place in feature.begins)


async def test_a_tile_shows_places_as_points_from_afar_and_in_their_shape_from_near(map_: Map) -> None:
    polygon = "SRID=4326;POLYGON((10 53, 10.01 53, 10.01 53.01, 10 53.01, 10 53))"
    async with map_.database.transaction() as transaction:
        connection = transaction.connection
        round_id = await place_of_client(connection, map_.client_id, "Yard", kind=PlaceKind.DELIVERY)
        await place_of_client(connection, map_.client_id, "Hall", at=(53.005, 10.005), radius_meters=0, shape=polygon)
        await place_of_client(connection, map_.client_id, "Dateline", at=(0, 180), radius_meters=500)
        await place_of_client(connection, map_.client_id, "Pole", at=(90, 0), radius_meters=500)
        gone = await place_of_client(connection, map_.client_id, "Gone")
        await connection.execute(update(Place).where(Place.id == gone).values(deleted_at=utc_now()))
    far = (await map_.layers(0, WAREHOUSE))["places"]
    assert [feature.properties["name"] for feature in far] == ["Dateline", "Hall", "Pole", "Yard"]
    assert {feature.kind for feature in far} == {POINT}
    (yard,) = (await map_.layers(14, WAREHOUSE))["places"]
    assert yard.kind == POLYGON
    assert yard.properties == {
        "id": public_id(PublicIdTag.PLACE, round_id),
        "name": "Yard",
        "kind": "DELIVERY",
        "radius_meters": 100.0,
    }
    (hall,) = (await map_.layers(14, (53.001, 10.001)))["places"]
    assert (hall.kind, hall.properties["name"]) == (POLYGON, "Hall")
    # What no map can draw in one piece stays a point.
    (dateline,) = (await map_.layers(12, (0.01, 179.999)))["places"]
    assert (dateline.kind, dateline.properties["name"]) == (POINT, "Dateline")
    assert len((await map_.layers(12, (85.0511, 0.01)))["places"]) == 1


async def test_a_retired_tracker_and_one_never_heard_of_are_on_no_map(map_: Map) -> None:
    await map_.add(WAREHOUSE, retired_at=utc_now())
    async with map_.database.transaction() as transaction:
        await tracker_of(transaction.connection, map_.client_id)
    response = await map_.get(0, 0, 0)
    assert (response.status_code, response.content) == (204, b"")


async def test_a_tile_that_has_not_changed_is_not_sent_again(map_: Map) -> None:
    (tracker_id,) = await map_.add(WAREHOUSE)
    sent = await map_.get(0, 0, 0)
    assert sent.headers["content-type"] == "application/vnd.mapbox-vector-tile"
    assert sent.headers["cache-control"] == "private, no-cache"
    assert "Authorization" in sent.headers["vary"]
    tag = sent.headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        again = await map_.get(0, 0, 0, if_none_match=known)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    async with map_.database.transaction() as transaction:
        await transaction.connection.execute(
            update(Tracker).where(Tracker.id == tracker_id).values(last_position=point(*SYDNEY))
        )
    changed = await map_.get(0, 0, 0, if_none_match=tag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


@pytest.mark.parametrize(
    "path",
    [
        "0/0/1",
        "0/1/0",
        "3/8/0",
        "23/0/0",
        "-1/0/0",
        "1/-1/0",
        "a/0/0",
        "01/0/0",
        "1.0/0/0",
        "1/0/%D9%A1",
        "9999999999/0/0",
    ],
)
async def test_what_is_no_tile_is_refused(map_: Map, path: str) -> None:
    response = await map_.http.get(f"/tiles/{path}.mvt", headers={"Authorization": f"Bearer {TOKEN.text}"})
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["code"] == "BAD_USER_INPUT"
    assert "z from 0 to 22" in error["message"]


async def test_nobody_but_members_with_the_scope_sees_a_tile(map_: Map) -> None:
    await map_.add(WAREHOUSE)
    async with map_.database.transaction() as transaction:
        await place_of_client(transaction.connection, map_.client_id)
    for zoom in (0, 14):
        tile = tile_at(zoom, WAREHOUSE)
        assert (await map_.get(zoom, *tile)).status_code == 200
        foreign = await map_.get(zoom, *tile, token=FOREIGN_TOKEN)
        assert (foreign.status_code, foreign.content) == (204, b"")
    anonymous = await map_.http.get("/tiles/0/0/0.mvt")
    assert (anonymous.status_code, anonymous.headers["www-authenticate"]) == (401, 'Bearer realm="trove-tiles"')
    blind = await map_.get(0, 0, 0, token=BLIND_TOKEN)
    assert (blind.status_code, blind.json()["error"]["code"]) == (403, "FORBIDDEN")
    assert "no-store" in blind.headers["cache-control"]
    async with map_.database.transaction() as transaction:
        await transaction.connection.execute(delete(Membership))
    assert (await map_.get(0, 0, 0)).status_code == 204


async def test_pages_of_allowed_origins_may_show_tiles_and_no_others(map_: Map) -> None:
    asked = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    for origin, allowed in ((ORIGIN, ORIGIN), ("https://evil.example", None)):
        preflight = await map_.http.options("/tiles/0/0/0.mvt", headers={"Origin": origin, **asked})
        assert preflight.headers.get("access-control-allow-origin") == allowed
        shown = await map_.get(0, 0, 0, origin=origin)
        assert shown.headers.get("access-control-allow-origin") == allowed


async def test_without_the_database_a_tile_is_to_be_asked_for_again(map_: Map, owner: AsyncEngine) -> None:
    # Of a map without trackers nobody would be asked whose they are.
    await map_.add(SYDNEY)
    async with owner.begin() as connection:
        definition = await connection.scalar(
            text("SELECT pg_get_functiondef('trackers.clients_of_viewer(text)'::regprocedure)")
        )
        await connection.execute(text(NOT_READY))
    try:
        response = await map_.get(0, 0, 0)
    finally:
        async with owner.begin() as connection:
            await connection.exec_driver_sql(definition)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


async def test_a_tile_is_found_by_the_spatial_index(map_: Map, owner: AsyncEngine, api_database: Database) -> None:
    await spread_trackers(owner, map_.client_id)

    async def ask() -> None:
        assert (await map_.get(6, *tile_at(6, (0.1, 0.1)))).status_code == 200

    assert "trackers_by_last_point" in await plans_of(api_database, DatabaseViewer(map_.member_id), ask)
