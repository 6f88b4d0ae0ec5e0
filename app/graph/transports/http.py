"""GraphQL over HTTP, by its specification; event streams where they are accepted."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

import orjson
import structlog
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.cookies import Cookies, read_cookies
from app.core.errors import BadUserInput, ErrorCode, Forbidden, NotSignedIn, Refusal, ServiceUnavailable
from app.graph.errors import refusal_error, show_errors
from app.graph.execution import Engine, Operation, Request, RequestRefused
from app.graph.graphiql.page import redirect_browser
from app.graph.transports.answers import Answer, answers_of
from app.graph.transports.callers import REQUEST_ID, is_welcome_page, request_id
from app.graph.transports.connections import connections_of
from app.graph.transports.hang_up import HungUp, Presence, PresentUntilHangUp
from app.graph.transports.media_types import MediaType, negotiate, parse_media_type
from app.graph.transports.pace import PACE, Pace
from app.graph.transports.parameters import parse_json, request_from, request_from_url
from app.graph.transports.sse import EventStream
from app.identity.viewer import Caller, ClientInfo

PATH = "/graphql"
METHODS = ("GET", "POST")
LARGEST_BODY = 2 * 1024 * 1024
# A page of another origin can send none of these without asking by a preflight first.
PREFLIGHTED_HEADERS = (
    "trove-require-preflight",
    "apollo-require-preflight",
    "x-apollo-operation-name",
    "x-requested-with",
    "authorization",
)
SIMPLE_CONTENT_TYPES = ("", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
GUARDS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"), (b"vary", b"Accept"))
# The status of a response without data, where the media type lets the status tell; 400 for every other code.
STATUSES = {
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.INTERNAL_SERVER_ERROR: 500,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
    ErrorCode.TIMEOUT: 504,
}


# Forces plain resolvers, in development.
EXECUTION = "trove-execution"
HEADERS = {
    name.encode(): name
    for name in (
        "accept",
        "authorization",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "user-agent",
        REQUEST_ID.lower(),
        EXECUTION,
    )
}
CONTENT_TYPES = {media_type: f"{media_type}; charset=utf-8".encode() for media_type in MediaType}


class HTTPRefusal(Exception):
    """The request is refused before GraphQL comes in, with a status of its own."""

    def __init__(self, status: int, refusal: Refusal, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(refusal.message)
        self.status = status
        self.refusal = refusal
        self.headers = headers or {}


def graphql_endpoint(allowed_origins: Sequence[str] = (), pace: Pace = PACE) -> ASGIApp:
    """The application at `/graphql`; pages of the allowed origins may read its answers."""
    if not allowed_origins:
        return Endpoint(pace)
    return CORSMiddleware(
        Endpoint(pace),
        allow_origins=list(allowed_origins),
        allow_methods=METHODS,
        allow_headers=["*"],
        # Pages of the allowed origins are signed in by cookie, so "*" allows none of them that.
        allow_credentials="*" not in allowed_origins,
        expose_headers=[REQUEST_ID, "Retry-After"],
    )


def routes(allowed_origins: Sequence[str] = (), pace: Pace = PACE) -> list[Route]:
    """`/graphql` for HTTP."""
    return [Route(PATH, graphql_endpoint(allowed_origins, pace), name="graphql")]


class Endpoint:
    """The ASGI application at `/graphql`."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(HTTPRequest(scope, receive), send, self._pace)
        # Each request is a task with a context of its own, so that nothing need be unbound.
        structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        await exchange.serve()


class Exchange:
    """One request and its response."""

    def __init__(self, request: HTTPRequest, send: Send, pace: Pace) -> None:
        self._request = request
        self._send = send
        self._pace = pace
        application = request.scope["app"]
        self._engine: Engine = application.state.engine
        self._answers = answers_of(application)
        self._given = _header_values(request.scope["headers"])
        # Of mutations alone: only they may read or set one.
        self._cookies: Cookies | None = None
        self.request_id = request_id(self._header("x-request-id"))
        self._headers = [*GUARDS, (b"x-request-id", self.request_id.encode())]

    async def serve(self) -> None:
        """Answer the request; a client that hangs up gets nothing, and what ran for it is cancelled."""
        try:
            await self._respond()
        except HTTPRefusal as refused:
            content = orjson.dumps({"errors": show_errors([refusal_error(refused.refusal)])})
            await self._send_json(MediaType.JSON, refused.status, content, refused.headers)
        except (ClientDisconnect, HungUp):
            return

    async def _respond(self) -> None:
        self._check_method()
        if self._engine.resources.settings.is_development and (redirect := redirect_browser(self._request)):
            redirect.headers[REQUEST_ID] = self.request_id
            await redirect(self._request.scope, self._request.receive, self._send)
            return
        media_type = negotiate(self._header("accept"))
        if media_type is None:
            allowed = list(MediaType)
            raise HTTPRefusal(406, BadUserInput(f"`Accept` must name one of {', '.join(allowed)}.", allowed=allowed))
        caller = await self._caller()
        request = await self._read()
        try:
            operation = self._engine.prepare(request, resolvers_only=self._asks_for_resolvers())
        except RequestRefused as refused:
            await self._tell(media_type, Answer({"errors": refused.errors}))
            return
        self._check_operation(operation, media_type)
        if media_type is MediaType.EVENT_STREAM:
            await self._stream(self._answers.stream(operation, caller), caller)
            return
        await self._tell(media_type, await self._answer(operation, caller))

    async def _answer(self, operation: Operation, caller: Caller) -> Answer:
        if operation.is_mutation:
            self._cookies = self._read_cookies()
        try:
            async with PresentUntilHangUp(self._request.receive) as presence:
                connections = connections_of(self._request.scope["app"])
                connections.begin_answer(presence)
                try:
                    return await self._answers.one(operation, caller, self._cookies)
                finally:
                    connections.end_answer(presence)
        except TimeoutError:
            refusal = ServiceUnavailable("The server goes away and could not wait for this to end; send it again.")
            raise HTTPRefusal(503, refusal, {"Retry-After": "1"}) from None

    def _header(self, name: str) -> str:
        """The value of a header, its values joined if it came more than once; empty where it is missing."""
        values = self._given.get(name)
        return "" if values is None else values[0] if len(values) == 1 else ", ".join(values)

    def _asks_for_resolvers(self) -> bool:
        """Whether a developer wants to see what plain resolvers answer."""
        return self._header(EXECUTION) == "resolvers" and self._engine.resources.settings.is_development

    def _check_method(self) -> None:
        if self._request.method not in METHODS:
            allowed = {"Allow": ", ".join(METHODS)}
            raise HTTPRefusal(
                405, BadUserInput("Send operations by POST, or queries by GET.", allowed=METHODS), allowed
            )

    async def _caller(self) -> Caller:
        peer = self._request.scope.get("client")
        client = ClientInfo.of_peer(peer[0] if peer else None, self._header("user-agent"))
        try:
            return await self._engine.resources.identity.authentication.caller_of(
                self._given.get("authorization", ()), client
            )
        except NotSignedIn as refusal:
            raise HTTPRefusal(401, refusal, {"WWW-Authenticate": 'Bearer realm="trove"'}) from refusal
        except ServiceUnavailable as refusal:
            raise HTTPRefusal(503, refusal, {"Retry-After": "1"}) from refusal

    def _read_cookies(self) -> Cookies:
        settings = self._engine.resources.settings
        return Cookies(
            read_cookies(self._header("cookie")),
            is_secure=settings.has_secure_cookies,
            is_from_page_allowed=is_welcome_page(self._request.headers, settings),
        )

    async def _read(self) -> Request:
        try:
            if self._request.method == "GET":
                self._check_preflighted()
                return request_from_url(self._request.query_params)
            self._check_content()
            return request_from(parse_json(await self._body(), "The body"))
        except BadUserInput as refusal:
            raise HTTPRefusal(400, refusal) from refusal

    def _check_preflighted(self) -> None:
        headers = self._request.headers
        content_type, _ = parse_media_type(headers.get("content-type", ""))
        if (
            any(name in headers for name in PREFLIGHTED_HEADERS)
            or content_type not in SIMPLE_CONTENT_TYPES
            # Browsers send it themselves and let no page set it; an EventSource of our own pages has nothing else.
            or headers.get("sec-fetch-site") == "same-origin"
        ):
            return
        raise HTTPRefusal(
            403,
            Forbidden(
                "A query by GET needs the header `Trove-Require-Preflight: true`, "
                "so that no page of another origin can send it unasked."
            ),
        )

    def _check_content(self) -> None:
        content_type, parameters = parse_media_type(self._header("content-type"))
        if content_type != MediaType.JSON or parameters.get("charset", "utf-8") not in {"utf-8", "utf8"}:
            raise HTTPRefusal(
                415,
                BadUserInput(
                    "Send the request as `Content-Type: application/json`, in UTF-8.", allowed=[MediaType.JSON]
                ),
                {"Accept-Post": MediaType.JSON},
            )
        if self._header("content-encoding").lower() not in {"", "identity"}:
            raise HTTPRefusal(
                415,
                BadUserInput("Send the body as it is, without `Content-Encoding`."),
                {"Accept-Encoding": "identity"},
            )

    async def _body(self) -> bytes:
        declared = self._header("content-length")
        if declared.isdecimal() and int(declared) > LARGEST_BODY:
            raise _too_large()
        try:
            async with Presence() as presence:
                late = asyncio.get_running_loop().call_later(self._pace.body_within, presence.end)
                try:
                    return await self._received()
                finally:
                    late.cancel()
        except TimeoutError:
            refusal = BadUserInput(f"The body did not arrive within {self._pace.body_within:g} seconds.")
            raise HTTPRefusal(408, refusal, {"Connection": "close"}) from None

    async def _received(self) -> bytes:
        body: bytes = b""
        while True:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            if len(body) > LARGEST_BODY:
                raise _too_large()
            if not message.get("more_body", False):
                return body

    def _check_operation(self, operation: Operation, media_type: MediaType) -> None:
        if operation.is_subscription and media_type is not MediaType.EVENT_STREAM:
            refusal = BadUserInput(
                f"A subscription answers with a stream: accept {MediaType.EVENT_STREAM}, or open a socket.",
                allowed=[MediaType.EVENT_STREAM],
            )
            raise HTTPRefusal(406, refusal)
        if self._request.method == "GET" and operation.is_mutation:
            raise HTTPRefusal(
                405, BadUserInput("A mutation is never taken by GET; send it by POST."), {"Allow": "POST"}
            )

    async def _tell(self, media_type: MediaType, answer: Answer) -> None:
        if media_type is MediaType.EVENT_STREAM:
            await self._stream(_only(answer), Caller())
            return
        status = 200
        if answer.refusal is not None and media_type is MediaType.GRAPHQL_RESPONSE:
            status = STATUSES.get(answer.refusal[0]["extensions"]["code"], 400)
        wait = answer.retry_after_seconds
        await self._send_json(media_type, status, answer.json, None if wait is None else {"Retry-After": str(wait)})

    async def _send_json(
        self, media_type: MediaType, status: int, content: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        sent = [
            *self._headers,
            (b"content-type", CONTENT_TYPES[media_type]),
            (b"content-length", str(len(content)).encode()),
            *self._set_cookies(),
        ]
        if headers:
            sent += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": sent})
        await self._send({"type": "http.response.body", "body": content})

    def _set_cookies(self) -> list[tuple[bytes, bytes]]:
        written = self._cookies.to_set.values() if self._cookies is not None else ()
        return [(b"set-cookie", cookie.encode()) for cookie in written]

    async def _stream(self, answers: AsyncGenerator[Answer, None], caller: Caller) -> None:
        stream = EventStream(
            self._request.receive,
            self._send,
            connections=connections_of(self._request.app),
            authentication=self._engine.resources.identity.authentication,
            pace=self._pace,
        )
        await stream.serve(answers, self._headers, caller.viewer)


def _header_values(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, list[str]]:
    """The values of each header that decides something, by its name in lower case."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        if name in HEADERS:
            values.setdefault(HEADERS[name], []).append(value.decode("latin-1"))
    return values


async def _only(answer: Answer) -> AsyncGenerator[Answer, None]:
    yield answer


def _too_large() -> HTTPRefusal:
    # The connection is closed with the answer: what is left of the body is not read.
    refusal = BadUserInput(f"The body is larger than {LARGEST_BODY // 1024**2} MB; send less at a time.")
    return HTTPRefusal(413, refusal, {"Connection": "close"})
