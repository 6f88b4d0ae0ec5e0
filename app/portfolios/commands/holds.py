"""Locks, in the order in which every command takes them: the owner, the portfolio, then what is in it by id.

What is held stays as it is until the transaction ends.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import among
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.ledger import Totals
from app.portfolios.models import CostBasisMethod, Holding, Portfolio
from app.portfolios.texts import no_such


@dataclass(frozen=True, slots=True)
class HeldPortfolio:
    """What commands need of a portfolio."""

    id: UUID
    owner_id: UUID
    name: str
    description: str | None
    base_currency: str
    method: CostBasisMethod
    visibility: str
    shared_parts: Sequence[str]
    is_default: bool
    version: int


@dataclass(frozen=True, slots=True)
class HeldHolding:
    """What the ledger needs of a holding."""

    id: UUID
    totals: Totals


async def hold_owner(connection: AsyncConnection, owner_id: UUID) -> None:
    """Have others wait who add or remove portfolios or stores of the same person, until the transaction ends."""
    key = func.hashtextextended(f"portfolios.owner:{owner_id}", 0)
    await connection.execute(select(func.pg_advisory_xact_lock(key)))


async def hold_portfolio(
    connection: AsyncConnection, portfolio_id: UUID, *, owner_id: UUID, field: Sequence[str], alone: bool = False
) -> HeldPortfolio:
    """Keep a portfolio of the owner's as it is; `alone` keeps away others who change what is in it, too.

    Raises `PortfolioRefused` where there is none.
    """
    found = await connection.execute(
        select(
            *(Portfolio.id, Portfolio.owner_id, Portfolio.name, Portfolio.description, Portfolio.base_currency),
            *(Portfolio.method, Portfolio.visibility, Portfolio.shared_parts, Portfolio.is_default, Portfolio.version),
        )
        .where(Portfolio.id == portfolio_id, Portfolio.owner_id == owner_id)
        .with_for_update(read=not alone, key_share=alone)
    )
    row = found.mappings().one_or_none()
    if row is None:
        raise no_such("portfolio", *field)
    return HeldPortfolio(**{**row, "method": CostBasisMethod(row["method"])})


async def hold_holdings(connection: AsyncConnection, holding_ids: Collection[UUID]) -> Sequence[HeldHolding]:
    """Hold what there is of these holdings, by id; their portfolios are held already."""
    rows = await connection.execute(
        select(Holding.id, Holding.quantity, Holding.cost, Holding.realized_gain, Holding.missing_quantity)
        .where(among(Holding.id, holding_ids))
        .order_by(Holding.id)
        .with_for_update(key_share=True)
    )
    return [HeldHolding(row[0], Totals(*row[1:])) for row in rows]


async def hold_holding(
    connection: AsyncConnection, holding_id: UUID, *, owner_id: UUID, field: Sequence[str], alone: bool = False
) -> Row[Any]:
    """A holding of the owner's with all its columns, held after its portfolio.

    Who changes the order of the holdings holds the portfolio `alone`. Raises `PortfolioRefused` where there is none.
    """
    of_owner = (Holding.id == holding_id, Holding.owner_id == owner_id)
    portfolio_id = await connection.scalar(select(Holding.portfolio_id).where(*of_owner))
    if portfolio_id is None:
        raise no_such("holding", *field)
    await hold_portfolio(connection, portfolio_id, owner_id=owner_id, field=field, alone=alone)
    found = await connection.execute(
        select(*Holding.__table__.columns).where(*of_owner).with_for_update(key_share=True)
    )
    row = found.one_or_none()
    if row is None:
        raise no_such("holding", *field)
    return row


def refuse_another_version(version: int, expected: int | None) -> None:
    """Refuse a change of what somebody else has changed since."""
    if expected is not None and version != expected:
        raise PortfolioRefused(
            PortfolioErrorCode.CONFLICT,
            f"It was changed meanwhile: its version is {version}, not {expected}. Look at it and try again.",
            field=["expectedVersion"],
        )
