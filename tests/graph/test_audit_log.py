"""The audit log is read by whom it is about, by who did it, and by staff; others see that there is none."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.ids import PublicIdTag, new_id, public_id
from app.identity.actions import AuditAction
from app.identity.models import AuditEntry
from app.identity.scopes import OWN, Scope
from app.identity.viewer import ANYONE, Viewer
from tests.graph.conftest import Graph
from tests.identity.builders import PARTNER, add_person

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
OWN_LOG = "query ($filter: AuditFilter) { viewer { auditLog(filter: $filter) { nodes { id action } } } }"
WHOLE_LOG = "query ($filter: AuditFilter) { auditLog(filter: $filter) { totalCount nodes { id action occurredAt } } }"
BY_ID = "query ($id: ID!) { node(id: $id) { ... on AuditEntry { action address before after } } }"


@dataclass(frozen=True, slots=True)
class People:
    """Who there is, and what was done."""

    subject: Viewer
    actor: Viewer
    stranger: Viewer
    staff: Viewer
    granted: UUID
    entries: tuple[UUID, ...]


def viewer_of(user_id: UUID, *more: Scope) -> Viewer:
    """A session of a person."""
    return Viewer(user_id=user_id, scopes=OWN | frozenset(more), is_session=True)


@pytest.fixture
async def people(_owner: AsyncEngine, graph: Graph) -> People:
    """Three things that were done to the subject an hour apart; the second by the actor."""
    async with _owner.begin() as connection:
        subject, actor, stranger = [await add_person(connection) for _ in range(3)]
        staff = await add_person(connection, permissions=[Scope.AUDIT_READ])
        done = [
            (AuditAction.SIGNED_UP, subject, subject),
            (AuditAction.ROLE_GRANTED, actor, subject),
            (AuditAction.SIGNED_IN, subject, subject),
            (AuditAction.SIGNED_IN, stranger, stranger),
        ]
        ids = tuple(new_id() for _ in done)
        rows = [
            {
                "id": id_,
                "action": action.value,
                "actor_id": who,
                "subject_id": whom,
                "occurred_at": NOON + timedelta(hours=hours),
                "address": "203.0.113.7",
                "after": {"hours": hours},
            }
            for hours, (id_, (action, who, whom)) in enumerate(zip(ids, done, strict=True))
        ]
        await connection.execute(insert(AuditEntry), rows)
    return People(
        viewer_of(subject), viewer_of(actor), viewer_of(stranger), viewer_of(staff, Scope.AUDIT_READ), ids[1], ids
    )


async def own_log(graph: Graph, viewer: Viewer, **filter: Any) -> list[str]:
    """The actions of the viewer's own log, the newest first."""
    data = await graph.ask(OWN_LOG, viewer, filter=filter or None)
    return [node["action"] for node in data["viewer"]["auditLog"]["nodes"]]


async def whole_log(graph: Graph, viewer: Viewer, **filter: Any) -> list[str]:
    """The actions of the whole log, the newest first."""
    log = (await graph.ask(WHOLE_LOG, viewer, filter=filter or None))["auditLog"]
    assert log["totalCount"] == len(log["nodes"])
    return [node["action"] for node in log["nodes"]]


async def test_the_log_of_an_account_is_what_was_done_to_it(graph: Graph, people: People) -> None:
    assert await own_log(graph, people.subject) == ["SIGNED_IN", "ROLE_GRANTED", "SIGNED_UP"]
    assert await own_log(graph, people.actor) == []
    assert await own_log(graph, people.stranger) == ["SIGNED_IN"]


async def test_an_entry_is_seen_by_its_subject_its_actor_and_staff_alone(graph: Graph, people: People) -> None:
    entry = public_id(PublicIdTag.AUDIT_ENTRY, people.granted)
    seen = {"action": "ROLE_GRANTED", "address": "203.0.113.7", "before": None, "after": {"hours": 1}}
    for viewer in (people.subject, people.actor, people.staff):
        assert (await graph.ask(BY_ID, viewer, id=entry))["node"] == seen
    for viewer in (people.stranger, PARTNER):
        assert (await graph.ask(BY_ID, viewer, id=entry))["node"] is None
    assert (await graph.refusal(BY_ID, ANYONE, id=entry))["extensions"]["code"] == "UNAUTHENTICATED"


async def test_the_whole_log_is_for_staff(graph: Graph, people: People) -> None:
    assert await whole_log(graph, people.staff) == ["SIGNED_IN", "SIGNED_IN", "ROLE_GRANTED", "SIGNED_UP"]
    for viewer in (people.subject, people.actor, people.stranger, PARTNER):
        assert (await graph.refusal(WHOLE_LOG, viewer))["extensions"]["code"] == "FORBIDDEN"
    assert (await graph.refusal(WHOLE_LOG, ANYONE))["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_claim_of_being_staff_that_nobody_granted_shows_no_more_than_ones_own(
    graph: Graph, people: People
) -> None:
    claimed = replace(people.actor, scopes=people.actor.scopes | {Scope.AUDIT_READ})
    assert await whole_log(graph, claimed) == ["ROLE_GRANTED"]


async def test_both_logs_are_narrowed_by_what_was_done_and_when(graph: Graph, people: People) -> None:
    one, two, four = (f"2026-05-01T{hour}:00:00Z" for hour in (13, 14, 16))
    assert await own_log(graph, people.subject, action="SIGNED_IN") == ["SIGNED_IN"]
    assert await own_log(graph, people.subject, action="ERASED") == []
    # From a time on, and up to another, which is not of it any more.
    assert await own_log(graph, people.subject, **{"from": one}) == ["SIGNED_IN", "ROLE_GRANTED"]
    assert await own_log(graph, people.subject, to=two) == ["ROLE_GRANTED", "SIGNED_UP"]
    assert await own_log(graph, people.subject, **{"from": one, "to": two}) == ["ROLE_GRANTED"]
    assert await own_log(graph, people.subject, **{"from": one, "to": two, "action": "SIGNED_IN"}) == []
    assert await whole_log(graph, people.staff, action="SIGNED_IN") == ["SIGNED_IN", "SIGNED_IN"]
    assert await whole_log(graph, people.staff, **{"from": two, "to": four}) == ["SIGNED_IN", "SIGNED_IN"]
    assert await whole_log(graph, people.staff, to=one) == ["SIGNED_UP"]
    assert await whole_log(graph, people.staff, action=None) == await whole_log(graph, people.staff)


async def test_a_filter_that_is_none_is_refused(graph: Graph, people: People) -> None:
    for wrong in ({"action": "SOMETHING"}, {"from": "yesterday"}, {"since": "2026-05-01T12:00:00Z"}):
        assert (await graph.refusal(OWN_LOG, people.subject, filter=wrong))["extensions"]["code"] == "BAD_USER_INPUT"
