"""What is shown of runs where a column does not say it itself."""

from sqlalchemy import BigInteger, ColumnElement, Integer, Text, cast, column, func, select, true
from sqlalchemy.dialects.postgresql import JSONB

from app.operations.models import IMPORT_PREFIX, JobRun

IS_IMPORT = JobRun.job.startswith(IMPORT_PREFIX)
IMPORTER = func.substr(JobRun.job, len(IMPORT_PREFIX) + 1, type_=Text())
HAS_PROGRESS = JobRun.progress.is_not(None)
PROGRESS_DONE = cast(JobRun.progress["done"].astext, BigInteger)
PROGRESS_TOTAL = cast(JobRun.progress["total"].astext, BigInteger)
PROGRESS_UNIT = JobRun.progress["unit"].astext
RESULT = cast(JobRun.result, Text())
HAS_RESULT = JobRun.result.is_not(None)


def count_of(name: str) -> ColumnElement[int]:
    """A count of an import's result."""
    return cast(JobRun.result[name].astext, Integer)


_told = func.jsonb_array_elements(JobRun.result["rejects"]).table_valued(
    column("value", JSONB), with_ordinality="place", name="told"
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
    .join(_told.lateral(), true())
    .where(IS_IMPORT)
    .subquery("import_rejects")
)
