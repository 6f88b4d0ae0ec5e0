"""Sessions: begun at a sign-in, kept alive by refresh tokens that are used once, ended by their owner or by misuse."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import insert, select, update
from ua_parser import parse as parse_user_agent

from app.core.database import Transaction, among, clock_of
from app.core.ids import new_id
from app.identity.actions import AuditAction
from app.identity.commands.audit import LONGEST_USER_AGENT, record
from app.identity.commands.locks import lock_person_shared
from app.identity.commands.revocations import revoke
from app.identity.commands.roles import earliest_end, ends_of_scopes
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import RefreshToken, Session, User
from app.identity.scopes import Scope
from app.identity.tokens import hash_of_token, is_token, new_token
from app.identity.viewer import Caller

REFRESHABLE_FOR = timedelta(days=7)
REFRESH_TOKEN = "trove_refresh"  # noqa: S105  # what such tokens begin with
LONGEST_DEVICE = 60


class SignInMethod(StrEnum):
    """How somebody proved who they are."""

    PASSWORD = "password"  # noqa: S105  # a word of the graph
    MAGIC_LINK = "magic_link"
    PROVIDER = "provider"
    PASSKEY = "passkey"


class EndReason(StrEnum):
    """Why a session ended."""

    SIGNED_OUT = "signed_out"
    ENDED_BY_OWNER = "ended_by_owner"
    REFRESH_TOKEN_REUSED = "refresh_token_reused"  # noqa: S105  # a word of the graph
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # a word of the graph


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session and the refresh token that keeps it alive, which only its holder ever has.

    `scopes_end_at` is when the first of its scopes ends by itself, where one does.
    """

    id: UUID
    user_id: UUID
    scopes: frozenset[Scope]
    scopes_end_at: datetime | None
    authenticated_at: datetime
    issued_at: datetime
    refresh_token: str = field(repr=False)
    refreshable_until: datetime


async def begin_session(
    transaction: Transaction, *, user_id: UUID, method: SignInMethod, caller: Caller, device: str | None = None
) -> OpenSession:
    """Sign a person in, and write it down. Who they are has been proved by whoever calls this.

    Raises IdentityRefused where the account was erased meanwhile.
    """
    now = await lock_person_shared(transaction, user_id)
    is_there = await transaction.connection.scalar(select(User.id).where(User.id == user_id, User.deleted_at.is_(None)))
    if is_there is None:
        raise IdentityRefused(IdentityErrorCode.INVALID_CREDENTIALS, "This account is gone.")
    session_id = new_id()
    refreshable_until = now + REFRESHABLE_FOR
    await transaction.connection.execute(
        insert(Session).values(
            id=session_id,
            user_id=user_id,
            method=method.value,
            device=(device or device_of(caller.client.user_agent))[:LONGEST_DEVICE],
            user_agent=caller.client.user_agent[:LONGEST_USER_AGENT],
            address=caller.client.address,
            created_at=now,
            authenticated_at=now,
            last_seen_at=now,
            expires_at=refreshable_until,
        )
    )
    await transaction.connection.execute(update(User).where(User.id == user_id).values(last_login_at=now))
    await record(
        transaction,
        AuditAction.SIGNED_IN,
        caller=caller,
        subject_id=user_id,
        after={"method": method.value, "session": str(session_id)},
    )
    return await _open(transaction, session_id, user_id, authenticated_at=now, now=now)


async def refresh_session(transaction: Transaction, refresh_token: str, *, caller: Caller) -> OpenSession | None:
    """The session with a fresh refresh token; None for a token that does not hold, whatever the reason.

    A token that was used before ends its session, since somebody else has a copy: this is to be committed.
    """
    if not is_token(refresh_token, REFRESH_TOKEN):
        return None
    token_hash = hash_of_token(refresh_token)
    found = (
        await transaction.connection.execute(
            select(RefreshToken.session_id, Session.user_id)
            .join(Session, Session.id == RefreshToken.session_id)
            .where(RefreshToken.token_hash == token_hash)
        )
    ).one_or_none()
    if found is None:
        return None
    await lock_person_shared(transaction, found.user_id)
    # Of two who come with the same token at once, the second one sees that it has been used.
    session = (
        await transaction.connection.execute(
            select(Session.authenticated_at, Session.ended_at).where(Session.id == found.session_id).with_for_update()
        )
    ).one_or_none()
    token = (
        await transaction.connection.execute(
            select(RefreshToken.used_at, RefreshToken.expires_at).where(RefreshToken.token_hash == token_hash)
        )
    ).one_or_none()
    # Either may be gone by then: erased with its owner, or deleted since it was over.
    if session is None or token is None or session.ended_at is not None:
        return None
    now = await clock_of(transaction)
    if token.used_at is not None:
        await _end(transaction, [found.session_id], EndReason.REFRESH_TOKEN_REUSED)
        await record(
            transaction,
            AuditAction.REFRESH_TOKEN_REUSED,
            caller=caller,
            subject_id=found.user_id,
            after={"session": str(found.session_id)},
        )
        return None
    if token.expires_at <= now:
        return None
    await transaction.connection.execute(
        update(RefreshToken).where(RefreshToken.token_hash == token_hash).values(used_at=now)
    )
    await transaction.connection.execute(
        update(Session)
        .where(Session.id == found.session_id)
        .values(
            last_seen_at=now,
            expires_at=now + REFRESHABLE_FOR,
            address=caller.client.address,
            user_agent=caller.client.user_agent[:LONGEST_USER_AGENT],
        )
    )
    return await _open(transaction, found.session_id, found.user_id, authenticated_at=session.authenticated_at, now=now)


async def sign_out(transaction: Transaction, *, caller: Caller) -> None:
    """End the session that asks."""
    viewer = caller.viewer
    if viewer.user_id is None or viewer.credential_id is None:
        raise ValueError("somebody who is not signed in cannot sign out")
    if await _end(transaction, [viewer.credential_id], EndReason.SIGNED_OUT, of=viewer.user_id):
        await record(transaction, AuditAction.SIGNED_OUT, caller=caller, subject_id=viewer.user_id)


async def end_session(transaction: Transaction, session_id: UUID, *, caller: Caller) -> None:
    """End one of the caller's own sessions; raises IdentityRefused for one that is not theirs, or ended already."""
    user_id = caller.viewer.user_id
    if user_id is None:
        raise ValueError("somebody who is not signed in has no sessions")
    if not await _end(transaction, [session_id], EndReason.ENDED_BY_OWNER, of=user_id):
        raise IdentityRefused(
            IdentityErrorCode.NOT_FOUND, "You have no such open session; `viewer` lists those that are.", field=["id"]
        )
    await record(
        transaction,
        AuditAction.SESSION_ENDED,
        caller=caller,
        subject_id=user_id,
        after={"sessions": [str(session_id)]},
    )


async def end_sessions_of(
    transaction: Transaction, user_id: UUID, reason: EndReason, *, caller: Caller, except_id: UUID | None = None
) -> int:
    """End every session of a person, but for one that may go on; gives how many there were."""
    open_sessions = await transaction.connection.scalars(
        select(Session.id).where(Session.user_id == user_id, Session.ended_at.is_(None))
    )
    ended = await _end(transaction, [one for one in open_sessions if one != except_id], reason)
    if ended:
        await record(
            transaction,
            AuditAction.SESSION_ENDED,
            caller=caller,
            subject_id=user_id,
            after={"sessions": [str(session_id) for session_id in ended], "reason": reason.value},
        )
    return len(ended)


async def _open(
    transaction: Transaction, session_id: UUID, user_id: UUID, *, authenticated_at: datetime, now: datetime
) -> OpenSession:
    token = new_token(REFRESH_TOKEN)
    expires_at = now + REFRESHABLE_FOR
    await transaction.connection.execute(
        insert(RefreshToken).values(token_hash=token.hash, session_id=session_id, created_at=now, expires_at=expires_at)
    )
    scopes = await ends_of_scopes(transaction, user_id)
    return OpenSession(
        id=session_id,
        user_id=user_id,
        scopes=frozenset(scopes),
        scopes_end_at=earliest_end(scopes.values()),
        authenticated_at=authenticated_at,
        issued_at=now,
        refresh_token=token.text,
        refreshable_until=expires_at,
    )


async def _end(
    transaction: Transaction, session_ids: Iterable[UUID], reason: EndReason, *, of: UUID | None = None
) -> list[UUID]:
    """End those of these sessions that are open; gives which they were."""
    statement = select(Session.id).where(among(Session.id, session_ids), Session.ended_at.is_(None))
    if of is not None:
        statement = statement.where(Session.user_id == of)
    # In one order, so that two who end the same ones wait for each other and not both.
    ended = list(await transaction.connection.scalars(statement.order_by(Session.id).with_for_update()))
    if not ended:
        return []
    # Not before they are held: what was issued while we waited for that has to end with them.
    now = await clock_of(transaction)
    await transaction.connection.execute(
        update(Session).where(among(Session.id, ended)).values(ended_at=now, end_reason=reason.value)
    )
    for session_id in ended:
        await revoke(transaction, session_id, now=now)
    return ended


def device_of(user_agent: str) -> str:
    """What a person calls the thing that sent this `User-Agent`: "Firefox on Windows"."""
    parsed = parse_user_agent(user_agent[:LONGEST_USER_AGENT])
    browser = parsed.user_agent.family if parsed.user_agent else None
    system = parsed.os.family if parsed.os else None
    known = " on ".join(part for part in (browser, system) if part)
    return known or user_agent.partition("/")[0][:LONGEST_DEVICE] or "unknown device"
