"""Sockets that speak `graphql-transport-ws`, exactly as its protocol says."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack, aclosing
from typing import Any

import orjson
import structlog
from starlette.datastructures import Headers
from starlette.routing import WebSocketRoute
from starlette.types import Message, Receive, Scope, Send

from app.core.errors import BadUserInput, ErrorCode, NotSignedIn, Refusal, ServiceUnavailable
from app.core.telemetry import SOCKETS
from app.graph.errors import refusal_error, show_errors
from app.graph.execution import Engine, Request, RequestRefused
from app.graph.transports.answers import answers_of
from app.graph.transports.callers import REQUEST_ID, is_welcome, request_id
from app.graph.transports.connections import connections_of
from app.graph.transports.hang_up import Presence
from app.graph.transports.pace import PACE, Pace
from app.graph.transports.parameters import request_from
from app.identity.viewer import Caller, ClientInfo

logger = structlog.get_logger(__name__)

PATH = "/graphql"
SUBPROTOCOL = "graphql-transport-ws"
MAXIMUM_OPERATIONS = 100
LARGEST_REASON = 123

GOING_AWAY = 1001
TRY_AGAIN_LATER = 1013
BAD_REQUEST = 4400
UNAUTHORIZED = 4401
FORBIDDEN = 4403
SUBPROTOCOL_NOT_ACCEPTABLE = 4406
INITIALISATION_TIMEOUT = 4408
SUBSCRIBER_EXISTS = 4409
TOO_MANY_INITIALISATIONS = 4429

ACKNOWLEDGED = '{"type":"connection_ack"}'
PING = '{"type":"ping"}'


class TooManyOperations(Refusal):
    """The socket runs as many operations as it may."""

    code = ErrorCode.RATE_LIMITED


class Close(Exception):
    """The socket is to be closed with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        # A reason has 123 bytes; a character cut in half goes as a whole.
        self.reason = reason.encode()[:LARGEST_REASON].decode(errors="ignore")


class Gone(Exception):
    """The client has gone; there is nobody to send to."""


def routes(pace: Pace = PACE) -> list[WebSocketRoute]:
    """`/graphql` for sockets."""
    return [WebSocketRoute(PATH, Endpoint(pace), name="graphql-socket")]


class Endpoint:
    """The ASGI application at `/graphql` for sockets."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        with structlog.contextvars.bound_contextvars(request_id=request_id(headers.get(REQUEST_ID, ""))):
            await receive()
            if not is_welcome(headers, scope["app"].state.engine.resources.settings):
                await _deny(scope, send)
                return
            await Socket(scope, receive, send, self._pace).serve()


async def _deny(scope: Scope, send: Send) -> None:
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": FORBIDDEN})
        return
    content_type = [(b"content-type", b"text/plain; charset=utf-8")]
    sentence = b"Pages of this origin may not open sockets here; the operator can allow it by TROVE_ALLOWED_ORIGINS."
    await send({"type": "websocket.http.response.start", "status": 403, "headers": content_type})
    await send({"type": "websocket.http.response.body", "body": sentence})


class Socket:
    """One socket: a task that reads, and one for each operation that awaits the room to send what it has.

    Nothing is queued here. Who cannot send does not ask for the next event either, so what waits for a slow reader is
    what the source of events keeps for it, and that is bounded and conflates.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, pace: Pace) -> None:
        self._headers = Headers(scope=scope)
        self._subprotocols: list[str] = scope.get("subprotocols", [])
        self._receive = receive
        self._send_message = send
        self._pace = pace
        self._engine: Engine = scope["app"].state.engine
        self._answers = answers_of(scope["app"])
        self._connections = connections_of(scope["app"])
        self._presence = Presence()
        self._farewell: Close | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._was_heard = False
        self._is_initialised = False
        peer = scope.get("client")
        self._client_info = ClientInfo.of_peer(peer[0] if peer else None, self._headers.get("user-agent", ""))
        self._caller: Caller | None = None
        self._watching = ExitStack()
        self._operations: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._handlers: dict[str, Callable[[dict[str, Any]], None]] = {
            "connection_init": self._initialise,
            "ping": self._answer_ping,
            "pong": self._take_pong,
            "subscribe": self._subscribe,
            "complete": self._complete,
        }

    async def serve(self) -> None:
        """Serve the socket until one side leaves; then end all of its operations."""
        SOCKETS.inc()
        try:
            await self._accept_and_read()
        except Close as close:
            self._farewell = close
        except TimeoutError:
            if not self._presence.is_ended:
                raise
        except Gone:
            pass
        finally:
            SOCKETS.dec()
            await self._end()

    async def _accept_and_read(self) -> None:
        is_acceptable = SUBPROTOCOL in self._subprotocols
        await self._transmit({"type": "websocket.accept", "subprotocol": SUBPROTOCOL if is_acceptable else None})
        if not is_acceptable:
            raise Close(SUBPROTOCOL_NOT_ACCEPTABLE, f"Subprotocol not acceptable: speak {SUBPROTOCOL}")
        async with self._presence:
            with self._connections.open(lambda: self.leave(Close(GOING_AWAY, "The server goes away; come back"))):
                self._call_later(self._pace.initialised_within, self._miss_initialisation)
                await self._read()

    async def _read(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                return
            self._was_heard = True
            self._handle(message.get("text"))
            # A client that sends without reading would otherwise pile up what we answer.
            while len(self._tasks) > len(self._operations) + MAXIMUM_OPERATIONS:
                await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    def _handle(self, text: str | None) -> None:
        if text is None:
            raise Close(BAD_REQUEST, "Invalid message: send text, not binary data")
        try:
            message = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise Close(BAD_REQUEST, f"Invalid message: not JSON ({error.msg})") from error
        kind = message.get("type") if isinstance(message, dict) else None
        handler = self._handlers.get(kind) if isinstance(kind, str) else None
        if handler is None:
            raise Close(BAD_REQUEST, f"Invalid message: `type` must be one of {', '.join(self._handlers)}")
        handler(message)

    def _initialise(self, message: dict[str, Any]) -> None:
        payload = _payload(message)
        if self._is_initialised:
            raise Close(TOO_MANY_INITIALISATIONS, "Too many initialisation requests")
        self._is_initialised = True
        named = [value for name, value in (payload or {}).items() if name.lower() == "authorization"]
        authorizations = [str(value) for value in named] or self._headers.getlist("authorization")
        self._start(self._welcome(authorizations))
        self._call_later(self._pace.ping_every, self._ping)

    async def _welcome(self, authorizations: Sequence[str]) -> None:
        """Acknowledge who asks, or close the socket; close it later, when the token ends or is revoked."""
        authentication = self._engine.resources.identity.authentication
        try:
            caller = await authentication.caller_of(authorizations, self._client_info)
        except NotSignedIn as refusal:
            self.leave(Close(FORBIDDEN, f"Forbidden: {refusal.message}"))
            return
        except ServiceUnavailable as refusal:
            self.leave(Close(TRY_AGAIN_LATER, refusal.message))
            return
        if caller.viewer.user_id is not None:
            ended = Close(FORBIDDEN, "Forbidden: the token has ended; come back with a fresh one")
            self._watching.enter_context(authentication.watching(caller.viewer, lambda: self.leave(ended)))
        self._caller = caller
        await self._send(ACKNOWLEDGED)

    def _answer_ping(self, message: dict[str, Any]) -> None:
        payload = _payload(message)
        pong = {"type": "pong"} if payload is None else {"type": "pong", "payload": payload}
        self._start(self._send(orjson.dumps(pong).decode()))

    def _take_pong(self, message: dict[str, Any]) -> None:
        _payload(message)

    def _subscribe(self, message: dict[str, Any]) -> None:
        operation_id = _operation_id(message)
        try:
            request = request_from(message.get("payload"))
        except BadUserInput as refusal:
            raise Close(BAD_REQUEST, f"Invalid message: {refusal.message}") from refusal
        if self._caller is None:
            raise Close(UNAUTHORIZED, "Unauthorized")
        if operation_id in self._operations:
            raise Close(SUBSCRIBER_EXISTS, f"Subscriber for {operation_id} already exists")
        if len(self._operations) >= MAXIMUM_OPERATIONS:
            too_many = TooManyOperations(
                f"This socket runs {MAXIMUM_OPERATIONS} operations already; complete one, or open another socket.",
                allowed=[f"0..{MAXIMUM_OPERATIONS} operations"],
            )
            self._start(self._send(_error_frame(operation_id, show_errors([refusal_error(too_many)]))))
            return
        self._operations[operation_id] = self._start(self._operate(operation_id, request, self._caller))

    def _complete(self, message: dict[str, Any]) -> None:
        operation = self._operations.pop(_operation_id(message), None)
        if operation is not None:
            operation.cancel()

    async def _operate(self, operation_id: str, request: Request, caller: Caller) -> None:
        """Run an operation and send its answers; the id is free again before the client can know of the end."""
        last_frame = _frame(operation_id, "complete")
        try:
            operation = self._engine.prepare(request)
            head = f'{{"id":{_json(operation_id)},"type":"next","payload":'
            async with aclosing(self._answers.stream(operation, caller)) as answers:
                async for answer in answers:
                    if answer.refusal is not None:
                        last_frame = _error_frame(operation_id, answer.refusal)
                        break
                    await self._send(f"{head}{answer.text}}}")
        except RequestRefused as refused:
            last_frame = _error_frame(operation_id, refused.errors)
        finally:
            if self._operations.get(operation_id) is asyncio.current_task():
                del self._operations[operation_id]
        await self._send(last_frame)

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._pace.stalled_after):
                await self._transmit({"type": "websocket.send", "text": text})
        except TimeoutError:
            self.leave(Close(TRY_AGAIN_LATER, f"Nothing was read for {self._pace.stalled_after:g} seconds"))
            raise Gone from None

    async def _transmit(self, message: Message) -> None:
        try:
            await self._send_message(message)
        except (OSError, RuntimeError) as error:
            # Servers say so when the client has left: by an OSError, or by a RuntimeError once a close frame has gone.
            raise Gone from error

    def leave(self, farewell: Close) -> None:
        """Close the socket; for callers outside of the reading task."""
        self._farewell = self._farewell or farewell
        self._presence.end()

    async def _end(self) -> None:
        self._watching.close()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        if self._farewell is not None:
            await self._say(self._farewell)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _say(self, farewell: Close) -> None:
        """Send the close frame; to a stalled reader it goes when it reads again in time, else the server hangs up."""
        try:
            async with asyncio.timeout(self._pace.farewell_within):
                await self._transmit(
                    {"type": "websocket.close", "code": farewell.code, "reason": farewell.reason},
                )
        except (TimeoutError, Gone):
            logger.info("socket_dropped", code=farewell.code)

    def _start(self, work: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) and not isinstance(error, Gone):
            logger.error("socket_task_failed", exc_info=error)

    def _call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, callback)

    def _miss_initialisation(self) -> None:
        self.leave(Close(INITIALISATION_TIMEOUT, "Connection initialisation timeout"))

    def _ping(self) -> None:
        self._was_heard = False
        self._start(self._send(PING))
        self._call_later(self._pace.pong_within, self._check_heard)

    def _check_heard(self) -> None:
        if self._was_heard:
            self._call_later(self._pace.ping_every, self._ping)
        else:
            self.leave(Close(TRY_AGAIN_LATER, f"No pong within {self._pace.pong_within:g} seconds"))


def _payload(message: dict[str, Any]) -> dict[str, Any] | None:
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise Close(BAD_REQUEST, "Invalid message: `payload` must be an object")
    return payload


def _operation_id(message: dict[str, Any]) -> str:
    operation_id = message.get("id")
    if not isinstance(operation_id, str) or not operation_id:
        raise Close(BAD_REQUEST, "Invalid message: `id` must be a string that is not empty")
    return operation_id


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _frame(operation_id: str, kind: str) -> str:
    return _json({"id": operation_id, "type": kind})


def _error_frame(operation_id: str, errors: list[dict[str, Any]]) -> str:
    return _json({"id": operation_id, "type": "error", "payload": errors})
