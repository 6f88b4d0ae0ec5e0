"""What it takes to ask for something: every lack is named, and every field that asks for something says so."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import strawberry
from graphql import parse

from app.core.errors import Forbidden, NotSignedIn
from app.graph.access import guard, is_public
from app.graph.fields import resolved
from app.graph.schema import core_schema
from app.identity.access import ANYBODY, OWN_CREDENTIALS, OWN_SESSIONS, RECENTLY, Access, needs
from app.identity.scopes import Scope
from app.identity.viewer import ANYONE, Viewer

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SESSION = Viewer(
    user_id=UUID(int=1),
    credential_id=UUID(int=2),
    scopes=frozenset({Scope.ACCOUNT_READ, Scope.ACCOUNT_WRITE}),
    is_session=True,
    authenticated_at=NOW,
)
PROGRAM = replace(SESSION, is_session=False, authenticated_at=None)


@pytest.mark.parametrize("viewer", [ANYONE, SESSION, PROGRAM])
def test_what_is_public_is_for_anybody(viewer: Viewer) -> None:
    ANYBODY.check(viewer, NOW)


@pytest.mark.parametrize("access", [needs(Scope.ACCOUNT_READ), Access(needs_session=True), OWN_CREDENTIALS])
def test_who_has_not_signed_in_is_told_to(access: Access) -> None:
    with pytest.raises(NotSignedIn, match="Sign in first"):
        access.check(ANYONE, NOW)


def test_one_scope_of_several_is_enough_and_none_of_them_is_named() -> None:
    access = needs(Scope.AUDIT_READ, Scope.ACCOUNT_READ)
    access.check(PROGRAM, NOW)
    with pytest.raises(Forbidden, match="`audit:read` or `account:read`"):
        access.check(replace(PROGRAM, scopes=frozenset({Scope.PRICES_WRITE})), NOW)


def test_an_api_token_does_not_do_what_needs_a_session() -> None:
    OWN_SESSIONS.check(SESSION, NOW)
    with pytest.raises(Forbidden, match="an API token may not do it"):
        OWN_SESSIONS.check(PROGRAM, NOW)


def test_a_session_needs_its_scopes_too() -> None:
    with pytest.raises(Forbidden, match="`account:write`"):
        OWN_SESSIONS.check(replace(SESSION, scopes=frozenset()), NOW)


def test_a_proof_is_recent_for_fifteen_minutes() -> None:
    OWN_CREDENTIALS.check(SESSION, NOW + RECENTLY)
    for late in (
        replace(SESSION, authenticated_at=NOW - RECENTLY - timedelta(seconds=1)),
        replace(SESSION, authenticated_at=None),
    ):
        with pytest.raises(Forbidden, match="last 15 minutes: sign in again"):
            OWN_CREDENTIALS.check(late, NOW)


@pytest.mark.parametrize(
    ("access", "sentence"),
    [
        (ANYBODY, ""),
        (needs(Scope.PRICES_WRITE), "Needs a session or an API token with `prices:write`."),
        (OWN_SESSIONS, "Needs a session with `account:write`."),
        (
            OWN_CREDENTIALS,
            "Needs a session with `account:write` and with a proof of who it is from the last 15 minutes.",
        ),
    ],
)
def test_the_description_says_what_is_needed(access: Access, sentence: str) -> None:
    assert access.sentence == sentence


def test_every_root_field_says_who_may_ask_for_it() -> None:
    fields = core_schema.mutation_type.fields if core_schema.mutation_type else {}
    for name in ("createApiToken", "grantRole", "updateProfile"):
        assert "Needs a session" in (fields[name].description or "")


def test_a_root_field_that_does_not_say_it_stops_the_start() -> None:
    @strawberry.type
    class Query:
        @resolved("Says nothing of who may ask.")
        @staticmethod
        def silent() -> int:
            return 1

    with pytest.raises(TypeError, match=r"Query\.silent does not say who may ask"):
        guard(strawberry.Schema(query=Query)._schema, {})


@pytest.mark.parametrize(
    ("document", "public"),
    [
        ('{ exchangeRate(from: "USD", to: "EUR") { rate } serverInfo { version } }', True),
        # Not everybody finds what is not safe for work.
        ('{ item(slug: "a") { name } serverInfo { version } }', False),
        ('{ user(username: "a") { id } }', True),
        ("{ __schema { types { name } } }", True),
        ("{ viewer { id } }", False),
        ("{ viewer { __typename } }", False),
        ('{ node(id: "a") { id } }', False),
        ('{ serverInfo { version } node(id: "a") { ... on Item { name } } }', False),
        ('{ ...more } fragment more on Query { ingestBatch(id: "a") { id } }', False),
        ("query one { serverInfo { version } } query two { viewer { id } }", False),
        ("mutation { updateProfile(input: {}) { userErrors { code } } }", False),
        ("{ serverInfo { version } auditLog { nodes { id } } }", False),
    ],
)
def test_only_what_is_the_same_for_everybody_is_public(document: str, public: bool) -> None:
    assert is_public(core_schema, parse(document)) == public
