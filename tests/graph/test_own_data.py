"""Deleting one's account, taking that back, and having one's data: by the graph, for oneself alone."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.core.secrets import place_of
from app.graph.execution import Engine
from app.identity.models import AuditEntry, OutgoingMail
from app.identity.scopes import OWN
from app.identity.viewer import ANYONE, Viewer
from tests.graph.conftest import Graph
from tests.identity.builders import PARTNER, SECRETS, add_person

ERRORS = "userErrors { code field message }"
REQUEST = f"mutation {{ requestAccountDeletion {{ account {{ deletion {{ requestedAt erasedAfter }} }} {ERRORS} }} }}"
CANCEL = f"mutation {{ cancelAccountDeletion {{ account {{ deletion {{ erasedAfter }} }} {ERRORS} }} }}"
EXPORT = f"mutation {{ exportMyData {{ export {{ id status partsDone }} {ERRORS} }} }}"
DOWNLOAD = f"mutation ($id: ID!) {{ createExportDownload(input: {{id: $id}}) {{ url expiresAt {ERRORS} }} }}"
ANY_EXPORT = public_id(PublicIdTag.DATA_EXPORT, UUID(int=1))


@pytest.fixture
async def eve(_owner: AsyncEngine, graph: Graph) -> Viewer:
    """Somebody else who has."""
    async with _owner.begin() as connection:
        return session_of(await add_person(connection, username="eve"))


@pytest.fixture
async def ada(_owner: AsyncEngine, graph: Graph) -> Viewer:
    """Somebody who has just signed in."""
    async with _owner.begin() as connection:
        user_id = await add_person(connection, username="ada", email="ada@example.com", email_verified_at=utc_now())
    return session_of(user_id)


def session_of(user_id: UUID) -> Viewer:
    """The person, signed in a moment ago."""
    now = utc_now()
    return Viewer(user_id=user_id, scopes=OWN, is_session=True, issued_at=now, authenticated_at=now)


async def actions(database: Database) -> list[str]:
    """What was done, in order."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(select(AuditEntry.action).order_by(AuditEntry.id))
        return list(rows.scalars())


async def mails(database: Database) -> list[str]:
    """What was written to people."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(OutgoingMail.id, OutgoingMail.content).order_by(OutgoingMail.id)
        )
        return [SECRETS.decrypt(row.content, place_of(OutgoingMail.content, row.id)).decode() for row in rows]


async def test_an_account_is_to_be_erased_in_30_days_and_its_owner_is_told(
    graph: Graph, ada: Viewer, database: Database
) -> None:
    before = utc_now()
    payload = (await graph.ask(REQUEST, ada))["requestAccountDeletion"]
    assert payload["userErrors"] == []
    async with database.transaction() as transaction:
        row = (await transaction.connection.execute(text("SELECT * FROM identity.users WHERE username = 'ada'"))).one()
    assert row.erase_after - row.deletion_requested_at == timedelta(days=30)
    assert before - timedelta(seconds=5) <= row.deletion_requested_at <= utc_now() + timedelta(seconds=5)
    assert payload["account"]["deletion"]["erasedAfter"].startswith(f"{row.erase_after:%Y-%m-%dT%H:%M}")
    (mail,) = await mails(database)
    assert "ada@example.com" in mail
    assert f"{row.erase_after:%d %B %Y}" in mail
    assert await actions(database) == ["deletion_requested"]


async def test_it_is_asked_for_once_and_can_be_taken_back(graph: Graph, ada: Viewer, database: Database) -> None:
    await graph.ask(REQUEST, ada)
    again = (await graph.ask(REQUEST, ada))["requestAccountDeletion"]
    assert (again["account"], again["userErrors"][0]["code"]) == (None, "ALREADY_DONE")
    kept = (await graph.ask(CANCEL, ada))["cancelAccountDeletion"]
    assert kept == {"account": {"deletion": None}, "userErrors": []}
    again = (await graph.ask(CANCEL, ada))["cancelAccountDeletion"]
    assert (again["account"], again["userErrors"][0]["code"]) == (None, "ALREADY_DONE")
    assert await actions(database) == ["deletion_requested", "deletion_cancelled"]
    assert len(await mails(database)) == 2
    assert (await graph.ask(REQUEST, ada))["requestAccountDeletion"]["userErrors"] == []


async def test_an_export_is_asked_for_and_seen_in_the_account(graph: Graph, ada: Viewer, database: Database) -> None:
    payload = (await graph.ask(EXPORT, ada))["exportMyData"]
    assert payload["userErrors"] == []
    assert (payload["export"]["status"], payload["export"]["partsDone"]) == ("WAITING", 0)
    seen = await graph.ask("{ viewer { exports { nodes { id } } } }", ada)
    assert seen["viewer"]["exports"]["nodes"] == [{"id": payload["export"]["id"]}]
    again = (await graph.ask(EXPORT, ada))["exportMyData"]
    assert (again["export"], again["userErrors"][0]["code"]) == (None, "TOO_MANY")
    assert await actions(database) == ["export_requested"]


async def test_a_link_is_made_for_ones_own_export_that_is_ready_alone(
    graph: Graph, ada: Viewer, eve: Viewer, database: Database
) -> None:
    resources = graph.engine.resources
    addressed = replace(resources, identity=replace(resources.identity, public_url="https://trove.example"))
    graph = Graph(Engine(addressed))
    export_id = (await graph.ask(EXPORT, ada))["exportMyData"]["export"]["id"]

    async def link(viewer: Viewer, wanted: str = export_id) -> Any:
        return (await graph.ask(DOWNLOAD, viewer, id=wanted))["createExportDownload"]

    assert (await link(ada))["userErrors"][0]["code"] == "NOT_FOUND"
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            text("UPDATE identity.data_exports SET status = 'ready', expires_at = now() + interval '1 hour'")
        )
    made = await link(ada)
    assert made["userErrors"] == []
    assert made["url"].startswith(f"https://trove.example/exports/{export_id}?token=trove_challenge_")
    for viewer, wanted in ((eve, export_id), (ada, ANY_EXPORT), (ada, public_id(PublicIdTag.USER, UUID(int=1)))):
        refused = await link(viewer, wanted)
        assert (refused["url"], refused["userErrors"][0]["code"]) == (None, "NOT_FOUND")
        assert refused["userErrors"][0]["field"] == ["input", "id"]


@pytest.mark.parametrize(
    ("document", "recently"), [(REQUEST, True), (CANCEL, False), (EXPORT, False), (DOWNLOAD, False)]
)
async def test_who_may_not_is_refused_and_leaves_no_trace(
    graph: Graph, ada: Viewer, database: Database, document: str, recently: bool
) -> None:
    variables = {"id": ANY_EXPORT} if document == DOWNLOAD else {}
    stale = replace(ada, authenticated_at=utc_now() - timedelta(minutes=16))
    refused = [(ANYONE, "UNAUTHENTICATED"), (PARTNER, "FORBIDDEN"), (replace(ada, scopes=frozenset()), "FORBIDDEN")]
    for viewer, code in [*refused, *([(stale, "FORBIDDEN")] if recently else [])]:
        assert (await graph.refusal(document, viewer, **variables))["extensions"]["code"] == code
    assert await actions(database) == []
    assert await mails(database) == []
    async with database.transaction() as transaction:
        left = "SELECT count(*) FROM identity.users WHERE erase_after IS NOT NULL"
        assert (await transaction.connection.execute(text(left))).scalar_one() == 0
        assert (await transaction.connection.execute(text("SELECT count(*) FROM identity.data_exports"))).scalar() == 0
