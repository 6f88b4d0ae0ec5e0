"""Keeps the histories of trackers, and the tables that they stand in."""

import asyncio

import structlog

from app.core.clock import utc_now
from app.core.database import Database
from app.notifications.commands.tracker_alerts import tell_of_trackers
from app.trackers.commands import partitions, tracker_events
from app.trackers.commands.remake_histories import remake_histories, tell_silent
from workers.runner import Runner

logger = structlog.get_logger(__name__)

# Of these all fixes are read, of those the last few.
REMADE_AT_A_TIME = 20
TOLD_AT_A_TIME = 200


class HistoryRunner(Runner):
    """Makes histories anew that wait for it, and tells of trackers that have fallen silent."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database

    async def work(self, stopping: asyncio.Event) -> None:
        """Do what waits now."""
        await remake_waiting_histories(self._database, stopping=stopping)
        await tell_all_silent(self._database, stopping=stopping)


async def remake_waiting_histories(database: Database, *, stopping: asyncio.Event | None = None) -> int:
    """Make histories anew, some in each transaction, until none waits; gives how many were made.

    Raises what the database driver raises when it is away; what was not committed waits on.
    """
    remade = 0
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            count = await remake_histories(transaction, limit=REMADE_AT_A_TIME, now=utc_now(), watch=tell_of_trackers)
        remade += count
        if count < REMADE_AT_A_TIME:
            break
    if remade:
        logger.info("histories_remade", count=remade)
    return remade


async def tell_all_silent(database: Database, *, stopping: asyncio.Event | None = None) -> int:
    """Tell of trackers that have fallen silent, some in each transaction, until there are no more; gives how many."""
    told = 0
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            count = await tell_silent(transaction, limit=TOLD_AT_A_TIME, now=utc_now(), watch=tell_of_trackers)
        told += count
        if count < TOLD_AT_A_TIME:
            break
    if told:
        logger.info("trackers_fell_silent", count=told)
    return told


async def make_partitions_ahead(database: Database) -> None:
    """Make the partitions of the coming months before the first report for them comes."""
    async with database.transaction() as transaction:
        made = await partitions.make_partitions_ahead(transaction, now=utc_now())
    if made:
        logger.info("partitions_made", count=made)


async def prune_tracker_events(database: Database) -> None:
    """Delete the events of trackers that nobody can ask for any more, and old reports that no tracker claimed."""
    async with database.transaction() as transaction:
        events = await tracker_events.prune_tracker_events(transaction, now=utc_now())
    async with database.transaction() as transaction:
        orphans = await tracker_events.prune_orphan_reports(transaction, now=utc_now())
    if events or orphans:
        logger.info("tracker_events_pruned", events=events, orphan_reports=orphans)
