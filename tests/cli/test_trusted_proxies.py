"""Whom `X-Forwarded-For` is believed of: shown by an API token that holds from one network alone."""

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

import httpx
import pytest

from app.cli.serving import peers_of
from app.core.database import Database
from app.core.settings import Settings
from app.identity.commands.api_tokens import create_api_token
from app.identity.scopes import Scope
from app.identity.viewer import Caller
from tests.cli.test_refusals import run
from tests.conftest import Server, running_api
from tests.graph.transports.sockets import opened
from tests.identity.builders import PARTNER_ID

OFFICE = "203.0.113.0/24"
FROM_OFFICE = "203.0.113.7"
FROM_ELSEWHERE = "198.51.100.9"
WHO = {"query": "{ viewer { username } }"}


@pytest.fixture
async def office_token(database: Database, partner: None) -> str:
    """A token of the partner that holds from the office alone."""
    async with database.transaction() as transaction:
        token = await create_api_token(
            transaction,
            caller=Caller(),
            user_id=PARTNER_ID,
            name="From the office",
            scopes=[Scope.ACCOUNT_READ],
            allowed_addresses=[OFFICE],
        )
    return token.text


@pytest.fixture(scope="module")
def behind_proxy(trove_settings: Settings) -> Iterator[Server]:
    """An API whose proxy is on this machine."""
    with running_api(trove_settings.model_copy(update={"trusted_proxies": ("127.0.0.1",)})) as server:
        yield server


def status_of(server: Server, token: str, *forwarded_for: str) -> int:
    """How a question with the token is answered, forwarded for these."""
    headers = [("Authorization", f"Bearer {token}"), *(("X-Forwarded-For", value) for value in forwarded_for)]
    return httpx.post(f"{server.url}/graphql", json=WHO, headers=headers).status_code


def test_a_trusted_proxy_says_where_a_request_comes_from(behind_proxy: Server, office_token: str) -> None:
    assert status_of(behind_proxy, office_token, FROM_OFFICE) == 200
    assert status_of(behind_proxy, office_token, FROM_ELSEWHERE) == 401
    assert status_of(behind_proxy, office_token) == 401


def test_a_forged_header_of_an_untrusted_peer_is_ignored(live_server: Server, office_token: str) -> None:
    assert status_of(live_server, office_token, FROM_OFFICE) == 401
    assert status_of(live_server, live_server.partner_token, FROM_OFFICE) == 200


def test_what_a_client_wrote_before_the_proxy_did_is_ignored(behind_proxy: Server, office_token: str) -> None:
    assert status_of(behind_proxy, office_token, f"{FROM_OFFICE}, {FROM_ELSEWHERE}") == 401
    assert status_of(behind_proxy, office_token, FROM_OFFICE, FROM_ELSEWHERE) == 401
    assert status_of(behind_proxy, office_token, f"{FROM_ELSEWHERE}, {FROM_OFFICE}") == 200


@pytest.mark.parametrize("nonsense", ["", "unknown", "203.0.113.7.evil", "[::1", "a" * 4000])
def test_nonsense_of_a_trusted_proxy_is_no_address_of_the_office(
    behind_proxy: Server, office_token: str, nonsense: str
) -> None:
    assert status_of(behind_proxy, office_token, nonsense) == 401
    assert status_of(behind_proxy, behind_proxy.partner_token, nonsense) == 200


async def test_a_socket_comes_from_where_the_trusted_proxy_says(behind_proxy: Server, office_token: str) -> None:
    async with opened(behind_proxy.websocket_url, headers={"X-Forwarded-For": FROM_OFFICE}) as socket:
        await socket.initialise(Authorization=f"Bearer {office_token}")
    async with opened(behind_proxy.websocket_url) as socket:
        await socket.send(type="connection_init", payload={"Authorization": f"Bearer {office_token}"})
        assert (await socket.closed())[0] == 4403


def test_a_proxy_is_known_by_its_address_in_both_families() -> None:
    networks = [ip_network(peer) for peer in peers_of(["10.0.0.0/8", "127.0.0.1", "fd00::/8"])]
    for peer in ("10.1.2.3", "::ffff:10.1.2.3", "127.0.0.1", "::ffff:127.0.0.1", "fd00::1"):
        assert any(ip_address(peer) in network for network in networks), peer
    for peer in ("11.1.2.3", "::ffff:11.1.2.3", "127.0.0.2", "fe80::1", "::10.1.2.3"):
        assert not any(ip_address(peer) in network for network in networks), peer


@pytest.mark.parametrize("proxies", ['["*"]', '["10.0.0.1/8"]', '["proxy.example"]', '[""]'])
def test_a_proxy_that_is_no_address_is_refused_at_the_start(proxies: str) -> None:
    code, said = run("api", TROVE_TRUSTED_PROXIES=proxies)
    assert code == 1
    assert "TROVE_TRUSTED_PROXIES: must hold addresses or networks" in said
