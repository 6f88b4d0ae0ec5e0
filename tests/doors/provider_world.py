"""A Trove server with three identity providers on loopback, and browsers that walk between them with their cookies."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import UUID

import httpx
import orjson
import uvicorn
from sqlalchemy import select, update
from starlette.applications import Starlette

from app.core.cookies import BROWSER, REFRESH_TOKEN
from app.core.database import Database
from app.core.events import EventBus
from app.core.jobs import connect_redis
from app.core.provider_settings import read_provider_settings
from app.core.secrets import place_of
from app.core.settings import Settings
from app.doors.identity_providers import routes as identity_provider_routes
from app.graph.context import Resources
from app.graph.execution import Engine
from app.graph.feeds import Feeds
from app.graph.transports import http
from app.identity.arrivals import Arrivals
from app.identity.commands.sessions import OpenSession, SignInMethod, begin_session
from app.identity.identity_providers.steam import Steam
from app.identity.models import AuditEntry, Challenge, OutgoingMail, RefreshToken, Session
from app.identity.services import IdentityServices, identity_services
from app.identity.tokens import hash_of_token
from app.identity.viewer import Caller
from tests.identity.builders import SECRETS, add_person
from tests.identity.fake_github import FakeGithub, running_github
from tests.identity.fake_openid_provider import FakeOpenIdProvider, running_openid_provider
from tests.identity.fake_steam import FakeSteam, running_steam
from tests.prompt_server import PromptServer

APP = "https://app.example"
BACK = f"{APP}/welcome"
MOST_STEPS = 10


@dataclass(slots=True)
class Browser:
    """A real HTTP client with a jar of cookies, that stops before it would leave this machine."""

    client: httpx.AsyncClient
    url: str
    seen: list[str] = field(default_factory=list)

    async def go(self, url: str) -> httpx.Response:
        """Ask for one address, and keep what it sets."""
        response = await self.client.get(url)
        self.seen += [value for _, value in parse_qsl(urlsplit(url).query)]
        self.seen += [cookie.value for cookie in self.client.cookies.jar if cookie.value]
        return response

    async def walk(self, url: str, *, until: str | None = None) -> str:
        """Follow redirects; gives the address that leads away from this machine, or begins with `until`."""
        for _ in range(MOST_STEPS):
            if urlsplit(url).hostname != "127.0.0.1" or (until is not None and url.startswith(until)):
                self.seen += [value for _, value in parse_qsl(urlsplit(url).query)]
                return url
            response = await self.go(url)
            assert response.is_redirect, response.text
            url = response.headers["Location"]
        raise AssertionError("the redirects do not end")

    async def walk_to_callback(self, provider: str, *, return_to: str | None = BACK) -> str:
        """Go to a provider, and stop with the address that it sends the browser back to."""
        return await self.walk(self.departure(provider, return_to=return_to), until=self.callback(provider))

    async def sign_in(self, provider: str, *, return_to: str | None = BACK) -> str:
        """The whole way; gives where it ends."""
        return await self.walk(self.departure(provider, return_to=return_to))

    def departure(self, provider: str, *, return_to: str | None = BACK) -> str:
        """Where a sign-in begins."""
        query = "" if return_to is None else f"?{urlencode({'returnTo': return_to})}"
        return f"{self.url}/auth/{provider}{query}"

    def callback(self, provider: str) -> str:
        """Where a provider sends browsers back to."""
        return f"{self.url}/auth/{provider}/callback"

    @property
    def refresh_token(self) -> str | None:
        """The cookie of the session."""
        return self.client.cookies.get(REFRESH_TOKEN)

    @property
    def token(self) -> str | None:
        """The cookie that attempts are bound to."""
        return self.client.cookies.get(BROWSER)

    async def ask(self, query: str, session: str | None = None, **variables: object) -> dict[str, Any]:
        """The answer of the graph to somebody with this access token, or to anybody."""
        headers = {} if session is None else {"Authorization": f"Bearer {session}"}
        response = await self.client.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, headers=headers
        )
        answer: dict[str, Any] = response.json()
        return answer


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody who is signed in by an access token."""

    user_id: UUID
    session_id: UUID
    access_token: str = field(repr=False)


@dataclass(slots=True)
class World:
    """The server, its providers, its database, and the browsers that came to it."""

    url: str
    database: Database
    identity: IdentityServices
    openid: FakeOpenIdProvider
    github: FakeGithub
    steam: FakeSteam
    browsers: list[Browser] = field(default_factory=list)

    @property
    def secrets(self) -> list[str]:
        """What must never stand in a log."""
        seen = [value for browser in self.browsers for value in browser.seen]
        return [*self.openid.secrets, *self.github.secrets, *(value for value in seen if len(value) >= 20)]

    def browser(self) -> Browser:
        """A browser that was never here."""
        browser = Browser(httpx.AsyncClient(follow_redirects=False), self.url)
        self.browsers.append(browser)
        return browser

    async def rows(self, table: Any, *, by: Any = None) -> list[Mapping[str, Any]]:
        """All rows of a table, in the order of their ids."""
        async with self.database.transaction() as transaction:
            found = await transaction.connection.execute(select(*table.__table__.columns).order_by(by or table.id))
            return [dict(row._mapping) for row in found]

    async def audit(self) -> list[tuple[str, UUID | None, str | None]]:
        """What was done: the action, to whom, and why it was refused."""
        return [
            (row["action"], row["subject_id"], (row["after"] or {}).get("reason"))
            for row in await self.rows(AuditEntry)
        ]

    async def refusals(self) -> list[str | None]:
        """Why sign-ins were refused."""
        return [reason for action, _, reason in await self.audit() if action == "sign_in_refused"]

    async def signed_in(self, browser: Browser) -> UUID | None:
        """Whose session the cookie of the browser is."""
        if browser.refresh_token is None:
            return None
        async with self.database.transaction() as transaction:
            found = await transaction.connection.execute(
                select(Session.user_id)
                .join(RefreshToken, RefreshToken.session_id == Session.id)
                .where(
                    RefreshToken.token_hash == hash_of_token(browser.refresh_token),
                    RefreshToken.used_at.is_(None),
                    Session.ended_at.is_(None),
                )
            )
            return found.scalar_one_or_none()

    async def person(self, **columns: Any) -> UUID:
        """Somebody who is here already."""
        async with self.database.transaction() as transaction:
            return await add_person(transaction.connection, **columns)

    async def session_of(self, user_id: UUID) -> SignedIn:
        """Sign somebody in."""
        async with self.database.transaction() as transaction:
            session: OpenSession = await begin_session(
                transaction, user_id=user_id, method=SignInMethod.PASSWORD, caller=Caller()
            )
        return SignedIn(user_id, session.id, (await self.identity.authentication.access_token(session)).text)

    async def change(self, table: Any, **values: object) -> None:
        """Set columns of every row of a table."""
        async with self.database.transaction() as transaction:
            await transaction.connection.execute(update(table).values(**values))

    async def change_kept(self, **values: str) -> None:
        """Change what is kept for the only attempt that is open."""
        (challenge,) = [row for row in await self.rows(Challenge) if row["content"] is not None]
        place = place_of(Challenge.content, challenge["id"])
        content = orjson.loads(SECRETS.decrypt(challenge["content"], place))
        assert content["kept"].keys() >= values.keys()
        content["kept"] |= values
        await self.change(Challenge, content=SECRETS.encrypt(orjson.dumps(content), place))

    async def mails(self) -> list[Mapping[str, str]]:
        """The mails that wait to be sent."""
        return [
            orjson.loads(SECRETS.decrypt(row["content"], place_of(OutgoingMail.content, row["id"])))
            for row in await self.rows(OutgoingMail)
        ]


@asynccontextmanager
async def open_world(
    database: Database, api_database: Database, settings: Settings, **changes: object
) -> AsyncIterator[World]:
    """The world, until the block ends; `changes` are of the settings."""
    with ExitStack() as fakes, socket.socket() as listener:
        openid = fakes.enter_context(running_openid_provider())
        github = fakes.enter_context(running_github())
        steam = fakes.enter_context(running_steam())
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = settings.model_copy(
            update={
                "public_url": url,
                "allowed_origins": (APP,),
                "environment": "production",
                "identity_providers": read_provider_settings(
                    [openid.entry, github.entry, {"code": "steam", "kind": "steam"}]
                ),
            }
            | changes
        )
        assert settings.redis_url is not None
        redis = connect_redis(settings.redis_url)
        await _forget_tries(redis)
        events = EventBus(redis)
        identity = _with_steam(identity_services(settings, api_database, events), api_database, settings, steam)
        application = Starlette(routes=[*http.routes(settings.allowed_origins), *identity_provider_routes()])
        application.state.settings = settings
        application.state.identity = identity
        application.state.engine = Engine(Resources(api_database, settings, Feeds(api_database, events), identity))
        await identity.start()
        world = World(url, database, identity, openid, github, steam)
        try:
            async with _serving(application, listener):
                yield world
        finally:
            for browser in world.browsers:
                await browser.client.aclose()
            await identity.stop()
            await redis.aclose()


def _with_steam(
    identity: IdentityServices, database: Database, settings: Settings, steam: FakeSteam
) -> IdentityServices:
    # The settings name no endpoint for Steam, since there is only one.
    providers = {**identity.providers, "steam": Steam(steam.settings, endpoint=steam.endpoint)}
    arrivals = Arrivals(
        database, identity.secrets, identity.attempts, providers, public_url=settings.public_url, sends_mail=True
    )
    return replace(identity, providers=providers, arrivals=arrivals, sends_mail=True)


async def _forget_tries(redis: Any) -> None:
    keys: Iterable[bytes] = await redis.keys("trove:attempts*")
    for key in keys:
        await redis.delete(key)


@asynccontextmanager
async def _serving(application: Starlette, listener: socket.socket) -> AsyncIterator[None]:
    server = PromptServer(
        uvicorn.Config(
            application, ws="none", lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=3
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
    try:
        yield
    finally:
        server.should_exit = True
        await serving


async def open_challenges(world: World) -> int:
    """How many attempts are open."""
    return len([row for row in await world.rows(Challenge) if row["used_at"] is None])


def with_parameter(url: str, name: str, value: str | None) -> str:
    """The address with another value of a parameter, or without it."""
    base, _, query = url.partition("?")
    pairs = [(key, old) for key, old in parse_qsl(query, keep_blank_values=True) if key != name]
    return f"{base}?{urlencode([*pairs, (name, value)] if value is not None else pairs)}"


def parameter(url: str, name: str) -> str:
    """The value of a parameter."""
    return dict(parse_qsl(urlsplit(url).query))[name]
