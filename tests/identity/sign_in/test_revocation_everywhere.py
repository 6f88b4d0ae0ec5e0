"""What is ended in one process is ended in the other, on every transport, within seconds."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import timedelta

import httpx
import pytest
from starlette.applications import Starlette

from app.core.database import Database
from app.core.settings import Settings
from app.identity.services import IdentityServices
from tests.catalogue.builders import coin, saved
from tests.conftest import Server, running_api
from tests.graph.transports.sockets import opened, ready
from tests.identity.sign_in.browsers import REFRESH, SIGN_OUT, VIEWER, Browser, Mails, codes
from tests.identity.sign_in.conftest import signed_up
from tests.identity.sign_in.serving import Site, serving
from tests.identity.sign_in.test_sessions import until_refused

EVENTS = 'subscription { priceUpdates(slugs: ["aurum"]) { cursor } }'
WITHIN_SECONDS = 5.0
FORBIDDEN = 4403
ENDED = (FORBIDDEN, "Forbidden: the token has ended; come back with a fresh one")


@pytest.fixture(autouse=True)
async def _watched_item(database: Database) -> None:
    await saved(database, coin("aurum"))


@pytest.fixture
def other_process(site: Site) -> Iterator[Server]:
    """A second API, in a process of its own, with the same settings."""
    with running_api(site.settings) as server:
        yield server


async def test_a_session_that_ends_in_one_process_ends_on_every_transport_of_another(
    browser: Browser, mails: Mails, other_process: Server
) -> None:
    await signed_up(browser, mails)
    shared = f"Bearer {browser.token}"
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(Browser(other_process.url))
        there.token = browser.token
        assert (await there.ask(VIEWER))["username"] == "ada"
        socket = await stack.enter_async_context(ready(other_process.websocket_url, Authorization=shared))
        await socket.subscribe(EVENTS)
        events = await stack.enter_async_context(stream_of(there.http, shared))
        assert codes(await browser.ask(SIGN_OUT)) == []
        async with asyncio.timeout(WITHIN_SECONDS):
            lines = [line async for line in events.aiter_lines()]
            assert await socket.closed() == ENDED
            assert (await until_refused(there)).status_code == 401
        # It just ends: who is to come back must not take it for the end of the subscription.
        assert not any("complete" in line for line in lines)
        late = await stack.enter_async_context(opened(other_process.websocket_url))
        await late.send(type="connection_init", payload={"Authorization": shared})
        assert (await late.closed())[0] == FORBIDDEN


async def test_a_stolen_refresh_token_ends_the_access_tokens_of_its_family_in_another_process(
    browser: Browser, mails: Mails, other_process: Server
) -> None:
    first = await signed_up(browser, mails)
    async with Browser(other_process.url) as there:
        there.token = (await there.change(REFRESH, refreshToken=first))["session"]["accessToken"]
        assert (await there.ask(VIEWER))["username"] == "ada"
        browser.token = None
        assert codes(await browser.change(REFRESH, refreshToken=first)) == ["INVALID_TOKEN"]
        async with asyncio.timeout(WITHIN_SECONDS):
            assert (await until_refused(there)).status_code == 401


async def test_an_access_token_that_expires_ends_its_socket_and_its_stream(
    trove_settings: Settings, mails: Mails, site: Site
) -> None:
    def shorten(application: Starlette) -> None:
        identity: IdentityServices = application.state.identity
        identity.authentication._access_tokens_last = timedelta(seconds=2)

    async with serving(trove_settings, shorten) as brief, Browser(brief.url) as browser:
        await signed_up(browser, mails)
        authorization = f"Bearer {browser.token}"
        async with (
            ready(brief.websocket_url, Authorization=authorization) as socket,
            stream_of(browser.http, authorization) as events,
        ):
            assert await socket.closed() == ENDED
            async with asyncio.timeout(WITHIN_SECONDS):
                lines = [line async for line in events.aiter_lines()]
        assert not any("complete" in line for line in lines)
        assert (await browser.post(VIEWER)).status_code == 401


def stream_of(client: httpx.AsyncClient, authorization: str) -> AbstractAsyncContextManager[httpx.Response]:
    """An event stream of a subscription that has no events."""
    return client.stream(
        "POST",
        "/graphql",
        json={"query": EVENTS},
        headers={"Accept": "text/event-stream", "Authorization": authorization},
    )
