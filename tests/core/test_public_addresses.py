"""URLs that people give lead to the public network alone, whatever their names come to mean."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.core.outbound import OutsideFailure, OutsideServiceFailed, client_for_given_urls, client_options, fetch
from app.core.public_addresses import LOOK_UPS_AT_ONCE, Address, PublicAddresses, is_public, resolve
from tests.core.mail_builders import throw_away_certificate
from tests.providers.builders import answer, open_shop

LOOPBACK, ELSEWHERE = ip_address("127.0.0.1"), ip_address("127.0.0.2")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.127.255.255",
        "192.0.0.8",
        "192.0.0.9",
        "192.0.0.170",
        "192.0.2.1",
        "192.88.99.1",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "233.252.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fd12:3456::1",
        "fec0::1",
        "feff::1",
        "ff02::1",
        "ff0e::1",
        "100::1",
        "100:0:0:1::1",
        "4000::1",
        "5f00::1",
        "2001:db8::1",
        "3fff::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::7f00:1",
        "64:ff9b:1::808:808",
        "::8.8.8.8",
        "::ffff:0:10.0.0.1",
        "::ffff:192.0.0.170",
        "64:ff9b::c0a8:101",
        "64:ff9b::e000:1",
        "2002:808:808::1",
        "2001:0:0:0:0:0:80ff:fffe",
        "2001:0:808:808::f7f7:f7f7",
    ],
)
def test_what_is_private_is_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "100.63.255.255",
        "100.128.0.1",
        "192.0.1.1",
        "198.20.0.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_what_is_public_is(address: str) -> None:
    assert is_public(ip_address(address))


async def failure_of(client: httpx.AsyncClient, url: str) -> OutsideFailure:
    """How asking fails."""
    with pytest.raises(OutsideServiceFailed) as failed:
        await fetch(client, "GET", url)
    return failed.value.failure


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "127.1"]
)
async def test_a_url_to_this_machine_is_refused_however_it_is_written(host: str) -> None:
    async with open_shop() as shop, client_for_given_urls() as client:
        assert await failure_of(client, f"http://{host}:{shop.port}/") is OutsideFailure.PRIVATE
        assert shop.asked == []


class Names:
    """Answers for a name, one after the other, and how often each was asked for."""

    def __init__(self, *answers: Sequence[Address]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """The next answer."""
        self.asked.append((host, port))
        return self.answers.pop(0)


def calling_itself_public(names: Names) -> PublicAddresses:
    """Takes 127.0.0.1 for a public address, for there is no other to be reached here."""
    return PublicAddresses(names.resolve, lambda address: address == LOOPBACK)


async def test_a_name_is_asked_for_once_and_called_at_the_address_that_was_looked_at() -> None:
    # Asked a second time, the name would lead elsewhere.
    names = Names([LOOPBACK], [ELSEWHERE])
    async with (
        open_shop(answer(b"[1]")) as shop,
        client_for_given_urls(addresses=calling_itself_public(names)) as client,
    ):
        got = await fetch(client, "GET", f"http://pictures.test:{shop.port}/a?b=c")
        assert got.json() == [1]
        assert names.asked == [("pictures.test", shop.port)]
        assert f"\r\nHost: pictures.test:{shop.port}\r\n".encode() in shop.asked[0]
        # And for the next request it is looked at anew: a connection that is there already must not save it.
        assert await failure_of(client, f"http://pictures.test:{shop.port}/") is OutsideFailure.PRIVATE
        assert len(shop.asked) == 1


async def test_a_name_with_other_letters_is_looked_up_as_it_was_given() -> None:
    # In its own letters some systems take it for `fass.test`, which is somebody else's.
    name = "xn--fa-hia.test"
    names = Names([LOOPBACK])
    async with open_shop() as shop, client_for_given_urls(addresses=calling_itself_public(names)) as client:
        await fetch(client, "GET", f"http://{name}:{shop.port}/")
        assert names.asked == [(name, shop.port)]
        assert f"\r\nHost: {name}:{shop.port}\r\n".encode() in shop.asked[0]


async def test_one_private_address_among_others_is_enough_to_refuse() -> None:
    for found in ([LOOPBACK, ELSEWHERE], [ELSEWHERE, LOOPBACK], []):
        names = Names(found)
        async with open_shop() as shop, client_for_given_urls(addresses=calling_itself_public(names)) as client:
            assert await failure_of(client, f"http://pictures.test:{shop.port}/") is OutsideFailure.PRIVATE
            assert shop.asked == []


async def test_an_address_where_nobody_listens_is_passed_over() -> None:
    names = Names([ELSEWHERE, LOOPBACK])
    addresses = PublicAddresses(names.resolve, lambda _: True)
    async with open_shop() as shop, client_for_given_urls(addresses=addresses) as client:
        assert (await fetch(client, "GET", f"http://pictures.test:{shop.port}/")).status_code == 200


async def test_a_redirect_to_a_private_address_is_not_followed() -> None:
    names = Names([LOOPBACK])
    async with open_shop() as private:
        moved = answer(status="302 Found", headers=f"Location: http://127.0.0.1:{private.port}/\r\n")
        async with open_shop(moved) as shop, client_for_given_urls(addresses=calling_itself_public(names)) as client:
            assert await failure_of(client, f"http://pictures.test:{shop.port}/") is OutsideFailure.REFUSED
        assert private.asked == []


async def test_a_name_that_nobody_has_cannot_be_reached() -> None:
    async def nobody(_host: str, _port: int) -> Sequence[Address]:
        raise OSError

    async with client_for_given_urls(addresses=PublicAddresses(nobody)) as client:
        assert await failure_of(client, "http://pictures.test/") is OutsideFailure.UNREACHABLE


async def test_the_system_is_asked_for_names() -> None:
    assert LOOPBACK in await resolve("127.0.0.1", 80)
    assert all(address.is_loopback for address in await resolve("localhost", 80))


async def test_a_certificate_is_of_the_name_and_not_of_the_address(tmp_path: Path) -> None:
    of_server, of_client = throw_away_certificate(tmp_path)
    asked_for: list[str | None] = []

    def note(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        asked_for.append(name)

    of_server.sni_callback = note
    async with open_shop(tls=of_server) as shop:
        names = Names([LOOPBACK])
        options = client_options(tls_context=of_client, addresses=calling_itself_public(names))
        async with httpx.AsyncClient(**options) as client:
            # The certificate is of 127.0.0.1 alone.
            assert await failure_of(client, f"https://pictures.test:{shop.port}/") is OutsideFailure.UNREACHABLE
            assert asked_for == ["pictures.test"]
            assert (await fetch(client, "GET", f"https://127.0.0.1:{shop.port}/")).status_code == 200


async def test_no_connection_of_one_name_serves_another_at_the_same_address(tmp_path: Path) -> None:
    of_server, of_client = throw_away_certificate(tmp_path)
    kept = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    async def answer_again_and_again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(kept)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer_again_and_again, "127.0.0.1", 0, ssl=of_server)
    port = server.sockets[0].getsockname()[1]
    options = client_options(tls_context=of_client, addresses=calling_itself_public(Names([LOOPBACK])))
    async with server, httpx.AsyncClient(**options) as client:
        assert (await fetch(client, "GET", f"https://127.0.0.1:{port}/")).status_code == 200
        # The certificate is of 127.0.0.1 alone, whoever has looked at it before.
        assert await failure_of(client, f"https://pictures.test:{port}/") is OutsideFailure.UNREACHABLE


async def test_names_that_nobody_answers_for_keep_nothing_else_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    released, look_up = threading.Event(), socket.getaddrinfo

    def slow(host: str, *more: Any, **how: Any) -> Any:
        if host == "slow.example":
            released.wait()
            raise OSError
        return look_up(host, *more, **how)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    waiting = [asyncio.create_task(resolve("slow.example", 443)) for _ in range(LOOK_UPS_AT_ONCE - 1)]
    try:
        async with asyncio.timeout(10):
            assert LOOPBACK in await resolve("localhost", 443)
            assert await asyncio.to_thread(lambda: "done") == "done"
    finally:
        released.set()
        assert all(isinstance(failed, OSError) for failed in await asyncio.gather(*waiting, return_exceptions=True))
