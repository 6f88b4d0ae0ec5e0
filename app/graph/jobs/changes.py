"""What staff do to jobs: start them and imports, stop a run, and say when a job runs."""

from dataclasses import dataclass
from uuid import UUID

import strawberry
from strawberry import UNSET

from app.core.ids import PublicIdTag, parse_public_id
from app.graph.context import Info
from app.graph.fields import attribute, show_enum
from app.graph.jobs.runs import ImportRun, JobRun
from app.graph.jobs.schedules import Job
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import URL
from app.graph.user_errors import CODE, REFUSAL, USER_ERRORS, Done, Mutations, UserError
from app.identity.access import needs
from app.identity.scopes import Scope
from app.operations.commands.jobs import ScheduleChanges, request_job, schedule_job
from app.operations.commands.runs import cancel_run, no_such_run
from app.operations.errors import OperationsErrorCode, OperationsRefused
from app.operations.imports import request_import
from app.operations.models import Importer

STAFF_WRITE = needs(Scope.OPERATIONS_WRITE)

show_enum(
    OperationsErrorCode,
    "Why something about a job was refused.",
    {
        OperationsErrorCode.INVALID_INPUT: "A value is outside of what is allowed.",
        OperationsErrorCode.NOT_FOUND: "There is no such job, or no such run.",
        OperationsErrorCode.NOT_GRANTED: "Nobody has granted it to the viewer.",
        OperationsErrorCode.ALREADY_DONE: "The run has ended, or one waits already.",
    },
)


@strawberry.type(description=REFUSAL)
class OperationsError(UserError):
    code: OperationsErrorCode = attribute(CODE)


@strawberry.input(description="What to import.")
class StartImportInput:
    importer: Importer = strawberry.field(description="What the file holds. CS2 and PRICES come by command alone.")
    url: URL | None = strawberry.field(
        default=None,
        description="The public address of the file, packed by gzip or not. Left out, SCRYFALL is its bulk file of "
        "default cards, and FX the rates of the European Central Bank that are missing; the others need one.",
    )


@strawberry.input(description="The job to run.")
class RunJobInput:
    job: str = strawberry.field(description="Its name; `jobs` lists them.")


@strawberry.input(description="When a job is to run; what is left out stays as it is.")
class ScheduleJobInput:
    job: str = strawberry.field(description="Its name; `jobs` lists them.")
    cron: str | None = strawberry.field(
        default=UNSET,
        description="Minute, hour, day of the month, month and day of the week, such as `15 16 * * 1-5`; null has it "
        "run only when asked.",
    )
    time_zone: str | None = strawberry.field(
        default=None, description="The clock that `cron` goes by, such as `UTC` or `Europe/Berlin`; null as left out."
    )
    is_enabled: bool | None = strawberry.field(
        default=None, description="Whether it runs by itself, at the times of `cron`; null as left out."
    )

    @property
    def changes(self) -> ScheduleChanges:
        """What is to be another."""
        changes = ScheduleChanges()
        if self.cron is not UNSET:
            changes["cron"] = self.cron
        if self.time_zone is not None:
            changes["time_zone"] = self.time_zone
        if self.is_enabled is not None:
            changes["is_enabled"] = self.is_enabled
        return changes


@strawberry.input(description="The run to stop.")
class CancelRunInput:
    id: strawberry.ID = strawberry.field(description="The run, of a job or of an import.")


@strawberry.type(description="The import that was started.")
class StartImportPayload:
    import_run: ImportRun | None = attribute("Its run, which a worker begins within moments; null when refused.")
    user_errors: list[OperationsError] = attribute(USER_ERRORS)


@strawberry.type(description="The job that was started.")
class RunJobPayload:
    job_run: JobRun | None = attribute("Its run, which a worker begins within moments; null when refused.")
    user_errors: list[OperationsError] = attribute(USER_ERRORS)


@strawberry.type(description="The job with its new times.")
class ScheduleJobPayload:
    job: Job | None = attribute("The job; null when refused.")
    user_errors: list[OperationsError] = attribute(USER_ERRORS)


@strawberry.type(description="The run that was told to stop.")
class CancelRunPayload:
    job_run: JobRun | None = attribute("The run, which ends within seconds; null when refused.")
    user_errors: list[OperationsError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class Changed(Done):
    """The payload of what was done, with what it was done to."""

    import_run: Reference | None = None
    job_run: Reference | None = None
    job: Reference | None = None


_changes = Mutations(OperationsRefused, OperationsError)


@strawberry.type
class JobMutations:
    @_changes(
        "Have a worker fetch a file and import it; follow it by `importProgress`. Importing the same again changes "
        "nothing.",
        type=StartImportPayload,
        access=STAFF_WRITE,
    )
    @staticmethod
    async def start_import(info: Info, input: StartImportInput) -> Changed:
        async with info.context.transaction() as transaction:
            run_id = await request_import(
                transaction, caller=info.context.caller, importer=input.importer, url=input.url
            )
        return Changed(import_run=refer(ImportRun, run_id))

    @_changes("Run a job now, beside its times.", type=RunJobPayload, access=STAFF_WRITE)
    @staticmethod
    async def run_job(info: Info, input: RunJobInput) -> Changed:
        async with info.context.transaction() as transaction:
            run_id = await request_job(transaction, caller=info.context.caller, name=input.job)
        return Changed(job_run=refer(JobRun, run_id))

    @_changes(
        "Say when a job runs. It holds at once, and outlasts restarts.", type=ScheduleJobPayload, access=STAFF_WRITE
    )
    @staticmethod
    async def schedule_job(info: Info, input: ScheduleJobInput) -> Changed:
        async with info.context.transaction() as transaction:
            await schedule_job(
                transaction,
                caller=info.context.caller,
                name=input.job,
                now=info.context.now,
                changes=input.changes,
            )
        return Changed(job=refer(Job, input.job))

    @_changes("Have a run stop; what it did until then is kept.", type=CancelRunPayload, access=STAFF_WRITE)
    @staticmethod
    async def cancel_run(info: Info, input: CancelRunInput) -> Changed:
        tag, run_id = parse_public_id(input.id) or (None, None)
        if tag not in {PublicIdTag.JOB_RUN, PublicIdTag.IMPORT_RUN} or not isinstance(run_id, UUID):
            raise no_such_run()
        async with info.context.transaction() as transaction:
            await cancel_run(transaction, run_id, caller=info.context.caller, now=info.context.now)
        return Changed(job_run=refer(JobRun, run_id))
