"""Clients and what is theirs, held for a change by one of their members.

Whoever changes what a client has waits for others who do, so that counts, names and roles hold.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.trackers.errors import TrackerErrorCode, TrackerRefused
from app.trackers.given import not_found, refuse_another_version
from app.trackers.models import Client, Membership, MembershipRole

_RANKS = {MembershipRole.VIEWER: 0, MembershipRole.OPERATOR: 1, MembershipRole.OWNER: 2}


async def hold_client(
    connection: AsyncConnection,
    client_id: UUID,
    *,
    user_id: UUID,
    minimum: MembershipRole = MembershipRole.OPERATOR,
    field: Sequence[str] = ("clientId",),
) -> Row[Any]:
    """The client, which nobody else changes until the end of the transaction.

    Raises TrackerRefused: NOT_FOUND for who is no member of it, NOT_ALLOWED for who has a lower role than `minimum`.
    """
    await only_writer_of(connection, f"client {client_id}")
    columns: list[Any] = [*Client.__table__.columns, Membership.role]
    held = (
        await connection.execute(
            select(*columns)
            .join(Membership, Membership.client_id == Client.id)
            .where(Client.id == client_id, Membership.user_id == user_id)
        )
    ).one_or_none()
    if held is None:
        raise not_found("client", *field)
    if _RANKS[MembershipRole(held.role)] < _RANKS[minimum]:
        raise TrackerRefused(
            TrackerErrorCode.NOT_ALLOWED,
            f"It takes the role of {'an owner' if minimum is MembershipRole.OWNER else 'an operator'} in the client, "
            f"and yours is {held.role}; ask an owner of it.",
            field=field,
        )
    return held


async def hold_of_client(
    connection: AsyncConnection,
    table: Any,
    key: UUID,
    what: str,
    *,
    user_id: UUID,
    expected_version: int | None = None,
    field: Sequence[str] = ("id",),
) -> Row[Any]:
    """The row of a table of what clients have, which nobody else changes until the end of the transaction.

    Raises TrackerRefused where no client of the caller's has it, where they are no operator of that one, and for
    another version than expected.
    """
    client_id = await connection.scalar(
        select(table.client_id).where(
            table.id == key,
            exists().where(Membership.client_id == table.client_id, Membership.user_id == user_id),
        )
    )
    if client_id is None:
        raise not_found(what, *field)
    await hold_client(connection, client_id, user_id=user_id, field=field)
    columns = [column for column in table.__table__.columns if column.name != "private_key"]
    held = (await connection.execute(select(*columns).where(table.id == key))).one_or_none()
    if held is None:
        raise not_found(what, *field)
    if expected_version is not None:
        refuse_another_version(held.version, expected_version)
    return held


async def only_writer_of(connection: AsyncConnection, what: str) -> None:
    """Wait for who changes the same, and have others wait for the end of this transaction."""
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"trackers.{what}", 0))))


async def count_of(connection: AsyncConnection, table: Any, *conditions: Any) -> int:
    """How many rows of a table meet the conditions."""
    counted = select(func.count()).select_from(table).where(*conditions)
    return int((await connection.execute(counted)).scalar_one())


def changed(table: Any) -> dict[str, Any]:
    """What each change of a row sets, beside what is changed."""
    return {"version": table.version + 1, "updated_at": func.now()}
