"""Asking a list of stolen passwords, over real sockets: what is sent, what is understood, and what is survived."""

import hashlib
import logging
import socket
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from pydantic import ValidationError

from app.core.outbound import outside_client
from app.core.settings import Settings
from app.identity.breached_passwords import BreachedPasswordRanges, BreachedPasswordsUnavailable
from tests.identity.breached_ranges import Mood, RangeServer, range_server

STOLEN = "correct horse battery staple"
NOT_STOLEN = "an unlikely tale of seven llamas"


@pytest.fixture
def server() -> Iterator[RangeServer]:
    """A list that knows one password."""
    with range_server() as state:
        state.stolen[STOLEN] = 217
        yield state


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """The client that production hands in."""
    async with outside_client() as client:
        yield client


async def test_a_stolen_password_is_found_with_its_count(server: RangeServer, client: httpx.AsyncClient) -> None:
    assert await BreachedPasswordRanges(server.url, client=client).count(STOLEN) == 217
    assert await BreachedPasswordRanges(server.url + "/", client=client).count(STOLEN) == 217


async def test_another_password_is_not_found(server: RangeServer, client: httpx.AsyncClient) -> None:
    assert await BreachedPasswordRanges(server.url, client=client).count(NOT_STOLEN) == 0


async def test_a_line_of_padding_counts_for_nothing(server: RangeServer, client: httpx.AsyncClient) -> None:
    server.stolen[NOT_STOLEN] = 0
    assert await BreachedPasswordRanges(server.url, client=client).count(NOT_STOLEN) == 0


async def test_five_digits_of_the_hash_are_sent_and_padding_is_asked_for(
    server: RangeServer, client: httpx.AsyncClient
) -> None:
    await BreachedPasswordRanges(server.url, client=client).count("pässwörd")
    assert server.paths == [f"/range/{hashlib.sha1('pässwörd'.encode()).hexdigest()[:5].upper()}"]
    assert server.paddings == ["true"]


@pytest.mark.parametrize("mood", [mood for mood in Mood if mood is not Mood.WELL])
async def test_a_list_that_misbehaves_is_unavailable(
    server: RangeServer, client: httpx.AsyncClient, mood: Mood
) -> None:
    server.mood = mood
    with pytest.raises(BreachedPasswordsUnavailable) as unavailable:
        await BreachedPasswordRanges(server.url, client=client, deadline_seconds=0.5).count(STOLEN)
    assert server.paths == server.paths[:1]
    digits = server.paths[0].removeprefix("/range/")
    assert digits not in unavailable.value.reason
    assert digits not in str(unavailable.value)


async def test_a_list_that_is_not_there_is_unavailable(client: httpx.AsyncClient) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/range"
        with pytest.raises(BreachedPasswordsUnavailable, match="cannot be reached"):
            await BreachedPasswordRanges(url, client=client).count(STOLEN)


async def test_the_digits_of_the_hash_are_in_no_log(
    server: RangeServer, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        await BreachedPasswordRanges(server.url, client=client).count(STOLEN)
    assert server.paths[0].removeprefix("/range/") not in caplog.text


def test_no_list_is_asked_unless_the_settings_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().breached_passwords_url is None
    monkeypatch.setenv("TROVE_BREACHED_PASSWORDS_URL", "https://passwords.example/range")
    assert Settings().breached_passwords_url == "https://passwords.example/range"
    monkeypatch.setenv("TROVE_BREACHED_PASSWORDS_URL", "passwords.example")
    with pytest.raises(ValidationError, match="must begin with https://"):
        Settings()
