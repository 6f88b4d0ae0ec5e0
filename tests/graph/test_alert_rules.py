"""Rules and alerts through the graph, as their owners and as nobody else."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update

from app.alerts.commands.record_alerts import record_alerts
from app.alerts.commands.subject_states import KnownState, write_states
from app.alerts.fired import Fired
from app.alerts.models import Rule
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.identity.scopes import Scope
from app.identity.viewer import Viewer
from app.notifications.commands.notify import notify_of_alerts
from app.notifications.models import Notification
from app.prices.models import PriceSeries
from tests.graph.changing import change, code_of, done
from tests.graph.conftest import Graph
from tests.identity.builders import session_of
from tests.portfolios.wishes_builders import Scene, rate, scene_of
from tests.prices.builders import ingested, point
from tests.trackers.builders import Organisation, organisation

RULE = """
id target condition threshold currency hysteresis cooldown window duration priceKind isRecurring expiresAt severity
notes channels isActive state version firedCount lastFiredAt lastEvaluation { at value } source { code } item { slug }
"""
STATE = "{ alertRules { nodes { state isActive lastEvaluation { value } } } }"
ALERTS = """
query ($unread: Boolean, $severity: AlertSeverity, $condition: AlertCondition, $dismissed: Boolean = true) { viewer {
    alerts(unread: $unread, severity: $severity, condition: $condition, includeDismissed: $dismissed) {
        totalCount nodes {
        title condition severity oldValue newValue baseValue threshold currency observedPrice { amount currency }
        priceKind source { code } series { kind } item { slug } variant { key } rule { firedCount }
        isUnread readAt dismissedAt snoozedUntil
    } } } }
"""


@pytest.fixture
async def scene(database: Database) -> Scene:
    """Two people and a catalogue."""
    return await scene_of(database)


@pytest.fixture
async def ada(scene: Scene, api_database: Database) -> Viewer:
    """Ada, signed in."""
    return await session_of(api_database, scene.ada)


@pytest.fixture
async def bob(scene: Scene, api_database: Database) -> Viewer:
    """Bob, signed in."""
    return await session_of(api_database, scene.bob)


def heron(scene: Scene) -> dict[str, str]:
    """The target of most rules here."""
    return {"itemId": public_id(PublicIdTag.ITEM, scene.items["heron"])}


async def above(graph: Graph, viewer: Viewer, scene: Scene, threshold: str = "100", **more: Any) -> Any:
    """A rule that fires when a price of the heron rises above so many dollars."""
    given = {"target": heron(scene), "condition": "CROSSES_ABOVE", "threshold": threshold, "currency": "USD"}
    return (await done(graph, viewer, "createAlertRule", f"rule {{ {RULE} }}", **given, **more))["rule"]


@pytest.fixture
async def dollars(database: Database) -> None:
    """A rate of the dollar: 1.25 for a euro, a day ago."""
    async with database.transaction() as transaction:
        await rate(transaction.connection, "USD", "1.25", (utc_now() - timedelta(days=2)).date())


async def test_a_rule_is_made_with_all_that_it_can_say(graph: Graph, ada: Viewer, scene: Scene, dollars: None) -> None:
    rule = await above(
        graph,
        ada,
        scene,
        hysteresis="2.50",
        cooldown="PT1H",
        priceKind="MARKET",
        isRecurring=False,
        expiresAt="2090-01-01T00:00:00Z",
        severity="WARNING",
        notes="  Sell\nhalf ",
        channels=["WEB_PUSH", "EMAIL", "EMAIL"],
    )
    assert rule == {
        "id": rule["id"],
        "target": "ITEM",
        "condition": "CROSSES_ABOVE",
        "threshold": "100",
        "currency": "USD",
        "hysteresis": "2.50",
        "cooldown": "PT1H",
        "window": None,
        "duration": None,
        "priceKind": "MARKET",
        "isRecurring": False,
        "expiresAt": "2090-01-01T00:00:00Z",
        "severity": "WARNING",
        "notes": "Sell\nhalf",
        "channels": ["EMAIL", "WEB_PUSH"],
        "isActive": True,
        "state": "UNKNOWN",
        "version": 1,
        "firedCount": 0,
        "lastFiredAt": None,
        "lastEvaluation": None,
        "source": None,
        "item": {"slug": "heron"},
    }


async def test_a_rule_is_changed_paused_resumed_and_deleted(
    graph: Graph, ada: Viewer, bob: Viewer, scene: Scene, dollars: None
) -> None:
    rule_id = (await above(graph, ada, scene))["id"]
    shown = "rule { threshold state version }"
    edited = await done(graph, ada, "editAlertRule", shown, id=rule_id, threshold="120", expectedVersion=1)
    assert edited["rule"] == {"threshold": "120", "state": "UNKNOWN", "version": 2}
    assert await code_of(graph, ada, "editAlertRule", id=rule_id, threshold="130", expectedVersion=1) == "CONFLICT"
    paused = await done(graph, ada, "pauseAlertRule", shown, id=rule_id)
    assert paused["rule"]["state"] == "PAUSED"
    resumed = await done(graph, ada, "resumeAlertRule", shown, id=rule_id)
    assert resumed["rule"]["state"] == "UNKNOWN"
    for name in ("editAlertRule", "pauseAlertRule", "resumeAlertRule", "deleteAlertRule"):
        assert await code_of(graph, bob, name, id=rule_id) == "NOT_FOUND"
        assert await code_of(graph, ada, name, id=heron(scene)["itemId"]) == "NOT_FOUND"
    assert await graph.ask("query ($id: ID!) { node(id: $id) { id } }", bob, id=rule_id) == {"node": None}
    assert (await done(graph, ada, "deleteAlertRule", "deletedId", id=rule_id))["deletedId"] == rule_id
    assert await graph.ask(STATE, ada) == {"alertRules": {"nodes": []}}


async def test_a_refusal_names_the_field_and_writes_nothing(graph: Graph, ada: Viewer, scene: Scene) -> None:
    given = {"target": heron(scene), "condition": "CROSSES_ABOVE", "threshold": "100", "currency": "ISK"}
    refused = await change(graph, ada, "createAlertRule", "rule { id }", **given)
    assert refused["rule"] is None
    (error,) = refused["userErrors"]
    assert (error["code"], error["field"]) == ("INVALID_INPUT", ["input", "currency"])
    assert "no exchange rate of ISK" in error["message"]
    no_target = given | {"target": {"trackerId": heron(scene)["itemId"]}, "currency": "EUR"}
    assert await code_of(graph, ada, "createAlertRule", **no_target) == "NOT_FOUND"
    no_wants = {"target": {"allWants": False}, "condition": "WANT_MET"}
    assert await code_of(graph, ada, "createAlertRule", **no_wants) == "INVALID_INPUT"
    assert await graph.ask(STATE, ada) == {"alertRules": {"nodes": []}}


async def states(graph: Graph, viewer: Viewer) -> list[tuple[str, str | None]]:
    """The states of all rules, the oldest first, each with the value that it was last held against."""
    nodes = (await graph.ask(STATE, viewer))["alertRules"]["nodes"]
    return [(node["state"], node["lastEvaluation"] and node["lastEvaluation"]["value"]) for node in nodes]


async def test_the_state_of_a_rule_follows_from_the_latest_price_at_the_rate_of_its_day(
    graph: Graph, ada: Viewer, scene: Scene, dollars: None, database: Database
) -> None:
    await above(graph, ada, scene)
    assert await states(graph, ada) == [("UNKNOWN", None)]
    await ingested(database, point("heron", "80", currency="EUR"))
    assert await states(graph, ada) == [("ARMED", "100")]
    await ingested(database, point("heron", "100.5", kind="ask", at=utc_now() - timedelta(minutes=5)))
    assert await states(graph, ada) == [("TRIGGERED", "100")]
    await above(graph, ada, scene, priceKind="MARKET")
    await above(graph, ada, scene, source="test-market", priceKind="ASK")
    await above(graph, ada, scene, priceKind="BID")
    assert await states(graph, ada) == [
        ("TRIGGERED", "100"),
        ("ARMED", "100"),
        ("TRIGGERED", "100.5"),
        ("UNKNOWN", None),
    ]


@pytest.mark.parametrize(
    ("condition", "state"),
    [("CROSSES_ABOVE", "ARMED"), ("CROSSES_BELOW", "ARMED"), ("AT_OR_BELOW", "TRIGGERED"), ("CROSSES_LEVEL", "ARMED")],
)
async def test_at_the_threshold_only_a_rule_that_means_it_is_triggered(
    graph: Graph, ada: Viewer, scene: Scene, dollars: None, database: Database, condition: str, state: str
) -> None:
    await above(graph, ada, scene)
    rule_id = (await graph.ask("{ alertRules { nodes { id } } }", ada))["alertRules"]["nodes"][0]["id"]
    await done(graph, ada, "editAlertRule", "__typename", id=rule_id, condition=condition)
    await ingested(database, point("heron", "100"))
    assert await states(graph, ada) == [(state, "100")]


async def test_rules_that_ended_say_why(
    graph: Graph, ada: Viewer, scene: Scene, dollars: None, database: Database
) -> None:
    for _ in range(3):
        await above(graph, ada, scene)
    now = utc_now()
    async with database.transaction() as transaction:
        connection = transaction.connection
        first, second, third = (await connection.scalars(select(Rule.id).order_by(Rule.created_at))).all()
        for rule_id, values in (
            (first, {"is_recurring": False, "is_active": False, "ended_at": now, "fired_count": 1}),
            # Nobody has noticed yet.
            (second, {"expires_at": now - timedelta(minutes=1)}),
            (third, {"is_active": False, "expires_at": now - timedelta(minutes=2), "ended_at": now}),
        ):
            await connection.execute(update(Rule).where(Rule.id == rule_id).values(**values))
    assert [state for state, _ in await states(graph, ada)] == ["TRIGGERED", "EXPIRED", "EXPIRED"]
    active = "query ($active: Boolean) { alertRules(filter: {isActive: $active}) { totalCount } }"
    assert (await graph.ask(active, ada, active=True))["alertRules"]["totalCount"] == 0
    assert (await graph.ask(active, ada, active=False))["alertRules"]["totalCount"] == 3


async def test_rules_are_narrowed_and_ordered(
    graph: Graph, ada: Viewer, bob: Viewer, scene: Scene, dollars: None
) -> None:
    await above(graph, ada, scene)
    await done(graph, ada, "createAlertRule", "__typename", target={"allWants": True}, condition="WANT_MET")
    query = """
    query ($filter: AlertRuleFilter, $orderBy: [AlertRuleOrder!]) { viewer {
        alertRules(filter: $filter, orderBy: $orderBy) { nodes { target } }
    } }
    """

    async def targets(viewer: Viewer = ada, **variables: Any) -> list[str]:
        nodes = (await graph.ask(query, viewer, **variables))["viewer"]["alertRules"]["nodes"]
        return [node["target"] for node in nodes]

    assert await targets() == ["ITEM", "WANTS"]
    assert await targets(orderBy=[{"field": "CREATED_AT", "direction": "DESC"}]) == ["WANTS", "ITEM"]
    assert await targets(filter={"targets": ["WANTS"]}) == ["WANTS"]
    assert await targets(filter={"conditions": ["CROSSES_ABOVE", "LEFT"]}) == ["ITEM"]
    assert await targets(filter={"severities": ["CRITICAL"]}) == []
    assert await targets(bob) == []


async def test_rules_are_narrowed_by_what_they_are_now_and_by_what_they_say(
    graph: Graph, ada: Viewer, bob: Viewer, scene: Scene, dollars: None, database: Database
) -> None:
    await ingested(database, point("heron", "100"))
    armed = (await above(graph, ada, scene))["id"]
    triggered = (await above(graph, ada, scene, "99", notes="Sell 100% of it"))["id"]
    unknown = (await above(graph, ada, scene, priceKind="BID", notes="Sell 100 of it"))["id"]
    paused = (await above(graph, ada, scene))["id"]
    await done(graph, ada, "pauseAlertRule", "__typename", id=paused)
    expired = (await above(graph, ada, scene, expiresAt="2090-01-01T00:00:00Z"))["id"]
    variant = {"variantId": public_id(PublicIdTag.ITEM_VARIANT, scene.variant("warden"))}
    given = {"target": variant, "condition": "CROSSES_ABOVE", "threshold": "1", "currency": "USD"}
    of_variant = (await done(graph, ada, "createAlertRule", "rule { id }", **given))["rule"]["id"]
    async with database.transaction() as transaction:
        connection = transaction.connection
        rules = (await connection.scalars(select(Rule.id).order_by(Rule.created_at))).all()
        now = utc_now()
        for rule_id, values in (
            (rules[4], {"expires_at": now - timedelta(minutes=1), "last_fired_at": now - timedelta(days=2)}),
            (rules[1], {"last_fired_at": now - timedelta(days=1)}),
        ):
            await connection.execute(update(Rule).where(Rule.id == rule_id).values(**values))
    query = """
    query ($filter: AlertRuleFilter, $orderBy: [AlertRuleOrder!]) {
        alertRules(filter: $filter, orderBy: $orderBy) { totalCount nodes { id state } }
    }
    """

    async def found(viewer: Viewer = ada, **filter: Any) -> list[str]:
        shown = (await graph.ask(query, viewer, filter=filter))["alertRules"]
        assert shown["totalCount"] == len(shown["nodes"])
        if "states" in filter:
            assert {node["state"] for node in shown["nodes"]} <= set(filter["states"])
        return [node["id"] for node in shown["nodes"]]

    assert await found(states=["ARMED"]) == [armed]
    assert await found(states=["TRIGGERED"]) == [triggered]
    assert await found(states=["UNKNOWN"]) == [unknown, of_variant]
    assert await found(states=["PAUSED", "EXPIRED"]) == [paused, expired]
    assert await found(states=[]) == []
    assert await found(bob, states=["ARMED", "TRIGGERED", "UNKNOWN", "PAUSED", "EXPIRED"]) == []
    assert await found(targetId=heron(scene)["itemId"], states=["UNKNOWN"]) == [unknown]
    assert await found(targetId=public_id(PublicIdTag.ITEM, scene.items["warden"])) == [of_variant]
    assert await found(targetId=variant["variantId"]) == [of_variant]
    assert await found(targetId=public_id(PublicIdTag.PORTFOLIO, scene.portfolio_id)) == []
    assert await found(targetId=triggered) == []
    assert await found(bob, targetId=heron(scene)["itemId"]) == []
    assert await found(textContains="0% OF") == [triggered]
    assert await found(textContains="sell", states=["UNKNOWN"]) == [unknown]
    assert await found(textContains="WARDEN") == [of_variant]
    assert len(await found(textContains="heron")) == 5
    assert await found(bob, textContains="heron") == []
    refused = await graph.refusal(query, ada, filter={"textContains": ""})
    assert refused["extensions"]["code"] == "BAD_USER_INPUT"
    lately = [{"field": "LAST_FIRED_AT", "direction": "DESC"}]
    paged = """
    query ($orderBy: [AlertRuleOrder!], $after: String) {
        alertRules(orderBy: $orderBy, first: 2, after: $after) { nodes { id } pageInfo { endCursor } }
    }
    """
    pages, after = [], None
    for _ in range(3):
        page = (await graph.ask(paged, ada, orderBy=lately, after=after))["alertRules"]
        pages += [node["id"] for node in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
    assert pages == [triggered, expired, of_variant, paused, unknown, armed]


async def fired(database: Database, scene: Scene, *crossings: str) -> None:
    """Have the only rule fire at an observation of the heron's only series, once for each crossing."""
    async with database.transaction() as transaction:
        connection = transaction.connection
        key = (await connection.scalars(select(Rule.id))).one()
        series = (await connection.execute(select(PriceSeries.id, PriceSeries.source_id))).one()
        alerts = await record_alerts(
            transaction,
            [
                Fired(
                    rule_id=key,
                    crossing=crossing,
                    observed_at=utc_now() - timedelta(seconds=10),
                    item_id=scene.items["heron"],
                    variant_id=scene.variant("heron"),
                    old_value=Decimal("99.50"),
                    new_value=Decimal("101.50"),
                    currency="USD",
                    series_id=series.id,
                    price_kind="market",
                    source_id=series.source_id,
                    observed_price=Decimal("81.20"),
                    observed_currency="EUR",
                )
                for crossing in crossings
            ],
        )
        await notify_of_alerts(transaction, alerts)


async def test_alerts_show_what_they_stand_on_and_whether_they_were_read(
    graph: Graph, ada: Viewer, bob: Viewer, scene: Scene, dollars: None, database: Database
) -> None:
    await ingested(database, point("heron", "81.20", currency="EUR"))
    await above(graph, ada, scene, severity="WARNING")
    await fired(database, scene, "1", "2")
    shown = (await graph.ask(ALERTS, ada))["viewer"]["alerts"]
    assert shown["totalCount"] == 2
    assert shown["nodes"][0] == {
        "title": shown["nodes"][0]["title"],
        "condition": "CROSSES_ABOVE",
        "severity": "WARNING",
        "oldValue": "99.50",
        "newValue": "101.50",
        "baseValue": None,
        "threshold": "100",
        "currency": "USD",
        "observedPrice": {"amount": "81.20", "currency": "EUR"},
        "priceKind": "MARKET",
        "source": {"code": "test-market"},
        "series": {"kind": "MARKET"},
        "item": {"slug": "heron"},
        "variant": {"key": "default"},
        "rule": {"firedCount": 2},
        "isUnread": True,
        "readAt": None,
        "dismissedAt": None,
        "snoozedUntil": None,
    }
    async with database.transaction() as transaction:
        first = select(Notification.id).order_by(Notification.position).limit(1).scalar_subquery()
        await transaction.connection.execute(
            update(Notification).where(Notification.id == first).values(read_at=utc_now(), dismissed_at=utc_now())
        )

    async def count(viewer: Viewer = ada, **variables: Any) -> int:
        return int((await graph.ask(ALERTS, viewer, **variables))["viewer"]["alerts"]["totalCount"])

    assert (await count(unread=True), await count(unread=False), await count()) == (1, 1, 2)
    assert (await count(severity="WARNING"), await count(severity="INFO")) == (2, 0)
    assert (await count(condition="CROSSES_ABOVE"), await count(condition="LEFT")) == (2, 0)
    assert (await count(dismissed=False), await count(dismissed=None), await count(bob)) == (1, 2, 0)
    assert (await graph.ask("{ alerts { totalCount } }", ada))["alerts"]["totalCount"] == 1
    below = "{ alertRules { nodes { alerts(unread: true) { nodes { isUnread dismissedAt } } } } }"
    (node,) = (await graph.ask(below, ada))["alertRules"]["nodes"]
    assert node["alerts"]["nodes"] == [{"isUnread": True, "dismissedAt": None}]


async def test_the_scope_of_alerts_leads_to_nothing_that_takes_another(
    graph: Graph, scene: Scene, api_database: Database, dollars: None
) -> None:
    ada = await session_of(api_database, scene.ada)
    portfolio = {"portfolioId": public_id(PublicIdTag.PORTFOLIO, scene.portfolio_id)}
    given = {"target": portfolio, "condition": "CROSSES_ABOVE", "threshold": "10"}
    made = await done(graph, ada, "createAlertRule", "rule { currency portfolio { name } }", **given)
    assert made["rule"] == {"currency": "EUR", "portfolio": {"name": "Things"}}
    reader = await session_of(api_database, scene.ada, scopes=[Scope.ALERTS_READ])
    assert await graph.ask("{ alertRules { nodes { target threshold } } }", reader) == {
        "alertRules": {"nodes": [{"target": "PORTFOLIO", "threshold": "10"}]}
    }
    refused = await graph.refusal("{ alertRules { nodes { portfolio { name } } } }", reader)
    assert refused["extensions"]["code"] == "FORBIDDEN"
    refused = await graph.refusal("{ alertRules { nodes { tracker { name } } } }", reader)
    assert refused["extensions"]["code"] == "FORBIDDEN"
    writer = await session_of(api_database, scene.ada, scopes=[Scope.ALERTS_READ, Scope.ALERTS_WRITE])
    tracker = {"target": {"trackerId": public_id(PublicIdTag.TRACKER, new_id())}, "condition": "ENTERED"}
    for unread in (given, {"target": {"allWants": True}, "condition": "WANT_MET"}, tracker):
        query = "mutation ($input: CreateAlertRuleInput!) { createAlertRule(input: $input) { rule { id } } }"
        assert (await graph.refusal(query, writer, input=unread))["extensions"]["code"] == "FORBIDDEN"


async def test_what_a_rule_is_held_against_takes_the_scope_of_its_target_whenever_it_is_said(
    graph: Graph, scene: Scene, database: Database, api_database: Database, dollars: None
) -> None:
    ada = await session_of(api_database, scene.ada)
    portfolio = {"portfolioId": public_id(PublicIdTag.PORTFOLIO, scene.portfolio_id)}
    given = {"target": portfolio, "condition": "CROSSES_ABOVE", "threshold": "10"}
    rule_id = (await done(graph, ada, "createAlertRule", "rule { id }", **given))["rule"]["id"]
    await above(graph, ada, scene)
    await ingested(database, point("heron", "80"))
    async with database.transaction() as transaction:
        of_portfolio = await transaction.connection.scalar(select(Rule.id).where(Rule.portfolio_id.is_not(None)))
        assert of_portfolio is not None
        await write_states(
            transaction,
            [
                KnownState(
                    rule_id=of_portfolio,
                    subject_id=scene.portfolio_id,
                    is_triggered=False,
                    value=Decimal("9.5"),
                    observed_at=utc_now(),
                )
            ],
        )
    assert [value for _, value in await states(graph, ada)] == ["9.5", "80"]

    both = [Scope.ALERTS_READ, Scope.ALERTS_WRITE]
    writer = await session_of(api_database, scene.ada, scopes=both)
    assert [value for _, value in await states(graph, writer)] == [None, "80"]
    changes: tuple[tuple[str, dict[str, Any]], ...] = (
        ("editAlertRule", {"threshold": "11"}),
        ("editAlertRule", {"currency": "USD", "notes": "Now"}),
        ("editAlertRule", {"expiresAt": "2090-01-01T00:00:00Z"}),
        ("resumeAlertRule", {}),
    )
    for name, values in changes:
        query = f"mutation ($input: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $input) {{ rule {{ id }} }} }}"
        refused = await graph.refusal(query, writer, input={"id": rule_id} | values)
        assert refused["extensions"]["code"] == "FORBIDDEN"
    await done(graph, writer, "editAlertRule", "__typename", id=rule_id, notes="Now", severity="CRITICAL")
    await done(graph, writer, "pauseAlertRule", "__typename", id=rule_id)
    assert (await code_of(graph, writer, "resumeAlertRule", id=heron(scene)["itemId"])) == "NOT_FOUND"
    reader = await session_of(api_database, scene.ada, scopes=[*both, Scope.PORTFOLIOS_READ])
    assert [value for _, value in await states(graph, reader)] == ["9.5", "80"]
    for name, values in changes:
        await done(graph, reader, name, "__typename", id=rule_id, **values)
    await done(graph, writer, "deleteAlertRule", "deletedId", id=rule_id)


async def test_a_rule_over_trackers_is_for_members_in_any_role(graph: Graph, database: Database, dollars: None) -> None:
    own: Organisation = await organisation(database)
    given = {"target": {"productionRunId": own.run}, "condition": "SILENT_FOR", "duration": "P2D"}
    made = await done(graph, own.viewer, "createAlertRule", "rule { duration productionRun { id } state }", **given)
    assert made["rule"] == {"duration": "P2D", "productionRun": {"id": own.run}, "state": "UNKNOWN"}
    assert await code_of(graph, own.stranger, "createAlertRule", **given) == "NOT_FOUND"
    entered = {"target": {"placeId": own.warehouse}, "condition": "ENTERED"}
    made = await done(graph, own.viewer, "createAlertRule", "rule { place { name } state }", **entered)
    assert made["rule"] == {"place": {"name": "Warehouse"}, "state": "ARMED"}
