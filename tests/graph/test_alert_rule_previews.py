"""When a rule would have fired: previews over prices, portfolios, trackers and preorders."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import func, insert, select

from app.alerts.commands.look_at_windows import look_at_windows
from app.alerts.commands.preview_rule import preview_rule
from app.alerts.commands.record_alerts import record_alerts
from app.alerts.given import Target
from app.alerts.models import Alert, Condition, Rule, RuleTarget
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.identity.scopes import Scope
from app.identity.viewer import Viewer
from app.ingestion.models import BatchKind
from app.portfolios.commands.preorders import add_preorder, reschedule_preorder
from app.portfolios.commands.wants import add_want
from app.portfolios.given_wishes import release_day
from app.portfolios.models import Snapshot
from tests.alerts.price_builders import Prices, rule_of
from tests.graph.changing import code_of, done
from tests.graph.conftest import Graph
from tests.identity.builders import session_of
from tests.portfolios.wishes_builders import Scene, rate, scene_of
from tests.prices.builders import candle, ingested, point
from tests.trackers.builders import fixes_of, organisation, tracker_of

PREVIEW = """
preview { since until observationCount firedCount firings {
    at oldValue newValue baseValue currency series { kind source { code } } tracker { name } place { name }
} }
"""
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def scene(database: Database) -> Scene:
    """Two people and a catalogue, and a rate of the dollar."""
    scene = await scene_of(database)
    async with database.transaction() as transaction:
        await rate(transaction.connection, "USD", "1.25", (utc_now() - 200 * DAY).date())
    return scene


@pytest.fixture
async def ada(scene: Scene, api_database: Database) -> Viewer:
    """Ada, signed in."""
    return await session_of(api_database, scene.ada)


def above(scene: Scene, threshold: str = "100", **more: Any) -> dict[str, Any]:
    """A rule over the heron."""
    target = {"itemId": public_id(PublicIdTag.ITEM, scene.items["heron"])}
    return {"target": target, "condition": "CROSSES_ABOVE", "threshold": threshold, "currency": "USD"} | more


async def firings(graph: Graph, viewer: Viewer, **given: Any) -> list[dict[str, Any]]:
    """When a rule would have fired."""
    shown = (await done(graph, viewer, "previewAlertRule", PREVIEW, **given))["preview"]
    assert shown["firedCount"] == len(shown["firings"])
    return list(shown["firings"])


async def prices(database: Database, *values: str, start: datetime, apart: timedelta = DAY, **more: Any) -> None:
    """Prices of the heron, so far apart."""
    rows = [point("heron", value, at=start + number * apart, **more) for number, value in enumerate(values)]
    await ingested(database, *rows)


def told(found: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    """Some of what the firings say."""
    return [tuple(firing[name] for name in names) for firing in found]


async def test_a_rule_is_replayed_over_the_points_of_each_series_by_itself(
    graph: Graph, ada: Viewer, scene: Scene, database: Database
) -> None:
    start = utc_now() - 80 * DAY
    await prices(database, "90", "101", "99", "102", "100", "103", start=start)
    await prices(database, "70", "81", "79", start=start, currency="EUR", kind="ask")
    # What was before the 90 days is the first observation, which never fires.
    await prices(database, "150", "99.99", "150", start=start - 11 * DAY, apart=11 * DAY, kind="list")
    found = await firings(graph, ada, **above(scene))
    assert told(found, "oldValue", "newValue", "currency") == [
        ("90", "101", "USD"),
        ("87.50", "101.25", "USD"),
        ("99", "102", "USD"),
        ("100", "103", "USD"),
        ("99.99", "150", "USD"),
    ]
    assert told(found[1:2], "series") == [({"kind": "ASK", "source": {"code": "test-market"}},)]
    only = await firings(graph, ada, **above(scene, priceKind="MARKET", hysteresis="2"))
    assert told(only, "newValue") == [("101",)]
    assert told(await firings(graph, ada, **above(scene, isRecurring=False)), "newValue") == [("101",)]
    rested = await firings(graph, ada, **above(scene, priceKind="MARKET", cooldown="P3D"))
    assert told(rested, "newValue") == [("101",), ("103",)]


async def test_a_change_is_held_against_the_value_a_window_before(
    graph: Graph, ada: Viewer, scene: Scene, database: Database
) -> None:
    start = utc_now() - 10 * DAY
    await prices(database, "100", "104", "106", "100", start=start)
    change: dict[str, Any] = {"condition": "RISES_BY", "threshold": "5", "window": "P2D", "currency": None}
    found = await firings(graph, ada, **above(scene, **change))
    assert told(found, "newValue", "baseValue") == []
    # The first change that there is counts as the first observation: here that of a day.
    found = await firings(graph, ada, **above(scene, **change | {"window": "P1D", "threshold": "1.9"}))
    assert told(found, "newValue") == []
    fall: dict[str, Any] = {"condition": "FALLS_BY", "threshold": "5", "window": "P1D", "currency": None}
    found = await firings(graph, ada, **above(scene, **fall))
    assert told(found, "oldValue", "newValue", "baseValue", "currency") == [("1.923077", "-5.660377", "106", "USD")]


@pytest.mark.parametrize(
    ("condition", "amounts", "minutes"),
    [
        ("falls_by", {0: 100, 12: 85, 30: 84, 31: 60, 45: 50, 46: 49, 58: 48}, [12, 31, 45]),
        ("rises_by", {0: 100, 5: 90, 6: 100, 30: 115, 31: 100, 50: 99, 52: 110}, [15, 30, 60]),
    ],
)
async def test_a_change_that_only_time_brings_about_is_replayed_as_the_clock_sees_it(
    scene: Scene,
    database: Database,
    condition: str,
    amounts: dict[int, int],
    minutes: list[int],
) -> None:
    start = utc_now().replace(second=0, microsecond=0) - 3 * HOUR
    live, window = Prices(database), timedelta(minutes=10)
    rule_id = await rule_of(
        database,
        scene.ada,
        condition,
        "10",
        key=scene.items["heron"],
        currency=None,
        window_minutes=10,
        next_look_at=start,
    )
    for minute in range(75):
        at = start + timedelta(minutes=minute)
        if minute in amounts:
            await live.come(point("heron", str(amounts[minute]), at=at))
        async with database.transaction() as transaction:
            await record_alerts(transaction, await look_at_windows(transaction, limit=10, now=at))
    async with database.transaction() as transaction:
        fired = select(Alert.observed_at).where(Alert.rule_id == rule_id).order_by(Alert.observed_at)
        assert list(await transaction.connection.scalars(fired)) == [start + timedelta(minutes=at) for at in minutes]
        given = {"condition": Condition(condition), "threshold": Decimal(10), "window": window}
        target = Target(RuleTarget.ITEM, scene.items["heron"])
        preview = await preview_rule(transaction, target, given, owner_id=scene.ada)
    assert [firing.at - start for firing in preview.firings] == [timedelta(minutes=at) for at in minutes]
    assert preview.observation_count == len(amounts)


async def test_where_there_are_no_points_the_closes_of_days_count(
    graph: Graph, ada: Viewer, scene: Scene, database: Database
) -> None:
    midnight = datetime.combine((utc_now() - 5 * DAY).date(), datetime.min.time(), tzinfo=UTC)
    closes = ("90", "120", "95")
    rows = [
        candle("heron", midnight + number * DAY, DAY, f"{close} {close} {close} {close}")
        for number, close in enumerate(closes)
    ]
    await ingested(database, *rows, kind=BatchKind.CANDLES)
    found = await firings(graph, ada, **above(scene))
    assert told(found, "at", "newValue") == [((midnight + 2 * DAY).strftime("%Y-%m-%dT00:00:00Z"), "120")]


async def test_a_portfolio_is_replayed_over_its_values_at_the_ends_of_days(
    graph: Graph, ada: Viewer, scene: Scene, database: Database, api_database: Database
) -> None:
    today = utc_now().date()
    async with database.transaction() as transaction:
        for days_ago, value in ((5, "90"), (4, "110"), (3, None), (2, "80"), (1, "105")):
            await transaction.connection.execute(
                insert(Snapshot).values(
                    portfolio_id=scene.portfolio_id,
                    owner_id=scene.ada,
                    day=today - timedelta(days=days_ago),
                    currency="EUR",
                    value=None if value is None else Decimal(value),
                    cost=0,
                    realized_gain=0,
                    net_flow=0,
                    holding_count=1,
                    unpriced_count=int(value is None),
                    stale_count=0,
                    parts={},
                    computed_at=utc_now(),
                )
            )
    given = {
        "target": {"portfolioId": public_id(PublicIdTag.PORTFOLIO, scene.portfolio_id)},
        "condition": "CROSSES_ABOVE",
        "threshold": "100",
    }
    found = await firings(graph, ada, **given)
    assert told(found, "oldValue", "newValue", "currency") == [("90", "110", "EUR"), ("80", "105", "EUR")]
    reader = await session_of(api_database, scene.ada, scopes=[Scope.ALERTS_READ])
    query = "mutation ($input: PreviewAlertRuleInput!) { previewAlertRule(input: $input) { preview { firedCount } } }"
    assert (await graph.refusal(query, reader, input=given))["extensions"]["code"] == "FORBIDDEN"


async def test_trackers_are_replayed_over_their_stays_and_silences(graph: Graph, database: Database) -> None:
    own = await organisation(database)
    # A journey of a Monday: by then it was lately.
    with patch("app.alerts.commands.preview_rule.LOOKS_BACK", utc_now() - datetime(2026, 1, 1, tzinfo=UTC)):
        entered = {"target": {"trackerId": own.tracker}, "condition": "ENTERED"}
        found = await firings(graph, own.viewer, **entered)
        assert told(found, "place") == [({"name": "Warehouse"},), ({"name": "Customer"},)]
        left = {"target": {"placeId": own.warehouse}, "condition": "LEFT"}
        assert told(await firings(graph, own.viewer, **left), "place") == [({"name": "Warehouse"},)]
        delivered = {"target": {"productionRunId": own.run}, "condition": "DELIVERED"}
        assert told(await firings(graph, own.viewer, **delivered), "place") == [({"name": "Customer"},)]
        moved = {"target": {"productionRunId": own.run}, "condition": "MOVED_IN_STORAGE"}
        assert await firings(graph, own.viewer, **moved) == []
        start = utc_now().replace(microsecond=0) - 3 * DAY
        start -= timedelta(seconds=start.timestamp() % 600)
        async with database.transaction() as transaction:
            connection = transaction.connection
            other = await tracker_of(connection, own.client_id, "Box 9")
            await fixes_of(connection, own.client_id, other, (1, 1), start=start)
            await fixes_of(connection, own.client_id, other, (1, 1), start=start + DAY)
        tracker = public_id(PublicIdTag.TRACKER, other)
        silent = {"target": {"trackerId": tracker}, "condition": "SILENT_FOR", "duration": "PT20H"}
        found = await firings(graph, own.viewer, **silent)
        assert told(found, "at", "tracker") == [
            (f"{at:%Y-%m-%dT%H:%M:%SZ}", {"name": "Box 9"})
            for at in (start + timedelta(hours=20, minutes=10), start + DAY + timedelta(hours=20, minutes=10))
        ]
    assert await code_of(graph, own.stranger, "previewAlertRule", **entered) == "NOT_FOUND"


async def test_a_preorder_is_replayed_over_the_changes_of_its_date(
    graph: Graph, ada: Viewer, scene: Scene, database: Database
) -> None:
    first = datetime(2026, 3, 1, tzinfo=UTC).date()
    async with database.transaction() as transaction:
        preorder_id = await add_preorder(
            transaction, {"release": release_day(first)}, owner_id=scene.ada, variant_id=scene.variant("warden")
        )
    for days in (5, 40, 20):
        async with database.transaction() as transaction:
            release = release_day(first + timedelta(days=days))
            await reschedule_preorder(transaction, preorder_id, release, owner_id=scene.ada)
    given = {"target": {"preorderId": public_id(PublicIdTag.PREORDER, preorder_id)}, "condition": "DATE_SLIPPED"}
    assert told(await firings(graph, ada, **given), "newValue") == [("5",), ("35",)]
    assert told(await firings(graph, ada, **given, threshold="10"), "newValue") == [("35",)]


async def test_wants_are_replayed_against_the_prices_that_may_meet_them(
    graph: Graph, ada: Viewer, scene: Scene, database: Database
) -> None:
    heron, lantern = scene.items["heron"], scene.items["lantern-new"]
    async with database.transaction() as transaction:
        dear = {"maximum_price": Decimal(100), "currency": "USD"}
        of_heron = await add_want(transaction, dear, owner_id=scene.ada, item_id=heron)
        cheap = {"maximum_price": Decimal(50), "currency": "USD"}
        of_lantern = await add_want(
            transaction, cheap | {"accepts_any_print": True}, owner_id=scene.ada, item_id=lantern
        )
        await add_want(transaction, {}, owner_id=scene.ada, item_id=scene.items["keeper"])
        await add_want(transaction, dear, owner_id=scene.bob, item_id=scene.items["warden"])
    start = utc_now() - 80 * DAY
    # A euro is 1.25 dollars.
    await prices(database, "81", "80", "79", "90", "60", start=start, currency="EUR", kind="ask")
    await prices(database, "101", "10", start=start, kind="bid")
    await prices(database, "101", start=start - 20 * DAY, kind="list")
    for item, *values in (("lantern-old", "60", "49"), ("lantern-new", "50", "51"), ("warden", "200", "1")):
        rows = [point(item, value, at=start + number * HOUR) for number, value in enumerate(values)]
        await ingested(database, *rows)

    given = {"target": {"allWants": True}, "condition": "WANT_MET"}
    shown = (
        await done(graph, ada, "previewAlertRule", PREVIEW.replace("firings {", "firings { want { id }"), **given)
    )["preview"]
    wants = [{"id": public_id(PublicIdTag.WANT, key)} for key in (of_lantern, of_heron, of_heron)]
    assert told(shown["firings"], "want", "oldValue", "newValue", "currency") == [
        (wants[0], "60", "49", "USD"),
        (wants[1], "101.25", "100.00", "USD"),
        (wants[2], "112.50", "75.00", "USD"),
    ]
    assert shown["observationCount"] == 10
    one = {"target": {"wantId": wants[1]["id"]}, "condition": "WANT_MET"}
    assert told(await firings(graph, ada, **one), "newValue") == [("100.00",), ("75.00",)]
    assert told(await firings(graph, ada, **one, cooldown="P10D"), "newValue") == [("100.00",)]
    assert told(await firings(graph, ada, **given, isRecurring=False), "newValue") == [("49",)]
    with patch("app.alerts.commands.preview_rule.MOST_SERIES", 3):
        assert await code_of(graph, ada, "previewAlertRule", **given) == "TOO_MANY"


async def test_what_is_too_much_is_refused_and_nothing_is_stored(
    graph: Graph, ada: Viewer, scene: Scene, database: Database
) -> None:
    await prices(database, "90", "101", start=utc_now() - 2 * HOUR, apart=HOUR)
    await prices(database, "90", start=utc_now() - HOUR, kind="ask")
    with patch("app.alerts.commands.preview_rule.MOST_SERIES", 1):
        assert await code_of(graph, ada, "previewAlertRule", **above(scene)) == "TOO_MANY"
    with patch("app.alerts.commands.preview_rule.MOST_OBSERVATIONS", 2):
        assert await code_of(graph, ada, "previewAlertRule", **above(scene)) == "TOO_MANY"
    assert await code_of(graph, ada, "previewAlertRule", **above(scene, currency="ISK")) == "INVALID_INPUT"
    assert len(await firings(graph, ada, **above(scene))) == 1
    async with database.transaction() as transaction:
        for table in (Rule, Alert):
            assert await transaction.connection.scalar(select(func.count()).select_from(table)) == 0
