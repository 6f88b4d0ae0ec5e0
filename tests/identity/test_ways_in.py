"""Ways in: whatever somebody has, the last of it stays."""

import asyncio
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, insert

from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole, Transaction
from app.core.ids import new_id
from app.identity.commands.people import WayIn, add_way_in
from app.identity.commands.ways_in import require_another_way_in
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import Passkey
from app.identity.sign_in import store_password_hash
from tests.identity.builders import SECRETS, add_person

PROVIDERS = ("github", "magic_link", "steam")


async def add_passkey(transaction: Transaction, user_id: UUID, *, verifies_user: bool = True) -> UUID:
    """A passkey in the table."""
    passkey_id = new_id()
    await transaction.connection.execute(
        insert(Passkey).values(
            id=passkey_id,
            user_id=user_id,
            credential_id=passkey_id.bytes,
            public_key=b"",
            sign_count=0,
            name="Key",
            is_backed_up=False,
            verifies_user=verifies_user,
        )
    )
    return passkey_id


async def add_identity(transaction: Transaction, user_id: UUID, provider: str) -> UUID:
    """An identity in the table."""
    return await add_way_in(transaction, user_id=user_id, way_in=WayIn(provider, "", f"{user_id}@example.org"))


@pytest.mark.parametrize(
    ("besides", "remains"),
    [
        ({}, False),
        ({"provider": "magic_link"}, True),
        ({"provider": "github"}, True),
        # Configured once, and not any more.
        ({"provider": "example"}, False),
        ({"passkey": True}, True),
        ({"passkey": False}, False),
        ({"provider": "password", "has_password": True, "is_verified": True}, True),
        ({"provider": "password", "has_password": True, "is_verified": False}, False),
        ({"provider": "password", "has_password": False, "is_verified": True}, False),
        ({"provider": None, "has_password": True, "is_verified": True}, False),
    ],
)
async def test_a_way_in_may_go_where_another_one_remains(
    database: Database, api_database: Database, besides: Mapping[str, Any], remains: bool
) -> None:
    async with database.transaction() as transaction:
        verified_at = utc_now() if besides.get("is_verified") else None
        user_id = await add_person(transaction.connection, email="ada@example.org", email_verified_at=verified_at)
        going = await add_identity(transaction, user_id, "steam")
        # What somebody else has is no way in for this person.
        other = await add_person(transaction.connection)
        await add_identity(transaction, other, "steam")
        await add_passkey(transaction, other)
        if besides.get("provider"):
            await add_identity(transaction, user_id, besides["provider"])
        if besides.get("has_password"):
            await store_password_hash(transaction, SECRETS, user_id, "a hash")
        if "passkey" in besides:
            await add_passkey(transaction, user_id, verifies_user=besides["passkey"])
    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        if remains:
            await require_another_way_in(transaction, user_id, besides=going, providers=PROVIDERS)
            return
        with pytest.raises(IdentityRefused) as refused:
            await require_another_way_in(transaction, user_id, besides=going, providers=PROVIDERS)
    assert refused.value.reason is IdentityErrorCode.LAST_WAY_IN
    assert refused.value.field == ["id"]


async def test_of_two_ways_in_that_go_at_once_one_stays(database: Database, api_database: Database) -> None:
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection)
        passkeys = [await add_passkey(transaction, user_id) for _ in range(2)]

    async def remove(passkey_id: UUID) -> bool:
        try:
            async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
                await require_another_way_in(transaction, user_id, besides=passkey_id, providers=PROVIDERS)
                await transaction.connection.execute(delete(Passkey).where(Passkey.id == passkey_id))
        except IdentityRefused:
            return False
        return True

    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        await require_another_way_in(transaction, user_id, besides=passkeys[0], providers=PROVIDERS)
        meanwhile = asyncio.create_task(remove(passkeys[1]))
        # It waits for us; if it did not, it would be through by then.
        await asyncio.wait({meanwhile}, timeout=0.5)
        await transaction.connection.execute(delete(Passkey).where(Passkey.id == passkeys[0]))
    assert await meanwhile is False
