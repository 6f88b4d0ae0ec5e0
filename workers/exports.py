"""Puts exports together: everything that is kept of a person, as one archive."""

import asyncio
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import structlog
from sqlalchemy import text

from app.core.clock import utc_now
from app.core.database import Database, Transaction, is_database_away
from app.core.personal_data import ExportPart, PersonalData
from app.core.secrets import Secrets
from app.identity.commands.exports import (
    LARGEST_ARCHIVE_BYTES,
    BegunExport,
    begin_export,
    expire_exports,
    exports_to_prepare,
    finish_export,
    hold_export,
    note_failure,
    note_progress,
)
from app.identity.models import ExportStatus
from workers.erasure import ROOMS
from workers.runner import Runner

logger = structlog.get_logger(__name__)

MANIFEST = "manifest.json"
README = "README.txt"
ABOUT = """This archive holds what Trove keeps of you.

Each .json file is a list of entries, as text in UTF-8. manifest.json says what each file is about and how many entries
it has. All times are UTC. What proves who you are (the hash of a password, the seed of one-time codes, the texts of
tokens) is not in here: whoever found this archive could use it. What is public for everybody, such as prices, is not
in here either.
"""


class ArchiveTooLarge(Exception):
    """There is more of a person than one archive may hold."""


class ExportRunner(Runner):
    """Puts together all exports that wait, and lets go of those whose time is over."""

    def __init__(self, database: Database, secrets: Secrets) -> None:
        super().__init__()
        self._database = database
        self._secrets = secrets

    async def work(self, stopping: asyncio.Event) -> None:
        """Put together what waits now."""
        await prepare_exports(self._database, self._secrets, stopping=stopping)
        async with self._database.transaction() as transaction:
            expired = await expire_exports(transaction)
        if expired:
            logger.info("exports_expired", count=expired)


async def prepare_exports(
    database: Database,
    secrets: Secrets,
    *,
    rooms: Sequence[PersonalData] = ROOMS,
    stopping: asyncio.Event | None = None,
) -> int:
    """Put together the exports that are due, one after the other; gives how many are ready.

    Raises what the database driver raises when it is away.
    """
    async with database.transaction() as transaction:
        waiting = await exports_to_prepare(transaction)
    done = 0
    for export_id in waiting:
        if stopping is not None and stopping.is_set():
            break
        done += await _prepare(database, secrets, export_id, [part for room in rooms for part in room.parts], stopping)
    return done


async def _prepare(
    database: Database, secrets: Secrets, export_id: UUID, parts: Sequence[ExportPart], stopping: asyncio.Event | None
) -> bool:
    async with database.transaction() as reading:
        # One picture of everything. The lock goes with the connection, so that one who is killed blocks nobody.
        await reading.connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
        if not await hold_export(reading.connection, export_id):
            return False
        async with database.transaction() as transaction:
            begun = await begin_export(transaction, export_id, parts=len(parts))
        if begun is None:
            return False
        try:
            archive = await _put_together(database, reading, begun, parts, stopping)
            if archive is None:
                return False
            async with database.transaction() as transaction:
                is_ready = await finish_export(transaction, secrets, begun, archive)
        except Exception as error:
            if is_database_away(error):
                raise
            await _note_failure(database, begun, error)
            return False
    if is_ready:
        logger.info("export_ready", export=str(export_id), bytes=len(archive), attempt=begun.attempts)
    return is_ready


async def _put_together(
    database: Database,
    reading: Transaction,
    begun: BegunExport,
    parts: Sequence[ExportPart],
    stopping: asyncio.Event | None,
) -> bytes | None:
    """The archive; None where the worker is to stop before it is done."""
    made_at = utc_now()
    archive = _Archive()
    for done, part in enumerate(parts, start=1):
        if stopping is not None and stopping.is_set():
            return None
        await archive.add(reading, part, begun.user_id)
        async with database.transaction() as transaction:
            await note_progress(transaction, begun.id, parts_done=done)
    return archive.finish(begun, made_at)


@dataclass(frozen=True, slots=True)
class _WrittenFile:
    """A file of the archive, as the manifest tells of it."""

    part: ExportPart
    entries: int


class _Archive:
    """A zip file in memory: what is in it is nobody's to find on a disk."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self._zip = zipfile.ZipFile(self._bytes, "w", zipfile.ZIP_DEFLATED)
        self._files: list[_WrittenFile] = []

    async def add(self, reading: Transaction, part: ExportPart, user_id: UUID) -> None:
        """Write the file of a part, entry by entry."""
        entries = 0
        with self._zip.open(part.file, "w", force_zip64=True) as file:
            file.write(b"[")
            async for entry in part.read(reading.connection, user_id):
                file.write(b",\n" if entries else b"\n")
                file.write(_json(entry))
                entries += 1
                if self._bytes.tell() > LARGEST_ARCHIVE_BYTES:
                    raise ArchiveTooLarge
            file.write(b"\n]\n")
        self._files.append(_WrittenFile(part, entries))

    def finish(self, begun: BegunExport, made_at: datetime) -> bytes:
        """Add what explains the rest, and give the whole."""
        manifest: Mapping[str, Any] = {
            "about": "What Trove keeps of you.",
            "requestedAt": begun.requested_at,
            "madeAt": made_at,
            "files": [
                {"file": written.part.file, "about": written.part.about, "entries": written.entries}
                for written in self._files
            ],
        }
        self._zip.writestr(MANIFEST, _json(manifest))
        self._zip.writestr(README, ABOUT)
        self._zip.close()
        return self._bytes.getvalue()


def _json(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)


async def _note_failure(database: Database, begun: BegunExport, error: Exception) -> None:
    # What an error says may hold something of the person.
    reason = type(error).__name__
    async with database.transaction() as transaction:
        status = await note_failure(transaction, begun, reason=reason)
    log = logger.error if status is ExportStatus.FAILED else logger.warning
    log("export_not_made", export=str(begun.id), attempt=begun.attempts, status=status.value, reason=reason)
