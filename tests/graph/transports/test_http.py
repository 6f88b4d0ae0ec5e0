"""GraphQL over HTTP: the statuses of its specification, limits, tokens, and clients that hang up."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import Database
from app.graph.transports.http import LARGEST_BODY
from app.graph.transports.media_types import MediaType, negotiate
from tests.conftest import Server
from tests.graph.transports.conftest import Serve, Trove, until, until_waiting

NAME = "{ serverInfo { maximumPageSize } }"
LEGACY = "application/json"
STRICT = "application/graphql-response+json"
PREFLIGHTED = {"Trove-Require-Preflight": "true"}


async def post(client: httpx.AsyncClient, query: str, *, accept: str = STRICT, **more: Any) -> httpx.Response:
    """Ask by POST."""
    return await client.post("/graphql", json={"query": query, **more}, headers={"Accept": accept})


def code_of(response: httpx.Response) -> str:
    """The code of a response's only error; nothing was executed."""
    document = response.json()
    assert "data" not in document
    (error,) = document["errors"]
    assert error["message"].endswith(".")
    return str(error["extensions"]["code"])


def test_the_api_process_answers(live_server: Server) -> None:
    response = httpx.post(f"{live_server.url}/graphql", json={"query": NAME})
    assert response.status_code == 200
    assert response.json()["data"] == {"serverInfo": {"maximumPageSize": 100}}


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", LEGACY),
        ("*/*", LEGACY),
        ("application/*", LEGACY),
        (LEGACY, LEGACY),
        (STRICT, STRICT),
        (f"{STRICT}, {LEGACY}", STRICT),
        (f"{LEGACY}, {STRICT}", LEGACY),
        (f"{LEGACY};q=0.5, {STRICT};q=0.9", STRICT),
        (f"{STRICT};q=0, */*", LEGACY),
        (f"{LEGACY};q=0, */*;q=0.1", STRICT),
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream, */*", "text/event-stream"),
        ("text/event-stream;q=0.5, application/json", LEGACY),
        ("APPLICATION/JSON; charset=utf-8", LEGACY),
        ("text/html", None),
        ("image/*, text/*", None),
        (f"{LEGACY};q=0", None),
        (f"{LEGACY};q=x", None),
        (f"{LEGACY};q=nan", None),
        (";,,;=", None),
    ],
)
def test_the_client_is_answered_in_what_it_likes_best(accept: str, media_type: str | None) -> None:
    assert negotiate(accept) == (MediaType(media_type) if media_type else None)


MATRIX = [
    ({"query": NAME}, 200, 200),
    ({"query": NAME, "variables": None, "operationName": None, "extensions": None}, 200, 200),
    ({"query": "query A { __typename } query B { __typename }", "operationName": "B"}, 200, 200),
    ({"query": NAME, "operationName": ""}, 200, 200),
    ({"query": NAME, "operationName": "Missing"}, 200, 400),
    ({"query": "{"}, 200, 400),
    ({"query": "{ nothing }"}, 200, 400),
    ({"query": "query ($a: Int!) { items(first: $a) { totalCount } }"}, 200, 400),
    ({"query": "{" + "a{" * 400 + "b" + "}" * 401}, 200, 400),
    ({"query": "{ item { id } }"}, 200, 200),
    ({"query": ""}, 400, 400),
    ({"query": 1}, 400, 400),
    ({}, 400, 400),
    ([{"query": NAME}], 400, 400),
    ("text", 400, 400),
    ({"query": NAME, "variables": []}, 400, 400),
    ({"query": NAME, "variables": "{}"}, 400, 400),
    ({"query": NAME, "extensions": 1}, 400, 400),
    ({"query": NAME, "operationName": {}}, 400, 400),
    ({"query": "subscription { priceUpdates(itemIds: []) { cursor } }"}, 406, 406),
]


@pytest.mark.parametrize(("body", "legacy", "strict"), MATRIX)
async def test_the_status_is_that_of_the_specification(
    client: httpx.AsyncClient, body: Any, legacy: int, strict: int
) -> None:
    for accept, status in ((LEGACY, legacy), (STRICT, strict)):
        response = await client.post("/graphql", json=body, headers={"Accept": accept})
        assert response.status_code == status, response.text
        assert response.headers["Content-Type"].endswith("; charset=utf-8")
        assert response.json().keys() & {"data", "errors"}


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b'{"query":', {}, 400),
        (b"", {}, 400),
        (b"null", {}, 400),
        (b"\xff\xfe", {}, 400),
        (b'{"query":"\\ud800"}', {}, 400),
        (b"[" * 100_000, {}, 400),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        (b"{}", {"Content-Type": "application/json; charset=utf-16"}, 415),
        (b"{}", {"Content-Type": ""}, 415),
        (b"{}", {"Content-Encoding": "gzip"}, 415),
        (b"{}", {"Accept": "text/html"}, 406),
    ],
)
async def test_what_is_no_request_is_refused_with_a_sentence(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    response = await client.post("/graphql", content=content, headers={"Content-Type": "application/json"} | headers)
    assert response.status_code == status
    assert code_of(response) == "BAD_USER_INPUT"


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_other_methods_are_told_which_are_taken(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/graphql")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, POST")
    assert code_of(response) == "BAD_USER_INPUT"


async def test_a_utf_8_charset_is_taken(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": 'Application/JSON; Charset="UTF-8"'}
    response = await client.post("/graphql", content=b'{"query":"{ __typename }"}', headers=headers)
    assert response.json()["data"] == {"__typename": "Query"}


async def test_a_declared_giant_is_refused_before_it_is_read(trove: Trove) -> None:
    host, port = trove.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /graphql HTTP/1.1\r\nHost: trove.test\r\nContent-Type: application/json\r\n"
        + f"Content-Length: {LARGEST_BODY + 1}\r\n\r\n".encode()
    )
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"2 MB" in answer


async def test_a_giant_in_chunks_is_cut_off(trove: Trove) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(33):
            yield b" " * 65_536

    async with httpx.AsyncClient() as client:
        response = await client.post(trove.endpoint, content=chunks(), headers={"Content-Type": "application/json"})
    assert (response.status_code, response.headers["Connection"]) == (413, "close")
    assert code_of(response) == "BAD_USER_INPUT"


async def test_a_body_of_the_largest_size_is_read(client: httpx.AsyncClient) -> None:
    body = b'{"query":"{ __typename }"}'.ljust(LARGEST_BODY)
    response = await client.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 200


async def test_a_query_by_get_needs_a_header_that_no_other_page_can_send(client: httpx.AsyncClient) -> None:
    parameters = {"query": "query Q($a: Int!) { items(first: $a) { totalCount } }", "variables": '{"a": 1}'}
    refused = await client.get("/graphql", params=parameters)
    assert (refused.status_code, code_of(refused)) == (403, "FORBIDDEN")
    for headers in (
        PREFLIGHTED,
        {"Apollo-Require-Preflight": "x"},
        {"Content-Type": "application/json"},
        {"Sec-Fetch-Site": "same-origin"},
    ):
        response = await client.get("/graphql", params=parameters, headers=headers)
        assert response.json()["data"] == {"items": {"totalCount": 0}}
    for headers in ({"Content-Type": "text/plain"}, {"Sec-Fetch-Site": "cross-site"}, {"Accept": LEGACY}):
        assert (await client.get("/graphql", params=parameters, headers=headers)).status_code == 403


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"query": "{ __typename }", "variables": ""}, 200),
        ({"query": "{ __typename }", "variables": "{", "extensions": "{}"}, 400),
        ({"query": "{ __typename }", "variables": "[]"}, 400),
        ({"operationName": "A"}, 400),
        ({"query": "mutation { ingestPrices(input: { points: [] }) { userErrors { code } } }"}, 405),
        ({"query": "subscription { priceUpdates(itemIds: []) { cursor } }"}, 406),
    ],
)
async def test_get_is_for_queries(client: httpx.AsyncClient, parameters: dict[str, str], status: int) -> None:
    response = await client.get("/graphql", params=parameters, headers=PREFLIGHTED)
    assert response.status_code == status
    assert response.headers.get("Allow") == ("POST" if status == 405 else None)


async def test_a_person_is_led_to_the_page_in_development_only(serve: Serve) -> None:
    for environment, status in (("development", 307), ("production", 406)):
        async with serve(environment=environment) as trove, httpx.AsyncClient() as client:
            response = await client.get(trove.endpoint, headers={"Accept": "text/html"})
            assert response.status_code == status
            assert response.headers.get("Location") == ("/graphiql" if status == 307 else None)


@pytest.mark.parametrize("value", ["Bearer wrong", "Bearer", "Basic eA==", "test-ingest-token", "Bearer é"])
async def test_a_wrong_token_is_refused_and_never_taken_for_none(client: httpx.AsyncClient, value: str) -> None:
    for accept in (LEGACY, STRICT, "text/event-stream"):
        headers = [(b"Authorization", value.encode()), (b"Accept", accept.encode())]
        response = await client.post("/graphql", json={"query": NAME}, headers=headers)
        assert (response.status_code, code_of(response)) == (401, "UNAUTHENTICATED")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


async def test_two_tokens_are_refused(trove: Trove, client: httpx.AsyncClient) -> None:
    headers = [("Authorization", trove.authorization)] * 2
    assert (await client.post("/graphql", json={"query": NAME}, headers=headers)).status_code == 401


async def test_the_token_opens_what_needs_it(trove: Trove, client: httpx.AsyncClient) -> None:
    document = {"query": "mutation { ingestPrices(input: { points: [] }) { userErrors { code } } }"}
    without = (await client.post("/graphql", json=document)).json()
    assert without["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    for value in (trove.authorization, trove.authorization.replace("Bearer", "bearer")):
        response = await client.post("/graphql", json=document, headers={"Authorization": value})
        assert response.json()["data"]["ingestPrices"]["userErrors"] == [{"code": "INVALID_POINTS"}]


@pytest.mark.parametrize(
    ("accept", "query"),
    [(STRICT, NAME), (STRICT, "{ nothing }"), ("text/html", NAME), ("text/event-stream", NAME)],
)
async def test_every_answer_is_kept_by_nobody_and_taken_for_nothing_else(
    client: httpx.AsyncClient, accept: str, query: str
) -> None:
    headers = (await post(client, query, accept=accept)).headers
    guards = {"cache-control": "no-store", "x-content-type-options": "nosniff", "vary": "Accept"}
    assert {name: headers.get_list(name) for name in guards} == {name: [value] for name, value in guards.items()}
    assert len(headers.get_list("content-type")) == len(headers.get_list("x-request-id")) == 1


async def test_each_response_has_a_request_id(client: httpx.AsyncClient) -> None:
    given = await client.post("/graphql", json={"query": NAME}, headers={"X-Request-Id": "edge-7f.3"})
    assert given.headers["X-Request-Id"] == "edge-7f.3"
    for odd in ("", "a b", "x" * 129, "<script>"):
        response = await client.put("/graphql", headers={"X-Request-Id": odd})
        assert len(response.headers["X-Request-Id"]) == 36


async def test_pages_of_allowed_origins_may_read(serve: Serve) -> None:
    async with serve(allowed_origins=("https://app.example",)) as trove, httpx.AsyncClient() as client:
        preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        for origin, allowed in (("https://app.example", "https://app.example"), ("https://evil.example", None)):
            asked = await client.options(trove.endpoint, headers={"Origin": origin, **preflight})
            assert asked.headers.get("Access-Control-Allow-Origin") == allowed
            response = await client.post(trove.endpoint, json={"query": NAME}, headers={"Origin": origin})
            assert response.headers.get("Access-Control-Allow-Origin") == allowed
            refused = await client.post(trove.endpoint, json=[], headers={"Origin": origin})
            assert refused.headers.get("Access-Control-Allow-Origin") == allowed


LARGE = {
    "tokens": "{ " + "__typename " * 5_001 + "}",
    "depth": "{ items { nodes " + "{ series { variant { item " * 5 + "{ id }" + " } } }" * 5 + " } }",
    "deep lists": "{ items(first: " + "[" * 2_400 + "]" * 2_400 + ") { totalCount } }",
    "deep selections": "{" + "a{" * 2_400 + "a" + "}" * 2_401,
    "aliases": "{ " + " ".join(f"a{number}: serverInfo {{ version }}" for number in range(16)) + " }",
    "root fields": "{ " + " ".join(f"f{number}" for number in range(101)) + " }",
    "circle": "query { ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "an unused fragment": "{ __typename } fragment Unused on Item { " + "series { source { name } } " * 700 + "}",
    "wide introspection": "{ __schema { " + "types { kind } " * 1_200 + "} }",
    "fields that meet": "{ " + ("items { nodes { " + "variants { id } " * 70 + "} } ") * 15 + "}",
    "variables": "query (" + " ".join(f"$v{n}: Int" for n in range(1_200)) + ") { __typename }",
    "directives": "{ __typename " + "@include(if: true) " * 800 + "}",
    "characters": "{ __typename } #" + "x" * 100_000,
    "a long name": "{ " + "x" * 256 + ": __typename }",
}


@pytest.mark.parametrize("document", LARGE.values(), ids=LARGE.keys())
async def test_a_giant_document_is_refused(client: httpx.AsyncClient, document: str) -> None:
    response = await post(client, document)
    assert response.status_code == 400, response.text[:500]
    codes = {error["extensions"]["code"] for error in response.json()["errors"]}
    assert codes <= {"QUERY_TOO_COMPLEX", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"}


async def test_fragments_that_double_are_measured_once_and_answered(client: httpx.AsyncClient) -> None:
    fragments = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(60))
    response = await post(client, f"{{ ...F0 }} {fragments} fragment F60 on Query {{ __typename }}")
    assert response.json()["data"] == {"__typename": "Query"}


async def test_a_real_giant_is_refused(client: httpx.AsyncClient, trove_data: Path) -> None:
    response = await post(client, (trove_data / "graphql" / "graphql-core" / "large_query.graphql").read_text())
    assert (response.status_code, code_of(response)) == (400, "QUERY_TOO_COMPLEX")
    assert "100,000 are allowed" in response.text


ITEM = '{ item(slug: "aurum") { id variants { id } } }'


@pytest.mark.usefixtures("locked")
async def test_a_deadline_cancels_the_statement_and_gives_the_connection_back(
    serve: Serve, database: Database, api_database: Database
) -> None:
    async with serve(operation_timeout_seconds=0.3) as trove, httpx.AsyncClient(base_url=trove.url) as client:
        began = time.monotonic()
        answers = await asyncio.gather(*(post(client, ITEM) for _ in range(8)))
        assert time.monotonic() - began < 3
        assert {(answer.status_code, code_of(answer)) for answer in answers} == {(504, "TIMEOUT")}
        await until_waiting(database, 0)
        assert (await post(client, "{ items { totalCount } }", accept=LEGACY)).status_code == 200
        # What is revoked is looked at beside it, by a connection of the same pool.
        await until(lambda: api_database.connections_in_use == 0)


@pytest.mark.usefixtures("locked")
async def test_a_client_that_hangs_up_cancels_its_statement(
    trove: Trove, database: Database, api_database: Database
) -> None:
    async with httpx.AsyncClient(base_url=trove.url) as client:
        asking = asyncio.create_task(post(client, ITEM))
        await until_waiting(database, 1)
        asking.cancel()
        await asyncio.wait({asking})
    await until_waiting(database, 0)
    await until(lambda: api_database.connections_in_use == 0)


@pytest.fixture
async def forbidden_items(_owner: AsyncEngine, database: Database) -> AsyncIterator[None]:
    """The API may not read items for as long as the test goes on."""
    async with _owner.begin() as connection:
        await connection.execute(text("REVOKE SELECT ON catalogue.items FROM trove_api"))
    yield
    async with _owner.begin() as connection:
        await connection.execute(text("GRANT SELECT ON catalogue.items TO trove_api"))


@pytest.mark.usefixtures("forbidden_items")
async def test_what_is_unexpected_is_masked(client: httpx.AsyncClient) -> None:
    response = await post(client, ITEM)
    (error,) = response.json()["errors"]
    assert error["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
    assert error["extensions"]["errorId"]
    assert not any(word in response.text.lower() for word in ("permission", "catalogue", "traceback", "select"))


@pytest.mark.parametrize("slug", ["\0", "a\0b", "😀", "x" * 100_000, "%", "'; --"])
async def test_odd_strings_are_no_failure(client: httpx.AsyncClient, slug: str) -> None:
    response = await post(client, "query ($slug: String!) { item(slug: $slug) { id } }", variables={"slug": slug})
    codes = [error["extensions"]["code"] for error in response.json().get("errors", ())]
    assert codes in ([], ["BAD_USER_INPUT"])


RESOLVERS_ONLY = {"Trove-Execution": "resolvers"}


@pytest.mark.usefixtures("aurum")
async def test_in_development_a_header_asks_for_the_resolvers(client: httpx.AsyncClient) -> None:
    usual = (await client.post("/graphql", json={"query": ITEM})).json()
    assert usual["extensions"] == {"trove": {"path": "compiled", "statements": 1}}
    for headers in (RESOLVERS_ONLY, {"trove-execution": "resolvers"}):
        plain = (await client.post("/graphql", json={"query": ITEM}, headers=headers)).json()
        assert plain["extensions"] == {"trove": {"path": "resolvers", "statements": 2}}
        assert plain["data"] == usual["data"]


@pytest.mark.usefixtures("aurum")
async def test_the_header_holds_for_queries_by_get_and_in_streams(client: httpx.AsyncClient) -> None:
    by_get = await client.get("/graphql", params={"query": ITEM}, headers=PREFLIGHTED | RESOLVERS_ONLY)
    assert by_get.json()["extensions"]["trove"]["path"] == "resolvers"
    accepted = {"Accept": "text/event-stream"}
    streamed = await client.post("/graphql", json={"query": ITEM}, headers=accepted | RESOLVERS_ONLY)
    assert '"path":"resolvers"' in streamed.text


@pytest.mark.usefixtures("aurum")
async def test_in_production_nothing_is_told_of_how_an_answer_came_to_be(serve: Serve) -> None:
    async with serve(environment="production") as trove, httpx.AsyncClient() as client:
        answers = [
            (await client.post(trove.endpoint, json={"query": ITEM}, headers=headers)).json()
            for headers in ({}, RESOLVERS_ONLY)
        ]
    assert answers[0] == answers[1]
    assert list(answers[0]) == ["data"]
