"""Takes in reports of keys that no tracker had when they came."""

import asyncio
import base64
from typing import ClassVar

import structlog

from app.core.database import Database
from app.core.secrets import Secrets
from app.notifications.commands.tracker_alerts import tell_of_trackers
from app.trackers.commands.orphans import RefusedOrphan, attach_orphans
from workers.runner import Runner

logger = structlog.get_logger(__name__)

ORPHANS_AT_A_TIME = 5_000


class OrphanRunner(Runner):
    """Takes in all orphans whose keys have trackers by now."""

    # Whoever makes a key or an operator nudges; looking by itself is for nudges that got lost.
    seconds_between_looks: ClassVar[float] = 60.0

    def __init__(self, database: Database, secrets: Secrets) -> None:
        super().__init__()
        self._database = database
        self._secrets = secrets

    async def work(self, stopping: asyncio.Event) -> None:
        """Take in what can be now."""
        await attach_all_orphans(self._database, self._secrets, stopping=stopping)


async def attach_all_orphans(database: Database, secrets: Secrets, *, stopping: asyncio.Event | None = None) -> int:
    """Take orphans in, some in each transaction, until no key of any has a tracker; gives how many were new reports.

    Raises what the database driver raises when it is away; what was not committed stays an orphan.
    """
    taken, accepted = 0, 0
    refused: dict[tuple[str, bytes], list[RefusedOrphan]] = {}
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            attached = await attach_orphans(transaction, secrets, limit=ORPHANS_AT_A_TIME, watch=tell_of_trackers)
        if not attached.taken:
            break
        taken += attached.taken
        accepted += attached.accepted
        for orphan in attached.refused:
            refused.setdefault((orphan.reason, orphan.hashed_key), []).append(orphan)
    if taken:
        logger.info("orphans_attached", taken=taken, accepted=accepted)
    for (reason, hashed_key), orphans in refused.items():
        logger.warning(
            "orphans_refused",
            reason=reason,
            hashed_key=base64.b64encode(hashed_key).decode(),
            first_received_at=min(orphan.received_at for orphan in orphans).isoformat(),
            count=len(orphans),
        )
    return accepted
