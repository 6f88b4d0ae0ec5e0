"""Inventories are imported in steps: somebody asks, a worker reads the inventory, and stores what has changed in it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.clock import utc_now
from app.core.database import Transaction, among
from app.core.ids import new_id
from app.core.jobs import Job
from app.portfolios.commands.creation_keys import claim_key
from app.portfolios.commands.holds import HeldPortfolio, hold_owner, hold_portfolio
from app.portfolios.commands.import_rows import COST_UNKNOWN, PlannedRow, counts_of, store_rows
from app.portfolios.commands.preview_import import PREVIEWS_KEPT_FOR, refuse_too_many
from app.portfolios.import_subjects import Unresolved, resolve_subjects
from app.portfolios.imports.rows import Subject, SubjectKind
from app.portfolios.imports.steam import Asset
from app.portfolios.models import (
    Holding,
    ImportChange,
    ImportRow,
    ImportSource,
    ImportStatus,
    PortfolioImport,
    TradeKind,
)
from app.portfolios.new_trades import refused

READ_INVENTORIES = Job("read_inventories")
# The numbers of people's accounts.
FIRST_STEAM_ID = 76561197960265729
LAST_STEAM_ID = 76561202255233023
_DIGITS = 17
MAXIMUM_ATTEMPTS = 5
# How long a worker may take before another one tries, and how long each waits after a failure that passes.
LEASE = timedelta(minutes=10)
PAUSE = timedelta(minutes=2)
READING_FAILED = "Reading it failed by a mistake of ours; try again later."
_LISTED = (ImportChange.ACQUIRED, ImportChange.MOVED, ImportChange.UNCHANGED)


@dataclass(frozen=True, slots=True)
class InventoryToRead:
    """An inventory that somebody waits for, for the so-manieth time."""

    import_id: UUID
    steam_id: str
    attempts: int


@dataclass(frozen=True, slots=True)
class _Held:
    """What is held of an asset."""

    holding_id: UUID
    portfolio_id: UUID
    variant_id: UUID
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class _Before:
    """What the inventory was when it was last applied: the context of each asset."""

    import_id: UUID | None
    contexts: Mapping[str, int]


async def request_inventory(
    transaction: Transaction, portfolio_id: UUID, steam_id: str, *, owner_id: UUID, idempotency_key: str | None = None
) -> UUID:
    """Ask for the inventory of a public Steam profile to be compared with a portfolio; gives the id of the import.

    A repeat with the same key and input within a day gives the first one again. Raises `PortfolioRefused` for what is
    no SteamID64 of a person.
    """
    connection = transaction.connection
    is_number = len(steam_id) == _DIGITS and steam_id.isascii() and steam_id.isdigit()
    if not is_number or not FIRST_STEAM_ID <= int(steam_id) <= LAST_STEAM_ID:
        raise refused(
            "Give the SteamID64 of a person: 17 digits that begin with 7656, as in the address of the profile.",
            "steamId",
        )
    await hold_owner(connection, owner_id)
    portfolio = await hold_portfolio(connection, portfolio_id, owner_id=owner_id, field=["portfolioId"])
    request = {"portfolio_id": portfolio_id, "steam_id": steam_id}
    import_id = new_id()
    first = await claim_key(
        connection, idempotency_key, request, owner_id=owner_id, made=PortfolioImport.id, new_id=import_id
    )
    if first != import_id:
        return first
    await refuse_too_many(connection, owner_id)
    await connection.execute(
        insert(PortfolioImport).values(
            id=import_id,
            owner_id=owner_id,
            portfolio_id=portfolio.id,
            source=ImportSource.STEAM.value,
            steam_id=steam_id,
            status=ImportStatus.WAITING.value,
            next_attempt_at=func.now(),
        )
    )
    transaction.enqueue(READ_INVENTORIES)
    return import_id


async def next_inventory(transaction: Transaction) -> InventoryToRead | None:
    """Take the inventory that waits longest and is due; the attempt counts from here on, and the fifth is the last."""
    connection = transaction.connection
    await connection.execute(
        # Whoever took these came to no end, not even to a bad one: they may be what ends workers.
        update(PortfolioImport)
        .where(
            PortfolioImport.status == ImportStatus.WAITING,
            PortfolioImport.next_attempt_at <= func.now(),
            PortfolioImport.attempts >= MAXIMUM_ATTEMPTS,
        )
        .values(status=ImportStatus.FAILED.value, failure=READING_FAILED, next_attempt_at=None)
    )
    due = (
        select(PortfolioImport.id, PortfolioImport.steam_id, PortfolioImport.attempts)
        .where(PortfolioImport.status == ImportStatus.WAITING, PortfolioImport.next_attempt_at <= func.now())
        .order_by(PortfolioImport.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await connection.execute(due)).one_or_none()
    if row is None or row.steam_id is None:
        return None
    await connection.execute(
        update(PortfolioImport)
        .where(PortfolioImport.id == row.id)
        .values(attempts=row.attempts + 1, next_attempt_at=func.now() + LEASE)
    )
    return InventoryToRead(row.id, row.steam_id, row.attempts + 1)


async def note_unreadable(
    transaction: Transaction, taken: InventoryToRead, reason: str, *, is_passing: bool
) -> ImportStatus:
    """Write down that an inventory could not be read, for now or for good; the fifth attempt is the last."""
    is_over = not is_passing or taken.attempts >= MAXIMUM_ATTEMPTS
    status = ImportStatus.FAILED if is_over else ImportStatus.WAITING
    await transaction.connection.execute(
        update(PortfolioImport)
        .where(PortfolioImport.id == taken.import_id, PortfolioImport.status == ImportStatus.WAITING)
        .values(
            status=status.value,
            failure=reason if is_over else None,
            next_attempt_at=None if is_over else func.now() + PAUSE * taken.attempts,
        )
    )
    return status


async def preview_inventory(transaction: Transaction, import_id: UUID, assets: Sequence[Asset]) -> bool:
    """Store how an inventory differs from what is held of it; False where nobody waits for it any more."""
    connection = transaction.connection
    waits = select(PortfolioImport.owner_id, PortfolioImport.portfolio_id, PortfolioImport.steam_id).where(
        PortfolioImport.id == import_id, PortfolioImport.status == ImportStatus.WAITING
    )
    found = (await connection.execute(waits)).one_or_none()
    if found is None or found.steam_id is None:
        return False
    portfolio = await hold_portfolio(
        connection, found.portfolio_id, owner_id=found.owner_id, field=["portfolioId"], alone=True
    )
    if (await connection.execute(waits.with_for_update(key_share=True))).one_or_none() is None:
        return False
    before = await _before(connection, portfolio, found.steam_id)
    held = await _held(connection, portfolio, {asset.id for asset in assets} | before.contexts.keys())
    variants = await resolve_subjects(connection, {_subject_of(asset) for asset in assets})
    now = utc_now()
    rows = [
        *(_row_of(asset, portfolio, variants[_subject_of(asset)], held.get(asset.id), before, now) for asset in assets),
        *_gone({asset.id for asset in assets}, portfolio, held, before, now),
    ]
    await store_rows(connection, import_id, rows, owner_id=found.owner_id)
    await connection.execute(
        update(PortfolioImport)
        .where(PortfolioImport.id == import_id)
        .values(
            status=ImportStatus.PREVIEWED.value,
            next_attempt_at=None,
            previewed_at=func.now(),
            expires_at=func.now() + PREVIEWS_KEPT_FOR,
            **counts_of(rows),
        )
    )
    return True


def _subject_of(asset: Asset) -> Subject:
    return Subject(SubjectKind.MARKET_HASH_NAME, asset.name)


async def _before(connection: AsyncConnection, portfolio: HeldPortfolio, steam_id: str) -> _Before:
    """What the last import of the same profile into the portfolio listed, of those that were applied and stand."""
    last: UUID | None = await connection.scalar(
        select(PortfolioImport.id)
        .where(
            PortfolioImport.portfolio_id == portfolio.id,
            PortfolioImport.steam_id == steam_id,
            PortfolioImport.status == ImportStatus.APPLIED,
        )
        .order_by(PortfolioImport.applied_at.desc(), PortfolioImport.id.desc())
        .limit(1)
    )
    if last is None:
        return _Before(None, {})
    rows = await connection.execute(
        select(ImportRow.asset_id, ImportRow.context).where(
            ImportRow.import_id == last, among(ImportRow.change, [change.value for change in _LISTED])
        )
    )
    return _Before(last, {row[0]: row[1] for row in rows if row[0] is not None and row[1] is not None})


async def _held(
    connection: AsyncConnection, portfolio: HeldPortfolio, asset_ids: Collection[str]
) -> Mapping[str, _Held]:
    rows = await connection.execute(
        select(Holding.external_id, Holding.id, Holding.portfolio_id, Holding.variant_id, Holding.quantity).where(
            Holding.owner_id == portfolio.owner_id,
            Holding.external_source == ImportSource.STEAM.value,
            among(Holding.external_id, asset_ids),
        )
    )
    return {row[0]: _Held(*row[1:]) for row in rows if row[0] is not None}


def _row_of(
    asset: Asset,
    portfolio: HeldPortfolio,
    variant: UUID | Unresolved,
    held: _Held | None,
    before: _Before,
    now: datetime,
) -> PlannedRow:
    def row(change: ImportChange, reason: str | None = None) -> PlannedRow:
        return PlannedRow(
            change=change,
            reason=reason,
            subject=asset.name,
            variant_id=variant if isinstance(variant, UUID) else None,
            holding_id=None if held is None else held.holding_id,
            asset_id=asset.id,
            context=asset.context,
        )

    if held is not None and held.portfolio_id != portfolio.id:
        return row(ImportChange.DUPLICATE, "Another portfolio of yours holds it.")
    if held is not None and (held.quantity or asset.id in before.contexts):
        has_moved = before.contexts.get(asset.id, asset.context) != asset.context
        sold = None if held.quantity else "It is in the inventory, and not held any more as the trades tell."
        return row(ImportChange.MOVED if has_moved else ImportChange.UNCHANGED, sold)
    if isinstance(variant, Unresolved):
        return row(ImportChange.SKIPPED, variant.reason)
    return PlannedRow(
        change=ImportChange.ACQUIRED,
        subject=asset.name,
        variant_id=variant if held is None else held.variant_id,
        holding_name=asset.id,
        holding_id=None if held is None else held.holding_id,
        asset_id=asset.id,
        context=asset.context,
        kind=TradeKind.TRANSFER_IN,
        occurred_at=now,
        quantity=asset.quantity,
        price=Decimal(0),
        fee=Decimal(0),
        currency=portfolio.base_currency,
        tags=(COST_UNKNOWN,),
        external_id=_trade_name(asset.id, "in", before),
    )


def _gone(
    there: Collection[str], portfolio: HeldPortfolio, held: Mapping[str, _Held], before: _Before, now: datetime
) -> list[PlannedRow]:
    """What was listed before, is not any more, and is held still."""
    rows = []
    for asset_id, context in before.contexts.items():
        holding = held.get(asset_id)
        if asset_id in there or holding is None or not holding.quantity or holding.portfolio_id != portfolio.id:
            continue
        rows.append(
            PlannedRow(
                change=ImportChange.GONE,
                subject=asset_id,
                variant_id=holding.variant_id,
                holding_id=holding.holding_id,
                asset_id=asset_id,
                context=context,
                kind=TradeKind.TRANSFER_OUT,
                occurred_at=now,
                quantity=holding.quantity,
                price=Decimal(0),
                fee=Decimal(0),
                currency=portfolio.base_currency,
                external_id=_trade_name(asset_id, "out", before),
            )
        )
    return rows


def _trade_name(asset_id: str, way: str, before: _Before) -> str:
    """The same for every preview of the same change, so that it is applied once."""
    return f"{asset_id}/{way}/{'' if before.import_id is None else before.import_id.hex}"
