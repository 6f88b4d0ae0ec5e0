"""The clients of a world with all that is theirs, and trackers with a history that follows from nothing."""

import json
from datetime import datetime, timedelta
from random import Random
from struct import pack
from typing import Any
from uuid import UUID

from app.identity.models import User
from app.portfolios.models import Holding
from app.portfolios.wish_models import Preorder
from app.trackers.history_models import LocationFix, StatusChange, Visit
from app.trackers.models import (
    Brand,
    City,
    Client,
    Membership,
    MembershipRole,
    Place,
    PlaceKind,
    ProductionRun,
    ProductionRunPlace,
    Tracker,
    TrackerAttachment,
    TrackerKey,
    TrackerStatus,
)
from tests.graph.oracle.rows import Row, World, any_instant, any_key, maybe
from tests.graph.oracle.texts import any_text

LATITUDES = (0.0, 53.5461, -33.4489, 90.0, -90.0, 48.13743, 1.23456789, 0.0000001, -0.00000004)
LONGITUDES = (0.0, 9.9661, -70.6693, 180.0, -180.0, 11.57549, 1 / 3, -0.0000001)
METRES = (0.0, 0.1, 100.0, 1e-7, 99_999.5)
COUNTS = (1, 2, 2**31 - 1)
WITH_SRID, POINT, POLYGON, WGS84 = 0x20000000, 1, 3, 4326
LARGEST_VERSION = (1, 2, 2**31 - 1)


def add_organisations(world: World) -> None:
    """Give some people clients, by chances of their own as possessions are."""
    random = Random(f"organisations {world.now} {world.column(User, 'username')}")
    people: list[UUID] = world.column(User, "id")
    if not people:
        return
    for number in range(random.choice((0, 2, 4))):
        _add_city(world, random, number)
    for _ in range(random.choice((1, 1, 2, 3))):
        _add_client(world, random, people)


def any_point(random: Random) -> bytes:
    """A point as extended well-known binary, little endian."""
    coordinates = pack("<dd", random.choice(LONGITUDES), random.choice(LATITUDES))
    return pack("<bII", 1, POINT | WITH_SRID, WGS84) + coordinates


def _any_polygon(random: Random) -> bytes:
    x, y = random.choice(LONGITUDES[1:3]), random.choice(LATITUDES[1:3])
    ring = ((x, y), (x + 0.1, y), (x + 1 / 7, y + 0.1), (x, y))
    positions = b"".join(pack("<dd", *position) for position in ring)
    return pack("<bIIII", 1, POLYGON | WITH_SRID, WGS84, 1, len(ring)) + positions


def _add_city(world: World, random: Random, number: int) -> None:
    world.add(
        City,
        id=number + 1,
        name=any_text(random),
        country=any_text(random),
        population=random.choice((0, 15_000, 2**31 - 1)),
        position=any_point(random),
    )


def _short_text(random: Random) -> str:
    return (any_text(random) or "A")[:100]


def _changed(world: World, random: Random) -> dict[str, Any]:
    """What tells how often and when something was changed."""
    return {
        "version": random.choice(LARGEST_VERSION),
        "created_at": any_instant(world, random),
        "updated_at": any_instant(world, random),
    }


def _any_url(random: Random) -> str | None:
    url: str | None = maybe(random, "https://images.example/" + any_text(random))
    return url


def _add_client(world: World, random: Random, people: list[UUID]) -> None:
    client = world.add(
        Client,
        id=any_key(random),
        name=_short_text(random),
        logo_url=_any_url(random),
        silent_after_minutes=random.choice((10, 1_440, 525_600)),
        **_changed(world, random),
    )
    for user_id in random.sample(people, min(len(people), random.choice((0, 1, 1, 2, 3)))):
        world.add(
            Membership,
            id=any_key(random),
            client_id=client["id"],
            user_id=user_id,
            role=random.choice(list(MembershipRole)).value,
            created_at=any_instant(world, random),
        )
    brands = [_add_brand(world, random, client, number) for number in range(random.choice((0, 1, 2)))]
    runs = [_add_run(world, random, random.choice(brands)) for _ in range(random.choice((1, 2, 3)) if brands else 0)]
    places = [_add_place(world, random, client) for _ in range(random.choice((0, 1, 2, 4)))]
    for run in runs:
        for place in random.sample(places, random.randint(0, len(places))):
            world.add(
                ProductionRunPlace,
                production_run_id=run["id"],
                place_id=place["id"],
                client_id=client["id"],
            )
    for _ in range(random.choice((0, 1, 3, 5))):
        _add_tracker(world, random, client, runs, places)


def _add_brand(world: World, random: Random, client: Row, number: int) -> Row:
    return world.add(
        Brand,
        id=any_key(random),
        client_id=client["id"],
        name=f"{number} {any_text(random)}"[:100],
        logo_url=_any_url(random),
        **_changed(world, random),
    )


def _add_run(world: World, random: Random, brand: Row) -> Row:
    began, ended = sorted((any_instant(world, random), any_instant(world, random)))
    return world.add(
        ProductionRun,
        id=any_key(random),
        client_id=brand["client_id"],
        brand_id=brand["id"],
        description=(any_text(random) or "A")[:500],
        started_at=began,
        ended_at=maybe(random, ended),
        image_url=_any_url(random),
        **_changed(world, random),
    )


def _add_place(world: World, random: Random, client: Row) -> Row:
    center = any_point(random)
    shape = random.choice((center, _any_polygon(random)))
    began, ended = sorted((any_instant(world, random), any_instant(world, random)))
    return world.add(
        Place,
        id=any_key(random),
        client_id=client["id"],
        kind=random.choice(list(PlaceKind)).value,
        name=_short_text(random),
        shape=shape,
        center=center,
        radius_meters=random.choice(METRES),
        reach_meters=random.choice(METRES),
        dwell_fixes=random.choice((1, 2, 100)),
        dwell_minutes=random.choice((0, 60, 10_080)),
        active_from=maybe(random, began),
        active_until=maybe(random, ended + timedelta(microseconds=1)) if ended.year < 9_998 else None,
        is_changed=random.random() < 0.2,
        deleted_at=any_instant(world, random) if random.random() < 0.2 else None,
        **_changed(world, random),
    )


def _key_in(random: Random, rows: list[Row]) -> Any:
    """The key of one of the rows, or null."""
    return maybe(random, random.choice(rows)["id"]) if rows else None


def _add_tracker(world: World, random: Random, client: Row, runs: list[Row], places: list[Row]) -> None:
    has_fix = random.random() < 0.7
    tracker = world.add(
        Tracker,
        id=any_key(random),
        client_id=client["id"],
        production_run_id=_key_in(random, runs),
        name=_short_text(random),
        retired_at=any_instant(world, random) if random.random() < 0.2 else None,
        recompute_from=None,
        last_report_requested_at=maybe(random, any_instant(world, random)),
        last_report_received_at=maybe(random, any_instant(world, random)),
        status=random.choice(list(TrackerStatus)).value,
        status_since=any_instant(world, random),
        # A place that was removed leaves its id behind.
        status_place_id=random.choice((_key_in(random, places), any_key(random))),
        last_fix_at=any_instant(world, random) if has_fix else None,
        last_reported_at=any_instant(world, random) if has_fix else None,
        last_position=any_point(random) if has_fix else None,
        last_accuracy_meters=random.choice(METRES) if has_fix else None,
        last_confidence=maybe(random, random.choice((0, 1, 3))) if has_fix else None,
        last_city_id=_key_in(random, world.rows[City]) if has_fix else None,
        silent_at=maybe(random, any_instant(world, random)),
        **_changed(world, random),
    )
    for _ in range(random.choice((0, 1, 1, 3))):
        _add_key(world, random, tracker)
    for number in range(random.choice((0, 1, 2, 4))):
        _add_attachment(world, random, tracker, runs, is_open=number == 0)
    _add_history(world, random, tracker, places)


def _add_key(world: World, random: Random, tracker: Row) -> None:
    world.add(
        TrackerKey,
        id=any_key(random),
        client_id=tracker["client_id"],
        tracker_id=tracker["id"],
        advertised_key=random.randbytes(28),
        hashed_key=random.randbytes(32),
        private_key=b"never to be seen",
        retired_at=any_instant(world, random) if random.random() < 0.3 else None,
        created_at=any_instant(world, random),
    )


def _add_attachment(world: World, random: Random, tracker: Row, runs: list[Row], *, is_open: bool) -> None:
    carried: Row = {"holding_id": None, "preorder_id": None, "production_run_id": None, "owner_id": None}
    members = {row["user_id"] for row in world.rows[Membership] if row["client_id"] == tracker["client_id"]}
    # Now and then of somebody who has left the client since.
    holdings = [row for row in world.rows[Holding] if row["owner_id"] in members or random.random() < 0.1]
    preorders = [row for row in world.rows[Preorder] if row["owner_id"] in members or random.random() < 0.1]
    chance = random.random()
    if chance < 0.35 and holdings:
        holding = random.choice(holdings)
        carried |= {"holding_id": holding["id"], "owner_id": holding["owner_id"]}
    elif chance < 0.7 and preorders:
        preorder = random.choice(preorders)
        carried |= {"preorder_id": preorder["id"], "owner_id": preorder["owner_id"]}
    elif runs:
        carried["production_run_id"] = random.choice(runs)["id"]
    else:
        return
    attached, detached = sorted((any_instant(world, random), any_instant(world, random)))
    world.add(
        TrackerAttachment,
        id=any_key(random),
        client_id=tracker["client_id"],
        tracker_id=tracker["id"],
        parcel=_short_text(random) if carried["production_run_id"] else None,
        attached_at=attached,
        detached_at=None if is_open else detached,
        **carried,
    )


def _add_history(world: World, random: Random, tracker: Row, places: list[Row]) -> None:
    of_tracker = {"tracker_id": tracker["id"], "client_id": tracker["client_id"]}
    for bucket in _some_instants(world, random):
        world.add(
            LocationFix,
            **of_tracker,
            bucket=bucket,
            position=any_point(random),
            accuracy_meters=random.choice(METRES),
            confidence=maybe(random, random.choice((0, 1, 3))),
            last_reported_at=any_instant(world, random),
            report_count=random.choice(COUNTS),
            dropped_count=0,
            is_anomalous=random.random() < 0.2,
            city_id=_key_in(random, world.rows[City]),
            checkpoint=maybe(random, json.dumps({"nothing": None})),
        )
    for started_at in _some_instants(world, random):
        world.add(
            StatusChange,
            **of_tracker,
            started_at=started_at,
            status=random.choice(list(TrackerStatus)).value,
            place_id=_key_in(random, places),
            ended_at=maybe(random, started_at + timedelta(minutes=10)) if started_at.year < 9_998 else None,
        )
    for arrived_at in _some_instants(world, random) if places else ():
        world.add(
            Visit,
            **of_tracker,
            arrived_at=arrived_at,
            place_id=random.choice(places)["id"],
            departed_at=maybe(random, arrived_at + timedelta(minutes=10)) if arrived_at.year < 9_998 else None,
            fix_count=random.choice(COUNTS),
        )


def _some_instants(world: World, random: Random) -> list[datetime]:
    return sorted({any_instant(world, random) for _ in range(random.choice((0, 1, 3)))})
