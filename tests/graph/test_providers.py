"""Providers through the graph: their limits for everybody, keys for their owners alone, calls for staff."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from app.core.clock import utc_now
from app.core.database import Database
from app.core.secrets import place_of
from app.identity.actions import AuditAction
from app.identity.scopes import Scope
from app.identity.viewer import Viewer
from app.providers.commands.credentials import MAXIMUM_CREDENTIALS, use_credential
from app.providers.commands.ledger import Booked, CallOutcome, book_call, finish_call
from app.providers.commands.save_known import save_known_providers
from app.providers.known import KNOWN_PROVIDERS
from app.providers.models import Provider, ProviderCredential
from tests.graph.conftest import Graph
from tests.identity.builders import SECRETS, add_person, audit_of, session_of

KEY = "0123456789ABCDEF-very-secret-wxyz"
ERRORS = "userErrors { field code message }"
FIELDS = "id label maskedSecret lastUsedAt provider { code }"
ADD = f"""
mutation ($input: AddProviderCredentialInput!) {{
    addProviderCredential(input: $input) {{ providerCredential {{ {FIELDS} }} {ERRORS} }}
}}
"""
REMOVE = f"mutation ($id: ID!) {{ removeProviderCredential(input: {{id: $id}}) {{ deletedId {ERRORS} }} }}"
OWN = f"{{ viewer {{ providerCredentials {{ {FIELDS} }} }} }}"
PROVIDERS = """
{ providers(first: 100) { nodes { code name docsUrl windowSeconds count isBlocked blockedUntil isEnabled } } }
"""
USAGE = """
query ($provider: String) {
    providerUsage(provider: $provider) {
        totalCount
        nodes { provider { code } endpoint startedAt durationMilliseconds status error }
    }
}
"""


@pytest.fixture(autouse=True)
async def known(database: Database) -> None:
    """The providers that we know."""
    async with database.transaction() as transaction:
        await save_known_providers(transaction)


async def person(database: Database, api_database: Database, *permissions: Scope) -> Viewer:
    """Somebody with a session."""
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection, permissions=permissions)
    return await session_of(api_database, user_id)


@pytest.fixture
async def ada(database: Database, api_database: Database) -> Viewer:
    """Somebody with a session."""
    return await person(database, api_database)


@pytest.fixture
async def bob(database: Database, api_database: Database) -> Viewer:
    """Somebody else."""
    return await person(database, api_database)


@pytest.fixture
async def staff(database: Database, api_database: Database) -> Viewer:
    """Somebody with every permission that there is to read."""
    return await person(
        database, api_database, Scope.PROVIDERS_READ, Scope.ACCOUNTS_READ, Scope.AUDIT_READ, Scope.INGESTION_READ
    )


async def added(graph: Graph, viewer: Viewer, **input: Any) -> dict[str, Any]:
    """The payload of addProviderCredential."""
    given = {"provider": "steam", "label": "Mine", "secret": KEY} | input
    payload: dict[str, Any] = (await graph.ask(ADD, viewer, input=given))["addProviderCredential"]
    return payload


async def test_everybody_sees_which_services_are_asked_and_at_what_pace(graph: Graph, database: Database) -> None:
    soon = utc_now() + timedelta(hours=1)
    async with database.transaction() as transaction:
        for code, until in (("skinport", soon), ("steam", soon - timedelta(hours=2))):
            await transaction.connection.execute(
                update(Provider).where(Provider.code == code).values(blocked_until=until)
            )
    shown = {node["code"]: node for node in (await graph.ask(PROVIDERS))["providers"]["nodes"]}
    assert list(shown) == sorted(provider.code for provider in KNOWN_PROVIDERS)
    assert (shown["steam"]["windowSeconds"], shown["steam"]["count"]) == (60, 20)
    assert (shown["skinport"]["windowSeconds"], shown["skinport"]["count"]) == (300, 8)
    assert (shown["steam"]["isBlocked"], shown["steam"]["blockedUntil"]) == (False, None)
    assert shown["skinport"]["isBlocked"] is True
    assert shown["skinport"]["blockedUntil"].startswith(f"{soon:%Y-%m-%dT%H:%M}")
    assert (shown["ecb"]["isBlocked"], shown["ecb"]["blockedUntil"]) == (False, None)


async def test_a_key_is_kept_encrypted_and_its_owner_sees_how_it_ends(
    graph: Graph, ada: Viewer, database: Database
) -> None:
    payload = await added(graph, ada, label="  Mine  ")
    assert payload["userErrors"] == []
    assert payload["providerCredential"] == {
        "id": payload["providerCredential"]["id"],
        "label": "Mine",
        "maskedSecret": "…wxyz",
        "lastUsedAt": None,
        "provider": {"code": "steam"},
    }
    assert (await graph.ask(OWN, ada))["viewer"]["providerCredentials"] == [payload["providerCredential"]]
    async with database.transaction() as transaction:
        row = (await transaction.connection.execute(select(*ProviderCredential.__table__.columns))).one()
        entries = await audit_of(transaction.connection, row.user_id, AuditAction.PROVIDER_CREDENTIAL_ADDED)
    assert SECRETS.decrypt(row.secret, place_of(ProviderCredential.secret, row.id)).decode() == KEY
    assert KEY.encode() not in row.secret
    assert [entry.after["provider"] for entry in entries if entry.after] == ["steam"]
    assert KEY not in str([entry.after for entry in entries])


async def test_of_a_short_key_nothing_is_shown(graph: Graph, ada: Viewer) -> None:
    payload = await added(graph, ada, secret="fifteen-letters")
    assert payload["providerCredential"]["maskedSecret"] == "…"


async def test_a_worker_reads_the_key_that_was_given_last(graph: Graph, ada: Viewer, database: Database) -> None:
    assert ada.user_id is not None
    await added(graph, ada, secret="the-first")
    await added(graph, ada, secret="the-second")
    async with database.transaction() as transaction:
        used = await use_credential(transaction, SECRETS, user_id=ada.user_id, provider="steam")
        none = await use_credential(transaction, SECRETS, user_id=ada.user_id, provider="skinport")
    assert used is not None
    assert (used.secret, none) == ("the-second", None)
    assert "the-second" not in repr(used)
    first, second = (await graph.ask(OWN, ada))["viewer"]["providerCredentials"]
    assert first["lastUsedAt"] is None
    assert second["lastUsedAt"] is not None


async def test_nobody_else_sees_a_key_staff_neither(graph: Graph, ada: Viewer, bob: Viewer, staff: Viewer) -> None:
    key_id = (await added(graph, ada))["providerCredential"]["id"]
    for other in (bob, staff):
        assert (await graph.ask(OWN, other))["viewer"]["providerCredentials"] == []
        assert (await graph.ask("query ($id: ID!) { node(id: $id) { id } }", other, id=key_id))["node"] is None
    accounts = await graph.ask("{ accounts { nodes { providerCredentials { id } } } }", staff)
    assert [node["providerCredentials"] for node in accounts["accounts"]["nodes"]] == [[]] * 4


async def test_a_key_is_forgotten_by_its_owner_alone(
    graph: Graph, ada: Viewer, bob: Viewer, database: Database
) -> None:
    key_id = (await added(graph, ada))["providerCredential"]["id"]
    refused = (await graph.ask(REMOVE, bob, id=key_id))["removeProviderCredential"]
    assert (refused["deletedId"], refused["userErrors"][0]["code"]) == (None, "NOT_FOUND")
    removed = (await graph.ask(REMOVE, ada, id=key_id))["removeProviderCredential"]
    assert removed == {"deletedId": key_id, "userErrors": []}
    again = (await graph.ask(REMOVE, ada, id=key_id))["removeProviderCredential"]
    assert again["userErrors"][0]["code"] == "NOT_FOUND"
    async with database.transaction() as transaction:
        assert (await transaction.connection.execute(select(ProviderCredential.id))).all() == []


@pytest.mark.parametrize(
    ("input", "code", "field"),
    [
        ({"provider": "nobody"}, "NOT_FOUND", "provider"),
        ({"label": "  "}, "INVALID_INPUT", "label"),
        ({"label": "x" * 81}, "INVALID_INPUT", "label"),
        ({"label": "\u200b\u202e\n\u200b"}, "INVALID_INPUT", "label"),
        ({"label": "Mine\u202e"}, "INVALID_INPUT", "label"),
        ({"label": "two\nlines"}, "INVALID_INPUT", "label"),
        ({"label": "zero\0"}, "INVALID_INPUT", "label"),
        ({"secret": " "}, "INVALID_INPUT", "secret"),
        ({"secret": "two\nlines"}, "INVALID_INPUT", "secret"),
        ({"secret": "schlüssel"}, "INVALID_INPUT", "secret"),
        ({"secret": "x" * 4097}, "INVALID_INPUT", "secret"),
    ],
)
async def test_what_is_no_key_is_refused_with_what_to_do(
    graph: Graph, ada: Viewer, input: dict[str, str], code: str, field: str
) -> None:
    payload = await added(graph, ada, **input)
    (error,) = payload["userErrors"]
    assert payload["providerCredential"] is None
    assert (error["code"], error["field"]) == (code, ["input", field])
    assert KEY not in error["message"]


async def test_there_are_not_more_keys_than_may_be(graph: Graph, ada: Viewer) -> None:
    for _ in range(MAXIMUM_CREDENTIALS):
        assert (await added(graph, ada))["userErrors"] == []
    assert (await added(graph, ada))["userErrors"][0]["code"] == "TOO_MANY"


async def test_staff_see_the_calls_and_nobody_else_does(
    graph: Graph, staff: Viewer, ada: Viewer, database: Database
) -> None:
    for code, status, error in (("steam", 200, None), ("skinport", 429, "refused, or answered by a redirect")):
        async with database.transaction() as transaction:
            call = await book_call(transaction, code, endpoint="prices")
        assert isinstance(call, Booked)
        async with database.transaction() as transaction:
            await finish_call(transaction, call, CallOutcome(status, error))
    usage = (await graph.ask(USAGE, staff))["providerUsage"]
    assert usage["totalCount"] == 2
    for node in usage["nodes"]:
        assert node["durationMilliseconds"] >= 0
        assert node["startedAt"].startswith("20")
    assert [(node["provider"]["code"], node["status"]) for node in usage["nodes"]] == [
        ("skinport", 429),
        ("steam", 200),
    ]
    of_one = (await graph.ask(USAGE, staff, provider="skinport"))["providerUsage"]["nodes"]
    assert [(node["endpoint"], node["error"]) for node in of_one] == [("prices", "refused, or answered by a redirect")]
    assert (await graph.refusal(USAGE, ada))["extensions"]["code"] == "FORBIDDEN"
    assert (await graph.refusal(USAGE))["extensions"]["code"] == "UNAUTHENTICATED"
