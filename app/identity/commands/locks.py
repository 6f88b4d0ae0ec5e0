"""Locks of a person, which everybody takes in one order, so that nobody waits for each other.

First `lock_person_shared` or `lock_person_exclusive`, then a challenge, then `lock_account`, and then the person's
passwords, passkeys and other ways in.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select

from app.core.database import Transaction, clock_of
from app.identity.models import User


async def lock_person_shared(transaction: Transaction, user_id: UUID) -> datetime:
    """Wait for who has a person exclusively and keep them away until the end of this transaction; gives the clock.

    Whatever is issued to a person takes this: beside other such things, and never while what they may do is changed.
    The clock is the database's, from when the lock is held.
    """
    await transaction.connection.execute(select(func.pg_advisory_xact_lock_shared(_lock_of(user_id))))
    return await clock_of(transaction)


async def lock_person_exclusive(transaction: Transaction, user_id: UUID) -> datetime:
    """Wait for what is being issued to a person, and have all others wait for the end of this transaction.

    Whatever takes something from a person takes this: a role, a token, the account. Gives the database's clock, from
    when the lock is held.
    """
    await transaction.connection.execute(select(func.pg_advisory_xact_lock(_lock_of(user_id))))
    return await clock_of(transaction)


async def lock_account(transaction: Transaction, user_id: UUID) -> None:
    """Lock a person, shared, and then the row of their account until the end of this transaction."""
    await lock_person_shared(transaction, user_id)
    await transaction.connection.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))


def _lock_of(user_id: UUID) -> ColumnElement[int]:
    return func.hashtextextended(f"identity.scopes:{user_id}", 0)
