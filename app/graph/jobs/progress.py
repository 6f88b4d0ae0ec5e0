"""The live view of an import: its run at once, at each change, and a last time as it ends."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from uuid import UUID

import strawberry
import structlog

from app.core.database import DATABASE_FAILURES, Database, DatabaseViewer
from app.core.errors import NotFound
from app.core.events import Topic
from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import streamed
from app.graph.jobs.runs import RUNS_READ, ImportRun
from app.graph.reads.fields import Reference, refer
from app.graph.relay import key_of
from app.operations.queries import ImportStatus, import_status

logger = structlog.get_logger(__name__)

# A lost hint is caught up within this time, and with Redis away this is how often it is looked.
LOOK_AT_LEAST_EVERY_SECONDS = 2.0


@strawberry.type
class ImportSubscriptions:
    @streamed(
        "A run of an import: at once as it is, then at each change of its state or progress, about once a second at "
        "most. The stream ends as the run has ended.",
        type=ImportRun,
        access=RUNS_READ,
    )
    @staticmethod
    async def import_progress(info: Info, id: strawberry.ID) -> AsyncIterator[Reference]:
        key = key_of(id, PublicIdTag.IMPORT_RUN, argument="id")
        database, viewer = info.context.resources.database, info.context.viewer.in_database
        now = await _status(database, viewer, key) if isinstance(key, UUID) else None
        if not isinstance(key, UUID) or now is None:
            raise NotFound("There is no such import, or it is not yours to see; `importRuns` lists them.")
        return _follow(database, viewer, key, now)


async def _follow(
    database: Database, viewer: DatabaseViewer | None, run_id: UUID, first: ImportStatus
) -> AsyncIterator[Reference]:
    told = first
    yield refer(ImportRun, run_id, version=first.version)
    if first.has_ended:
        return
    hints = database.events.listen(Topic.RUNS_CHANGED, at_least_every=LOOK_AT_LEAST_EVERY_SECONDS)
    async with aclosing(hints):  # type: ignore[type-var]  # a generator, though it is declared as what it iterates
        async for _ in hints:
            try:
                status = await _status(database, viewer, run_id)
            except DATABASE_FAILURES as error:
                logger.warning("import_progress_waits_for_database", reason=type(error).__name__)
                continue
            if status is None:
                # It was forgotten, or taken from the viewer's sight.
                return
            if status != told:
                told = status
                yield refer(ImportRun, run_id, version=status.version)
            if status.has_ended:
                return


async def _status(database: Database, viewer: DatabaseViewer | None, run_id: UUID) -> ImportStatus | None:
    snapshot = database.snapshot(viewer=viewer)
    try:
        return await snapshot.read(import_status, run_id=run_id)
    finally:
        await snapshot.close()
