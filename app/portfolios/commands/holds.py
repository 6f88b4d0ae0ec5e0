"""Locks, in the order in which every command takes them: the owner, the portfolio, then what is in it by id."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import Holding, Portfolio
from app.portfolios.texts import not_found


async def hold_owner(connection: AsyncConnection, owner_id: UUID) -> None:
    """Have others wait who add or remove portfolios or stores of the same person, until the transaction ends."""
    key = func.hashtextextended(f"portfolios.owner:{owner_id}", 0)
    await connection.execute(select(func.pg_advisory_xact_lock(key)))


async def hold_portfolio(
    connection: AsyncConnection, portfolio_id: UUID, *, owner_id: UUID, field: Sequence[str], is_shared: bool = False
) -> Row[Any]:
    """A portfolio of the owner's, locked until the transaction ends; `is_shared` lets others hold it so, too.

    Raises PortfolioRefused where there is none.
    """
    found = await connection.execute(
        select(*Portfolio.__table__.columns)
        .where(Portfolio.id == portfolio_id, Portfolio.owner_id == owner_id)
        .with_for_update(read=is_shared, key_share=not is_shared)
    )
    row = found.one_or_none()
    if row is None:
        raise no_such_portfolio(field)
    return row


async def hold_holding(
    connection: AsyncConnection, holding_id: UUID, *, owner_id: UUID, field: Sequence[str], is_shared: bool = True
) -> Row[Any]:
    """A holding of the owner's, locked after its portfolio; raises PortfolioRefused where there is none.

    Without `is_shared` the portfolio is held alone, as whoever changes the order of its holdings has to.
    """
    of_owner = (Holding.id == holding_id, Holding.owner_id == owner_id)
    portfolio_id = await connection.scalar(select(Holding.portfolio_id).where(*of_owner))
    if portfolio_id is None:
        raise no_such_holding(field)
    await hold_portfolio(connection, portfolio_id, owner_id=owner_id, field=field, is_shared=is_shared)
    found = await connection.execute(
        select(*Holding.__table__.columns).where(*of_owner).with_for_update(key_share=True)
    )
    row = found.one_or_none()
    if row is None:
        raise no_such_holding(field)
    return row


def refuse_another_version(version: int, expected: int | None) -> None:
    """Refuse a change of what somebody else has changed since."""
    if expected is not None and version != expected:
        raise PortfolioRefused(
            PortfolioErrorCode.CONFLICT,
            f"It was changed meanwhile: its version is {version}, not {expected}. Look at it and try again.",
            field=["expectedVersion"],
        )


def no_such_portfolio(field: Sequence[str]) -> PortfolioRefused:
    """The refusal of an id that is no portfolio of the caller's."""
    return not_found("You have no such portfolio.", *field)


def no_such_holding(field: Sequence[str]) -> PortfolioRefused:
    """The refusal of an id that is no holding of the caller's."""
    return not_found("You have no such holding.", *field)
