"""Portfolios are made, changed, shared and deleted. Of a person's portfolios one is the default one."""

import secrets
from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import Row, delete, exists, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.ids import new_id
from app.core.money import MINOR_UNITS
from app.identity.models import User
from app.portfolios.commands.creation_keys import claim_key
from app.portfolios.commands.frozen_rates import freeze_again
from app.portfolios.commands.holds import HeldPortfolio, hold_owner, hold_portfolio, refuse_another_version
from app.portfolios.commands.recompute import recompute_portfolio
from app.portfolios.commands.remove_trades import remove_trades
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import CostBasisMethod, Holding, Portfolio, SharedPart, Visibility
from app.portfolios.texts import Given, read_name, read_text, refused

MOST_PORTFOLIOS = 100
LONGEST_DESCRIPTION = 2_000
LINK_BYTES = 16
FALLBACK_CURRENCY = "EUR"


async def create_portfolio(
    transaction: Transaction, given: Given, *, owner_id: UUID, idempotency_key: str | None = None
) -> UUID:
    """Make a portfolio of what is given of it; gives its id. A person's first one is the default one in any case.

    Without a base currency it is the one that its owner wants to see. A repeat with the same key and input within a day
    gives the first one again. Raises PortfolioRefused for what it cannot have, and for the 101st portfolio.
    """
    connection = transaction.connection
    columns = _read(given)
    if "name" not in columns:
        raise refused("Give the portfolio a name.", "name")
    await hold_owner(connection, owner_id)
    portfolio_id = new_id()
    first = await claim_key(
        connection, idempotency_key, dict(given), owner_id=owner_id, made=Portfolio.id, new_id=portfolio_id
    )
    if first != portfolio_id:
        return first
    present = await _count(connection, owner_id)
    if present >= MOST_PORTFOLIOS:
        raise PortfolioRefused(
            PortfolioErrorCode.TOO_MANY, f"You have {MOST_PORTFOLIOS} portfolios, which is all one may have."
        )
    is_default = bool(columns.pop("is_default", False)) or not present
    if is_default:
        await _unset_default(connection, owner_id)
    columns.setdefault("base_currency", await _preferred_currency(connection, owner_id))
    if columns.get("visibility") == Visibility.LINK:
        columns["link_key"] = new_link_key()
    await connection.execute(
        insert(Portfolio).values(id=portfolio_id, owner_id=owner_id, is_default=is_default, **columns)
    )
    return portfolio_id


async def edit_portfolio(
    transaction: Transaction, portfolio_id: UUID, given: Given, *, owner_id: UUID, expected_version: int | None = None
) -> None:
    """Change what is given of a portfolio, and nothing else.

    Another base currency freezes the rate of every trade anew, for its day; that or another method computes all lots
    anew. Raises PortfolioRefused for what a portfolio cannot have, where another version was expected, for taking the
    default one's place away without giving it to another, and where a trade has no rate on its day.
    """
    connection = transaction.connection
    columns = _read(given)
    await hold_owner(connection, owner_id)
    portfolio = await hold_portfolio(connection, portfolio_id, owner_id=owner_id, field=["id"], alone=True)
    refuse_another_version(portfolio.version, expected_version)
    changed = {name: value for name, value in columns.items() if value != getattr(portfolio, name)}
    if not changed:
        return
    if "is_default" in changed:
        await _change_default(connection, owner_id, becomes_default=changed["is_default"])
    if "visibility" in changed:
        changed["link_key"] = new_link_key() if changed["visibility"] == Visibility.LINK else None
    await _update(connection, portfolio_id, changed)
    if "base_currency" in changed:
        await _freeze_again(connection, portfolio, changed["base_currency"])
    if changed.keys() & {"base_currency", "method"}:
        await recompute_portfolio(connection, portfolio_id)


async def renew_portfolio_link(
    transaction: Transaction, portfolio_id: UUID, *, owner_id: UUID, expected_version: int | None = None
) -> None:
    """Give a portfolio that is shared by link a new one; the link that it had leads nowhere from then on.

    Raises PortfolioRefused where it is not shared by link.
    """
    connection = transaction.connection
    portfolio = await hold_portfolio(connection, portfolio_id, owner_id=owner_id, field=["id"], alone=True)
    refuse_another_version(portfolio.version, expected_version)
    if portfolio.visibility != Visibility.LINK:
        raise refused("This portfolio is not shared by link; edit its visibility first.", "id")
    await _update(connection, portfolio_id, {"link_key": new_link_key()})


async def delete_portfolio(
    transaction: Transaction,
    portfolio_id: UUID,
    *,
    owner_id: UUID,
    deletes_trades: bool = False,
    expected_version: int | None = None,
) -> None:
    """Delete a portfolio; the oldest of the others becomes the default one if this was it.

    Raises PortfolioRefused where something is held in it, unless `deletes_trades` has all of that go, too.
    """
    connection = transaction.connection
    await hold_owner(connection, owner_id)
    portfolio = await hold_portfolio(connection, portfolio_id, owner_id=owner_id, field=["id"], alone=True)
    refuse_another_version(portfolio.version, expected_version)
    is_used = await connection.scalar(select(exists().where(Holding.portfolio_id == portfolio_id)))
    if is_used and not deletes_trades:
        raise PortfolioRefused(
            PortfolioErrorCode.NOT_EMPTY,
            "There are holdings in this portfolio. Send `deletesTrades: true` to delete them, too, with their trades.",
            field=["id"],
        )
    holdings = select(Holding.id).where(Holding.portfolio_id == portfolio_id)
    await remove_trades(connection, holdings)
    await connection.execute(delete(Portfolio).where(Portfolio.id == portfolio_id))
    if portfolio.is_default:
        await _promote_oldest(connection, owner_id)


def new_link_key() -> str:
    """128 random bits, as hexadecimal digits."""
    return secrets.token_hex(LINK_BYTES)


def shared_id_of_link(link: str) -> UUID | None:
    """The id under which the portfolio behind a link is shared; None of what is no link."""
    is_link = len(link) == 2 * LINK_BYTES and set(link) <= set("0123456789abcdef")
    return UUID(hex=link) if is_link else None


def _read(given: Given) -> dict[str, Any]:
    """The columns that are given, each as it is kept."""
    columns = dict(given)
    for name in columns.keys() - {"description"}:
        if columns[name] is None:
            raise refused("This cannot be null; leave it out, and it stays as it is.", _FIELDS[name])
    if "name" in columns:
        columns["name"] = read_name(columns["name"], "name")
    if "description" in columns:
        columns["description"] = read_text(columns["description"], "description", longest=LONGEST_DESCRIPTION)
    if "base_currency" in columns and columns["base_currency"] not in MINOR_UNITS:
        raise refused("Trove does not know this currency; use a code such as EUR.", "baseCurrency")
    if "method" in columns:
        columns["method"] = CostBasisMethod(columns["method"]).value
    if "visibility" in columns:
        columns["visibility"] = Visibility(columns["visibility"]).value
    if "shared_parts" in columns:
        columns["shared_parts"] = _in_order(columns["shared_parts"])
    return columns


_FIELDS = {
    "name": "name",
    "base_currency": "baseCurrency",
    "method": "method",
    "visibility": "visibility",
    "shared_parts": "sharedParts",
    "is_default": "isDefault",
}


def _in_order(parts: Collection[SharedPart]) -> list[str]:
    """Each part once, in the order in which they are declared."""
    chosen = set(parts)
    return [part.value for part in SharedPart if part in chosen]


async def _count(connection: AsyncConnection, owner_id: UUID) -> int:
    counted = select(func.count()).select_from(Portfolio).where(Portfolio.owner_id == owner_id)
    return int((await connection.execute(counted)).scalar_one())


async def _preferred_currency(connection: AsyncConnection, owner_id: UUID) -> str:
    wanted = await connection.scalar(select(User.currency).where(User.id == owner_id))
    return wanted or FALLBACK_CURRENCY


async def _change_default(connection: AsyncConnection, owner_id: UUID, *, becomes_default: bool) -> None:
    if not becomes_default:
        raise refused("Make another portfolio the default one instead.", "isDefault")
    await _unset_default(connection, owner_id)


async def _freeze_again(connection: AsyncConnection, portfolio: HeldPortfolio, base_currency: str) -> None:
    try:
        await freeze_again(
            connection,
            portfolio.id,
            old_base_currency=portfolio.base_currency,
            new_base_currency=base_currency,
        )
    except PortfolioRefused as refusal:
        raise PortfolioRefused(refusal.reason, refusal.message, field=["baseCurrency"]) from None


async def _unset_default(connection: AsyncConnection, owner_id: UUID) -> None:
    present = await connection.execute(select(Portfolio.id).where(Portfolio.owner_id == owner_id, Portfolio.is_default))
    for portfolio_id in present.scalars():
        await _update(connection, portfolio_id, {"is_default": False})


async def _promote_oldest(connection: AsyncConnection, owner_id: UUID) -> None:
    oldest: Row[Any] | None = (
        await connection.execute(
            select(Portfolio.id)
            .where(Portfolio.owner_id == owner_id)
            .order_by(Portfolio.created_at, Portfolio.id)
            .limit(1)
        )
    ).one_or_none()
    if oldest is not None:
        await _update(connection, oldest.id, {"is_default": True})


async def _update(connection: AsyncConnection, portfolio_id: UUID, columns: Given) -> None:
    await connection.execute(
        update(Portfolio)
        .where(Portfolio.id == portfolio_id)
        .values(**columns, version=Portfolio.version + 1, updated_at=func.now())
    )
