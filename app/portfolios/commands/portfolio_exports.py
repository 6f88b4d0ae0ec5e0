"""Exports of what is in a portfolio: asked for, written by a worker, and fetched by a link that holds for minutes."""

import asyncio
import base64
import hmac
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction, among
from app.core.errors import NotFound
from app.core.ids import new_id
from app.core.jobs import Job
from app.core.secrets import Secrets, place_of
from app.portfolios.commands.creation_keys import claim_key
from app.portfolios.commands.holds import hold_owner, hold_portfolio
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import ExportedRows, ExportFormat, PortfolioExport, PortfolioExportStatus

WRITE_EXPORTS = Job("write_portfolio_exports")
KEPT_FOR = timedelta(days=1)
MOST_AT_ONCE = 5
# Of one person, with those that are being written: each may have hundreds of megabytes.
MOST_KEPT = 20
MAXIMUM_ATTEMPTS = 3
LEASE = timedelta(minutes=10)
LINK_STAYS = timedelta(minutes=15)
_PURPOSE = b"links to portfolio exports"


@dataclass(frozen=True, slots=True)
class ExportToWrite:
    """An export that somebody waits for, for the so-manieth time."""

    id: UUID
    portfolio_id: UUID
    format: ExportFormat
    what: ExportedRows
    attempts: int


@dataclass(frozen=True, slots=True)
class FetchedPortfolioExport:
    """A file, and what it is."""

    content: bytes = field(repr=False)
    format: ExportFormat
    what: ExportedRows
    created_at: datetime


async def start_export(
    transaction: Transaction,
    portfolio_id: UUID,
    *,
    owner_id: UUID,
    format_: ExportFormat,
    what: ExportedRows,
    idempotency_key: str | None = None,
) -> UUID:
    """Ask for a file of what is in a portfolio; gives its id.

    A repeat with the same key and input within a day gives the first one again. Raises `PortfolioRefused` while several
    are written, and while many are kept.
    """
    connection = transaction.connection
    await hold_owner(connection, owner_id)
    await hold_portfolio(connection, portfolio_id, owner_id=owner_id, field=["portfolioId"])
    request = {"portfolio_id": portfolio_id, "format": format_.value, "what": what.value}
    export_id = new_id()
    first = await claim_key(
        connection, idempotency_key, request, owner_id=owner_id, made=PortfolioExport.id, new_id=export_id
    )
    if first != export_id:
        return first
    await _refuse_too_many(connection, owner_id)
    await connection.execute(
        insert(PortfolioExport).values(
            id=export_id, owner_id=owner_id, portfolio_id=portfolio_id, format=format_.value, what=what.value
        )
    )
    transaction.enqueue(WRITE_EXPORTS)
    return export_id


async def _refuse_too_many(connection: AsyncConnection, owner_id: UUID) -> None:
    statuses = [PortfolioExportStatus.WAITING.value, PortfolioExportStatus.READY.value]
    found = await connection.scalars(
        select(PortfolioExport.status).where(
            PortfolioExport.owner_id == owner_id, among(PortfolioExport.status, statuses)
        )
    )
    count = Counter(found)
    if count[PortfolioExportStatus.WAITING] >= MOST_AT_ONCE:
        raise PortfolioRefused(
            PortfolioErrorCode.TOO_MANY, f"{MOST_AT_ONCE} exports of yours are being written; wait for one of them."
        )
    if count.total() >= MOST_KEPT:
        raise PortfolioRefused(
            PortfolioErrorCode.TOO_MANY,
            f"{MOST_KEPT} exports of yours are kept, and no more may; each goes after a day.",
        )


async def next_export(transaction: Transaction) -> ExportToWrite | None:
    """Take the export that waits longest and is due; the attempt counts from here on, and the third is the last."""
    await transaction.connection.execute(
        # Whoever took these came to no end, not even to a bad one: they may be what ends workers.
        update(PortfolioExport)
        .where(
            PortfolioExport.status == PortfolioExportStatus.WAITING,
            PortfolioExport.next_attempt_at <= func.now(),
            PortfolioExport.attempts >= MAXIMUM_ATTEMPTS,
        )
        .values(status=PortfolioExportStatus.FAILED.value, last_error="WorkerLost")
    )
    due = (
        select(*PortfolioExport.__table__.columns)
        .where(PortfolioExport.status == PortfolioExportStatus.WAITING, PortfolioExport.next_attempt_at <= func.now())
        .order_by(PortfolioExport.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await transaction.connection.execute(due)).one_or_none()
    if row is None:
        return None
    await transaction.connection.execute(
        update(PortfolioExport)
        .where(PortfolioExport.id == row.id)
        .values(attempts=row.attempts + 1, next_attempt_at=func.now() + LEASE, rows_done=0)
    )
    return ExportToWrite(row.id, row.portfolio_id, ExportFormat(row.format), ExportedRows(row.what), row.attempts + 1)


async def note_rows(transaction: Transaction, export_id: UUID, *, done: int, total: int) -> None:
    """Write down how far an export has come."""
    await transaction.connection.execute(
        update(PortfolioExport).where(PortfolioExport.id == export_id).values(rows_done=done, rows_total=total)
    )


async def finish_portfolio_export(
    transaction: Transaction, secrets: Secrets, export_id: UUID, content: bytes, *, rows: int
) -> None:
    """Keep the file, encrypted, for a day."""
    sealed = await asyncio.to_thread(secrets.encrypt, content, place_of(PortfolioExport.content, export_id))
    await transaction.connection.execute(
        update(PortfolioExport)
        .where(PortfolioExport.id == export_id, PortfolioExport.status == PortfolioExportStatus.WAITING)
        .values(
            status=PortfolioExportStatus.READY.value,
            content=sealed,
            content_bytes=len(content),
            rows_done=rows,
            rows_total=rows,
            finished_at=func.now(),
            expires_at=func.now() + KEPT_FOR,
        )
    )


async def note_export_failure(
    transaction: Transaction, taken: ExportToWrite, reason: str, *, is_passing: bool = True
) -> PortfolioExportStatus:
    """Write down that an export could not be written, for now or for good. `reason` holds nothing of a person."""
    is_over = not is_passing or taken.attempts >= MAXIMUM_ATTEMPTS
    status = PortfolioExportStatus.FAILED if is_over else PortfolioExportStatus.WAITING
    await transaction.connection.execute(
        update(PortfolioExport)
        .where(PortfolioExport.id == taken.id, PortfolioExport.status == PortfolioExportStatus.WAITING)
        .values(status=status.value, last_error=reason, next_attempt_at=func.now())
    )
    return status


async def expire_portfolio_exports(transaction: Transaction) -> int:
    """Let go of the files whose day is over; gives how many there were."""
    expired = await transaction.connection.execute(
        update(PortfolioExport)
        .where(PortfolioExport.status == PortfolioExportStatus.READY, PortfolioExport.expires_at <= func.now())
        .values(status=PortfolioExportStatus.EXPIRED.value, content=None)
        .returning(PortfolioExport.id)
    )
    return len(expired.all())


def link_query(secrets: Secrets, export_id: UUID, *, now: datetime) -> dict[str, str]:
    """The parameters of a link that fetches a file for 15 minutes at least; the same for up to 15 minutes."""
    seconds = LINK_STAYS.total_seconds()
    expires = int(now.timestamp() // seconds * seconds + 2 * seconds)
    return {"expires": str(expires), "signature": _signatures(secrets, export_id, expires)[0]}


async def fetch_portfolio_export(
    transaction: Transaction, secrets: Secrets, export_id: UUID, *, expires: str, signature: str, now: datetime
) -> FetchedPortfolioExport:
    """The file that a link is for. Raises NotFound for whatever is wrong with it."""
    if not (expires.isascii() and expires.isdecimal() and len(expires) <= len(str(10**12))):
        raise _no_such_link()
    given = signature.encode("utf-8", "surrogatepass")
    fits = [hmac.compare_digest(one.encode(), given) for one in _signatures(secrets, export_id, int(expires))]
    if not any(fits) or int(expires) <= now.timestamp():
        raise _no_such_link()
    found = await transaction.connection.execute(
        select(*PortfolioExport.__table__.columns).where(
            PortfolioExport.id == export_id,
            PortfolioExport.status == PortfolioExportStatus.READY,
            PortfolioExport.expires_at > func.now(),
        )
    )
    row = found.one_or_none()
    if row is None or row.content is None:
        raise _no_such_link()
    content = await asyncio.to_thread(secrets.decrypt, row.content, place_of(PortfolioExport.content, export_id))
    return FetchedPortfolioExport(content, ExportFormat(row.format), ExportedRows(row.what), row.created_at)


def _signatures(secrets: Secrets, export_id: UUID, expires: int) -> Sequence[str]:
    """By the current key first: a link outlasts a change of it."""
    signed = f"GET\0{export_id}\0{expires}".encode()
    return [
        base64.urlsafe_b64encode(hmac.digest(key, signed, "sha256")).rstrip(b"=").decode()
        for key in secrets.derived_keys(_PURPOSE)
    ]


def _no_such_link() -> NotFound:
    return NotFound("This link does not hold, or no longer; ask for the `url` of the export again.")
