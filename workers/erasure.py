"""Erases who asked for it 30 days ago, in every room that keeps something of people."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from uuid import UUID

import structlog

from app.alerts.personal_data import PERSONAL_DATA as ALERTS
from app.catalogue.personal_data import PERSONAL_DATA as CATALOGUE
from app.core.database import DATABASE_FAILURES, Database, is_database_away
from app.core.personal_data import PersonalData
from app.identity.commands.deletion import (
    hold_person_to_erase,
    people_erased_lately,
    people_to_erase,
)
from app.identity.personal_data import PERSONAL_DATA as IDENTITY
from app.ingestion.personal_data import PERSONAL_DATA as INGESTION
from app.notifications.personal_data import PERSONAL_DATA as NOTIFICATIONS
from app.operations.personal_data import PERSONAL_DATA as OPERATIONS
from app.portfolios.personal_data import PERSONAL_DATA as PORTFOLIOS
from app.portfolios.personal_wishes import WISHES
from app.providers.personal_data import PERSONAL_DATA as PROVIDERS
from app.trackers.personal_data import PERSONAL_DATA as TRACKERS
from workers.runner import Runner

logger = structlog.get_logger(__name__)

# All rooms that keep something of people, the higher before those they build on: identity comes last.
ROOMS: Sequence[PersonalData] = (
    *(NOTIFICATIONS, ALERTS, TRACKERS, WISHES, PORTFOLIOS),
    *(CATALOGUE, INGESTION, PROVIDERS, OPERATIONS, IDENTITY),
)
AT_ONCE = 100
SECONDS_BETWEEN_SECOND_LOOKS = 300.0


class ErasureRunner(Runner):
    """Erases all who are due, and looks once more at those who were erased a short time ago."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self._looks_again_at = float("-inf")

    async def work(self, stopping: asyncio.Event) -> None:
        """Erase who is due now."""
        await erase_people(self._database, stopping=stopping)
        if monotonic() >= self._looks_again_at:
            await erase_again(self._database, stopping=stopping)
            self._looks_again_at = monotonic() + SECONDS_BETWEEN_SECOND_LOOKS


async def erase_people(
    database: Database, *, rooms: Sequence[PersonalData] = ROOMS, stopping: asyncio.Event | None = None
) -> int:
    """Erase everybody who is due, each in a transaction of their own; gives how many there were.

    Who cannot be erased is left as they were, for the next call, and the others are not. Raises what the database
    driver raises when it is away.
    """
    done = 0
    tried: set[UUID] = set()
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            due = await people_to_erase(transaction, limit=AT_ONCE + len(tried))
        waiting = [user_id for user_id in due if user_id not in tried]
        if not waiting:
            break
        for user_id in waiting:
            if stopping is not None and stopping.is_set():
                break
            tried.add(user_id)
            done += await _erase_one(database, user_id, rooms, is_due=True)
    if done:
        logger.info("people_erased", count=done)
    return done


async def erase_again(
    database: Database, *, rooms: Sequence[PersonalData] = ROOMS, stopping: asyncio.Event | None = None
) -> None:
    """Erase once more who was erased lately: what had begun before may have written something of them since."""
    async with database.transaction() as transaction:
        erased = await people_erased_lately(transaction)
    for user_id in erased:
        if stopping is not None and stopping.is_set():
            break
        await _erase_one(database, user_id, rooms, is_due=False)


async def _erase_one(database: Database, user_id: UUID, rooms: Sequence[PersonalData], *, is_due: bool) -> bool:
    try:
        async with database.transaction() as transaction:
            # It may have been cancelled since, or done by another worker.
            if is_due and not await hold_person_to_erase(transaction, user_id):
                return False
            for room in rooms:
                await room.erase(transaction, user_id)
    except DATABASE_FAILURES as error:
        if is_database_away(error):
            raise
        _log_failure(user_id, error)
        return False
    except Exception as error:  # noqa: BLE001  # a mistake about one person must not keep the others from being erased
        _log_failure(user_id, error)
        return False
    return True


def _log_failure(user_id: UUID, error: Exception) -> None:
    # What an error says may hold something of the person.
    logger.error("person_not_erased", user=str(user_id), reason=type(error).__name__)
