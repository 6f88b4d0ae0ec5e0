"""A server that knows where browsers reach it, and people with browsers and mail."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from app.core.attempts import KEY_PREFIX
from app.core.database import Database
from app.core.settings import Settings
from tests.identity.sign_in.browsers import ADA, ADAS_PASSWORD, CONFIRM, SIGN_UP, Browser, Mails, token_in
from tests.identity.sign_in.serving import Site, serving

APP_ORIGIN = "https://app.example"


@pytest.fixture
async def _no_attempts(redis_url: str) -> None:
    redis = Redis.from_url(redis_url)
    keys = [key async for key in redis.scan_iter(f"{KEY_PREFIX}*")]
    if keys:
        await redis.delete(*keys)
    await redis.aclose()


@pytest.fixture
async def site(trove_settings: Settings, _emptied: None, _no_attempts: None) -> AsyncIterator[Site]:
    """A server that pages of one other origin may use; nobody has tried anything, and the tables are emptied after."""
    async with serving(trove_settings, allowed_origins=(APP_ORIGIN,)) as site:
        yield site


@dataclass(frozen=True, slots=True)
class Browsers:
    """Opens browsers; they are closed with the test."""

    site: Site
    stack: AsyncExitStack

    async def open(self, **headers: str) -> Browser:
        """Another browser, with its own cookies."""
        return await self.stack.enter_async_context(Browser(self.site.url, **headers))


@pytest.fixture
async def browsers(site: Site) -> AsyncIterator[Browsers]:
    """Opens browsers before the server."""
    async with AsyncExitStack() as stack:
        yield Browsers(site, stack)


@pytest.fixture
async def browser(browsers: Browsers) -> Browser:
    """The browser of who signs in."""
    return await browsers.open()


@pytest.fixture
def mails(database: Database) -> Mails:
    """The mails that go out."""
    return Mails(database)


async def signed_up(
    browser: Browser, mails: Mails, *, deliver: str = "BODY", email: str = ADA, username: str | None = None
) -> str:
    """An account by password for this browser's person, who is signed in by it; gives their refresh token."""
    username = username or email.partition("@")[0]
    payload = await browser.change(SIGN_UP, email=email, password=ADAS_PASSWORD, username=username)
    assert payload == {"userErrors": []}
    session = await browser.sign_in(CONFIRM, token=token_in(await mails.link()), deliver=deliver)
    return str(session["refreshToken"])
