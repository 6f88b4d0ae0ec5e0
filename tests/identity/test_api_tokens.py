"""API tokens beside each other: never more than there may be, and none that outlives its revocation."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole
from app.identity.authentication import Authentication
from app.identity.commands.api_tokens import (
    MAXIMUM_TOKENS,
    IssuedApiToken,
    create_api_token,
    revoke_api_token,
    rotate_api_token,
    viewer_of_api_token,
)
from app.identity.commands.roles import grant_role
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import ApiToken, Role, User
from app.identity.scopes import Scope
from app.identity.viewer import Caller, ClientInfo
from tests.identity.builders import SECRETS, add_person

HERE = ClientInfo("192.0.2.7")


@pytest.fixture
async def ada(database: Database) -> UUID:
    """Somebody."""
    async with database.transaction() as transaction:
        return await add_person(transaction.connection, username="ada")


async def made(database: Database, user_id: UUID, **more: object) -> IssuedApiToken:
    """A new token that may read the account, unless more is said."""
    asked = {"name": "One of many", "scopes": [Scope.ACCOUNT_READ]} | more
    async with database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        return await create_api_token(transaction, caller=Caller(), user_id=user_id, **asked)  # type: ignore[arg-type]


async def test_of_many_made_at_once_no_more_are_made_than_there_may_be(api_database: Database, ada: UUID) -> None:
    for _ in range(MAXIMUM_TOKENS - 2):
        await made(api_database, ada)
    outcomes = await asyncio.gather(*(made(api_database, ada) for _ in range(5)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, IdentityRefused)]
    assert [refusal.reason for refusal in refused] == [IdentityErrorCode.TOO_MANY] * 3
    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        assert await transaction.connection.scalar(select(func.count()).select_from(ApiToken)) == MAXIMUM_TOKENS


async def test_replacing_with_an_overlap_is_no_way_to_more_tokens(api_database: Database, ada: UUID) -> None:
    token = await made(api_database, ada)
    for _ in range(MAXIMUM_TOKENS - 1):
        await made(api_database, ada)

    async def rotated(overlap: timedelta) -> IssuedApiToken:
        async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
            return await rotate_api_token(transaction, token.id, caller=Caller(), user_id=ada, overlap=overlap)

    with pytest.raises(IdentityRefused) as refused:
        await rotated(timedelta(days=1))
    assert refused.value.reason is IdentityErrorCode.TOO_MANY
    assert (await rotated(timedelta(0))).id != token.id


async def test_a_token_that_is_checked_while_it_is_revoked_is_void_afterwards(
    api_database: Database, ada: UUID
) -> None:
    token = await made(api_database, ada)
    process = Authentication(api_database, SECRETS, api_database._events, issuer="trove")
    checking = api_database.transaction(role=DatabaseRole.AUTHENTICATOR)
    transaction = await checking.__aenter__()
    held = await viewer_of_api_token(transaction, token.text, client=HERE)
    assert held is not None

    async def revoked() -> None:
        async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as other:
            await revoke_api_token(other, token.id, caller=Caller(), user_id=ada)

    revoking = asyncio.create_task(revoked())
    done, _ = await asyncio.wait({revoking}, timeout=0.3)
    assert not done
    await checking.__aexit__(None, None, None)
    await revoking
    await process.look()
    assert process.is_void(held[0])
    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as after:
        assert await viewer_of_api_token(after, token.text, client=HERE) is None


async def test_a_token_whose_revocation_is_under_way_waits_for_it(api_database: Database, ada: UUID) -> None:
    token = await made(api_database, ada)
    revoking = api_database.transaction(role=DatabaseRole.AUTHENTICATOR)
    transaction = await revoking.__aenter__()
    await revoke_api_token(transaction, token.id, caller=Caller(), user_id=ada)

    async def checked() -> object:
        async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as other:
            return await viewer_of_api_token(other, token.text, client=HERE)

    checking = asyncio.create_task(checked())
    done, _ = await asyncio.wait({checking}, timeout=0.3)
    assert not done
    await revoking.__aexit__(None, None, None)
    assert await checking is None


async def test_a_token_allows_no_more_than_its_owner_may_do_now(
    api_database: Database, database: Database, ada: UUID
) -> None:
    async with database.transaction() as transaction:
        await grant_role(
            transaction,
            caller=Caller(),
            user_id=ada,
            role=Role.USER,
            permissions=[Scope.PRICES_WRITE],
            reason="For a moment.",
            expires_at=utc_now() + timedelta(milliseconds=500),
        )
    token = await made(api_database, ada, scopes=[Scope.PRICES_WRITE, Scope.ACCOUNT_READ, Scope.ACCOUNT_READ])
    scopes = {Scope.PRICES_WRITE, Scope.ACCOUNT_READ}
    while Scope.PRICES_WRITE in scopes:
        async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
            held = await viewer_of_api_token(transaction, token.text, client=HERE)
        assert held is not None
        scopes = set(held[0].scopes)
    assert scopes == {Scope.ACCOUNT_READ}


async def test_a_token_of_an_erased_person_holds_no_longer(
    api_database: Database, database: Database, ada: UUID
) -> None:
    token = await made(api_database, ada)
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(User).where(User.id == ada).values(deleted_at=func.now()))
    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        assert await viewer_of_api_token(transaction, token.text, client=HERE) is None


async def test_nothing_of_a_token_stands_where_it_is_shown(api_database: Database, ada: UUID) -> None:
    token = await made(api_database, ada)
    assert token.text not in repr(token)
