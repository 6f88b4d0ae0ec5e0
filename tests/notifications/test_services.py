"""Other services are told by Apprise, at addresses that lead nowhere but where operators let them."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest
from apprise.manager_plugins import NotificationManager

from app.core.database import Database
from app.core.errors import BadUserInput
from app.core.settings import NOTIFICATION_SERVICES, Settings
from app.notifications.commands.destinations import after_delivery, after_failure
from app.notifications.models import Service
from app.notifications.senders.service import ServiceProcess, ServiceSender
from app.notifications.sending import NotDelivered
from app.notifications.service_addresses import check_service_address
from tests.identity.builders import SECRETS
from tests.notifications.sender_builders import SILENCE, TOLD_AT, Listener, add_service, listening, rows
from tests.providers.builders import answer

TOKEN = "tk_verysecretverysecretverysecr"
TAKEN = answer(b'{"id": "xE73Iyuabi", "event": "message"}')


def allowing(settings: Settings, *hosts: str, services: tuple[str, ...] = NOTIFICATION_SERVICES) -> Settings:
    """Settings of an operator who lists these."""
    return settings.model_copy(update={"notification_hosts": hosts, "notification_services": services})


def host_of(listener: Listener) -> str:
    """Where it listens, as operators list it."""
    return f"127.0.0.1:{listener.port}"


def address_of(listener: Listener) -> str:
    """A topic of an ntfy that listens here, and the token that it asks for."""
    return f"ntfy://{TOKEN}@127.0.0.1:{listener.port}/my-alerts"


@asynccontextmanager
async def sending(database: Database, settings: Settings, *hosts: str, **how: float) -> AsyncIterator[ServiceSender]:
    """Who sends to services at these hosts."""
    process = ServiceProcess(allowing(settings, *hosts), **how)
    try:
        yield ServiceSender(database, SECRETS, process)
    finally:
        await process.close()


async def test_ntfy_is_told_as_its_protocol_says(database: Database, trove_settings: Settings) -> None:
    async with listening(TAKEN) as ntfy:
        one = await add_service(database, address_of(ntfy))
        async with sending(database, trove_settings, host_of(ntfy)) as sender:
            await sender.send([one])
        (taken,) = ntfy.taken
    # https://docs.ntfy.sh/publish/#publish-as-json
    assert taken.path == "/"
    assert taken.headers["authorization"] == f"Bearer {TOKEN}"
    assert taken.json == {
        "topic": "my-alerts",
        "title": "Charizard is above 400 EUR",
        "message": "It was 380 EUR & <b>less</b>.",
    }
    assert "x-icon" not in taken.headers
    async with database.transaction() as transaction:
        await after_delivery(transaction, one, now=TOLD_AT)
    (row,) = await rows(database, Service)
    assert row.last_delivered_at == TOLD_AT


@pytest.mark.parametrize(
    "said",
    [
        answer(b'{"code": 40301, "http": 403, "error": "forbidden"}', status="403 Forbidden"),
        answer(status="500 Oh No"),
        b"220 mail.test ESMTP\r\n",
        b"",
    ],
)
async def test_what_is_not_taken_is_tried_again_and_tells_no_secret(
    database: Database, trove_settings: Settings, log: io.StringIO, said: bytes
) -> None:
    async with listening(said) as ntfy:
        one = await add_service(database, address_of(ntfy))
        async with sending(database, trove_settings, host_of(ntfy)) as sender:
            with pytest.raises(NotDelivered) as failed:
                await sender.send([one])
        assert len(ntfy.taken) == 1
    assert not failed.value.is_permanent
    for told in (str(failed.value), log.getvalue()):
        assert TOKEN not in told
        assert "my-alerts" not in told
    async with database.transaction() as transaction:
        await after_failure(transaction, one, failed.value, now=TOLD_AT)
    (row,) = await rows(database, Service)
    assert (row.is_enabled, row.last_delivered_at) == (True, None)


async def test_a_redirect_is_not_followed(database: Database, trove_settings: Settings) -> None:
    async with listening(TAKEN) as elsewhere:
        moved = answer(status="307 Moved", headers=f"Location: {elsewhere.url('127.0.0.1')}\r\n")
        async with listening(moved) as ntfy:
            one = await add_service(database, address_of(ntfy))
            async with sending(database, trove_settings, host_of(ntfy)) as sender:
                with pytest.raises(NotDelivered):
                    await sender.send([one])
            assert len(ntfy.taken) == 1
        assert elsewhere.taken == []


@dataclass(slots=True)
class Endless:
    """A server that answers for ever, some bytes after the other, until its caller hangs up."""

    begins: bytes
    goes_on: bytes
    pause_seconds: float
    hung_up: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer."""
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            writer.write(self.begins)
            while True:
                writer.write(self.goes_on)
                await writer.drain()
                await asyncio.sleep(self.pause_seconds)
        self.hung_up += 1
        writer.close()


@asynccontextmanager
async def answering_for_ever(endless: Endless) -> AsyncIterator[int]:
    """It as a server; gives its port."""
    server = await asyncio.start_server(endless.serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


OK = b"HTTP/1.1 200 OK\r\n"
DRIPPING = {
    "never a head": (OK + b"X: ", b"x"),
    "never a body": (OK + b"Content-Length: 1000000000\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("how", DRIPPING)
async def test_a_service_whose_answer_drips_is_hung_up_on_in_time(
    database: Database, trove_settings: Settings, how: str
) -> None:
    endless = Endless(*DRIPPING[how], pause_seconds=0.05)
    async with answering_for_ever(endless) as port, listening(TAKEN) as ntfy:
        hosts = (f"127.0.0.1:{port}", host_of(ntfy))
        slow = await add_service(database, f"ntfy://127.0.0.1:{port}/my-alerts")
        async with sending(database, trove_settings, *hosts, total_seconds=2) as sender:
            failures = await asyncio.gather(*(sender.send([slow]) for _ in range(8)), return_exceptions=True)
            assert [str(failure) for failure in failures] == ["The service did not answer in time."] * 8
            async with asyncio.timeout(5):
                while endless.hung_up < 8:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            await sender.send([await add_service(database, address_of(ntfy))])
        assert len(ntfy.taken) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels do not bound the memory of a process")
async def test_a_service_that_answers_without_end_takes_no_more_memory_than_its_process_may(
    database: Database, trove_settings: Settings
) -> None:
    endless = Endless(OK + b"\r\n", b"x" * 1_000_000, pause_seconds=0)
    async with answering_for_ever(endless) as port:
        one = await add_service(database, f"ntfy://127.0.0.1:{port}/my-alerts")
        async with sending(database, trove_settings, f"127.0.0.1:{port}", total_seconds=120) as sender:
            with pytest.raises(NotDelivered, match="did not take it"):
                await sender.send([one])


async def test_ten_megabytes_of_an_answer_are_no_failure(database: Database, trove_settings: Settings) -> None:
    said = answer(b'{"id": "' + b"x" * 10_000_000 + b'"}')
    async with listening(said) as ntfy, sending(database, trove_settings, host_of(ntfy)) as sender:
        await sender.send([await add_service(database, address_of(ntfy))])


async def test_a_process_that_was_killed_is_started_again(database: Database, trove_settings: Settings) -> None:
    async with listening(SILENCE, TAKEN) as ntfy:
        one = await add_service(database, address_of(ntfy))
        async with sending(database, trove_settings, host_of(ntfy)) as sender:
            sent = asyncio.create_task(sender.send([one]))
            async with asyncio.timeout(60):
                while not ntfy.taken:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            running = sender._process._running
            assert running is not None
            running.process.kill()
            for writer in ntfy.kept:
                writer.close()
            with pytest.raises(NotDelivered):
                await sent
            # What is told while it ends fails, too, and is told again later.
            await running.process.wait()
            await sender.send([one])
        assert len(ntfy.taken) == 2


async def test_a_service_that_operators_no_longer_list_is_told_no_more(
    database: Database, trove_settings: Settings
) -> None:
    async with listening(TAKEN) as ntfy:
        one = await add_service(database, address_of(ntfy))
        async with sending(database, trove_settings) as sender:
            with pytest.raises(NotDelivered) as failed:
                await sender.send([one])
        assert ntfy.taken == []
    assert failed.value.is_permanent


EXAMPLES = {
    "bulksms": "bulksms://tokenid:tokensecret@+15551234567",
    "clicksend": "clicksend://user:key@15551234567",
    "discord": "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
    "gchat": "gchat://workspace/webhookkey/webhooktoken",
    "ifttt": "ifttt://webhookid/event",
    "join": "join://abcdefghijklmnopqrstuvwxyz012345/group.all",
    "line": "line://longtoken/U1234567890abcdef1234567890abcdef",
    "ntfy": "ntfy://my-alerts",
    "ntfys": f"ntfys://{TOKEN}@ntfy.sh/my-alerts",
    "opsgenie": "opsgenie://a3f5c6d7-1234-1234-1234-123456789012",
    "pagerduty": "pagerduty://integrationkey@apikey",
    "pbul": "pbul://o.gn5kj6nfhv736I7jC3cj3QLRiyhgl98b",
    "pover": "pover://udA9bjkasdfkjhsdkjfhsdkjfhsdkj@aTokenAbcdefghijklmnopqrstuvwx?priority=high&sound=siren",
    "prowl": "prowl://1234567890123456789012345678901234567890",
    "seven": "seven://apikey/15551234567",
    "signl4": "signl4://secret",
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#general",
    "tgram": "tgram://123456789:AAE-abcdefghij_klmnopqrstuvwxyz12345/12345678?silent=yes",
    "threema": "threema://*THEGWID@secret/4150001234",
    "twilio": "twilio://AC735c307c62944b5a735c307c62944b5a:e29dfbcebf390dee9e29dfbcebf390de@15551234567/15557654321",
    "vonage": "vonage://12345678:abcdefghijklmnop@15551234567/15557654321",
    "wxteams": "wxteams://ZDBjMTcwOWUtNjVjYS00OGQ3LWJjYTQtOWNhYTEwMDI0OTBjZDBjMTcwOWUtNjVjYS00OGQ3LWJ",
}


def test_each_service_of_the_defaults_has_an_address_that_is_taken(trove_settings: Settings) -> None:
    assert tuple(sorted(EXAMPLES)) == NOTIFICATION_SERVICES
    for kind, address in EXAMPLES.items():
        assert check_service_address(address, trove_settings) == kind


def test_no_service_of_the_defaults_but_ntfy_lets_its_address_name_a_host() -> None:
    plugins = NotificationManager()  # type: ignore[no-untyped-call]  # Apprise leaves it untyped
    with_host = [
        kind for kind in NOTIFICATION_SERVICES if any("{host}" in str(template) for template in plugins[kind].templates)
    ]
    assert with_host == ["ntfy", "ntfys"]


@pytest.mark.parametrize(
    "address",
    [
        "",
        "my phone",
        "discord",
        "discord://",
        "discord://4174216298",
        "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js",
        "http://127.0.0.1/",
        "json://10.0.0.1/",
        "xml://10.0.0.1/",
        "form://10.0.0.1/",
        "apprise://10.0.0.1/key",
        "gotify://10.0.0.1/token",
        "mailto://user:password@example.com",
        "file:///etc/passwd",
        "config:///etc/passwd",
        "memory://",
        "syslog://",
        "dbus://",
        "gnome://",
        "windows://",
        "macosx://",
        "ntfy://127.0.0.1/topic",
        "ntfy://localhost:8080/topic",
        "ntfys://10.0.0.1/topic",
        "ntfys://ntfy.sh.evil.example/topic",
        "ntfys://ntfy.sh@10.0.0.1/topic",
        "ntfys://ntfy.sh:8443/topic",
        "ntfy://ntfy.sh/topic",
        "ntfys://ntfy.sh/one/two",
        "ntfys://169.254.169.254/latest",
        "ntfy://[::1]/topic",
        "ntfys://my-alerts\x7f",
        "ntfys://user:pass word@my-alerts",
        "ntfys://my-alerts?verify=no",
        "ntfys://my-alerts?redirect=yes",
        "ntfys://my-alerts?attach=http://10.0.0.1/x",
        "ntfys://my-alerts?click=javascript:alert(1)",
        "ntfys://my-alerts?mode=private",
        "ntfys://my-alerts?email=somebody@example.com",
        "ntfys://my-alerts?rto=1000000",
        "ntfys://my-alerts?schema=json",
        "ntfys://my-alerts?+X-Header=1",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?template=/etc/passwd",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?:key=value",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#one/#two",
        "tgram://123456789:AAE-abcdefghij_klmnopqrstuvwxyz12345/1?\nverify=no",
        "tgram://123456789:AAE-abcdefghij_klmnopqrstuvwxyz12345/ü",
        "ntfys://" + "x" * 2_000,
    ],
)
def test_another_address_is_refused_without_telling_it(
    trove_settings: Settings, log: io.StringIO, address: str
) -> None:
    with pytest.raises(BadUserInput) as refused:
        check_service_address(address, trove_settings)
    assert refused.value.argument == "address"
    assert log.getvalue() == ""


def test_operators_list_services_and_hosts(trove_settings: Settings) -> None:
    mine = allowing(trove_settings, "ntfy.example", "gotify.example:8443", services=("gotifys", "ntfys"))
    assert check_service_address("ntfys://ntfy.example/topic", mine) == "ntfys"
    assert check_service_address("gotifys://Gotify.Example:8443/abcdefghijklmno", mine) == "gotifys"
    for address in (
        "ntfys://ntfy.example:8443/topic",
        "gotifys://gotify.example/abcdefghijklmno",
        "ntfy://ntfy.example/topic",
        EXAMPLES["discord"],
    ):
        with pytest.raises(BadUserInput):
            check_service_address(address, mine)
