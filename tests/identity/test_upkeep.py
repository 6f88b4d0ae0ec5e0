"""What is over is deleted by the worker's clock, and the next key that signs is there before it is needed."""

from datetime import timedelta
from typing import Any

from sqlalchemy import func, insert, select

from app.core.clock import utc_now
from app.core.database import Base, Database
from app.core.ids import new_id
from app.identity.commands.signing_keys import MADE_AHEAD, SIGNS_FOR, ensure_signing_keys
from app.identity.models import (
    Challenge,
    OutgoingMail,
    RefreshToken,
    Revocation,
    Session,
    SigningKey,
    UsedNonce,
)
from tests.identity.builders import SECRETS, add_person
from workers.identity import make_signing_keys_ahead, prune_what_is_over

NOW = utc_now()


def ago(**parts: float) -> Any:
    """So long before now."""
    return NOW - timedelta(**parts)


async def count(database: Database, table: type[Base]) -> int:
    """How many rows a table has."""
    async with database.transaction() as transaction:
        return int((await transaction.connection.execute(select(func.count()).select_from(table))).scalar_one())


async def add(database: Database, table: type[Base], *rows: dict[str, Any]) -> None:
    """Rows of a table."""
    async with database.transaction() as transaction:
        for row in rows:
            await transaction.connection.execute(insert(table).values(**row))


async def test_what_nobody_can_use_any_more_goes_and_the_rest_stays(database: Database) -> None:
    async with database.transaction() as transaction:
        user_id = await add_person(transaction.connection)
    hour, later = timedelta(hours=1), NOW + timedelta(hours=1)
    kinds = {"kind": "magic_link"}
    await add(
        database,
        Challenge,
        kinds | {"token_hash": b"over", "expires_at": NOW - hour},
        kinds | {"token_hash": b"open", "expires_at": later},
    )
    await add(
        database,
        UsedNonce,
        {"issuer": "steam", "nonce": "old", "used_at": ago(days=1, minutes=1)},
        {"issuer": "steam", "nonce": "new", "used_at": ago(hours=23)},
    )
    await add(
        database,
        Revocation,
        {"subject_id": new_id(), "revoked_at": ago(minutes=61)},
        {"subject_id": new_id(), "revoked_at": ago(minutes=15)},
    )
    of_user = {"user_id": user_id, "method": "password", "device": "d"}
    ended, expired, lately, open_ = (new_id() for _ in range(4))
    await add(
        database,
        Session,
        of_user | {"id": ended, "expires_at": later, "ended_at": ago(days=31), "end_reason": "signed_out"},
        of_user | {"id": expired, "expires_at": ago(days=31)},
        of_user | {"id": lately, "expires_at": later, "ended_at": ago(days=29), "end_reason": "signed_out"},
        of_user | {"id": open_, "expires_at": later},
    )
    await add(
        database,
        RefreshToken,
        {"token_hash": b"of ended", "session_id": ended, "expires_at": later},
        {"token_hash": b"old", "session_id": open_, "expires_at": ago(days=31)},
        {"token_hash": b"new", "session_id": open_, "expires_at": later},
    )
    await add(
        database,
        OutgoingMail,
        {"status": "sent", "created_at": ago(days=31), "sent_at": ago(days=31)},
        {"status": "failed", "created_at": ago(days=31)},
        {"status": "sent", "created_at": ago(days=29), "sent_at": ago(days=29)},
        {"status": "waiting", "created_at": ago(days=31)},
    )
    await prune_what_is_over(database)
    left = {table.__tablename__: await count(database, table) for table in (Challenge, UsedNonce, Revocation)}
    assert left == {"challenges": 1, "used_nonces": 1, "revocations": 1}
    async with database.transaction() as transaction:
        sessions = set((await transaction.connection.execute(select(Session.id))).scalars())
        tokens = set((await transaction.connection.execute(select(RefreshToken.token_hash))).scalars())
        statuses = sorted((await transaction.connection.execute(select(OutgoingMail.status))).scalars())
    assert sessions == {lately, open_}
    assert tokens == {b"new"}
    assert statuses == ["sent", "waiting"]


async def test_a_key_signs_at_every_moment_and_the_next_is_there_days_before(database: Database) -> None:
    await make_signing_keys_ahead(database, SECRETS)
    await make_signing_keys_ahead(database, SECRETS)
    assert await count(database, SigningKey) == 1
    for days in range(1, 70):
        now = NOW + timedelta(days=days)
        async with database.transaction() as transaction:
            await ensure_signing_keys(transaction, SECRETS, now=now)
            periods = (
                await transaction.connection.execute(select(SigningKey.signs_from, SigningKey.signs_until))
            ).all()
        # One signs now, and one does until the next look, with time for verifiers to learn of it.
        for moment in (now, now + MADE_AHEAD - timedelta(seconds=1)):
            assert sum(begin <= moment < end for begin, end in periods) == 1
        assert all(end - begin == SIGNS_FOR for begin, end in periods)
        assert len(periods) <= 3
