"""What is shown of runs where a column does not say it itself, and what a live view looks at."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Integer, Text, cast, column, func, select, true
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from app.operations.models import ENDED, IMPORT_PREFIX, JobRun, RunState

IS_IMPORT = JobRun.job.startswith(IMPORT_PREFIX)
IMPORTER = func.substr(JobRun.job, len(IMPORT_PREFIX) + 1, type_=Text())
HAS_PROGRESS = JobRun.progress.is_not(None)
PROGRESS_DONE = cast(JobRun.progress["done"].astext, BigInteger)
PROGRESS_TOTAL = cast(JobRun.progress["total"].astext, BigInteger)
PROGRESS_UNIT = JobRun.progress["unit"].astext
RESULT = cast(JobRun.result, Text())
HAS_RESULT = JobRun.result.is_not(None)
HAS_STARTED = JobRun.started_at.is_not(None)
LAST_STARTED_FIRST = (JobRun.started_at.desc(), JobRun.id.desc())


def count_of(name: str) -> ColumnElement[int]:
    """A count of an import's result."""
    return cast(JobRun.result[name].astext, Integer)


_told = (
    func.jsonb_array_elements(JobRun.result["rejects"])
    .table_valued(column("value", JSONB), with_ordinality="place")
    .render_derived("told")
)
# The first rows that an import rejected, each with the run; policies of the runs hold of them, too.
REJECTS = (
    select(
        JobRun.id.label("run_id"),
        _told.c.place.label("place"),
        cast(_told.c.value["row"].astext, Integer).label("row_number"),
        _told.c.value["reason"].astext.label("reason"),
    )
    .select_from(JobRun)
    .join(_told, true())
    .where(IS_IMPORT)
    .subquery("import_rejects")
)


@dataclass(frozen=True, slots=True)
class ImportStatus:
    """What changes of an import while it runs; `version` is another at each change."""

    state: RunState
    progress: str | None
    cancel_requested_at: datetime | None

    @property
    def version(self) -> Hashable:
        """What tells one state of affairs from another."""
        return (self.state, self.progress, self.cancel_requested_at)

    @property
    def has_ended(self) -> bool:
        """Whether nothing changes any more."""
        return self.state in ENDED


async def import_status(connection: AsyncConnection, *, run_id: UUID) -> ImportStatus | None:
    """How far an import has come; None where the viewer sees no such run."""
    row = (
        await connection.execute(
            select(JobRun.state, cast(JobRun.progress, Text).label("progress"), JobRun.cancel_requested_at).where(
                JobRun.id == run_id, IS_IMPORT
            )
        )
    ).one_or_none()
    return None if row is None else ImportStatus(RunState(row.state), row.progress, row.cancel_requested_at)
