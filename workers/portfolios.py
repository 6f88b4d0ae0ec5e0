"""Makes the daily snapshots of portfolios that are due."""

from datetime import timedelta
from uuid import UUID

from app.core.clock import utc_now
from app.core.database import Database
from app.portfolios.commands.snapshots import due_portfolios, make_snapshots, mark_snapshots
from workers.jobs import JobContext, JobResult

# Of a portfolio whose trades change all the time the rest is made the next time.
MOST_ATTEMPTS = 3
# Sources tell the prices of a day after it has ended, some of them after a weekend.
MADE_AGAIN = timedelta(days=3)


async def make_due_snapshots(job: JobContext) -> JobResult:
    """Make all snapshots up to yesterday that are missing or outdated, a portfolio after the other.

    Where one is missing those of the last three days are made again, for prices that came in late.
    """
    until = utc_now().date()
    async with job.database.transaction() as transaction:
        due = await due_portfolios(transaction, until=until)
    made = 0
    for done, portfolio in enumerate(due, start=1):
        async with job.database.transaction() as transaction:
            await mark_snapshots(transaction, since=until - MADE_AGAIN, portfolio_id=portfolio.id)
        made += await _make_all(job.database, portfolio.id)
        job.run.report(done, total=len(due))
    return {"portfolios": len(due), "snapshots": made}


async def _make_all(database: Database, portfolio_id: UUID) -> int:
    made = failed = 0
    while failed < MOST_ATTEMPTS:
        now = utc_now()
        async with database.transaction() as transaction:
            step = await make_snapshots(transaction, portfolio_id, until=now.date(), now=now)
        made += step.made
        if step.is_finished:
            break
        failed += not step.made
    return made
