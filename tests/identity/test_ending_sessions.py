"""Sessions that are ended while they are refreshed: what was issued meanwhile ends with them."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select

from app.core.database import Database, DatabaseRole
from app.core.events import EventBus
from app.core.jobs import connect_redis
from app.core.settings import Settings
from app.identity.authentication import Authentication
from app.identity.commands.sessions import (
    EndReason,
    OpenSession,
    SignInMethod,
    begin_session,
    end_sessions_of,
    refresh_session,
)
from app.identity.models import Session
from app.identity.viewer import Caller, ClientInfo, Viewer
from tests.identity.builders import SECRETS, add_person

HERE = ClientInfo("192.0.2.7")


@pytest.fixture
async def ada(database: Database) -> UUID:
    """Somebody."""
    async with database.transaction() as transaction:
        return await add_person(transaction.connection, username="ada")


async def begun(database: Database, user_id: UUID) -> OpenSession:
    """A new session."""
    async with database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        return await begin_session(transaction, user_id=user_id, method=SignInMethod.PASSWORD, caller=Caller())


async def refreshed(database: Database, session: OpenSession) -> OpenSession | None:
    """The session by its refresh token."""
    async with database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        return await refresh_session(transaction, session.refresh_token, caller=Caller(Viewer(), HERE))


async def is_void(database: Database, settings: Settings, session: OpenSession) -> bool:
    """Whether the access token of a session has been revoked."""
    redis = connect_redis(settings.redis_url or "")
    process = Authentication(database, SECRETS, EventBus(redis), issuer="trove")
    await process.look()
    await redis.aclose()
    return process.is_void(Viewer(session.user_id, session.id, is_session=True, issued_at=session.issued_at))


async def test_of_two_who_come_with_one_refresh_token_at_once_neither_stays_signed_in(
    api_database: Database, trove_settings: Settings, ada: UUID
) -> None:
    session = await begun(api_database, ada)
    outcomes = await asyncio.gather(*(refreshed(api_database, session) for _ in range(4)))
    (winner,) = [outcome for outcome in outcomes if outcome is not None]
    assert await is_void(api_database, trove_settings, winner)
    assert await refreshed(api_database, winner) is None


async def test_a_session_that_is_refreshed_while_it_is_being_ended_ends_with_what_it_was_given(
    api_database: Database, trove_settings: Settings, ada: UUID
) -> None:
    session = await begun(api_database, ada)
    refreshing = api_database.transaction(role=DatabaseRole.AUTHENTICATOR)
    transaction = await refreshing.__aenter__()
    fresh = await refresh_session(transaction, session.refresh_token, caller=Caller())
    assert fresh is not None

    async def ended() -> int:
        async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as other:
            return await end_sessions_of(other, ada, EndReason.PASSWORD_CHANGED, caller=Caller())

    ending = asyncio.create_task(ended())
    done, _ = await asyncio.wait({ending}, timeout=0.3)
    assert not done
    await refreshing.__aexit__(None, None, None)
    assert await ending == 1
    assert await is_void(api_database, trove_settings, fresh)
    assert await refreshed(api_database, fresh) is None


async def test_what_was_given_while_the_end_waited_its_turn_ends_too(
    api_database: Database, trove_settings: Settings, ada: UUID
) -> None:
    session = await begun(api_database, ada)

    async def ended() -> int:
        async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as other:
            return await end_sessions_of(other, ada, EndReason.PASSWORD_CHANGED, caller=Caller())

    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        await transaction.connection.execute(select(Session.id).where(Session.id == session.id).with_for_update())
        # PostgreSQL lets them go on in the order in which they came.
        refreshing = asyncio.create_task(refreshed(api_database, session))
        await asyncio.wait({refreshing}, timeout=0.3)
        ending = asyncio.create_task(ended())
        await asyncio.wait({ending}, timeout=0.3)
    fresh = await refreshing
    assert fresh is not None
    assert await ending == 1
    assert await is_void(api_database, trove_settings, fresh)


async def test_a_session_that_waits_for_its_end_gets_nothing(api_database: Database, ada: UUID) -> None:
    session = await begun(api_database, ada)
    ending = api_database.transaction(role=DatabaseRole.AUTHENTICATOR)
    transaction = await ending.__aenter__()
    await end_sessions_of(transaction, ada, EndReason.PASSWORD_CHANGED, caller=Caller())
    refreshing = asyncio.create_task(refreshed(api_database, session))
    done, _ = await asyncio.wait({refreshing}, timeout=0.3)
    assert not done
    await ending.__aexit__(None, None, None)
    assert await refreshing is None


async def test_those_who_end_the_same_sessions_at_once_end_each_of_them_once(api_database: Database, ada: UUID) -> None:
    for _ in range(6):
        await begun(api_database, ada)

    async def ended() -> int:
        async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
            return await end_sessions_of(transaction, ada, EndReason.PASSWORD_CHANGED, caller=Caller())

    assert sorted(await asyncio.gather(*(ended() for _ in range(4)))) == [0, 0, 0, 6]


async def test_the_session_that_asks_may_go_on(api_database: Database, ada: UUID) -> None:
    mine, other = await begun(api_database, ada), await begun(api_database, ada)
    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        count = await end_sessions_of(transaction, ada, EndReason.PASSWORD_CHANGED, caller=Caller(), except_id=mine.id)
    assert count == 1
    assert await refreshed(api_database, mine) is not None
    assert await refreshed(api_database, other) is None
