"""Locks of a person are taken in one order: who signs in and who changes the account wait, and neither fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID, uuid4

import pytest
from argon2 import PasswordHasher
from sqlalchemy import insert, text, update

from app.core.attempts import Attempts
from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole
from app.core.ids import new_id
from app.identity.commands.api_tokens import create_api_token, viewer_of_api_token
from app.identity.commands.challenges import begin_challenge
from app.identity.commands.deletion import erase, hold_person_to_erase
from app.identity.commands.locks import lock_person_exclusive
from app.identity.commands.passkeys import begin_sign_in, remove_passkey
from app.identity.commands.people import MAGIC_LINK, PASSWORD, add_way_in, create_person, way_in_by
from app.identity.commands.sessions import SignInMethod, begin_session, refresh_session
from app.identity.magic_links import MagicLinks
from app.identity.models import ChallengeKind, Passkey, User
from app.identity.names import normalise_email
from app.identity.own_credentials import OwnCredentials
from app.identity.passkey_sign_in import PasskeySignIn
from app.identity.passkeys import RelyingParty
from app.identity.passwords import Passwords
from app.identity.scopes import Scope
from app.identity.sign_in import SignIn, SignInRefused, store_password_hash
from app.identity.viewer import Caller, ClientInfo, Viewer
from tests.identity.builders import SECRETS, session_of
from tests.identity.software_authenticator import EDDSA, SoftwarePasskey, get, new_private_key

ADDRESS = "ada@example.com"
EMAIL = normalise_email(ADDRESS)
OLD, NEW = "marzipan ladder violet", "quiet harbour umbrella"
URL = "https://trove.example"
PARTY = RelyingParty(id="trove.example", name="Trove", origins=(URL,))
SOMEWHERE = Caller(client=ClientInfo("192.0.2.7"))
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Ada:
    """Somebody with a password, and the services that she meets."""

    id: UUID
    caller: Caller
    sign_in: SignIn
    own_credentials: OwnCredentials
    magic_links: MagicLinks
    passkey_sign_in: PasskeySignIn

    async def sign_in_by_password(self) -> object:
        """What comes of her password."""
        return await self.sign_in.with_password(email=ADDRESS, password=OLD, caller=SOMEWHERE, device=None)


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    """Passwords that are hashed quickly."""
    passwords = Passwords(hasher=PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    yield passwords
    passwords.close()


@pytest.fixture
async def ada(database: Database, api_database: Database, redis_url: str, passwords: Passwords) -> AsyncIterator[Ada]:
    """Ada, of whom nobody has tried anything."""
    password_hash = await passwords.hash(OLD)
    async with database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        user_id = await create_person(
            transaction,
            caller=SOMEWHERE,
            username="ada",
            way_in=way_in_by(PASSWORD, EMAIL),
            email=ADDRESS,
            email_verified_at=utc_now(),
        )
        await add_way_in(transaction, user_id=user_id, way_in=way_in_by(MAGIC_LINK, EMAIL))
        await store_password_hash(transaction, SECRETS, user_id, password_hash)
    session: Viewer = await session_of(database, user_id)
    attempts = Attempts(redis_url, hash_key=uuid4().bytes)
    sign_in = SignIn(api_database, SECRETS, passwords, attempts)
    yield Ada(
        id=user_id,
        caller=Caller(session, SOMEWHERE.client),
        sign_in=sign_in,
        own_credentials=OwnCredentials(api_database, SECRETS, passwords, attempts, sign_in),
        magic_links=MagicLinks(api_database, SECRETS, attempts, sign_in),
        passkey_sign_in=PasskeySignIn(api_database, SECRETS, attempts),
    )
    await attempts.close()


async def begun(database: Database, call: Awaitable[Result]) -> "asyncio.Task[Result]":
    """The call, once it waits for a lock that somebody holds."""
    before = await waiting(database)
    task = asyncio.ensure_future(call)
    async with asyncio.timeout(10):
        while await waiting(database) == before:
            assert not task.done(), "it waits for nobody"
            await asyncio.sleep(0.01)
    return task


async def waiting(database: Database) -> int:
    """How many transactions of this database wait for the lock of a person."""
    async with database.transaction() as transaction:
        count = await transaction.connection.scalar(
            text(
                "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
                "WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()"
            )
        )
    return int(count or 0)


async def test_who_signs_in_while_the_password_changes_waits_and_is_answered(
    database: Database, api_database: Database, ada: Ada
) -> None:
    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        await lock_person_exclusive(transaction, ada.id)
        signing_in = await begun(database, ada.sign_in_by_password())
        changing = asyncio.ensure_future(
            ada.own_credentials.change_password(current=OLD, new=NEW, caller=ada.caller, public_url=URL)
        )
        # It is through by then, or waits for who signs in.
        await asyncio.wait({changing}, timeout=1.0)
    await changing
    assert await signing_in == SignInRefused()


async def test_who_signs_in_by_a_passkey_that_is_being_removed_waits_and_is_answered(
    database: Database, api_database: Database, ada: Ada
) -> None:
    passkey = SoftwarePasskey(new_private_key(EDDSA), PARTY.id, ada.id.bytes)
    passkey_id = await added(database, ada, passkey)
    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        asked = await begin_sign_in(transaction, SECRETS, PARTY, email=EMAIL, is_named=True)
    response = get(dict(asked.options), passkey, origin=URL)

    async def removed() -> None:
        async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
            await remove_passkey(transaction, passkey_id, caller=ada.caller, user_id=ada.id, providers=[MAGIC_LINK])

    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        await lock_person_exclusive(transaction, ada.id)
        signing_in = await begun(
            database,
            ada.passkey_sign_in.finish(
                PARTY, challenge=asked.challenge, response=response, caller=SOMEWHERE, device=None
            ),
        )
        removing = asyncio.ensure_future(removed())
        await asyncio.wait({removing}, timeout=1.0)
    await removing
    assert await signing_in == SignInRefused()


async def added(database: Database, ada: Ada, passkey: SoftwarePasskey) -> UUID:
    """The passkey in the table."""
    passkey_id = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Passkey).values(
                id=passkey_id,
                user_id=ada.id,
                credential_id=passkey.credential_id,
                public_key=passkey.public_key,
                sign_count=0,
                name="Key",
                is_backed_up=False,
            )
        )
    return passkey_id


@pytest.mark.parametrize("way", ["password", "magic link"])
async def test_who_signs_in_while_they_are_erased_waits_and_is_refused(
    database: Database, api_database: Database, ada: Ada, way: str
) -> None:
    async with database.transaction() as transaction:
        long_ago = utc_now()
        await transaction.connection.execute(update(User).values(deletion_requested_at=long_ago, erase_after=long_ago))
    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        link = await begin_challenge(
            transaction,
            SECRETS,
            ChallengeKind.MAGIC_LINK,
            content={"email": EMAIL.shown, "key": EMAIL.key, "return_to": None},
            user_id=ada.id,
        )

    async def signed_in() -> object:
        if way == "password":
            return await ada.sign_in_by_password()
        return (await ada.magic_links.open(link, browser=None, caller=SOMEWHERE)).outcome

    async with database.transaction() as transaction:
        assert await hold_person_to_erase(transaction, ada.id)
        signing_in = await begun(database, signed_in())
        await erase(transaction, ada.id)
    assert isinstance(await signing_in, SignInRefused)


async def test_a_token_that_is_shown_while_its_owner_is_erased_holds_no_longer(
    database: Database, api_database: Database, ada: Ada
) -> None:
    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        session = await begin_session(transaction, user_id=ada.id, method=SignInMethod.PASSWORD, caller=SOMEWHERE)
        token = await create_api_token(
            transaction, caller=ada.caller, user_id=ada.id, name="Script", scopes=[Scope.ACCOUNT_READ]
        )

    async def shown() -> object:
        async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
            return await viewer_of_api_token(transaction, token.text, client=SOMEWHERE.client)

    async def refreshed() -> object:
        async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
            return await refresh_session(transaction, session.refresh_token, caller=SOMEWHERE)

    async with database.transaction() as transaction:
        await erase(transaction, ada.id)
        waiting_for_it = [await begun(database, shown()), await begun(database, refreshed())]
    assert await asyncio.gather(*waiting_for_it) == [None, None]
