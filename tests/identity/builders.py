"""People for tests: a partner who may send prices, and others as a test wants them."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.ids import new_id
from app.core.secrets import KeyRing, Secrets
from app.identity.commands.api_tokens import API_TOKEN
from app.identity.models import ApiToken, RoleGrant, User
from app.identity.scopes import OWN, Scope
from app.identity.tokens import new_token
from app.identity.viewer import Viewer

# Of this run: what one process of it encrypted, the others read.
KEY_RING = KeyRing.fresh()
SECRETS = Secrets(KEY_RING)
PARTNER_ID = UUID("01a1fc00-0000-7000-8000-000000000001")
PARTNER_TOKEN_ID = UUID("01a1fc00-0000-7000-8000-000000000002")
# The one that everybody in this run knows.
PARTNER_TOKEN = new_token(API_TOKEN)
PARTNER_SCOPES = OWN | {Scope.PRICES_WRITE}
PARTNER = Viewer(
    user_id=PARTNER_ID,
    credential_id=PARTNER_TOKEN_ID,
    scopes=PARTNER_SCOPES,
    issued_at=datetime(2026, 1, 1, tzinfo=UTC),
)
PARTNER_ROW = {"id": PARTNER_ID, "username": "partner"}


async def add_person(
    connection: AsyncConnection, *, permissions: Collection[Scope] = (), user_id: UUID | None = None, **columns: Any
) -> UUID:
    """A person in the table, with a grant of these permissions."""
    user_id = user_id or new_id()
    columns = {"username": f"person-{user_id.hex[-12:]}"} | columns
    await connection.execute(insert(User).values(id=user_id, **columns))
    if permissions:
        await connection.execute(
            insert(RoleGrant).values(
                id=new_id(),
                user_id=user_id,
                role="user",
                permissions=[scope.value for scope in permissions],
                reason="A test needs it.",
            )
        )
    return user_id


async def add_partner(connection: AsyncConnection) -> None:
    """The partner, and the API token that the partner sends."""
    await add_person(connection, permissions=[Scope.PRICES_WRITE], user_id=PARTNER_ID, username="partner")
    await connection.execute(
        insert(ApiToken).values(
            id=PARTNER_TOKEN_ID,
            user_id=PARTNER_ID,
            name="Prices",
            prefix=PARTNER_TOKEN.shown_prefix,
            token_hash=PARTNER_TOKEN.hash,
            scopes=[scope.value for scope in PARTNER_SCOPES],
        )
    )
