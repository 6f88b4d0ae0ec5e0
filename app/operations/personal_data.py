"""What operations keep of a person: that they asked for runs, and that they set something."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, null, select, update

from app.core.database import Transaction
from app.core.ids import PublicIdTag
from app.core.personal_data import ExportPart, PersonalData, table_of
from app.operations.models import JobRun, RunState, RuntimeSetting


async def erase(transaction: Transaction, user_id: UUID) -> None:
    """Take a person out of the runs that they asked for, with what they gave them, and out of what they set.

    A run of theirs that waits does not begin any more: it lacks what it would need.
    """
    await transaction.connection.execute(
        update(JobRun)
        .where(JobRun.requested_by == user_id, JobRun.state == RunState.QUEUED)
        .values(state=RunState.CANCELLED.value, ended_at=func.now())
    )
    await transaction.connection.execute(
        update(JobRun)
        .where(JobRun.requested_by == user_id)
        .values(requested_by=None, source=None, arguments=null(), error=None)
    )
    await transaction.connection.execute(
        # What was set holds on, as it was set.
        update(RuntimeSetting)
        .where(RuntimeSetting.updated_by == user_id)
        .values(updated_by=None, updated_at=RuntimeSetting.updated_at)
    )


def _runs(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            JobRun.id,
            JobRun.job,
            JobRun.source,
            JobRun.arguments,
            JobRun.state,
            JobRun.requested_at,
            JobRun.started_at,
            JobRun.ended_at,
            JobRun.cancel_requested_at,
            JobRun.progress,
            JobRun.result,
            JobRun.error,
        )
        .where(JobRun.requested_by == user_id)
        .order_by(JobRun.requested_at, JobRun.id)
    )


def _settings(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(RuntimeSetting.key, RuntimeSetting.value, RuntimeSetting.updated_at)
        .where(RuntimeSetting.updated_by == user_id)
        .order_by(RuntimeSetting.key)
    )


PERSONAL_DATA = PersonalData(
    "operations",
    erase,
    (
        ExportPart(
            "job-runs.json", "The runs of jobs that you asked for.", table_of(JobRun), _runs, PublicIdTag.JOB_RUN
        ),
        ExportPart("settings.json", "What you set for the whole server.", table_of(RuntimeSetting), _settings),
    ),
)
