"""Who shows a token: two processes that check it alike, and hear of what is revoked; none that knows too little."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, select, update

from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole, Transaction, create_engine
from app.core.errors import NotSignedIn, ServiceUnavailable
from app.core.events import EventBus
from app.core.jobs import JobQueue, connect_redis
from app.core.secrets import KeyRing, Secrets
from app.core.settings import Settings
from app.identity import authentication as module
from app.identity.access_tokens import LIFETIME, sign_access_token
from app.identity.authentication import Authentication
from app.identity.commands.revocations import revoke
from app.identity.commands.sessions import (
    EndReason,
    OpenSession,
    SignInMethod,
    begin_session,
    end_sessions_of,
    sign_out,
)
from app.identity.commands.signing_keys import SIGNS_FOR, ensure_signing_keys, signing_keys
from app.identity.models import RoleGrant, SigningKey
from app.identity.scopes import Scope
from app.identity.viewer import ANYONE, Caller, ClientInfo, Viewer
from tests.identity.builders import PARTNER_ID, PARTNER_TOKEN, PARTNER_TOKEN_ID, SECRETS, add_person

HERE = ClientInfo("192.0.2.7")


class Processes:
    """Authentication as several processes have it, each over the same database; they look when a test says so."""

    def __init__(self, database: Database, events: EventBus) -> None:
        self.database = database
        self.events = events

    async def one(self, issuer: str = "trove", secrets: Secrets = SECRETS) -> Authentication:
        """A process that has looked."""
        process = Authentication(self.database, secrets, self.events, issuer=issuer)
        await process.look()
        return process

    async def session_of(self, user_id: UUID) -> OpenSession:
        """A session that has just begun."""
        async with self.authentication() as transaction:
            return await begin_session(
                transaction, user_id=user_id, method=SignInMethod.PASSWORD, caller=Caller(ANYONE, HERE)
            )

    def authentication(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction as the authenticator."""
        return self.database.transaction(role=DatabaseRole.AUTHENTICATOR)


class Ended:
    """Counts how often something was ended."""

    def __init__(self) -> None:
        self.times = 0
        self._ended = asyncio.Event()

    def __call__(self) -> None:
        self.times += 1
        self._ended.set()

    async def within_seconds(self, seconds: float) -> None:
        """Wait for it."""
        async with asyncio.timeout(seconds):
            await self._ended.wait()


@pytest.fixture
async def processes(api_database: Database, trove_settings: Settings) -> AsyncIterator[Processes]:
    """Over the database as the API's role."""
    redis = connect_redis(trove_settings.redis_url or "")
    yield Processes(api_database, EventBus(redis))
    await redis.aclose()


@pytest.fixture
async def ada(database: Database) -> UUID:
    """Somebody."""
    async with database.transaction() as transaction:
        return await add_person(transaction.connection, username="ada")


async def test_what_one_process_signs_another_takes_until_the_session_ends(processes: Processes, ada: UUID) -> None:
    signer, reader = await processes.one(), await processes.one()
    session = await processes.session_of(ada)
    token = await signer.access_token(session)
    viewer = await reader.viewer_of(token.text, HERE)
    assert (viewer.user_id, viewer.credential_id, viewer.is_session) == (ada, session.id, True)
    async with processes.authentication() as transaction:
        await sign_out(transaction, caller=Caller(viewer, HERE))
    for process in (signer, reader):
        await process.look()
        with pytest.raises(NotSignedIn, match="it has ended"):
            await process.viewer_of(token.text, HERE)


async def test_a_process_that_starts_after_a_revocation_knows_of_it(processes: Processes, ada: UUID) -> None:
    signer = await processes.one()
    token = await signer.access_token(await processes.session_of(ada))
    async with processes.authentication() as transaction:
        await end_sessions_of(transaction, ada, EndReason.PASSWORD_CHANGED, caller=Caller())
    with pytest.raises(NotSignedIn):
        await (await processes.one()).viewer_of(token.text, HERE)


async def test_what_is_issued_after_a_revocation_of_the_person_holds(processes: Processes, ada: UUID) -> None:
    process = await processes.one()
    old = await process.access_token(await processes.session_of(ada))
    async with processes.authentication() as transaction:
        await revoke(transaction, ada, now=utc_now())
    new = await process.access_token(await processes.session_of(ada))
    await process.look()
    assert (await process.viewer_of(new.text, HERE)).user_id == ada
    with pytest.raises(NotSignedIn):
        await process.viewer_of(old.text, HERE)


async def test_nobody_is_let_in_by_a_process_that_has_never_looked(
    processes: Processes, ada: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await (await processes.one()).access_token(await processes.session_of(ada))
    monkeypatch.setattr(module, "LOOKED_WITHIN_SECONDS", 0.05)
    blind = Authentication(processes.database, SECRETS, processes.events, issuer="trove")
    with pytest.raises(ServiceUnavailable, match="cannot be checked right now"):
        await blind.viewer_of(token.text, HERE)
    assert (await blind.caller_of([], HERE)).viewer == ANYONE
    await blind.look()
    assert (await blind.viewer_of(token.text, HERE)).user_id == ada


async def test_nobody_is_let_in_by_a_process_that_could_not_look_for_long_until_it_has(
    processes: Processes, ada: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await processes.one()
    token = await process.access_token(await processes.session_of(ada))
    await process.viewer_of(token.text, HERE)
    monkeypatch.setattr(module, "LOOKED_WITHIN_SECONDS", 0.05)
    monkeypatch.setattr(module, "LOOK_IS_GOOD_FOR_SECONDS", -1.0)
    await process.look()
    with pytest.raises(ServiceUnavailable):
        await process.viewer_of(token.text, HERE)
    monkeypatch.undo()
    await process.look()
    assert (await process.viewer_of(token.text, HERE)).user_id == ada


async def test_a_started_process_looks_by_itself_and_ends_what_watches(processes: Processes, ada: UUID) -> None:
    process = Authentication(processes.database, SECRETS, processes.events, issuer="trove")
    await process.start()
    try:
        token = await process.access_token(await processes.session_of(ada))
        viewer = await process.viewer_of(token.text, HERE)
        ended = Ended()
        with process.watching(viewer, ended):
            async with processes.authentication() as transaction:
                await sign_out(transaction, caller=Caller(viewer, HERE))
            await ended.within_seconds(10)
        assert ended.times == 1
    finally:
        await process.stop()


async def test_a_process_whose_hints_break_goes_on_looking(
    processes: Processes, ada: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = 0

    class Breaking(EventBus):
        async def listen(self, *args: object, **kwargs: object) -> AsyncIterator[None]:
            nonlocal broken
            broken += 1
            yield
            raise RuntimeError("nobody expected this")

    monkeypatch.setattr(module, "FOLLOWED_AGAIN_AFTER_SECONDS", 0.01)
    redis = connect_redis("redis://127.0.0.1:1/0")
    process = Authentication(processes.database, SECRETS, Breaking(redis), issuer="trove")
    await process.start()
    try:
        token = await process.access_token(await processes.session_of(ada))
        viewer = await process.viewer_of(token.text, HERE)
        ended = Ended()
        with process.watching(viewer, ended):
            async with processes.authentication() as transaction:
                await sign_out(transaction, caller=Caller(viewer, HERE))
            await ended.within_seconds(10)
        assert broken > 1
    finally:
        await process.stop()
        await redis.aclose()


async def test_a_connection_that_cannot_be_ended_keeps_no_other_one_open(
    processes: Processes, ada: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    process = await processes.one()
    viewer = await process.viewer_of((await process.access_token(await processes.session_of(ada))).text, HERE)

    def fail() -> None:
        raise RuntimeError("already gone")

    first, last = Ended(), Ended()
    with process.watching(viewer, first), process.watching(viewer, fail), process.watching(viewer, last):
        async with processes.authentication() as transaction:
            await sign_out(transaction, caller=Caller(viewer, HERE))
        await process.look()
        await process.look()
    assert (first.times, last.times) == (1, 1)
    assert "connection_not_ended" in caplog.text


async def test_who_begins_to_watch_too_late_is_ended_at_once(processes: Processes, ada: UUID) -> None:
    process = await processes.one()
    viewer = await process.viewer_of((await process.access_token(await processes.session_of(ada))).text, HERE)
    async with processes.authentication() as transaction:
        await sign_out(transaction, caller=Caller(viewer, HERE))
    await process.look()
    ended = Ended()
    with process.watching(viewer, ended):
        assert ended.times == 1


async def test_what_has_been_left_is_not_ended_any_more(processes: Processes, ada: UUID) -> None:
    process = await processes.one()
    viewer = await process.viewer_of((await process.access_token(await processes.session_of(ada))).text, HERE)
    ended = Ended()
    with process.watching(viewer, ended):
        pass
    async with processes.authentication() as transaction:
        await sign_out(transaction, caller=Caller(viewer, HERE))
    await process.look()
    assert ended.times == 0


async def test_a_connection_ends_with_its_token(processes: Processes, ada: UUID) -> None:
    process = await processes.one()
    ending = Viewer(user_id=ada, issued_at=utc_now(), expires_at=utc_now() + timedelta(milliseconds=20))
    ended = Ended()
    with process.watching(ending, ended):
        await ended.within_seconds(10)
    assert ended.times == 1


async def test_an_api_token_counts_as_checked_until_it_is_revoked(processes: Processes, partner: None) -> None:
    process = await processes.one()
    first = await process.viewer_of(PARTNER_TOKEN.text, HERE)
    assert await process.viewer_of(PARTNER_TOKEN.text, HERE) is first
    async with processes.authentication() as transaction:
        await revoke(transaction, PARTNER_TOKEN_ID, now=utc_now())
    await process.look()
    assert await process.viewer_of(PARTNER_TOKEN.text, HERE) is not first


async def test_an_api_token_that_was_checked_loses_what_its_owner_loses(
    processes: Processes, partner: None, database: Database
) -> None:
    process = await processes.one()
    assert Scope.PRICES_WRITE in (await process.viewer_of(PARTNER_TOKEN.text, HERE)).scopes
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(RoleGrant).values(revoked_at=utc_now()))
        await revoke(transaction, PARTNER_ID, now=utc_now())
    await process.look()
    assert Scope.PRICES_WRITE not in (await process.viewer_of(PARTNER_TOKEN.text, HERE)).scopes


@pytest.mark.parametrize(
    "authorizations",
    [
        ["Bearer"],
        ["Bearer "],
        ["Basic eA=="],
        ["Bearer nothing"],
        ["Bearer a.b.c"],
        ["Bearer W10.W10."],
        ["Bearer " + "x" * 5_000],
        ["Bearer é.é.é"],
        ["Bearer trove_api_" + "0" * 49],
        [f"Bearer {PARTNER_TOKEN.text}x"],
        [f"Bearer {PARTNER_TOKEN.text}", f"Bearer {PARTNER_TOKEN.text}"],
    ],
)
async def test_what_is_no_token_is_refused_and_never_taken_for_none(
    processes: Processes, partner: None, authorizations: list[str]
) -> None:
    with pytest.raises(NotSignedIn):
        await (await processes.one()).caller_of(authorizations, HERE)


async def test_strangers_fill_no_cache(processes: Processes) -> None:
    process = await processes.one()
    for number in range(20):
        with pytest.raises(NotSignedIn):
            await process.viewer_of(f"a.b.{number}", HERE)
    assert len(process._checked) == 0


async def test_the_token_used_longest_ago_is_forgotten_first(
    processes: Processes, ada: UUID, partner: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECKED_TOKENS", 2)
    process = await processes.one()
    first = await process.viewer_of(PARTNER_TOKEN.text, HERE)
    for _ in range(3):
        await process.viewer_of((await process.access_token(await processes.session_of(ada))).text, HERE)
        assert await process.viewer_of(PARTNER_TOKEN.text, HERE) is first


async def test_a_token_of_another_issuer_or_of_yesterday_is_refused(processes: Processes, ada: UUID) -> None:
    process, elsewhere = await processes.one(), await processes.one("https://elsewhere.example")
    session = await processes.session_of(ada)
    foreign = await elsewhere.access_token(session)
    over = await process.access_token(replace(session, issued_at=session.issued_at - LIFETIME))
    for token in (foreign, over):
        with pytest.raises(NotSignedIn):
            await process.viewer_of(token.text, HERE)


async def test_a_process_whose_clock_is_late_takes_what_was_signed_just_now(processes: Processes, ada: UUID) -> None:
    process = await processes.one()
    session = await processes.session_of(ada)
    soon = await process.access_token(replace(session, issued_at=session.issued_at + timedelta(seconds=30)))
    later = await process.access_token(replace(session, issued_at=session.issued_at + timedelta(minutes=5)))
    assert (await process.viewer_of(soon.text, HERE)).user_id == ada
    with pytest.raises(NotSignedIn):
        await process.viewer_of(later.text, HERE)


async def test_the_next_key_is_published_before_it_signs_and_the_last_one_still_holds(
    processes: Processes, ada: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = await processes.one()
    token = await process.access_token(await processes.session_of(ada))
    (first,) = (await process.key_set())["keys"]
    monkeypatch.setattr(module, "KEYS_PUBLISHED_WITHIN_SECONDS", 0.0)
    monkeypatch.setattr(module, "KEYS_LOADED_AT_MOST_EVERY_SECONDS", 0.0)
    async with processes.authentication() as transaction:
        await ensure_signing_keys(transaction, SECRETS, now=utc_now() + SIGNS_FOR - timedelta(days=1))
    published = (await process.key_set())["keys"]
    assert [key["kid"] for key in published][:1] == [first["kid"]]
    assert len(published) == 2
    assert all("d" not in key for key in published)
    assert (await process.viewer_of(token.text, HERE)).user_id == ada


async def test_a_token_ends_with_the_first_of_its_scopes_that_ends(
    processes: Processes, ada: UUID, partner: None, database: Database
) -> None:
    now = utc_now().replace(microsecond=0)
    soon, later = now + timedelta(minutes=5), now + timedelta(minutes=9)
    process = await processes.one()
    assert (await process.viewer_of(PARTNER_TOKEN.text, HERE)).expires_at is None
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(RoleGrant).values(expires_at=soon))
        await grant_until(transaction, later, {ada: Scope.PRICES_WRITE, PARTNER_ID: Scope.PRICES_WRITE})
        # Of what the partner's token does not do.
        await grant_until(transaction, soon, {PARTNER_ID: Scope.AUDIT_READ})
    process = await processes.one()
    token = await process.access_token(await processes.session_of(ada))
    assert token.expires_at == later
    assert (await process.viewer_of(token.text, HERE)).expires_at == later
    # What was granted twice ends with the later grant.
    assert (await process.viewer_of(PARTNER_TOKEN.text, HERE)).expires_at == later


async def grant_until(transaction: Transaction, ends_at: datetime, granted: dict[UUID, Scope]) -> None:
    """A grant of one permission to each."""
    for user_id, scope in granted.items():
        await transaction.connection.execute(
            insert(RoleGrant).values(
                user_id=user_id, role="user", permissions=[scope.value], reason="For a while.", expires_at=ends_at
            )
        )


async def test_after_a_lost_ring_another_key_signs_and_people_sign_in_again(processes: Processes, ada: UUID) -> None:
    before = await (await processes.one()).access_token(await processes.session_of(ada))
    process = await processes.one(secrets=Secrets(KeyRing.fresh()))
    token = await process.access_token(await processes.session_of(ada))
    assert (await process.viewer_of(token.text, HERE)).user_id == ada
    assert len((await process.key_set())["keys"]) == 1
    with pytest.raises(NotSignedIn):
        await process.viewer_of(before.text, HERE)


async def test_keys_that_a_process_does_not_know_yet_are_loaded(processes: Processes, ada: UUID) -> None:
    reader = await processes.one()
    signer = await processes.one()
    token = await signer.access_token(await processes.session_of(ada))
    assert (await reader.viewer_of(token.text, HERE)).user_id == ada


async def test_a_token_of_a_key_that_was_never_ours_is_refused(processes: Processes, ada: UUID) -> None:
    process = await processes.one()
    session = await processes.session_of(ada)
    token = await process.access_token(session)
    async with processes.authentication() as transaction:
        (period, *_) = await signing_keys(transaction, SECRETS)
        await transaction.connection.execute(delete(SigningKey))
        assert (await transaction.connection.execute(select(SigningKey.id))).all() == []
    stranger = await processes.one()
    with pytest.raises(NotSignedIn):
        await stranger.viewer_of(token.text, HERE)
    viewer = await process.viewer_of(token.text, HERE)
    forged = sign_access_token(period.key, replace(viewer, user_id=UUID(int=1)), issuer="trove")
    with pytest.raises(NotSignedIn):
        await stranger.viewer_of(forged.text, HERE)


async def test_a_database_that_is_away_is_said_and_nobody_is_let_in(trove_settings: Settings) -> None:
    async with away(trove_settings) as process:
        await process.start()
        with pytest.raises(ServiceUnavailable, match="try again in a moment"):
            await process.viewer_of(PARTNER_TOKEN.text, HERE)
        assert (await process.caller_of([], HERE)).viewer == ANYONE
        await process.stop()


@asynccontextmanager
async def away(settings: Settings) -> AsyncIterator[Authentication]:
    """A process whose database does not answer."""
    async with AsyncExitStack() as stack:
        redis = connect_redis(settings.redis_url or "")
        stack.push_async_callback(redis.aclose)
        nowhere = "postgresql+asyncpg://nobody@127.0.0.1:1/trove"
        engine = create_engine(nowhere, role=DatabaseRole.API, pool_size=1, application_name="tests-away")
        database = Database(engine, jobs=JobQueue(redis), events=EventBus(redis))
        stack.push_async_callback(database.close)
        yield Authentication(database, SECRETS, EventBus(redis), issuer="trove")
