"""People who are told something, where they can be told it, and servers on loopback that it is sent to."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncEngine

from app.alerts.models import Severity
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import new_id
from app.core.mail import Postman, SmtpPostman
from app.core.mail_server import parse_sender
from app.core.settings import Settings
from app.notifications.commands.notify import NewNotification, notify
from app.notifications.models import Channel, Delivery, EventType, Notification, Preferences, Service, Webhook
from app.notifications.senders.email import EmailSender
from app.notifications.sending import NotDelivered, Outgoing
from tests.conftest import running
from tests.core.mail_builders import server_at
from tests.identity.builders import SECRETS, add_person
from workers.deliveries import route_all_notifications

SENDER = "Trove <no-reply@trove.example>"
PUBLIC_URL = "https://trove.example"


async def somebody(database: Database, *, address: str | None = "ada@example.com", **columns: Any) -> UUID:
    """A person, with a verified address unless there is none."""
    verified_at = None if address is None else utc_now()
    async with database.transaction() as transaction:
        return await add_person(
            transaction.connection, **{"email": address, "email_verified_at": verified_at} | columns
        )


async def webhook_of(database: Database, owner_id: UUID, *, url: str = "https://hook.example/", **columns: Any) -> UUID:
    """A webhook of somebody."""
    webhook_id = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Webhook).values(id=webhook_id, owner_id=owner_id, name="Hook", url=url, secret=b"sealed", **columns)
        )
    return webhook_id


async def service_of(database: Database, owner_id: UUID, *, kind: str = "ntfys") -> UUID:
    """Another service of somebody."""
    service_id = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Service).values(id=service_id, owner_id=owner_id, name="Phone", kind=kind, address=b"sealed")
        )
    return service_id


async def prefers(database: Database, owner_id: UUID, **columns: Any) -> None:
    """What somebody prefers from now on."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            upsert(Preferences)
            .values(owner_id=owner_id, **columns)
            .on_conflict_do_update(index_elements=[Preferences.owner_id], set_=columns)
        )


async def switched(owner: AsyncEngine, channel: str, *, is_enabled: bool) -> None:
    """A kind of channel that staff switched."""
    async with owner.begin() as connection:
        await connection.execute(
            upsert(Channel)
            .values(kind=channel, is_enabled=is_enabled)
            .on_conflict_do_update(index_elements=[Channel.kind], set_={"is_enabled": is_enabled})
        )


async def told(
    database: Database, owner_id: UUID, *titles: str, severity: Severity = Severity.WARNING, **more: Any
) -> None:
    """Tell somebody something, and decide where it goes."""
    await noted(database, owner_id, *titles, severity=severity, **more)
    await route_all_notifications(database)


async def noted(
    database: Database, owner_id: UUID, *titles: str, severity: Severity = Severity.WARNING, **more: Any
) -> None:
    """Tell somebody something in the app, and nobody has decided where else it goes."""
    said = [{"event_type": EventType.PRICE, "severity": severity, "title": title} | more for title in titles]
    async with database.transaction() as transaction:
        await notify(transaction, [NewNotification(owner_id=owner_id, key=str(new_id()), **one) for one in said])


async def deliveries(database: Database) -> Sequence[Any]:
    """All of them with the titles of what they tell, in the order in which it was told."""
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(
            select(*Delivery.__table__.columns, Notification.title)
            .join(Notification, Notification.id == Delivery.notification_id)
            .order_by(Notification.position, Delivery.channel)
        )
        return found.all()


async def notifications(database: Database) -> Sequence[Any]:
    """All of them."""
    async with database.transaction() as transaction:
        return (await transaction.connection.execute(select(*Notification.__table__.columns))).all()


async def changed(database: Database, **columns: Any) -> None:
    """Change all notifications."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Notification).values(columns))


async def moved_back(database: Database, ago: timedelta, *names: str) -> None:
    """Make all deliveries older: as if so much time had passed; by default until the next attempt alone."""
    async with database.transaction() as transaction:
        values = {name: getattr(Delivery, name) - ago for name in names or ("next_attempt_at",)}
        await transaction.connection.execute(update(Delivery).values(values))


def postman_at(port: int) -> Postman:
    """Hands mail to a server on loopback."""
    return SmtpPostman(server_at(port), parse_sender(SENDER))


def mails_by(database: Database, port: int) -> EmailSender:
    """Sends mails by a server on loopback."""
    return EmailSender(database, SECRETS, postman_at(port), public_url=PUBLIC_URL)


@dataclass
class Desk:
    """An HTTP server that takes what is posted; of hosts in `slow` it answers when `released`."""

    statuses: list[HTTPStatus] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    slow: set[str] = field(default_factory=set)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    open_by_host: dict[str, int] = field(default_factory=dict)
    most_by_host: dict[str, int] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and hang up."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        host = head.split("\r\nhost: ")[1].split("\r\n")[0]
        length = int(head.split("\r\ncontent-length: ")[1].split("\r\n")[0])
        body = (await reader.readexactly(length)).decode()
        self.open_by_host[host] = self.open_by_host.get(host, 0) + 1
        self.most_by_host[host] = max(self.most_by_host.get(host, 0), self.open_by_host[host])
        if host in self.slow:
            await self.released.wait()
        self.open_by_host[host] -= 1
        self.taken.append(body)
        status = self.statuses.pop(0) if self.statuses else HTTPStatus.NO_CONTENT
        writer.write(f"HTTP/1.1 {status.value} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


class PostingSender:
    """Posts the titles of what goes out to a server on loopback, by the host of its webhook."""

    def __init__(self, database: Database, port: int) -> None:
        self._database = database
        self._url = f"http://127.0.0.1:{port}/"

    async def send(self, outgoing: Sequence[Outgoing]) -> None:
        """Post one; raises NotDelivered."""
        (one,) = outgoing
        async with self._database.transaction() as transaction:
            url = await transaction.connection.scalar(select(Webhook.url).where(Webhook.id == one.destination_id))
        async with httpx.AsyncClient(timeout=60) as client:
            headers = {"Host": httpx.URL(url or self._url).host}
            answer = await client.post(self._url, content=one.title.encode(), headers=headers)
        if not answer.is_success:
            raise NotDelivered(f"It answered {answer.status_code}.", status=answer.status_code)


@asynccontextmanager
async def desk_server(desk: Desk) -> AsyncIterator[int]:
    """The desk as a server; gives its port."""
    server = await asyncio.start_server(desk.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@contextmanager
def worker_to_kill(settings: Settings) -> Iterator[Callable[[], None]]:
    """A worker process; gives what kills it."""
    with running(["worker"], settings) as process:

        def kill() -> None:
            process.kill()
            process.wait()

        yield kill
