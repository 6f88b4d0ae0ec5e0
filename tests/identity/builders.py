"""People for tests: a partner who may send prices, and others as a test wants them."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Database, DatabaseRole
from app.core.ids import new_id
from app.core.secrets import KeyRing, Secrets
from app.identity.access_tokens import LIFETIME
from app.identity.actions import AuditAction
from app.identity.commands.api_tokens import API_TOKEN
from app.identity.commands.sessions import SignInMethod, begin_session
from app.identity.models import ApiToken, AuditEntry, RoleGrant, User
from app.identity.scopes import OWN, Scope
from app.identity.tokens import new_token
from app.identity.viewer import Caller, Viewer

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


async def session_of(
    database: Database, user_id: UUID, *, scopes: Collection[Scope] | None = None, proved_ago: timedelta = timedelta(0)
) -> Viewer:
    """The viewer of a session that a person has just begun, with all that they may do unless others are named."""
    async with database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        session = await begin_session(transaction, user_id=user_id, method=SignInMethod.PASSWORD, caller=Caller())
    return Viewer(
        user_id=user_id,
        credential_id=session.id,
        scopes=session.scopes if scopes is None else frozenset(scopes),
        is_session=True,
        issued_at=session.issued_at,
        expires_at=session.issued_at + LIFETIME,
        authenticated_at=session.authenticated_at - proved_ago,
    )


async def audit_of(connection: AsyncConnection, subject_id: UUID, action: AuditAction) -> list[AuditEntry]:
    """What the log says was done so to somebody, the oldest first."""
    entries = await connection.execute(
        select(*AuditEntry.__table__.columns)
        .where(AuditEntry.subject_id == subject_id, AuditEntry.action == action.value)
        .order_by(AuditEntry.occurred_at, AuditEntry.id)
    )
    return [AuditEntry(**row._mapping) for row in entries]
