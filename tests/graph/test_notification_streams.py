"""The streams of what people are told: to themselves alone, without gap or double."""

from typing import Any

import pytest
from sqlalchemy import delete

from app.alerts.models import Rule, Severity
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.paging import encode_cursor
from app.identity.scopes import OWN, Scope
from app.identity.viewer import ANYONE
from tests.graph.conftest import Graph
from tests.graph.stream_followers import Following, following, refused
from tests.identity.builders import session_of
from tests.notifications.told_people import alert_of, person, rule_of, tell

RECEIVED = """
subscription ($since: String) { notificationReceived(since: $since) { cursor notification { id title severity } } }
"""
FIRED = """
subscription ($rules: [ID!], $severity: AlertSeverity, $since: String) {
  alertFired(ruleIds: $rules, severity: $severity, since: $since) { cursor alert { severity } notification { title } }
}
"""


async def title_of_next(seen: Following) -> str:
    """What the next update says."""
    return str((await seen.next())["notification"]["title"])


async def test_a_notification_is_told_to_its_owner_alone(database: Database, live: Graph) -> None:
    ada, bob = await person(database), await person(database)
    async with following(live, ada.viewer, RECEIVED) as seen:
        await tell(database, bob, "of Bob")
        id_ = await tell(database, ada, "one", severity=Severity.CRITICAL)
        await tell(database, ada, "two")
        first = await seen.next()
        assert first["notification"] == {"id": id_, "title": "one", "severity": "CRITICAL"}
        assert await title_of_next(seen) == "two"
        assert seen.sent.empty()


async def test_a_reader_goes_on_where_they_stopped_without_gap_or_double(database: Database, live: Graph) -> None:
    ada, bob = await person(database), await person(database)
    async with following(live, ada.viewer, RECEIVED) as seen:
        await tell(database, ada, "one")
        cursor = (await seen.next())["cursor"]
    await tell(database, ada, "two")
    await tell(database, bob, "of Bob")
    await tell(database, ada, "three")
    async with following(live, ada.viewer, RECEIVED, since=cursor) as seen:
        assert [await title_of_next(seen), await title_of_next(seen)] == ["two", "three"]
        await tell(database, ada, "four")
        assert await title_of_next(seen) == "four"
        assert seen.sent.empty()


async def test_alerts_are_told_by_rule_and_by_severity_and_nothing_else_is(database: Database, live: Graph) -> None:
    ada = await person(database)
    loud, quiet = await rule_of(database, ada), await rule_of(database, ada)

    async def fire(rule: Any, title: str, severity: Severity) -> None:
        await tell(database, ada, title, alert_id=await alert_of(database, ada, rule, severity), severity=severity)

    rules = [public_id(PublicIdTag.ALERT_RULE, loud)]
    async with (
        following(live, ada.viewer, FIRED) as all_of_them,
        following(live, ada.viewer, FIRED, rules=rules) as by_rule,
        following(live, ada.viewer, FIRED, severity="CRITICAL") as by_severity,
    ):
        await tell(database, ada, "no alert")
        await fire(quiet, "of the other rule", Severity.CRITICAL)
        await fire(loud, "to look at", Severity.WARNING)
        await fire(loud, "at last", Severity.CRITICAL)
        assert [await title_of_next(all_of_them) for _ in range(3)] == ["of the other rule", "to look at", "at last"]
        assert [await title_of_next(by_rule) for _ in range(2)] == ["to look at", "at last"]
        assert [await title_of_next(by_severity) for _ in range(2)] == ["of the other rule", "at last"]
    cursor = encode_cursor("told", [0])
    async with following(live, ada.viewer, FIRED, since=cursor, severity="WARNING") as missed:
        assert await title_of_next(missed) == "to look at"
        assert missed.sent.empty()


async def test_rules_that_are_gone_keep_the_others_of_a_stream_not_back(database: Database, live: Graph) -> None:
    ada, bob = await person(database), await person(database)
    stays, goes, others = [await rule_of(database, told) for told in (ada, ada, bob)]
    rules = [public_id(PublicIdTag.ALERT_RULE, rule) for rule in (stays, goes, others)]
    await tell(database, ada, "of what went", alert_id=await alert_of(database, ada, goes))
    async with database.transaction() as transaction:
        await transaction.connection.execute(delete(Rule).where(Rule.id == goes))
    async with following(live, ada.viewer, FIRED, rules=rules, since=encode_cursor("told", [0])) as seen:
        await tell(database, bob, "of somebody else", alert_id=await alert_of(database, bob, others))
        await tell(database, ada, "of what stays", alert_id=await alert_of(database, ada, stays))
        assert await title_of_next(seen) == "of what stays"


async def test_a_token_of_alerts_alone_sees_no_notifications(database: Database, live: Graph) -> None:
    ada = await person(database)
    viewer = await session_of(database, ada.id, scopes=[Scope.ALERTS_READ])
    rule = await rule_of(database, ada)
    async with following(live, viewer, FIRED) as seen:
        await tell(database, ada, "one", alert_id=await alert_of(database, ada, rule))
        answer = await seen.answer()
    assert answer["data"]["alertFired"]["notification"] is None
    assert answer["data"]["alertFired"]["alert"] == {"severity": "INFO"}
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


@pytest.mark.parametrize("query", [RECEIVED, FIRED], ids=["notificationReceived", "alertFired"])
async def test_streams_take_a_scope_and_a_cursor_of_theirs(database: Database, live: Graph, query: str) -> None:
    ada = await person(database)
    scopes = OWN - {Scope.NOTIFICATIONS_READ, Scope.ALERTS_READ}
    assert await refused(live, ANYONE, query) == "UNAUTHENTICATED"
    assert await refused(live, await session_of(database, ada.id, scopes=scopes), query) == "FORBIDDEN"
    assert await refused(live, ada.viewer, query, since="garbage") == "BAD_USER_INPUT"
    assert await refused(live, ada.viewer, query, since=encode_cursor("tracker-events", [1, 1])) == "BAD_USER_INPUT"


async def test_rules_of_others_are_followed_by_nobody(database: Database, live: Graph) -> None:
    ada, bob = await person(database), await person(database)
    own, other = [public_id(PublicIdTag.ALERT_RULE, await rule_of(database, told)) for told in (ada, bob)]
    nothing, wrong = public_id(PublicIdTag.ALERT_RULE, new_id()), public_id(PublicIdTag.ITEM, new_id())
    for bad in ([other], [nothing], [other, nothing], [own, wrong]):
        assert await refused(live, ada.viewer, FIRED, rules=bad) == "NOT_FOUND"
    for bad_list in ([], [own] * 251, ["garbage"]):
        assert await refused(live, ada.viewer, FIRED, rules=bad_list) == "BAD_USER_INPUT"
