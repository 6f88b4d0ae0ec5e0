"""The jobs of the server, and when they run."""

from datetime import datetime
from enum import Enum

import strawberry

from app.graph.jobs.runs import RUN_ORDERS, STAFF_READ, JobRun
from app.graph.reads.arguments import Orders
from app.graph.reads.fields import column, connection, edge, shows
from app.graph.relay import Connection
from app.operations import models
from app.operations.queries import HAS_STARTED, LAST_STARTED_FIRST


class JobOrder(Enum):
    """What jobs are ordered by."""

    NAME = "name"


JOB_ORDERS = Orders("jobs", {JobOrder.NAME: models.ScheduledJob.name}, tie=models.ScheduledJob.name)


@strawberry.type(description="Something that the server does by itself, at its times or when asked.")
@shows(models.ScheduledJob, key=models.ScheduledJob.name)
class Job:
    name: str = column(models.ScheduledJob.name, "Its name, unique.")
    description: str = column(models.ScheduledJob.description, "What it does.")
    cron: str | None = column(
        models.ScheduledJob.cron,
        "When it runs: minute, hour, day of the month, month and day of the week. Null where it runs only when asked.",
    )
    time_zone: str = column(models.ScheduledJob.time_zone, "The clock that `cron` goes by.")
    is_enabled: bool = column(
        models.ScheduledJob.is_enabled,
        "Whether it runs by itself, at the times of `cron`; without one it runs only when asked, whatever this says.",
    )
    next_run_at: datetime | None = column(
        models.ScheduledJob.next_run_at, "When it runs next by itself; null where it is not enabled, or has no `cron`."
    )
    last_run: JobRun | None = edge(
        "The run that began last.",
        on=models.ScheduledJob.name,
        to=models.JobRun.job,
        where=HAS_STARTED,
        order=LAST_STARTED_FIRST,
    )
    runs: Connection[JobRun] | None = connection(
        "Its runs, the newest first.", on=models.ScheduledJob.name, to=models.JobRun.job, orders=RUN_ORDERS
    )


@strawberry.type
class JobQueries:
    jobs: Connection[Job] | None = connection(
        "What the server does by itself, by name.", orders=JOB_ORDERS, access=STAFF_READ
    )
