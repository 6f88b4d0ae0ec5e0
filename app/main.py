"""The ASGI application: what belongs to the process, and the routes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import RedirectResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Lifespan, Receive, Scope, Send

from app.core.database import Database, DatabaseRole, create_engine
from app.core.errors import ServiceUnavailable
from app.core.events import EventBus
from app.core.jobs import JobQueue, connect_redis
from app.core.settings import Settings, current_settings
from app.core.telemetry import configure_logging
from app.doors.exports import routes as exports_routes
from app.doors.identity_providers import routes as identity_provider_routes
from app.doors.imports import routes as imports_routes
from app.doors.ingest import routes as ingest_routes
from app.doors.messages import routes as messages_routes
from app.doors.operations import routes as operations_routes
from app.doors.photos import routes as photos_routes
from app.doors.portfolio_exports import routes as portfolio_exports_routes
from app.doors.sign_in import routes as sign_in_routes
from app.doors.tiles import routes as tiles_routes
from app.doors.unsubscribing import routes as unsubscribing_routes
from app.graph.context import Resources
from app.graph.examples import graphiql_page
from app.graph.execution import Engine
from app.graph.feeds import Feeds
from app.graph.graphiql.page import routes as graphiql_routes
from app.graph.transports.http import PATH, graphql_endpoint
from app.graph.transports.http import routes as graphql_routes
from app.graph.transports.websocket import routes as websocket_routes
from app.identity.services import identity_services

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")


class Application(Starlette):
    """The application; what is asked of the graph goes straight to it, past the look through all other routes."""

    def __init__(self, settings: Settings, routes: Sequence[BaseRoute], lifespan: Lifespan[Starlette]) -> None:
        super().__init__(routes=routes, lifespan=lifespan, middleware=_guards(settings))
        # The guards of development come before everything, so there is no way past them.
        self._graph = None if self.user_middleware else graphql_endpoint(settings.allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, a socket, or the application's own lifetime."""
        if self._graph is None or scope["type"] != "http" or scope["path"] != PATH:
            await super().__call__(scope, receive, send)
            return
        scope["app"] = self
        await self._graph(scope, receive, send)


def create_application(settings: Settings | None = None) -> Starlette:
    """The API over these settings; by default those of the environment."""
    settings = settings or current_settings()
    routes = [
        *graphql_routes(settings.allowed_origins),
        *operations_routes(),
        *ingest_routes(),
        *messages_routes(),
        *photos_routes(settings.allowed_origins),
        *imports_routes(settings.allowed_origins),
        *sign_in_routes(),
        # After those whose addresses begin alike.
        *identity_provider_routes(),
        *exports_routes(),
        *portfolio_exports_routes(),
        *tiles_routes(settings.allowed_origins),
        *unsubscribing_routes(),
        *websocket_routes(),
    ]
    if settings.is_development:
        routes += graphiql_routes(graphiql_page(settings))
        routes.append(Route("/", lambda _: RedirectResponse("/graphiql"), methods=["GET"]))

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        database_url = settings.api_database_url or settings.database_url
        if database_url is None or settings.redis_url is None:
            raise ServiceUnavailable(
                "The API needs DATABASE_URL and REDIS_URL; `trove up` brings both, and so does compose.yaml."
            )
        redis = connect_redis(settings.redis_url)
        events = EventBus(redis)
        engine = create_engine(
            database_url, role=DatabaseRole.API, pool_size=settings.database_pool_size, application_name="trove-api"
        )
        database = Database(engine, jobs=JobQueue(redis), events=events)
        feeds = Feeds(database, events)
        identity = identity_services(settings, database, events)
        application.state.settings = settings
        application.state.redis = redis
        application.state.database = database
        application.state.identity = identity
        resources = Resources(database, settings, feeds, identity)
        application.state.storage = resources.storage
        application.state.engine = Engine(resources)
        await feeds.start()
        await identity.start()
        try:
            yield
        finally:
            await identity.stop()
            await feeds.stop()
            await database.close()
            await redis.aclose()

    return Application(settings, routes, lifespan)


def _guards(settings: Settings) -> list[Middleware]:
    """In development GraphiQL holds a token: names of this machine lead to it, and not every name that points here."""
    if not settings.is_development:
        return []
    trusted = (urlsplit(origin).hostname or "" for origin in settings.allowed_origins)
    allowed = {*LOOPBACK_NAMES, settings.host, *trusted} - {""}
    return [Middleware(TrustedHostMiddleware, allowed_hosts=sorted(allowed), www_redirect=False)]


def application() -> Starlette:
    """What uvicorn serves: `uvicorn --factory app.main:application`."""
    settings = current_settings()
    configure_logging(level=settings.log_level, readable=settings.is_development)
    return create_application(settings)
