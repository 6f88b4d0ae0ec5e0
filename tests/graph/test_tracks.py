"""Where trackers were and how they get on: fixes, distances, paths, times, and the figures of a production run."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from unittest.mock import patch
from uuid import UUID

import orjson
import pytest
from sqlalchemy import insert, text, update

from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.graph.execution import Request
from app.identity.scopes import Scope
from app.identity.viewer import ANYONE, Caller, Viewer
from app.trackers.history_models import LocationFix
from app.trackers.models import City, Tracker, TrackerStatus
from tests.graph.conftest import Graph
from tests.identity.builders import session_of
from tests.trackers.builders import (
    BUCKET,
    CUSTOMER,
    MONDAY,
    WAREHOUSE,
    Organisation,
    delivered_tracker,
    fixes_of,
    organisation,
    point,
    status_of,
    tracker_of,
)

FIXES = """
query ($id: ID!, $from: DateTime, $to: DateTime, $meters: Float, $all: Boolean! = false) {
  node(id: $id) { ... on Tracker {
    fixes(from: $from, to: $to, simplifyMeters: $meters, includeAnomalies: $all) {
      bucket position { latitude longitude } isAnomalous nearestCity { name }
    }
  } }
}
"""
TRACK = """
query ($id: ID!, $from: DateTime, $to: DateTime, $meters: Float) {
  node(id: $id) { ... on Tracker {
    distance(from: $from, to: $to) path(from: $from, to: $to, simplifyMeters: $meters)
    transitTime(from: $from, to: $to) storageTime(from: $from, to: $to)
  } }
}
"""
FROM_MONDAY = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"}


def shown(path: Sequence[tuple[float, float]]) -> list[dict[str, float]]:
    """Latitudes and longitudes as the graph has them."""
    return [{"latitude": latitude, "longitude": longitude} for latitude, longitude in path]


async def tracker_along(database: Database, known: Organisation, *path: tuple[float, float]) -> tuple[UUID, str]:
    """A tracker with a fix in each bucket of Monday, and its id in the graph."""
    async with database.transaction() as transaction:
        tracker_id = await tracker_of(transaction.connection, known.client_id, "Along")
        await fixes_of(transaction.connection, known.client_id, tracker_id, *path)
    return tracker_id, public_id(PublicIdTag.TRACKER, tracker_id)


async def positions(graph: Graph, known: Organisation, tracker: str, **asked: Any) -> list[dict[str, float]]:
    """The positions of the fixes that are shown of Monday."""
    data = await graph.ask(FIXES, known.viewer, id=tracker, **{**FROM_MONDAY, **asked})
    return [fix["position"] for fix in data["node"]["fixes"]]


async def test_fixes_are_the_oldest_first_within_their_range(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    fixes = (await graph.ask(FIXES, known.viewer, id=known.tracker, **FROM_MONDAY))["node"]["fixes"]
    assert [fix["bucket"][11:16] for fix in fixes] == ["00:00", "00:10", "01:00", "03:00"]
    assert [fix["position"] for fix in fixes] == shown([WAREHOUSE, WAREHOUSE, (51.0, 10.5), CUSTOMER])
    # The beginning belongs to a range, its end does not.
    within = {"from": "2026-03-02T00:10:00Z", "to": "2026-03-02T03:00:00Z"}
    assert await positions(graph, known, known.tracker, **within) == shown([WAREHOUSE, (51.0, 10.5)])
    assert await positions(graph, known, known.tracker, to="2026-03-01T00:00:00Z", **{"from": None}) == []


async def test_without_a_range_the_last_thirty_days_are_meant(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    _, tracker = await tracker_along(database, known, WAREHOUSE)
    for age, count in ((timedelta(days=30), 1), (timedelta(days=30, seconds=1), 0)):
        with patch("tests.graph.conftest.utc_now", lambda age=age: MONDAY + age):
            data = await graph.ask(FIXES, known.viewer, id=tracker)
        assert len(data["node"]["fixes"]) == count


async def test_an_anomaly_is_shown_where_it_is_asked_for_and_part_of_nothing_else(
    database: Database, graph: Graph
) -> None:
    known = await organisation(database)
    tracker_id, tracker = await tracker_along(database, known, (0, 0), (50, 50), (0, 1))
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(City).values(id=1, name="Null Island", country="Nowhere", population=20_000, position=point(0, 0))
        )
        of_tracker = LocationFix.tracker_id == tracker_id
        await transaction.connection.execute(
            update(LocationFix).where(of_tracker, LocationFix.bucket == MONDAY + BUCKET).values(is_anomalous=True)
        )
        await transaction.connection.execute(
            update(LocationFix).where(of_tracker, LocationFix.bucket == MONDAY).values(city_id=1)
        )
    assert await positions(graph, known, tracker) == shown([(0, 0), (0, 1)])
    fixes = (await graph.ask(FIXES, known.viewer, id=tracker, all=True, **FROM_MONDAY))["node"]["fixes"]
    assert [fix["isAnomalous"] for fix in fixes] == [False, True, False]
    assert [fix["nearestCity"] for fix in fixes] == [{"name": "Null Island"}, None, None]
    track = (await graph.ask(TRACK, known.viewer, id=tracker, **FROM_MONDAY))["node"]
    # A degree of the equator, of WGS 84.
    assert track["distance"] == pytest.approx(111_319.49, abs=0.01)
    assert track["path"] == {"type": "LineString", "coordinates": [[0.0, 0.0], [1.0, 0.0]]}


async def test_a_simplified_track_keeps_its_ends_and_what_lies_farther_from_the_line(
    database: Database, graph: Graph
) -> None:
    known = await organisation(database)
    # One ten-thousandth of a degree is eleven metres.
    path = [(0.0, 0.0), (0.0001, 0.1), (0.0, 0.2), (0.001, 0.3), (0.0, 0.4), (0.0, 0.4), (0.0, 0.4)]
    _, tracker = await tracker_along(database, known, *path)
    bent = [path[0], path[3], path[4]]
    assert await positions(graph, known, tracker) == shown(path)
    assert await positions(graph, known, tracker, meters=5) == shown([path[0], path[1], path[2], path[3], path[4]])
    assert await positions(graph, known, tracker, meters=50) in (
        shown([path[0], path[2], path[3], path[4]]),
        shown([*bent]),
    )
    assert await positions(graph, known, tracker, meters=500) == shown([path[0], path[6]])
    data = await graph.ask(TRACK, known.viewer, id=tracker, meters=500, **FROM_MONDAY)
    assert data["node"]["path"]["coordinates"] == [[0.0, 0.0], [0.4, 0.0]]


async def test_a_track_across_the_antimeridian_is_simplified_there_and_cut(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    path = [(0.0, 179.0), (0.0, 179.5), (0.0, -179.5), (0.0, -179.0)]
    _, tracker = await tracker_along(database, known, *path)
    assert await positions(graph, known, tracker, meters=10) == shown([path[0], path[-1]])
    track = (await graph.ask(TRACK, known.viewer, id=tracker, meters=10, **FROM_MONDAY))["node"]
    assert track["distance"] == pytest.approx(2 * 111_319.49, abs=0.1)
    assert track["path"] == {
        "type": "MultiLineString",
        "coordinates": [[[179.0, 0.0], [180.0, 0.0]], [[-180.0, 0.0], [-179.0, 0.0]]],
    }


async def test_one_fix_and_none_are_shown_and_are_no_path(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    for path in ((), (WAREHOUSE,), ((90.0, 0.0), (-90.0, 180.0))):
        _, tracker = await tracker_along(database, known, *path)
        assert await positions(graph, known, tracker, meters=100) == shown(path)
        track = (await graph.ask(TRACK, known.viewer, id=tracker, **FROM_MONDAY))["node"]
        assert (track["path"] is None) == (len(path) < 2)
        assert (track["distance"] > 0) == (len(path) == 2)


async def test_more_fixes_than_are_read_at_once_are_refused_with_what_to_do(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    _, tracker = await tracker_along(database, known, *[WAREHOUSE] * 3)
    for limit in ("MOST_FIXES", "MOST_FIXES_IN_ALL"):
        with patch(f"app.trackers.queries.fixes.{limit}", 2):
            for field, meters in (("fixes", ""), ("fixes", ", simplifyMeters: 100"), ("path", ""), ("distance", "")):
                selected = "{ bucket }" if field == "fixes" else ""
                query = (
                    f'query ($id: ID!) {{ node(id: $id) {{ ... on Tracker {{ {field}(from: "2026-03-01T00:00:00Z"'
                    f"{meters if field != 'distance' else ''}) {selected} }} }} }}"
                )
                refused = await graph.refusal(query, known.viewer, id=tracker)
                assert refused["extensions"]["code"] == "BAD_USER_INPUT"
                assert "ask for a shorter time" in refused["message"]
    with patch.multiple("app.trackers.queries.fixes", MOST_FIXES=3, MOST_FIXES_IN_ALL=3):
        assert len(await positions(graph, known, tracker)) == 3


@pytest.mark.parametrize(
    ("field", "argument"),
    [
        ('fixes(from: "2026-03-02T00:00:00Z", to: "2026-03-01T00:00:00Z") { bucket }', "to"),
        ('distance(from: "2026-03-02T00:00:00Z", to: "2026-03-01T00:00:00Z")', "to"),
        ('path(from: "2026-03-02T00:00:00Z", to: "2026-03-01T00:00:00Z")', "to"),
        ('transitTime(from: "2026-03-02T00:00:00Z", to: "2026-03-01T00:00:00Z")', "to"),
        ('storageTime(from: "2026-03-02T00:00:00Z", to: "2026-03-01T00:00:00Z")', "to"),
        ("fixes(simplifyMeters: -1) { bucket }", "simplifyMeters"),
        ("path(simplifyMeters: 1e9)", "simplifyMeters"),
    ],
)
async def test_a_range_that_ends_before_it_begins_and_a_tolerance_beyond_the_earth_are_refused(
    database: Database, graph: Graph, field: str, argument: str
) -> None:
    known = await organisation(database)
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on Tracker {{ {field} }} }} }}"
    refused = await graph.refusal(query, known.viewer, id=known.tracker)
    assert refused["extensions"]["argument"] == argument


async def test_the_earliest_and_the_latest_instants_are_a_range(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    for begin, end in (("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"), (None, "0001-01-02T00:00:00Z")):
        data = await graph.ask(TRACK, known.viewer, id=known.tracker, to=end, **{"from": begin})
        assert (data["node"]["distance"] > 0) == (begin is not None)


async def test_times_are_sums_over_statuses_within_the_range_and_the_open_one_ends_now(
    database: Database, graph: Graph
) -> None:
    known = await organisation(database)
    track = (await graph.ask(TRACK, known.viewer, id=known.tracker))["node"]
    assert (track["storageTime"], track["transitTime"]) == ("PT1H", "PT2H")
    within = {"from": "2026-03-02T00:30:00Z", "to": "2026-03-02T01:45:00Z"}
    track = (await graph.ask(TRACK, known.viewer, id=known.tracker, **within))["node"]
    assert (track["storageTime"], track["transitTime"]) == ("PT30M", "PT45M")
    async with database.transaction() as transaction:
        connection = transaction.connection
        lasting = await tracker_of(connection, known.client_id, "Lasting")
        silence = MONDAY + timedelta(days=2)
        await status_of(
            connection, known.client_id, lasting, TrackerStatus.IN_TRANSIT, MONDAY, ended_at=MONDAY + timedelta(days=1)
        )
        await status_of(
            connection, known.client_id, lasting, TrackerStatus.SILENT, MONDAY + timedelta(days=1), ended_at=silence
        )
        await status_of(connection, known.client_id, lasting, TrackerStatus.IN_TRANSIT, silence)
        never = await tracker_of(connection, known.client_id, "Never")
    for tracker_id, transit in ((lasting, "P1DT6H"), (never, "PT0S")):
        with patch("tests.graph.conftest.utc_now", lambda: MONDAY + timedelta(days=2, hours=6)):
            data = await graph.ask(TRACK, known.viewer, id=public_id(PublicIdTag.TRACKER, tracker_id))
        assert (data["node"]["transitTime"], data["node"]["storageTime"]) == (transit, "PT0S")


async def test_a_stay_lasts_until_now_where_it_goes_on(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    query = "query ($id: ID!) { node(id: $id) { ... on Tracker { visits { nodes { departedAt dwell } } } } }"
    with patch("tests.graph.conftest.utc_now", lambda: MONDAY + timedelta(days=1, hours=3)):
        data = await graph.ask(query, known.viewer, id=known.tracker)
    stays = data["node"]["visits"]["nodes"]
    assert [stay["dwell"] for stay in stays] == ["P1D", "PT1H"]


STATISTICS = """
query ($id: ID!) { node(id: $id) { ... on ProductionRun { statistics {
  trackerCount statuses { status count } sampleSize isReliable medianTransitTime p80TransitTime
} } } }
"""


async def delivered_after(database: Database, known: Organisation, *journeys: timedelta) -> None:
    """Trackers of the run that were on their way for so long."""
    async with database.transaction() as transaction:
        for journey in journeys:
            tracker_id = await tracker_of(
                transaction.connection, known.client_id, str(journey), run_id=known.run_id, status="delivered"
            )
            for status, begin, end in (
                (TrackerStatus.IN_TRANSIT, MONDAY, MONDAY + journey),
                (TrackerStatus.DELIVERED, MONDAY + journey, MONDAY + 2 * journey),
                # Sent on, and delivered again: the first journey counts.
                (TrackerStatus.IN_TRANSIT, MONDAY + 2 * journey, MONDAY + 9 * journey),
                (TrackerStatus.DELIVERED, MONDAY + 9 * journey, None),
            ):
                await status_of(transaction.connection, known.client_id, tracker_id, status, begin, ended_at=end)


async def test_a_production_run_tells_how_long_its_trackers_take(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    one = (await graph.ask(STATISTICS, known.viewer, id=known.run))["node"]["statistics"]
    assert one == {
        "trackerCount": 1,
        "statuses": [{"status": "DELIVERED", "count": 1}],
        "sampleSize": 1,
        "isReliable": False,
        "medianTransitTime": "PT2H",
        "p80TransitTime": "PT2H",
    }
    await delivered_after(database, known, timedelta(hours=4), timedelta(hours=6))
    async with database.transaction() as transaction:
        await tracker_of(transaction.connection, known.client_id, "Fresh", run_id=known.run_id)
    three = (await graph.ask(STATISTICS, known.viewer, id=known.run))["node"]["statistics"]
    assert three["statuses"] == [{"status": "CREATED", "count": 1}, {"status": "DELIVERED", "count": 3}]
    assert (three["trackerCount"], three["sampleSize"], three["isReliable"]) == (4, 3, True)
    assert (three["medianTransitTime"], three["p80TransitTime"]) == ("PT4H", "PT6H")
    await delivered_after(database, known, timedelta(hours=8), timedelta(days=30))
    five = (await graph.ask(STATISTICS, known.viewer, id=known.run))["node"]["statistics"]
    assert (five["medianTransitTime"], five["p80TransitTime"]) == ("PT6H", "PT8H")
    await delivered_after(database, known, timedelta(hours=7))
    six = (await graph.ask(STATISTICS, known.viewer, id=known.run))["node"]["statistics"]
    assert (six["medianTransitTime"], six["p80TransitTime"]) == ("PT6H30M", "PT8H")


async def test_a_production_run_without_deliveries_tells_nothing_of_them(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("DELETE FROM trackers.status_changes"))
        await transaction.connection.execute(update(Tracker).values(production_run_id=None))
    empty = (await graph.ask(STATISTICS, known.viewer, id=known.run))["node"]["statistics"]
    assert empty == {
        "trackerCount": 0,
        "statuses": [],
        "sampleSize": 0,
        "isReliable": False,
        "medianTransitTime": None,
        "p80TransitTime": None,
    }


async def statements(graph: Graph, query: str, viewer: Viewer) -> tuple[int, int]:
    """How many statements an operation of somebody sends, and of how many rows it tells."""
    operation = graph.engine.prepare(Request(query, {}))
    response = orjson.loads(orjson.dumps(await graph.engine.run(operation, Caller(viewer))))
    assert "errors" not in response, response["errors"]
    (root,) = response["data"].values()
    return response["extensions"]["trove"]["statements"], len(root["nodes"])


async def test_fifty_trackers_take_as_many_statements_as_one(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    query = """{ trackers(first: %d) { nodes {
      fixes(from: "2026-03-01T00:00:00Z", simplifyMeters: 10) { bucket nearestCity { name } }
      distance(from: "2026-03-01T00:00:00Z") path(from: "2026-03-01T00:00:00Z") transitTime storageTime
      visits { nodes { dwell } } productionRun { statistics { sampleSize statuses { count } } }
    } } }"""
    async with database.transaction() as transaction:
        for number in range(49):
            await delivered_tracker(
                transaction.connection,
                known.client_id,
                known.warehouse_id,
                known.customer_id,
                name=f"Box {number + 2}",
                run_id=known.run_id,
            )
    one, of_one = await statements(graph, query % 1, known.viewer)
    fifty, of_fifty = await statements(graph, query % 50, known.viewer)
    assert (of_one, of_fifty) == (1, 50)
    assert fifty == one


async def test_nobody_but_members_with_the_scope_sees_where_a_tracker_was(database: Database, graph: Graph) -> None:
    known = await organisation(database)
    assert known.viewer.user_id is not None
    without = await session_of(database, known.viewer.user_id, scopes=[Scope.ACCOUNT_READ])
    for query, id_ in ((FIXES, known.tracker), (TRACK, known.tracker), (STATISTICS, known.run)):
        assert await graph.ask(query, known.stranger, id=id_) == {"node": None}
        for viewer, code in ((ANYONE, "UNAUTHENTICATED"), (without, "FORBIDDEN")):
            response = await graph.respond(query, viewer, id=id_)
            assert response["data"] == {"node": None}
            assert [error["extensions"]["code"] for error in response["errors"]] == [code]
