"""Runs of jobs: what ran, how far it has come, and what became of it. An import is a run with counts of rows."""

from datetime import datetime
from enum import Enum

import strawberry
from strawberry import UNSET

from app.core.ids import PublicIdTag
from app.graph.access import Privacy, private
from app.graph.fields import show_enum
from app.graph.identity.accounts import User
from app.graph.reads.arguments import OperationContext, Orders, graphql_argument, narrow
from app.graph.reads.fields import Reference, column, connection, edge, edges, embedded, refer, reference, shows
from app.graph.relay import Connection, Node, key_of
from app.graph.scalars import JSON, BigInt
from app.identity.access import needs
from app.identity.models import public_profiles
from app.identity.scopes import Scope
from app.operations import models
from app.operations.models import Importer, RunState
from app.operations.queries import (
    HAS_PROGRESS,
    HAS_RESULT,
    IMPORTER,
    IS_IMPORT,
    PROGRESS_DONE,
    PROGRESS_TOTAL,
    PROGRESS_UNIT,
    REJECTS,
    RESULT,
    count_of,
)

RUNS_SEEN = Privacy(f"who asked for the run, and staff with `{Scope.OPERATIONS_READ}`")
# Of one's own, too: the database shows everybody no others.
RUNS_READ = needs(Scope.ACCOUNT_READ, Scope.OPERATIONS_READ)
STAFF_READ = needs(Scope.OPERATIONS_READ)

show_enum(
    RunState,
    "How far a run has come.",
    {
        RunState.QUEUED: "It waits for a worker, or for the run before it.",
        RunState.RUNNING: "It is under way.",
        RunState.SUCCEEDED: "It did what it was to do.",
        RunState.FAILED: "It could not; `error` says why.",
        RunState.CANCELLED: "It was told to stop, before it began or under way.",
        RunState.LOST: "Its process fell silent, and nobody knows how far it came.",
    },
)
show_enum(
    Importer,
    "What an import reads.",
    {
        Importer.SCRYFALL: "Magic cards and sets.",
        Importer.POKEMON: "Pokémon cards and sets.",
        Importer.COINS: "Coins.",
        Importer.FIGURES: "Figures.",
        Importer.ANIME: "Anime series with their ids.",
        Importer.CS2: "The CS2 market.",
        Importer.FX: "Exchange rates.",
        Importer.PRICES: "Prices and candles.",
    },
)


class RunOrder(Enum):
    """What runs are ordered by."""

    REQUESTED_AT = "requested_at"


def _orders(name: str) -> Orders:
    return Orders(name, {RunOrder.REQUESTED_AT: models.JobRun.requested_at}, tie=models.JobRun.id, newest_first=True)


RUN_ORDERS = _orders("job-runs")
IMPORT_ORDERS = _orders("import-runs")


@strawberry.type(description="How much of how much is done.")
@private(RUNS_SEEN)
@shows(models.JobRun, key=models.JobRun.id)
class RunProgress:
    done: BigInt = column(PROGRESS_DONE, "How much is done.")
    total: BigInt | None = column(PROGRESS_TOTAL, "How much there is; null where nobody knows.")
    unit: str = column(PROGRESS_UNIT, "Of what: `rows`, `bytes`, …")


@strawberry.type(description="What became of the rows of an import.")
@private(RUNS_SEEN)
@shows(models.JobRun, key=models.JobRun.id)
class ImportCounts:
    read: int | None = column(count_of("read"), "How many rows were read.")
    created: int | None = column(count_of("created"), "How many things are new.")
    updated: int | None = column(count_of("updated"), "How many were known, and are different now.")
    unchanged: int | None = column(count_of("unchanged"), "How many were known as they are.")
    rejected: int | None = column(count_of("rejected"), "How many rows stayed out.")


@strawberry.type(description="A row that an import rejected.")
@private(RUNS_SEEN)
@shows(REJECTS)
class ImportReject:
    row_number: int = column(REJECTS.c.row_number, "Its number in the file, from 1.")
    reason: str = column(REJECTS.c.reason, "Why it stayed out.")


@strawberry.type(description="A run of a job. Of each job the last 30 that ended are kept.")
@private(RUNS_SEEN)
@shows(models.JobRun, PublicIdTag.JOB_RUN)
class JobRun(Node):
    job: str = column(models.JobRun.job, "The name of the job.")
    state: RunState = column(models.JobRun.state, "How far it has come.")
    requested_at: datetime = column(models.JobRun.requested_at, "Since when it waits, or waited.")
    requested_by: User | None = edge(
        "Who asked for it; null where its time had come, or an operator began it by a command.",
        on=models.JobRun.requested_by,
        to=public_profiles.c.id,
    )
    scheduled_for: datetime | None = column(
        models.JobRun.scheduled_for, "The moment of its schedule; null where somebody asked for it."
    )
    started_at: datetime | None = column(models.JobRun.started_at, "When it began; null until then.")
    ended_at: datetime | None = column(models.JobRun.ended_at, "When it ended; null until then.")
    heartbeat_at: datetime | None = column(
        models.JobRun.heartbeat_at, "When its process last said that it lives; a minute of silence means that it died."
    )
    cancel_requested_at: datetime | None = column(
        models.JobRun.cancel_requested_at, "When it was told to stop; null where nobody did."
    )
    progress: RunProgress | None = embedded(
        "How far it has come, about a second ago; null where it does not say.", when=HAS_PROGRESS
    )
    result: JSON | None = column(
        RESULT,
        "What came of it, as the job counts it; null until the end, and where nothing was counted.",
    )
    error: str | None = column(models.JobRun.error, "Why it did not succeed; null where it did, and until the end.")


@strawberry.type(description="A run of an import. Of each importer the last 30 that ended are kept.")
@private(RUNS_SEEN)
@shows(models.JobRun, PublicIdTag.IMPORT_RUN, listed=IS_IMPORT)
class ImportRun(Node):
    importer: Importer = column(IMPORTER, "What it reads.")
    source: str | None = column(
        models.JobRun.source, "The name of the file, or its address without what stands behind `?`; null for its usual."
    )
    state: RunState = column(models.JobRun.state, "How far it has come.")
    requested_at: datetime = column(models.JobRun.requested_at, "Since when it waits, or waited.")
    requested_by: User | None = edge(
        "Who asked for it; null where its time had come, or an operator began it by a command.",
        on=models.JobRun.requested_by,
        to=public_profiles.c.id,
    )
    started_at: datetime | None = column(models.JobRun.started_at, "When it began; null until then.")
    ended_at: datetime | None = column(models.JobRun.ended_at, "When it ended; null until then.")
    progress: RunProgress | None = embedded(
        "How far it has come, about a second ago: first by bytes where a file is fetched, then by rows.",
        when=HAS_PROGRESS,
    )
    counts: ImportCounts | None = embedded(
        "What became of the rows; null until the end, and where the import did not come to one.", when=HAS_RESULT
    )
    rejects: list[ImportReject] = edges(
        "The first 20 rows that were rejected, by their numbers.",
        on=models.JobRun.id,
        to=REJECTS.c.run_id,
        order=[REJECTS.c.place],
    )
    error: str | None = column(models.JobRun.error, "Why it did not succeed; null where it did, and until the end.")


@strawberry.input(description="Which runs to list; what is left out does not narrow the list.")
class JobRunFilter:
    job: str | None = narrow("Only runs of this job.", models.JobRun.job, lambda job: models.JobRun.job == job)
    state: RunState | None = narrow(
        "Only runs in this state.", models.JobRun.state, lambda state: models.JobRun.state == state
    )


@strawberry.input(description="Which imports to list; what is left out does not narrow the list.")
class ImportRunFilter:
    importer: Importer | None = narrow(
        "Only imports of this.", models.JobRun.job, lambda importer: importer == IMPORTER
    )
    state: RunState | None = narrow(
        "Only runs in this state.", models.JobRun.state, lambda state: models.JobRun.state == state
    )


@strawberry.type
class RunQueries:
    @reference(
        "A run of an import; null when there is none, or it is not for the viewer to see.",
        [graphql_argument("id", strawberry.ID, default=UNSET)],
        type=ImportRun | None,
        access=RUNS_READ,
    )
    @staticmethod
    def import_run(context: OperationContext, id: str) -> Reference | None:
        key = key_of(id, PublicIdTag.IMPORT_RUN, argument="id")
        return None if key is None else refer(ImportRun, key)

    import_runs: Connection[ImportRun] | None = connection(
        "Runs of imports, the newest first: those that staff started, and those of `trove import`.",
        orders=IMPORT_ORDERS,
        filter=ImportRunFilter,
        access=STAFF_READ,
    )
    job_runs: Connection[JobRun] | None = connection(
        "Runs of all jobs, the newest first.", orders=RUN_ORDERS, filter=JobRunFilter, access=STAFF_READ
    )
