"""Holdings are added to portfolios, described, put in order, archived and deleted. How much is held, trades say."""

from typing import Any
from uuid import UUID

from sqlalchemy import Row, exists, func, insert, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.ids import new_id
from app.portfolios.commands.creation_keys import claim_key
from app.portfolios.commands.holds import hold_holding, hold_portfolio, refuse_another_version
from app.portfolios.commands.remove_trades import remove_trades
from app.portfolios.commands.wished_items import hold_wished_variant
from app.portfolios.details import read_details
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import Holding, HoldingDetails, Store, Trade
from app.portfolios.texts import Given, not_found, refused


async def add_holding(
    transaction: Transaction,
    *,
    owner_id: UUID,
    portfolio_id: UUID,
    variant_id: UUID,
    details: Given | None = None,
    idempotency_key: str | None = None,
) -> UUID:
    """Add a holding of a variant behind the others of its portfolio; gives its id. Nothing is held until it is traded.

    One variant may be held several times, as graded cards are. A repeat with the same key and input within a day gives
    the first one again. Raises PortfolioRefused for a portfolio, variant or store that is not there, and for details
    that cannot be.
    """
    connection = transaction.connection
    columns = read_details(details or {})
    holding_id = new_id()
    request = {"portfolio_id": portfolio_id, "variant_id": variant_id, "details": dict(details or {})}
    first = await claim_key(connection, idempotency_key, request, owner_id=owner_id, made=Holding.id, new_id=holding_id)
    if first != holding_id:
        return first
    await hold_portfolio(connection, portfolio_id, owner_id=owner_id, field=["portfolioId"], alone=True)
    await hold_wished_variant(connection, variant_id, field="variantId")
    await _require_store(connection, columns, owner_id)
    behind = select(func.coalesce(func.max(Holding.position), -1) + 1).where(Holding.portfolio_id == portfolio_id)
    await connection.execute(
        insert(Holding).values(
            id=holding_id,
            owner_id=owner_id,
            portfolio_id=portfolio_id,
            variant_id=variant_id,
            position=behind.scalar_subquery(),
        )
    )
    await _write_details(connection, holding_id, portfolio_id, owner_id, columns)
    return holding_id


async def edit_holding(
    transaction: Transaction,
    holding_id: UUID,
    *,
    owner_id: UUID,
    details: Given | None = None,
    is_archived: bool | None = None,
    before_id: UUID | None = None,
    after_id: UUID | None = None,
    expected_version: int | None = None,
) -> None:
    """Change what is given of a holding's details, archive it or take it back, and move it before or behind another.

    Raises PortfolioRefused for what they cannot be, where another version was expected, and for a neighbour that is not
    in the same portfolio.
    """
    connection = transaction.connection
    columns = read_details(details or {})
    if before_id is not None and after_id is not None:
        raise refused("Give one neighbour: either `beforeId` or `afterId`.", "afterId")
    neighbour_id = after_id if before_id is None else before_id
    holding = await hold_holding(
        connection, holding_id, owner_id=owner_id, field=["id"], alone=neighbour_id is not None
    )
    refuse_another_version(holding.version, expected_version)
    await _require_store(connection, columns, owner_id)
    if neighbour_id is not None:
        await _move(connection, holding, neighbour_id, is_before=before_id is not None)
    if columns:
        await _write_details(connection, holding_id, holding.portfolio_id, owner_id, columns)
    changed: dict[str, Any] = {}
    if is_archived is not None and is_archived != (holding.archived_at is not None):
        changed["archived_at"] = func.now() if is_archived else None
    if changed or columns or neighbour_id is not None:
        await connection.execute(
            update(Holding)
            .where(Holding.id == holding_id)
            .values(**changed, version=Holding.version + 1, updated_at=func.now())
        )


async def delete_holding(
    transaction: Transaction,
    holding_id: UUID,
    *,
    owner_id: UUID,
    deletes_trades: bool = False,
    expected_version: int | None = None,
) -> UUID:
    """Delete a holding; gives the id of its portfolio.

    Raises PortfolioRefused where it has trades, unless `deletes_trades` has these go, too.
    """
    connection = transaction.connection
    holding = await hold_holding(connection, holding_id, owner_id=owner_id, field=["id"])
    refuse_another_version(holding.version, expected_version)
    if not deletes_trades and await connection.scalar(select(exists().where(Trade.holding_id == holding_id))):
        raise PortfolioRefused(
            PortfolioErrorCode.NOT_EMPTY,
            "There are trades of this holding. Send `deletesTrades: true` to delete them, too; to keep them out of "
            "sight, archive it.",
            field=["id"],
        )
    await remove_trades(connection, select(Holding.id).where(Holding.id == holding_id))
    portfolio_id: UUID = holding.portfolio_id
    return portfolio_id


def no_such_variant() -> PortfolioRefused:
    """The refusal of an id that is no variant's."""
    return not_found("There is no such variant.", "variantId")


async def _require_store(connection: AsyncConnection, columns: Given, owner_id: UUID) -> None:
    """Hold the store that details name, so that it is not removed meanwhile."""
    store_id = columns.get("store_id")
    if store_id is None:
        return
    of_owner = select(Store.id).where(Store.id == store_id, Store.owner_id == owner_id)
    if await connection.scalar(of_owner.with_for_update(read=True, key_share=True)) is None:
        raise not_found("You have no such store; add it first.", "details", "storeId")


async def _write_details(
    connection: AsyncConnection, holding_id: UUID, portfolio_id: UUID, owner_id: UUID, columns: Given
) -> None:
    if not columns:
        return
    row = postgresql.insert(HoldingDetails).values(
        holding_id=holding_id, portfolio_id=portfolio_id, owner_id=owner_id, **columns
    )
    replaced = {name: row.excluded[name] for name in columns}
    await connection.execute(row.on_conflict_do_update(index_elements=["holding_id"], set_=replaced))


async def _move(connection: AsyncConnection, holding: Row[Any], neighbour_id: UUID, *, is_before: bool) -> None:
    field = "beforeId" if is_before else "afterId"
    if neighbour_id == holding.id:
        raise refused("A holding has no place beside itself; name another one.", field)
    is_there = select(exists().where(Holding.id == neighbour_id, Holding.portfolio_id == holding.portfolio_id))
    if not await connection.scalar(is_there):
        raise not_found("There is no such holding in the same portfolio.", field)
    await connection.execute(
        _MOVE,
        {
            "portfolio_id": holding.portfolio_id,
            "moved": holding.id,
            "neighbour": neighbour_id,
            "side": 0 if is_before else 2,
        },
    )


# All places are counted anew, and only the rows whose place is another are written.
_MOVE = text("""
    UPDATE portfolios.holdings AS holding SET position = placed.position
    FROM (
        SELECT own.id, row_number() OVER (
            ORDER BY place.position, place.id, CASE WHEN own.id = :moved THEN CAST(:side AS integer) ELSE 1 END
        ) - 1 AS position
        FROM portfolios.holdings AS own
        JOIN portfolios.holdings AS place
            ON place.id = CASE WHEN own.id = :moved THEN CAST(:neighbour AS uuid) ELSE own.id END
        WHERE own.portfolio_id = :portfolio_id
    ) AS placed
    WHERE holding.id = placed.id AND holding.position <> placed.position
""")
