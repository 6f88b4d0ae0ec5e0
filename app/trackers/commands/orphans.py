"""Reports of hashed keys that no tracker of the sender's has: kept until one has it, and taken in then."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, LargeBinary, Text, exists, func, literal, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.clock import utc_now
from app.core.database import Transaction, among
from app.core.jobs import Job
from app.core.secrets import Secrets
from app.ingestion.commands import RejectedRow, rejected_row
from app.ingestion.errors import BadRow
from app.trackers.commands.read_rows import ReadRow, RowReader
from app.trackers.commands.recompute_histories import recompute_histories
from app.trackers.commands.reported_trackers import MAY_REPORT, lock_reported_trackers
from app.trackers.commands.sort_out import sort_out
from app.trackers.commands.store_reports import store_reports
from app.trackers.commands.tracker_events import WatchEvents, record_events
from app.trackers.history_models import OrphanReport
from app.trackers.models import Membership, TrackerKey

MOST_ORPHANS_OF_A_SENDER = 100_000
# Who makes a key or an operator asks for this: what was reported of it, or by them, may wait already.
ATTACH_ORPHANS = Job("attach_orphan_reports")
_TOO_MANY = (
    f"The report is of a key that no tracker of yours has, and {MOST_ORPHANS_OF_A_SENDER:,} such reports of yours wait "
    "already; give their keys to trackers first."
)


@dataclass(frozen=True, slots=True)
class RefusedOrphan:
    """A row that is no report after all: the key that it names, when its batch came in, and why."""

    hashed_key: bytes
    received_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class AttachedOrphans:
    """What became of orphans: how many were taken, were new, and which others are no reports after all."""

    taken: int = 0
    accepted: int = 0
    refused: Sequence[RefusedOrphan] = field(default=())


async def keep_orphans(
    connection: AsyncConnection, rows: Sequence[ReadRow], *, sender_id: UUID | None
) -> tuple[int, Sequence[RejectedRow]]:
    """Keep the rows of unknown keys, each once: how many are new, and those for which there is no room."""
    if not rows:
        return 0, ()
    # One at a time of each sender, so that the count holds.
    await connection.execute(_ONE_AT_A_TIME, {"sender": str(sender_id)})
    by_key = {(row.subject, _content_hash(row, sender_id)): row for row in reversed(rows)}
    known = await _known(connection, list(by_key))
    fresh = sorted((key for key in by_key if key not in known), key=lambda key: by_key[key].line_number)
    room = MOST_ORPHANS_OF_A_SENDER - await _count(connection, sender_id)
    kept, left_out = fresh[: max(room, 0)], fresh[max(room, 0) :]
    await _insert(connection, [(*key, by_key[key]) for key in kept], sender_id)
    return len(kept), [by_key[key].rejected(_TOO_MANY) for key in left_out]


async def attach_orphans(
    transaction: Transaction, secrets: Secrets, *, limit: int, watch: WatchEvents | None = None
) -> AttachedOrphans:
    """Take in the oldest orphans, of one sender, whose keys have trackers by now that the sender may report.

    Whoever calls goes on until none is taken. Nothing may follow in the transaction.
    """
    connection = transaction.connection
    found = await _attachable(connection, limit)
    if not found:
        return AttachedOrphans()
    sender_id = found[0].sender_id
    keys = [(row.hashed_key, row.content_hash) for row in found if row.sender_id == sender_id]
    trackers = await lock_reported_trackers(
        connection, sender_id=sender_id, tracker_ids=(), hashed_keys={hashed for hashed, _ in keys}
    )
    taken = await _take(connection, [key for key in keys if key[0] in trackers.keys])
    rows, unread = await asyncio.to_thread(_read, taken)
    sorted_rows = await asyncio.to_thread(sort_out, rows, trackers, secrets)
    stored = await store_reports(connection, sorted_rows.reports)
    now = utc_now()
    events = await recompute_histories(transaction, stored.touched, now=now, received_at=now, fixes=stored.fixes)
    await record_events(transaction, events, known_at=now, watch=watch)
    return AttachedOrphans(len(taken), stored.count, _refused(taken, [*unread, *sorted_rows.rejects]))


def _read(taken: Sequence[Any]) -> tuple[Sequence[ReadRow], Sequence[RejectedRow]]:
    """The rows as they came, by the clock of then."""
    rows: list[ReadRow] = []
    rejects: list[RejectedRow] = []
    for number, orphan in enumerate(taken, start=1):
        line = orphan.content.encode()
        try:
            rows.append(RowReader(accepted_at=orphan.received_at).read(number, line))
        except BadRow as bad:
            rejects.append(rejected_row(number, str(bad), line))
    return rows, rejects


def _refused(taken: Sequence[Any], rejects: Sequence[RejectedRow]) -> Sequence[RefusedOrphan]:
    """The refused among the orphans, which were numbered from 1 as they were read."""
    of_rejects = [(taken[reject.row_number - 1], reject.reason) for reject in rejects]
    return [RefusedOrphan(orphan.hashed_key, orphan.received_at, reason) for orphan, reason in of_rejects]


def _content_hash(row: ReadRow, sender_id: UUID | None) -> bytes:
    """What tells an orphan from others of its key: of two senders each keeps their own, who may be trusted or not."""
    return hashlib.sha256((b"" if sender_id is None else sender_id.bytes) + row.line).digest()


async def _known(connection: AsyncConnection, keys: Sequence[tuple[bytes, bytes]]) -> set[tuple[bytes, bytes]]:
    rows = await connection.execute(select(OrphanReport.hashed_key, OrphanReport.content_hash).where(_one_of(keys)))
    return {(row.hashed_key, row.content_hash) for row in rows}


async def _count(connection: AsyncConnection, sender_id: UUID | None) -> int:
    of_sender = OrphanReport.sender_id.is_(None) if sender_id is None else OrphanReport.sender_id == sender_id
    return await connection.scalar(select(func.count()).select_from(OrphanReport).where(of_sender)) or 0


async def _insert(
    connection: AsyncConnection, orphans: Sequence[tuple[bytes, bytes, ReadRow]], sender_id: UUID | None
) -> None:
    if not orphans:
        return
    given = (
        func.unnest(
            literal([hashed for hashed, _, _ in orphans], ARRAY(LargeBinary)),
            literal([content for _, content, _ in orphans], ARRAY(LargeBinary)),
            literal([row.line.decode() for _, _, row in orphans], ARRAY(Text)),
        )
        .table_valued("hashed_key", "content_hash", "content")
        .render_derived()
    )
    await connection.execute(
        insert(OrphanReport).from_select(
            ["hashed_key", "content_hash", "content", "sender_id", "received_at"],
            select(
                given.c.hashed_key,
                given.c.content_hash,
                given.c.content,
                literal(sender_id, OrphanReport.sender_id.type),
                literal(orphans[0][2].received_at),
            ),
        )
    )


async def _attachable(connection: AsyncConnection, limit: int) -> Sequence[Any]:
    may_attach = exists().where(
        Membership.client_id == TrackerKey.client_id,
        Membership.user_id == OrphanReport.sender_id,
        among(Membership.role, MAY_REPORT),
    )
    rows = await connection.execute(
        select(OrphanReport.hashed_key, OrphanReport.content_hash, OrphanReport.sender_id)
        .join(TrackerKey, TrackerKey.hashed_key == OrphanReport.hashed_key)
        .where(or_(OrphanReport.sender_id.is_(None), may_attach))
        .order_by(OrphanReport.received_at)
        .limit(limit)
    )
    return rows.all()


async def _take(connection: AsyncConnection, keys: Sequence[tuple[bytes, bytes]]) -> Sequence[Any]:
    """Delete orphans, and give them: what another worker has taken meanwhile is not among them."""
    rows = await connection.execute(
        OrphanReport.__table__.delete()  # type: ignore[attr-defined]  # a table, though declared as something to select
        .where(_one_of(keys))
        .returning(OrphanReport.hashed_key, OrphanReport.content, OrphanReport.received_at)
    )
    return rows.all()


def _one_of(keys: Sequence[tuple[bytes, bytes]]) -> Any:
    given = (
        func.unnest(
            literal([hashed for hashed, _ in keys], ARRAY(LargeBinary)),
            literal([content for _, content in keys], ARRAY(LargeBinary)),
        )
        .table_valued("hashed_key", "content_hash")
        .render_derived()
    )
    return tuple_(OrphanReport.hashed_key, OrphanReport.content_hash).in_(
        select(given.c.hashed_key, given.c.content_hash)
    )


_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtext('trackers.orphan_reports'), hashtext(:sender))")
