"""API tokens through the graph: made, used, replaced and ended by their owner alone."""

from datetime import timedelta
from typing import Any

import pytest

from app.core.clock import utc_now
from app.core.database import Database
from app.core.errors import NotSignedIn
from app.graph.scalars import write_date_time
from app.identity.scopes import Scope
from app.identity.viewer import ClientInfo, Viewer
from tests.graph.conftest import Graph
from tests.identity.builders import add_person, session_of

CREATE = """
mutation ($input: CreateApiTokenInput!) {
    createApiToken(input: $input) {
        apiToken { id name prefix scopes allowedAddresses expiresAt revokedAt }
        text
        userErrors { field code message }
    }
}
"""
ROTATE = """
mutation ($input: RotateApiTokenInput!) {
    rotateApiToken(input: $input) {
        apiToken { id name scopes allowedAddresses expiresAt }
        text
        userErrors { field code }
    }
}
"""
REVOKE = """
mutation ($input: RevokeApiTokenInput!) {
    revokeApiToken(input: $input) { apiToken { id revokedAt } userErrors { field code } }
}
"""
HOME = ClientInfo("192.0.2.7")


@pytest.fixture
async def shop(database: Database, api_database: Database) -> Viewer:
    """Somebody with a session, who may send prices."""
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection, permissions=[Scope.PRICES_WRITE])
    return await session_of(api_database, user_id)


async def created(graph: Graph, viewer: Viewer, **input: Any) -> dict[str, Any]:
    """The payload of createApiToken; the token may send prices unless it is told otherwise."""
    data = await graph.ask(CREATE, viewer, input={"name": "Prices", "scopes": ["PRICES_WRITE"]} | input)
    payload: dict[str, Any] = data["createApiToken"]
    return payload


async def holder_of(graph: Graph, token: str, origin: ClientInfo = HOME) -> Viewer:
    """Who is let in by a token."""
    authentication = graph.engine.resources.identity.authentication
    await authentication.look()
    return await authentication.viewer_of(token, origin)


async def test_a_token_is_shown_once_and_lets_its_owner_in(graph: Graph, shop: Viewer) -> None:
    payload = await created(graph, shop, name="  Nightly  ", allowedAddresses=["192.0.2.0/24"])
    assert payload["userErrors"] == []
    assert payload["apiToken"] == {
        "id": payload["apiToken"]["id"],
        "name": "Nightly",
        "prefix": payload["text"][: len(payload["apiToken"]["prefix"])],
        "scopes": ["PRICES_WRITE"],
        "allowedAddresses": ["192.0.2.0/24"],
        "expiresAt": None,
        "revokedAt": None,
    }
    viewer = await holder_of(graph, payload["text"])
    assert (viewer.user_id, viewer.is_session) == (shop.user_id, False)
    assert viewer.scopes == {Scope.PRICES_WRITE}
    listed = await graph.respond("{ viewer { apiTokens { nodes { name prefix } } } }", shop)
    assert payload["text"] not in str(listed)


async def test_a_token_is_let_in_from_its_own_addresses_alone(graph: Graph, shop: Viewer) -> None:
    payload = await created(graph, shop, allowedAddresses=["192.0.2.0/24", "::ffff:198.51.100.7"])
    for address in ("192.0.2.9", "198.51.100.7"):
        assert (await holder_of(graph, payload["text"], ClientInfo(address))).user_id == shop.user_id
    for origin in (ClientInfo("203.0.113.1"), ClientInfo("2001:db8::1"), ClientInfo(None)):
        with pytest.raises(NotSignedIn):
            await holder_of(graph, payload["text"], origin)


async def test_a_token_gives_nothing_that_its_owner_may_not_do(graph: Graph, shop: Viewer) -> None:
    payload = await created(graph, shop, scopes=["PRICES_WRITE", "ROLES_WRITE"])
    assert (payload["apiToken"], payload["text"]) == (None, None)
    (error,) = payload["userErrors"]
    assert (error["field"], error["code"]) == (["input", "scopes"], "NOT_GRANTED")
    assert "roles:write" in error["message"]


@pytest.mark.parametrize(
    ("input", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "n" * 81}, "name"),
        ({"scopes": []}, "scopes"),
        ({"expiresAt": "2020-01-01T00:00:00Z"}, "expiresAt"),
        ({"expiresAt": "9999-12-31T00:00:00Z"}, "expiresAt"),
        ({"allowedAddresses": ["192.0.2.1/24"]}, "allowedAddresses"),
        ({"allowedAddresses": ["everywhere"]}, "allowedAddresses"),
        ({"allowedAddresses": ["fe80::1%eth0"]}, "allowedAddresses"),
        ({"allowedAddresses": ["192.0.2.1"] * 21}, "allowedAddresses"),
    ],
)
async def test_a_token_that_cannot_be_is_refused_by_field(
    graph: Graph, shop: Viewer, input: dict[str, Any], field: str
) -> None:
    payload = await created(graph, shop, **input)
    assert [(error["field"], error["code"]) for error in payload["userErrors"]] == [(["input", field], "INVALID_INPUT")]


async def test_a_replaced_token_holds_for_its_overlap_and_its_successor_as_long_as_it_did(
    graph: Graph, shop: Viewer
) -> None:
    ends = utc_now() + timedelta(days=90)
    old = await created(graph, shop, expiresAt=write_date_time(ends), allowedAddresses=["192.0.2.0/24"])
    assert (await holder_of(graph, old["text"])).user_id == shop.user_id
    data = await graph.ask(ROTATE, shop, input={"id": old["apiToken"]["id"], "overlap": "P1DT30M"})
    new = data["rotateApiToken"]
    assert new["userErrors"] == []
    assert new["text"] != old["text"]
    assert (new["apiToken"]["name"], new["apiToken"]["allowedAddresses"]) == ("Prices", ["192.0.2.0/24"])
    assert new["apiToken"]["expiresAt"] >= write_date_time(ends)
    assert (await holder_of(graph, new["text"])).user_id == shop.user_id
    still = await holder_of(graph, old["text"])
    assert still.expires_at is not None
    assert timedelta(days=1) < still.expires_at - utc_now() <= timedelta(days=1, minutes=30)


async def test_a_token_replaced_without_overlap_ends_at_once_though_it_was_checked_before(
    graph: Graph, shop: Viewer
) -> None:
    old = await created(graph, shop)
    await holder_of(graph, old["text"])
    data = await graph.ask(ROTATE, shop, input={"id": old["apiToken"]["id"]})
    assert (await holder_of(graph, data["rotateApiToken"]["text"])).user_id == shop.user_id
    with pytest.raises(NotSignedIn):
        await holder_of(graph, old["text"])


@pytest.mark.parametrize("overlap", ["P31D", "PT9999999S"])
async def test_an_overlap_of_more_than_thirty_days_is_refused(graph: Graph, shop: Viewer, overlap: str) -> None:
    old = await created(graph, shop)
    data = await graph.ask(ROTATE, shop, input={"id": old["apiToken"]["id"], "overlap": overlap})
    assert data["rotateApiToken"]["userErrors"] == [{"field": ["input", "overlap"], "code": "INVALID_INPUT"}]


@pytest.mark.parametrize("overlap", ["1 day", "-P1D", "P1M", "P", "PT", "P1DT", "PT0.5S", 3600, None])
async def test_what_is_no_duration_is_refused(graph: Graph, shop: Viewer, overlap: object) -> None:
    refusal = await graph.refusal(ROTATE, shop, input={"id": "QQ", "overlap": overlap})
    assert refusal["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_revoked_token_lets_nobody_in_though_it_was_checked_before(graph: Graph, shop: Viewer) -> None:
    token = await created(graph, shop)
    await holder_of(graph, token["text"])
    revoke = {"id": token["apiToken"]["id"]}
    data = await graph.ask(REVOKE, shop, input=revoke)
    assert data["revokeApiToken"]["apiToken"]["revokedAt"] is not None
    with pytest.raises(NotSignedIn):
        await holder_of(graph, token["text"])
    again = await graph.ask(REVOKE, shop, input=revoke)
    assert again["revokeApiToken"] == {
        "apiToken": None,
        "userErrors": [{"field": ["input", "id"], "code": "NOT_FOUND"}],
    }


async def test_a_token_of_somebody_else_is_as_unknown_as_any_other(
    graph: Graph, shop: Viewer, database: Database, api_database: Database
) -> None:
    token = await created(graph, shop)
    async with database.transaction() as transaction:
        stranger_id = await add_person(transaction.connection)
    stranger = await session_of(api_database, stranger_id)
    for mutation, field in ((REVOKE, "revokeApiToken"), (ROTATE, "rotateApiToken")):
        data = await graph.ask(mutation, stranger, input={"id": token["apiToken"]["id"]})
        assert [error["code"] for error in data[field]["userErrors"]] == ["NOT_FOUND"]
    assert (await holder_of(graph, token["text"])).user_id == shop.user_id


async def test_an_id_of_something_else_is_no_token(graph: Graph, shop: Viewer) -> None:
    viewer = await graph.ask("{ viewer { id } }", shop)
    data = await graph.ask(REVOKE, shop, input={"id": viewer["viewer"]["id"]})
    assert [error["code"] for error in data["revokeApiToken"]["userErrors"]] == ["NOT_FOUND"]


async def test_tokens_are_made_by_those_who_have_just_proved_who_they_are(
    graph: Graph, shop: Viewer, api_database: Database
) -> None:
    assert shop.user_id is not None
    late = await session_of(api_database, shop.user_id, proved_ago=timedelta(minutes=16))
    program = Viewer(user_id=shop.user_id, credential_id=shop.credential_id, scopes=shop.scopes)
    for viewer, words in ((late, "last 15 minutes"), (program, "needs a session")):
        refusal = await graph.refusal(CREATE, viewer, input={"name": "Prices", "scopes": ["PRICES_WRITE"]})
        assert refusal["extensions"]["code"] == "FORBIDDEN"
        assert words in refusal["message"]
    token = await created(graph, shop)
    data = await graph.ask(REVOKE, late, input={"id": token["apiToken"]["id"]})
    assert data["revokeApiToken"]["userErrors"] == []
