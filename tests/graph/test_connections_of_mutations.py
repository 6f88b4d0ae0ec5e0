"""A mutation holds one connection at a time: what its payloads read is given back before the next field begins."""

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole, create_engine
from app.core.events import EventBus
from app.core.jobs import JobQueue, connect_redis
from app.core.settings import Settings
from app.graph.context import Resources
from app.graph.execution import Engine
from app.graph.feeds import Feeds
from app.identity.services import identity_services
from app.identity.viewer import Viewer
from tests.graph.conftest import Graph
from tests.identity.builders import add_person, session_of

PASSWORD = "a lantern over zanzibar"
TWO_PROFILES = """
mutation {
    first: updateProfile(input: {displayName: "Ada"}) { viewer { displayName profile { username } } }
    second: updateProfile(input: {displayName: "Countess"}) { viewer { displayName profile { username } } }
}
"""
PROFILE_THEN_PASSWORD = """
mutation ($password: String!) {
    first: updateProfile(input: {displayName: "Ada"}) { viewer { displayName } }
    second: changePassword(input: {newPassword: $password}) { viewer { displayName } userErrors { code } }
    third: signOutEverywhere(input: {exceptThis: true}) { endedSessions }
}
"""


@pytest.fixture
async def narrow_graph(database: Database, trove_settings: Settings) -> AsyncIterator[Graph]:
    """The graph over a pool of one connection."""
    assert trove_settings.database_url is not None
    assert trove_settings.redis_url is not None
    settings = trove_settings.model_copy(
        update={
            "public_url": "http://127.0.0.1:8000",
            "smtp_url": SecretStr("smtp://127.0.0.1:1"),
            "mail_from": "Trove <no-reply@trove.example>",
        }
    )
    engine = create_engine(
        trove_settings.database_url, role=DatabaseRole.API, pool_size=1, application_name="tests-narrow"
    )
    redis = connect_redis(trove_settings.redis_url)
    events = EventBus(redis)
    narrow = Database(engine, jobs=JobQueue(redis), events=events)
    identity = identity_services(settings, narrow, events)
    yield Graph(Engine(Resources(narrow, settings, Feeds(narrow, events), identity)))
    await identity.stop()
    await narrow.close()
    await redis.aclose()


@pytest.fixture
async def ada(database: Database, api_database: Database) -> Viewer:
    """Somebody with an address and a session."""
    async with database.transaction() as transaction:
        user_id = await add_person(
            transaction.connection, username="ada", email="ada@example.com", email_verified_at=utc_now()
        )
    return await session_of(api_database, user_id)


async def test_two_fields_whose_payloads_read_need_one_connection(narrow_graph: Graph, ada: Viewer) -> None:
    data = await narrow_graph.ask(TWO_PROFILES, ada)
    shown = [data[name]["viewer"] for name in ("first", "second")]
    assert shown == [{"displayName": name, "profile": {"username": "ada"}} for name in ("Ada", "Countess")]


async def test_a_service_after_a_payload_that_was_read_needs_one_connection(narrow_graph: Graph, ada: Viewer) -> None:
    data = await narrow_graph.ask(PROFILE_THEN_PASSWORD, ada, password=PASSWORD)
    assert data == {
        "first": {"viewer": {"displayName": "Ada"}},
        "second": {"viewer": {"displayName": "Ada"}, "userErrors": []},
        "third": {"endedSessions": 0},
    }
