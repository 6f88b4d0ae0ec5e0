"""Exports: asked for by a person, put together by a worker, fetched by a link that holds for minutes."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction, clock_of
from app.core.errors import NotFound
from app.core.ids import new_id
from app.core.jobs import Job
from app.core.mail import Mail
from app.core.secrets import Secrets, place_of
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.challenges import LIFETIMES, begin_challenge, find_challenge
from app.identity.commands.post_mail import post_mail
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import ChallengeKind, DataExport, ExportStatus, User
from app.identity.viewer import Caller

PREPARE_EXPORTS = Job("prepare_exports")
KEPT_FOR = timedelta(days=7)
ONE_IN = timedelta(days=1)
MAXIMUM_ATTEMPTS = 5
FIRST_PAUSE = timedelta(seconds=2)
PAUSE_GROWTH = 4
# A row of PostgreSQL holds less than 1 GiB, and a worker holds an archive several times over.
LARGEST_ARCHIVE_BYTES = 200 * 1024 * 1024
CANDIDATES = 20
STOPPED = "The worker stopped each time before it was done."


@dataclass(frozen=True, slots=True)
class BegunExport:
    """An export that is being put together, for the so-manieth time."""

    id: UUID
    user_id: UUID
    attempts: int
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class ExportDownload:
    """What fetches an archive until it ends."""

    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class FetchedExport:
    """An archive, and when it was asked for."""

    archive: bytes = field(repr=False)
    requested_at: datetime


async def request_export(transaction: Transaction, *, caller: Caller) -> UUID:
    """Ask for an archive of everything that is kept of the caller; gives its id.

    Raises IdentityRefused while one is being put together, and within a day of the last one that was not given up.
    """
    user_id = caller.viewer.own_id
    # Two requests at once must not both find that there is none.
    await transaction.connection.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    found = await transaction.connection.execute(
        select(DataExport.status).where(
            DataExport.user_id == user_id,
            (DataExport.status == ExportStatus.WAITING)
            | (DataExport.status != ExportStatus.FAILED) & (DataExport.requested_at > func.now() - ONE_IN),
        )
    )
    statuses = set(found.scalars())
    if ExportStatus.WAITING in statuses:
        raise IdentityRefused(
            IdentityErrorCode.TOO_MANY,
            "An export is being put together; `exports` shows how far it has come.",
        )
    if statuses:
        raise IdentityRefused(
            IdentityErrorCode.TOO_MANY, "You had an export within the last day; fetch that one, or ask again tomorrow."
        )
    export_id = new_id()
    await transaction.connection.execute(insert(DataExport).values(id=export_id, user_id=user_id))
    await record(
        transaction,
        AuditAction.EXPORT_REQUESTED,
        caller=caller,
        subject_id=user_id,
        after={"export": str(export_id)},
    )
    transaction.enqueue(PREPARE_EXPORTS)
    return export_id


async def exports_to_prepare(transaction: Transaction) -> list[UUID]:
    """The exports that wait and are due, the one that waits longest first."""
    waiting = await transaction.connection.execute(
        select(DataExport.id)
        .where(DataExport.status == ExportStatus.WAITING, DataExport.next_attempt_at <= func.now())
        .order_by(DataExport.next_attempt_at)
        .limit(CANDIDATES)
    )
    return list(waiting.scalars())


async def hold_export(connection: AsyncConnection, export_id: UUID) -> bool:
    """Hold an export until the end of this connection's transaction; False where another worker does.

    It locks no row, so that others can write down how far it has come.
    """
    held = await connection.execute(
        select(func.pg_try_advisory_xact_lock(func.hashtextextended(f"identity.data_exports:{export_id}", 0)))
    )
    return bool(held.scalar_one())


async def begin_export(transaction: Transaction, export_id: UUID, *, parts: int) -> BegunExport | None:
    """Write down that an export is begun, from its first part; None where it is not due any more, or given up.

    The attempt counts from here on, so that what kills each worker that tries it is given up too.
    """
    row = (
        await transaction.connection.execute(
            select(DataExport.user_id, DataExport.attempts, DataExport.requested_at)
            .where(
                DataExport.id == export_id,
                DataExport.status == ExportStatus.WAITING,
                DataExport.next_attempt_at <= func.now(),
            )
            .with_for_update()
        )
    ).one_or_none()
    if row is None:
        return None
    if row.attempts >= MAXIMUM_ATTEMPTS:
        await _give_up(transaction, export_id, STOPPED)
        return None
    attempts = row.attempts + 1
    await transaction.connection.execute(
        update(DataExport)
        .where(DataExport.id == export_id)
        .values(
            attempts=attempts,
            parts_done=0,
            parts_total=parts,
            next_attempt_at=func.now() + FIRST_PAUSE * PAUSE_GROWTH ** (attempts - 1),
        )
    )
    return BegunExport(export_id, row.user_id, attempts, row.requested_at)


async def note_progress(transaction: Transaction, export_id: UUID, *, parts_done: int) -> None:
    """Write down how many parts of an export are done."""
    await transaction.connection.execute(
        update(DataExport)
        .where(DataExport.id == export_id, DataExport.status == ExportStatus.WAITING)
        .values(parts_done=parts_done)
    )


async def finish_export(transaction: Transaction, secrets: Secrets, begun: BegunExport, archive: bytes) -> bool:
    """Keep the archive, encrypted, for a week, and tell its owner; False where nobody waits for it any more."""
    now = await clock_of(transaction)
    expires_at = now + KEPT_FOR
    # Outside of the event loop: an archive may be large.
    sealed = await asyncio.to_thread(secrets.encrypt, archive, place_of(DataExport.archive, begun.id))
    finished = await transaction.connection.execute(
        update(DataExport)
        .where(DataExport.id == begun.id, DataExport.status == ExportStatus.WAITING)
        .values(
            status=ExportStatus.READY.value,
            archive=sealed,
            archive_bytes=len(archive),
            parts_done=DataExport.parts_total,
            finished_at=now,
            expires_at=expires_at,
            last_error=None,
        )
        .returning(DataExport.id)
    )
    if finished.first() is None:
        return False
    address = await transaction.connection.execute(
        select(User.email).where(User.id == begun.user_id, User.email_verified_at.is_not(None))
    )
    to = address.scalar_one_or_none()
    if to is not None:
        mail = Mail(
            to=to,
            subject="Your Trove data is ready",
            text="The archive of everything that Trove keeps of you is ready. Sign in to fetch it.\n\n"
            f"It is kept until {expires_at:%d %B %Y at %H:%M} UTC. If you did not ask for it, somebody is signed in as "
            "you: end your sessions and change how you sign in.\n",
        )
        await post_mail(transaction, secrets, mail, user_id=begun.user_id)
    return True


async def note_failure(transaction: Transaction, begun: BegunExport, *, reason: str) -> ExportStatus:
    """Write down that an attempt failed; the fifth is the last. `reason` holds nothing of a person."""
    if begun.attempts >= MAXIMUM_ATTEMPTS:
        await _give_up(transaction, begun.id, reason)
        return ExportStatus.FAILED
    await transaction.connection.execute(
        update(DataExport)
        .where(DataExport.id == begun.id, DataExport.status == ExportStatus.WAITING)
        .values(last_error=reason)
    )
    return ExportStatus.WAITING


async def _give_up(transaction: Transaction, export_id: UUID, reason: str) -> None:
    await transaction.connection.execute(
        update(DataExport)
        .where(DataExport.id == export_id, DataExport.status == ExportStatus.WAITING)
        .values(status=ExportStatus.FAILED.value, finished_at=func.now(), last_error=reason)
    )


async def expire_exports(transaction: Transaction) -> int:
    """Let go of the archives whose week is over; gives how many there were."""
    expired = await transaction.connection.execute(
        update(DataExport)
        .where(DataExport.status == ExportStatus.READY, DataExport.expires_at <= func.now())
        .values(status=ExportStatus.EXPIRED.value, archive=None)
        .returning(DataExport.id)
    )
    return len(expired.all())


async def create_download(
    transaction: Transaction, secrets: Secrets, export_id: UUID, *, caller: Caller
) -> ExportDownload:
    """Make a token that fetches one of the caller's archives, for 15 minutes or until the archive goes.

    Raises IdentityRefused for an export that is not theirs, or not ready.
    """
    user_id = caller.viewer.own_id
    found = await transaction.connection.execute(
        select(DataExport.expires_at, func.now().label("now")).where(
            DataExport.id == export_id,
            DataExport.user_id == user_id,
            DataExport.status == ExportStatus.READY,
            DataExport.expires_at > func.now(),
        )
    )
    row = found.one_or_none()
    if row is None:
        raise IdentityRefused(
            IdentityErrorCode.NOT_FOUND,
            "You have no such export that is ready; `exports` of your account lists yours.",
            field=["id"],
        )
    token = await begin_challenge(
        transaction, secrets, ChallengeKind.EXPORT_DOWNLOAD, content={"export": str(export_id)}, user_id=user_id
    )
    return ExportDownload(token, min(row.expires_at, row.now + LIFETIMES[ChallengeKind.EXPORT_DOWNLOAD]))


async def fetch_export(
    transaction: Transaction, secrets: Secrets, export_id: UUID, *, token: str, caller: Caller
) -> FetchedExport:
    """The archive that the token was made for, and a line in its owner's audit log.

    A link may be followed again while it holds: a download that broke off can be repeated. Raises NotFound for
    whatever is wrong with it.
    """
    challenge = await find_challenge(transaction, secrets, ChallengeKind.EXPORT_DOWNLOAD, token)
    if challenge is None or challenge.content.get("export") != str(export_id):
        raise _no_such_link()
    row = (
        await transaction.connection.execute(
            select(DataExport.archive, DataExport.requested_at).where(
                DataExport.id == export_id,
                DataExport.user_id == challenge.user_id,
                DataExport.status == ExportStatus.READY,
                DataExport.expires_at > func.now(),
            )
        )
    ).one_or_none()
    if row is None or row.archive is None:
        raise _no_such_link()
    await record(
        transaction,
        AuditAction.EXPORT_FETCHED,
        caller=caller,
        subject_id=challenge.user_id,
        after={"export": str(export_id)},
    )
    archive = await asyncio.to_thread(secrets.decrypt, row.archive, place_of(DataExport.archive, export_id))
    return FetchedExport(archive, row.requested_at)


def _no_such_link() -> NotFound:
    return NotFound("This link does not hold, or no longer; make another with `createExportDownload`.")
