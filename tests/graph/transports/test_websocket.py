"""The protocol of sockets: every close code, isolation of errors, limits, pings and leaving."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.core.telemetry import SOCKETS
from app.graph.transports.pace import Pace
from tests.conftest import Server
from tests.graph.transports.conftest import Serve, Trove, Watched, until
from tests.graph.transports.sockets import PRICES, opened, ready

NAME = "{ serverInfo { maximumPageSize } }"


async def test_a_query_over_the_api_process_is_answered_and_completed(live_server: Server) -> None:
    async with ready(live_server.websocket_url) as socket:
        assert socket.connection.subprotocol == "graphql-transport-ws"
        await socket.subscribe(NAME, id="a")
        answer = await socket.receive()
        assert (answer["id"], answer["type"]) == ("a", "next")
        assert answer["payload"]["data"] == {"serverInfo": {"maximumPageSize": 100}}
        assert await socket.receive() == {"id": "a", "type": "complete"}
        await socket.send(type="nonsense")
        assert (await socket.closed())[0] == 4400


@pytest.mark.parametrize(
    "message",
    [
        "no json",
        "[]",
        "null",
        "{}",
        '{"type":"start"}',
        '{"type":["ping"]}',
        '{"type":"connection_init","payload":[]}',
        '{"type":"ping","payload":"x"}',
        '{"type":"subscribe"}',
        '{"type":"subscribe","id":"1"}',
        '{"type":"subscribe","id":"","payload":{"query":"{ x }"}}',
        '{"type":"subscribe","id":1,"payload":{"query":"{ x }"}}',
        '{"type":"subscribe","id":"1","payload":{"query":7}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{ x }","variables":[]}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{ x }","operationName":1}}',
        '{"type":"subscribe","id":"1","payload":{"query":"{ x }","extensions":"x"}}',
        '{"type":"complete"}',
        b"\x00\x01",
    ],
)
async def test_an_invalid_message_closes_with_4400(trove: Trove, message: str | bytes) -> None:
    async with opened(trove.websocket_url) as socket:
        await socket.connection.send(message)
        code, reason = await socket.closed()
        assert code == 4400
        assert reason
        assert reason.startswith("Invalid message")


async def test_a_subscription_before_the_acknowledgement_closes_with_4401(trove: Trove) -> None:
    async with opened(trove.websocket_url) as socket:
        await socket.subscribe(NAME)
        assert await socket.closed() == (4401, "Unauthorized")


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
@pytest.mark.parametrize("value", ["Bearer wrong", "Bearer", "Basic abc", "Bearer é", ""])
async def test_a_wrong_token_closes_with_4403(trove: Trove, name: str, value: str) -> None:
    async with opened(trove.websocket_url) as socket:
        await socket.send(type="connection_init", payload={name: value})
        code, reason = await socket.closed()
        assert code == 4403
        assert reason
        assert reason.startswith("Forbidden")


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_the_token_opens_what_needs_it(trove: Trove, name: str) -> None:
    document = '{ ingestBatch(id: "x") { id } }'
    async with ready(trove.websocket_url) as socket:
        await socket.subscribe(document)
        (error,) = (await socket.receive())["payload"]["errors"]
        assert error["extensions"]["code"] == "UNAUTHENTICATED"
    async with ready(trove.websocket_url, **{name: trove.authorization}) as socket:
        await socket.subscribe(document)
        (error,) = (await socket.receive())["payload"]["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"


@pytest.mark.parametrize("subprotocols", [(), ("graphql-ws",)])
async def test_another_subprotocol_closes_with_4406(trove: Trove, subprotocols: tuple[str, ...]) -> None:
    async with opened(trove.websocket_url, subprotocols=subprotocols) as socket:
        assert (await socket.closed())[0] == 4406


async def test_no_initialisation_in_time_closes_with_4408(serve: Serve) -> None:
    async with serve(pace=Pace(initialised_within=0.1)) as trove, opened(trove.websocket_url) as socket:
        assert await socket.closed() == (4408, "Connection initialisation timeout")


async def test_an_initialised_socket_is_not_closed_for_want_of_it(serve: Serve) -> None:
    async with serve(pace=Pace(initialised_within=0.1)) as trove, ready(trove.websocket_url) as socket:
        await asyncio.sleep(0.2)
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}


@pytest.mark.parametrize("operation_id", ["prices", "é" * 200])
async def test_a_second_operation_of_the_same_id_closes_with_4409(
    trove: Trove, aurum: Watched, operation_id: str
) -> None:
    async with ready(trove.websocket_url) as socket:
        for _ in range(2):
            await socket.subscribe(PRICES, id=operation_id, itemIds=[aurum.id])
        code, reason = await socket.closed()
        assert code == 4409
        assert reason == f"Subscriber for {operation_id} already exists".encode()[:123].decode(errors="ignore")
    await until(lambda: trove.watched == 0)


async def test_a_second_initialisation_closes_with_4429(trove: Trove) -> None:
    async with ready(trove.websocket_url) as socket:
        await socket.send(type="connection_init")
        assert await socket.closed() == (4429, "Too many initialisation requests")


@pytest.mark.parametrize("payload", [None, {"at": [1, {"é": None}]}])
async def test_a_pong_echoes_the_payload_of_the_ping(trove: Trove, payload: dict[str, Any] | None) -> None:
    async with opened(trove.websocket_url) as socket:
        await socket.send(type="ping", **({} if payload is None else {"payload": payload}))
        assert await socket.receive() == {"type": "pong", **({} if payload is None else {"payload": payload})}
        await socket.send(type="pong", payload={})
        await socket.initialise()


REFUSED = [
    ("{ serverInfo {", "GRAPHQL_PARSE_FAILED"),
    ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
    ("query ($a: Int!) { items(first: $a) { totalCount } }", "BAD_USER_INPUT"),
    ("subscription { priceUpdates(itemIds: []) { cursor } }", "BAD_USER_INPUT"),
    ('subscription { priceUpdates(itemIds: ["x"], since: "x") { cursor } }', "BAD_USER_INPUT"),
    ("query A { __typename } query B { __typename }", "BAD_USER_INPUT"),
    ("{" + "a{" * 400 + "b" + "}" * 401, "QUERY_TOO_COMPLEX"),
]


async def test_an_error_of_one_operation_leaves_the_others_alone(trove: Trove, aurum: Watched) -> None:
    async with ready(trove.websocket_url) as socket:
        await socket.subscribe(PRICES, id="prices", itemIds=[aurum.id])
        for document, code in REFUSED:
            await socket.subscribe(document, id="wrong")
            answer = await socket.receive()
            assert (answer["id"], answer["type"]) == ("wrong", "error"), answer
            assert answer["payload"][0]["extensions"]["code"] == code
        await socket.subscribe(NAME, id="right")
        assert (await socket.receive())["payload"]["data"]
        assert (await socket.receive())["type"] == "complete"
        assert trove.watched == 1


async def test_a_mutation_is_executed(trove: Trove) -> None:
    async with ready(trove.websocket_url, Authorization=trove.authorization) as socket:
        await socket.subscribe("mutation { ingestPrices(input: { points: [] }) { userErrors { code } } }")
        answer = await socket.receive()
        assert answer["payload"]["data"] == {"ingestPrices": {"userErrors": [{"code": "INVALID_POINTS"}]}}
        assert (await socket.receive())["type"] == "complete"


async def test_complete_ends_the_operation_and_frees_its_id(trove: Trove, aurum: Watched) -> None:
    async with ready(trove.websocket_url) as socket:
        for _ in range(3):
            await socket.subscribe(PRICES, itemIds=[aurum.id])
            await until(lambda: trove.watched == 1)
            await socket.send(id="1", type="complete")
            await until(lambda: trove.watched == 0)
        await socket.send(id="unknown", type="complete")
        await socket.subscribe(NAME)
        assert (await socket.receive())["type"] == "next"


async def test_the_hundred_and_first_operation_is_refused_and_the_others_go_on(trove: Trove, aurum: Watched) -> None:
    async with ready(trove.websocket_url) as socket:
        for number in range(101):
            await socket.subscribe(PRICES, id=str(number), itemIds=[aurum.id])
        refused = await socket.receive()
        assert (refused["id"], refused["type"]) == ("100", "error")
        assert refused["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
        assert "100 operations" in refused["payload"][0]["message"]
        await socket.send(id="7", type="complete")
        await socket.subscribe(NAME, id="7")
        assert (await socket.receive())["type"] == "next"
        assert (await socket.receive())["type"] == "complete"


async def test_the_server_pings_and_keeps_who_answers(serve: Serve) -> None:
    async with serve(pace=Pace(ping_every=0.1, pong_within=0.2)) as trove, ready(trove.websocket_url) as socket:
        for _ in range(3):
            assert await socket.receive() == {"type": "ping"}
            await socket.send(type="pong")


async def test_a_socket_that_does_not_answer_the_ping_is_closed(serve: Serve) -> None:
    async with serve(pace=Pace(ping_every=0.1, pong_within=0.1)) as trove, ready(trove.websocket_url) as socket:
        code, reason = await socket.closed()
        assert code == 1013
        assert reason
        assert reason.startswith("No pong")


@pytest.mark.parametrize(
    ("origin", "environment", "is_welcome"),
    [
        ("https://app.example", "production", True),
        ("https://app.example.evil.example", "production", False),
        ("https://evil.example", "development", False),
        ("http://localhost:5173", "development", True),
        ("http://localhost:5173", "production", False),
        ("http://127.0.0.1:1", "development", True),
        ("http://localhost.evil.example", "development", False),
        ("http://[broken", "development", False),
        ("null", "development", False),
        ("own", "production", True),
    ],
)
async def test_only_pages_of_allowed_origins_open_sockets(
    serve: Serve, origin: str, environment: str, is_welcome: bool
) -> None:
    async with serve(environment=environment, allowed_origins=("https://app.example",)) as trove:
        origin = trove.url if origin == "own" else origin
        if is_welcome:
            async with opened(trove.websocket_url, origin=origin) as socket:
                await socket.initialise()
            return
        with pytest.raises(InvalidStatus) as refused:
            async with opened(trove.websocket_url, origin=origin):
                pass
        assert refused.value.response.status_code == 403
        assert b"TROVE_ALLOWED_ORIGINS" in (refused.value.response.body or b"")


async def test_a_client_that_vanishes_frees_what_it_watched(trove: Trove, aurum: Watched) -> None:
    before = SOCKETS._value.get()
    async with ready(trove.websocket_url) as socket:
        await socket.subscribe(PRICES, itemIds=[aurum.id])
        await until(lambda: trove.watched == 1)
        assert SOCKETS._value.get() == before + 1
        socket.connection.transport.abort()
        await until(lambda: trove.watched == 0)
    await until(lambda: SOCKETS._value.get() == before)


async def test_a_server_that_goes_away_says_so_to_every_socket(trove: Trove, aurum: Watched) -> None:
    async with ready(trove.websocket_url) as one, ready(trove.websocket_url) as other:
        for socket in (one, other):
            await socket.subscribe(PRICES, itemIds=[aurum.id])
        await until(lambda: trove.watched == 1)
        closing = asyncio.create_task(trove.connections.close())
        assert [(await socket.closed())[0] for socket in (one, other)] == [1001, 1001]
        await closing
        assert trove.watched == 0
    async with opened(trove.websocket_url) as late:
        assert (await late.closed())[0] == 1001


async def test_a_socket_message_over_the_limit_is_refused_by_its_size(live_server: Server) -> None:
    async with ready(live_server.websocket_url) as socket:
        # The server may close while the message is still on its way out.
        with suppress(ConnectionClosed):
            await socket.subscribe(NAME + " " * (3 * 1024 * 1024))
        assert (await socket.closed())[0] == 1009
