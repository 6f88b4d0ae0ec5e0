"""Sends to other services by Apprise, which connects by itself: in threads, and only where its address may lead."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from uuid import UUID

from apprise import Apprise, NotifyFormat, NotifyType
from apprise.plugins.base import NotifyBase
from sqlalchemy import select

from app.alerts.models import Severity
from app.core.database import Database
from app.core.errors import BadUserInput
from app.core.secrets import Secrets, SecretUnreadable
from app.core.settings import Settings
from app.notifications.models import Service
from app.notifications.sealed import open_service_address
from app.notifications.senders.web_push import shortened
from app.notifications.sending import NotDelivered, Outgoing
from app.notifications.service_addresses import service_of

LONGEST_TITLE = 200
LONGEST_BODY = 1_000
TOTAL_SECONDS = 20.0
THREADS = 8
# Else the retries of one service that hangs would take all of them.
THREADS_OF_OWNER = 3
TYPES: Mapping[Severity, NotifyType] = {
    Severity.INFO: NotifyType.INFO,
    Severity.WARNING: NotifyType.WARNING,
    Severity.CRITICAL: NotifyType.FAILURE,
}


class ServiceSender:
    """Sends to services. Whom it waits for too long it gives up, and the thread ends when the service lets it.

    The services of one person keep no more than `THREADS_OF_OWNER` threads busy.
    """

    def __init__(
        self, database: Database, secrets: Secrets, settings: Settings, *, total_seconds: float = TOTAL_SECONDS
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._settings = settings
        self._total_seconds = total_seconds
        self._free_threads = asyncio.Semaphore(THREADS)
        self._busy_threads: Counter[UUID] = Counter()

    async def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Tell one service of one notification; raises NotDelivered."""
        (one,) = outgoing
        address = await self._address(one)
        try:
            service = await asyncio.to_thread(service_of, address, self._settings)
        except BadUserInput:
            # Operators may take a service, or a host, from the list.
            raise NotDelivered("This server no longer tells services at such an address.", is_permanent=True) from None
        try:
            async with asyncio.timeout(self._total_seconds):
                was_taken = await self._in_thread(lambda: _tell(service, one), one.owner_id)
        except TimeoutError:
            raise NotDelivered("The service did not answer in time.") from None
        if not was_taken:
            # It tells nobody why, but its log, which holds secrets.
            raise NotDelivered("The service cannot be reached, or did not take it; look whether its address holds.")

    async def _address(self, one: Outgoing) -> str:
        statement = select(Service.id, Service.address).where(Service.id == one.destination_id, Service.is_enabled)
        async with self._database.transaction() as transaction:
            row = (await transaction.connection.execute(statement)).one_or_none()
        if row is None:
            raise NotDelivered("The service is gone or was disabled.", is_permanent=True)
        try:
            return open_service_address(self._secrets, row.id, row.address)
        except SecretUnreadable as unreadable:
            # The key may be put back.
            raise NotDelivered(f"The address cannot be read: {unreadable}.") from None

    async def _in_thread(self, work: Callable[[], bool], owner_id: UUID) -> bool:
        """What `work` gives; a thread that nobody waits for any longer counts as busy until it ends."""
        await self._free_threads.acquire()
        if self._busy_threads[owner_id] >= THREADS_OF_OWNER:
            self._free_threads.release()
            raise NotDelivered("What was sent to your services before has not ended yet.")
        self._busy_threads[owner_id] += 1
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[bool] = loop.create_future()

        def end(was_taken: bool) -> None:
            self._free_threads.release()
            self._busy_threads[owner_id] -= 1
            if not self._busy_threads[owner_id]:
                del self._busy_threads[owner_id]
            if not ended.done():
                ended.set_result(was_taken)

        def run() -> None:
            was_taken = False
            try:
                was_taken = work()
            except Exception:  # noqa: BLE001  # a hundred plugins; what they say may hold the address
                was_taken = False
            finally:
                # The loop may have ended meanwhile.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(end, was_taken)

        # A daemon, so that a service that never answers keeps no worker from ending.
        threading.Thread(target=run, name="service", daemon=True).start()
        return await ended


def _tell(service: NotifyBase, one: Outgoing) -> bool:
    told = Apprise(asset=service.asset)
    told.add(service)
    title, body = shortened(one.title, LONGEST_TITLE), shortened(one.body or "", LONGEST_BODY)
    # A message has a body, and the title is it where there is nothing else.
    return bool(
        told.notify(
            title=title if body else "",
            body=body or title,
            notify_type=TYPES[one.severity],
            body_format=NotifyFormat.TEXT,
        )
    )
