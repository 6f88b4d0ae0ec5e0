"""Changing one's profile and preferences through the graph, as the viewer and nobody else."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from app.core.database import Database
from app.identity.actions import AuditAction
from app.identity.models import User
from app.identity.scopes import OWN, Scope
from app.identity.viewer import Viewer
from tests.graph.conftest import Graph
from tests.identity.builders import add_person, audit_of, session_of

PROFILE = """
mutation ($input: UpdateProfileInput!) {
    updateProfile(input: $input) {
        viewer { username displayName avatarUrl profile { username displayName } }
        userErrors { field code message }
    }
}
"""
PREFERENCES = """
mutation ($input: UpdatePreferencesInput!) {
    updatePreferences(input: $input) {
        viewer {
            preferences { currency timezone locale notifiesByEmail notifiesByPush nsfwVisibility }
            privacy { isInventoryPublic isMarketplaceEnabled sharesAnalytics }
        }
        userErrors { field code }
    }
}
"""


@pytest.fixture
async def ada(database: Database, api_database: Database) -> Viewer:
    """Somebody with a session."""
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection, username="Ada", display_name="Ada L.")
    return await session_of(api_database, user_id)


async def changed(graph: Graph, viewer: Viewer, **changes: Any) -> dict[str, Any]:
    """The payload of updateProfile."""
    data = await graph.ask(PROFILE, viewer, input=changes)
    payload: dict[str, Any] = data["updateProfile"]
    return payload


async def preferred(graph: Graph, viewer: Viewer, **changes: Any) -> dict[str, Any]:
    """The payload of updatePreferences."""
    data = await graph.ask(PREFERENCES, viewer, input=changes)
    payload: dict[str, Any] = data["updatePreferences"]
    return payload


def key_of(viewer: Viewer) -> UUID:
    """Whose viewer it is."""
    assert viewer.user_id is not None
    return viewer.user_id


async def test_a_profile_changes_in_what_is_sent_and_in_nothing_else(
    graph: Graph, ada: Viewer, database: Database
) -> None:
    payload = await changed(graph, ada, username="countess", avatarUrl="https://pictures.example/ada.png")
    assert payload == {
        "viewer": {
            "username": "countess",
            "displayName": "Ada L.",
            "avatarUrl": "https://pictures.example/ada.png",
            "profile": {"username": "countess", "displayName": "Ada L."},
        },
        "userErrors": [],
    }
    async with database.transaction() as transaction:
        (entry,) = await audit_of(transaction.connection, key_of(ada), AuditAction.PROFILE_CHANGED)
    assert entry.before == {"username": "Ada", "avatar_url": None}
    assert entry.after == {"username": "countess", "avatar_url": "https://pictures.example/ada.png"}
    assert (entry.actor_id, entry.credential_id) == (ada.user_id, ada.credential_id)


async def test_null_clears_what_may_be_empty(graph: Graph, ada: Viewer) -> None:
    payload = await changed(graph, ada, displayName=None, avatarUrl=None)
    assert payload["viewer"]["displayName"] is None
    assert payload["userErrors"] == []


async def test_what_changes_nothing_leaves_no_trace(graph: Graph, ada: Viewer, database: Database) -> None:
    assert (await changed(graph, ada, username="Ada"))["userErrors"] == []
    assert (await changed(graph, ada))["userErrors"] == []
    async with database.transaction() as transaction:
        assert await audit_of(transaction.connection, key_of(ada), AuditAction.PROFILE_CHANGED) == []


async def test_a_username_may_change_its_case(graph: Graph, ada: Viewer) -> None:
    assert (await changed(graph, ada, username="ADA"))["viewer"]["username"] == "ADA"


async def test_a_username_of_somebody_else_is_taken_in_any_case(graph: Graph, ada: Viewer) -> None:
    payload = await changed(graph, ada, username="PARTNER", displayName="Somebody else")
    assert payload["viewer"] is None
    (error,) = payload["userErrors"]
    assert (error["field"], error["code"]) == (["input", "username"], "USERNAME_TAKEN")
    assert (await changed(graph, ada))["viewer"]["displayName"] == "Ada L."


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("username", "admin"),
        ("username", "a"),
        ("username", None),
        ("displayName", "   "),
        ("displayName", "a" * 61),
        ("displayName", "two\nlines"),
        ("displayName", "\u202egnp.exe"),
        ("avatarUrl", "http://pictures.example/ada.png"),
        ("avatarUrl", "http://localhost/ada.png"),
        ("avatarUrl", "https://user:password@pictures.example/ada.png"),
        ("avatarUrl", "javascript:alert(1)"),
        ("avatarUrl", "https://"),
        ("avatarUrl", "https://pictures.example/" + "a" * 2_000),
    ],
)
async def test_what_cannot_be_shown_is_refused_by_name(graph: Graph, ada: Viewer, field: str, value: object) -> None:
    payload = await changed(graph, ada, **{field: value})
    assert payload["viewer"] is None
    assert [(error["field"], error["code"]) for error in payload["userErrors"]] == [(["input", field], "INVALID_INPUT")]


async def test_preferences_change_in_what_is_sent_and_in_nothing_else(
    graph: Graph, ada: Viewer, database: Database
) -> None:
    payload = await preferred(
        graph,
        ada,
        currency="EUR",
        timezone="Europe/Vienna",
        locale="zh-hant-tw",
        notifiesByPush=False,
        nsfwVisibility="BLURRED",
        isInventoryPublic=True,
    )
    assert payload == {
        "viewer": {
            "preferences": {
                "currency": "EUR",
                "timezone": "Europe/Vienna",
                "locale": "zh-Hant-TW",
                "notifiesByEmail": True,
                "notifiesByPush": False,
                "nsfwVisibility": "BLURRED",
            },
            "privacy": {"isInventoryPublic": True, "isMarketplaceEnabled": False, "sharesAnalytics": False},
        },
        "userErrors": [],
    }
    async with database.transaction() as transaction:
        (entry,) = await audit_of(transaction.connection, key_of(ada), AuditAction.PREFERENCES_CHANGED)
    assert entry.before is not None
    assert entry.before["currency"] == "USD"
    assert entry.after is not None
    assert entry.after["nsfw_visibility"] == "blurred"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timezone", "Vienna"),
        ("timezone", "../../etc/passwd"),
        ("timezone", None),
        ("locale", "e"),
        ("locale", "en_US"),
        ("locale", "de-AT-u-co-phonebk"),
        ("locale", "en-" + "-".join(["variant"] * 10)),
        ("locale", None),
        ("currency", None),
        ("notifiesByEmail", None),
        ("nsfwVisibility", None),
    ],
)
async def test_preferences_that_nobody_can_have_are_refused_by_name(
    graph: Graph, ada: Viewer, field: str, value: object
) -> None:
    payload = await preferred(graph, ada, **{field: value})
    assert payload == {"viewer": None, "userErrors": [{"field": ["input", field], "code": "INVALID_INPUT"}]}


async def test_a_currency_that_there_is_not_does_not_get_so_far(graph: Graph, ada: Viewer) -> None:
    refusal = await graph.refusal(PREFERENCES, ada, input={"currency": "XXX"})
    assert refusal["extensions"]["code"] == "BAD_USER_INPUT"


async def test_nobody_without_a_session_changes_a_profile(graph: Graph) -> None:
    refusal = await graph.refusal(PROFILE, input={"username": "countess"})
    assert refusal["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_token_that_may_only_read_changes_nothing(graph: Graph, ada: Viewer) -> None:
    reader = Viewer(user_id=ada.user_id, credential_id=ada.credential_id, scopes=frozenset({Scope.ACCOUNT_READ}))
    refusal = await graph.refusal(PROFILE, reader, input={"username": "countess"})
    assert refusal["extensions"]["code"] == "FORBIDDEN"


async def test_a_token_that_may_only_write_reads_nothing_in_the_answer(graph: Graph, ada: Viewer) -> None:
    writer = Viewer(user_id=ada.user_id, credential_id=ada.credential_id, scopes=frozenset(OWN - {Scope.ACCOUNT_READ}))
    response = await graph.respond(PROFILE, writer, input={"username": "countess"})
    assert response["data"]["updateProfile"] == {"viewer": None, "userErrors": []}
    assert [error["extensions"]["code"] for error in response["errors"]] == ["FORBIDDEN"]


async def test_an_erased_account_is_not_changed(graph: Graph, ada: Viewer, database: Database) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(User).where(User.id == key_of(ada)).values(deleted_at=ada.issued_at)
        )
    payload = await changed(graph, ada, displayName="Still here")
    assert [error["code"] for error in payload["userErrors"]] == ["NOT_FOUND"]
