"""Whether what a portfolio is worth may have changed: looked at often, so it reads no prices."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class PortfolioState:
    """What the value of a portfolio hangs on: equal as long as nothing of it has changed.

    `position` is that of the newest change of a price of what is held, among those since the first look.
    `trades_version` grows with each change of its trades: of two at once the times do not tell which came last.
    """

    position: int
    valued_at: datetime | None
    held_count: int
    held_at: datetime | None
    version: int
    trades_version: int | None


async def portfolio_state(connection: AsyncConnection, *, portfolio_id: UUID, position: int) -> PortfolioState | None:
    """How it is, looking at changes of prices beyond a position; None where there is no such portfolio to see."""
    row = (await connection.execute(_STATE, {"portfolio_id": portfolio_id, "position": position})).one_or_none()
    return None if row is None else PortfolioState(*row)


_STATE = text("""
    SELECT coalesce((
            SELECT max(change.position)
            FROM prices.price_changes AS change
            JOIN prices.price_series AS series ON series.id = change.series_id
            WHERE change.position > :position AND EXISTS (
                SELECT FROM portfolios.holdings AS holding
                WHERE holding.variant_id = series.variant_id AND holding.portfolio_id = portfolio.id
            )
        ), :position),
        (
            SELECT max(valuation.computed_at)
            FROM portfolios.holdings AS holding
            JOIN prices.valuations AS valuation ON valuation.variant_id = holding.variant_id AND valuation.is_current
            WHERE holding.portfolio_id = portfolio.id
        ),
        held.count, held.changed_at, portfolio.version,
        (SELECT mark.version FROM portfolios.snapshot_marks AS mark WHERE mark.portfolio_id = portfolio.id)
    FROM portfolios.portfolios AS portfolio
    CROSS JOIN LATERAL (
        SELECT count(*) AS count, max(updated_at) AS changed_at
        FROM portfolios.holdings WHERE portfolio_id = portfolio.id
    ) AS held
    WHERE portfolio.id = :portfolio_id
""").bindparams(bindparam("portfolio_id", type_=Uuid()), bindparam("position", type_=BigInteger()))
