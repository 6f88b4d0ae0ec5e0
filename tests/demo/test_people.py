"""The demo's person: has a token and a password that hold, keeps both, and gets new ones where they are lost."""

import stat
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from app.core.database import Database
from app.core.secrets import KeyRing, Secrets
from app.core.settings import Settings
from app.demo.people import EMAIL, PASSWORD_FILE, TOKEN_FILE, USERNAME, demo_secrets_in, ensure_demo_person
from app.identity.models import ApiToken, Identity, User
from tests.conftest import Server
from tests.identity.builders import SECRETS

SIGN_IN = """
mutation SignIn($input: SignInInput!) {
  signIn(input: $input) { session { accessToken viewer { username isEmailVerified } } userErrors { code } }
}
"""


@pytest.fixture
async def client(live_server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """A program that asks the API."""
    async with httpx.AsyncClient(base_url=live_server.url) as client:
        yield client


async def signed_in(client: httpx.AsyncClient, password: str) -> dict[str, object]:
    """What `signIn` answers the demo person."""
    variables = {"input": {"email": EMAIL, "password": password, "deliver": "BODY"}}
    answer = (await client.post("/graphql", json={"query": SIGN_IN, "variables": variables})).json()
    payload: dict[str, object] = answer["data"]["signIn"]
    return payload


async def test_the_demo_person_signs_in_by_token_and_by_password(database: Database, client: httpx.AsyncClient) -> None:
    demo = await demo_secrets_in(database, SECRETS, kept_token="", kept_password="")

    answer = await client.post(
        "/graphql",
        json={"query": "{ viewer { username } }"},
        headers={"Authorization": f"Bearer {demo.token}"},
    )
    assert answer.json()["data"] == {"viewer": {"username": USERNAME}}
    session = (await signed_in(client, demo.password))["session"]
    assert isinstance(session, dict)
    assert session["viewer"] == {"username": USERNAME, "isEmailVerified": True}
    assert await signed_in(client, demo.password + "x") == {
        "session": None,
        "userErrors": [{"code": "INVALID_CREDENTIALS"}],
    }
    assert demo.password not in repr(demo)
    assert demo.token not in repr(demo)


async def test_what_was_kept_and_holds_stays_and_what_does_not_is_made_anew(
    database: Database, client: httpx.AsyncClient
) -> None:
    first = await demo_secrets_in(database, SECRETS, kept_token="", kept_password="")
    again = await demo_secrets_in(database, SECRETS, kept_token=first.token, kept_password=first.password)
    assert (again.token, again.password) == (first.token, first.password)
    async with database.transaction() as transaction:
        counted = [
            await transaction.connection.scalar(select(func.count()).select_from(table))
            for table in (User, ApiToken, Identity)
        ]
    assert counted == [2, 2, 1], "the demo person and the partner"

    lost = await demo_secrets_in(database, SECRETS, kept_token="", kept_password="")
    assert lost.token != first.token
    assert (await signed_in(client, first.password))["session"] is None
    assert (await signed_in(client, lost.password))["session"] is not None


async def test_a_password_that_was_sealed_by_keys_now_lost_is_made_anew(database: Database) -> None:
    first = await demo_secrets_in(database, Secrets(KeyRing.fresh()), kept_token="", kept_password="")
    anew = await demo_secrets_in(database, SECRETS, kept_token=first.token, kept_password=first.password)
    assert anew.token == first.token
    assert anew.password != first.password


def test_both_are_kept_in_files_of_their_owner_alone(
    database: Database, trove_settings: Settings, tmp_path: Path
) -> None:
    first = ensure_demo_person(trove_settings, tmp_path)
    for name, kept in ((TOKEN_FILE, first.token), (PASSWORD_FILE, first.password)):
        assert (tmp_path / name).read_text(encoding="ascii") == kept
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    again = ensure_demo_person(trove_settings, tmp_path)
    assert (again.token, again.password) == (first.token, first.password)
