"""`POST /ingest/prices` over a real server: what it takes, and what it says to everything else."""

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from app.core.database import Database, DatabaseRole, create_engine
from app.core.events import EventBus
from app.core.ids import PublicIdTag, parse_public_id
from app.core.jobs import JobQueue, connect_redis
from app.core.settings import Settings
from app.doors.ingest import routes
from app.identity.services import identity_services
from app.ingestion.commands import MAXIMUM_BYTES, MAXIMUM_ROWS
from tests.identity.builders import PARTNER_TOKEN

TOKEN = PARTNER_TOKEN.text
AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}


@asynccontextmanager
async def door(database: Database, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    assert settings.redis_url is not None
    redis = connect_redis(settings.redis_url)
    identity = identity_services(settings, database, EventBus(redis))
    await identity.start()
    application = Starlette(routes=routes())
    application.state.database = database
    application.state.identity = identity
    async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://trove") as client:
        yield client
    await identity.stop()
    await redis.aclose()


@pytest.fixture
async def client(api_database: Database, trove_settings: Settings, partner: None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the door, over the API's role, where a partner is known."""
    async with door(api_database, trove_settings) as client:
        yield client


async def post(client: httpx.AsyncClient, content: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/ingest/prices", content=content, headers=AUTHORISED | named)


async def stored_payloads(database: Database) -> list[bytes]:
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            text("SELECT payload FROM ingestion.ingest_batches ORDER BY sequence")
        )
        return list(rows.scalars())


def code_of(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert set(error) == {"code", "message"}
    assert error["message"].endswith(".")
    return str(error["code"])


async def test_a_batch_is_stored_and_named(client: httpx.AsyncClient, database: Database) -> None:
    response = await post(client, b'{"a":1}\n{"b":2}\n', content_type="application/x-ndjson")
    assert response.status_code == 202
    answer = response.json()
    assert (answer["rows"], answer["repeated"]) == (2, False)
    parsed = parse_public_id(answer["batchId"])
    assert parsed is not None
    assert parsed[0] is PublicIdTag.INGEST_BATCH
    assert await stored_payloads(database) == [b'{"a":1}\n{"b":2}\n']


async def test_the_same_key_gives_the_same_batch_and_another_content_a_conflict(
    client: httpx.AsyncClient, database: Database
) -> None:
    answers = [(await post(client, b"{}", idempotency_key="k")).json() for _ in range(3)]
    assert [answer["repeated"] for answer in answers] == [False, True, True]
    assert len({answer["batchId"] for answer in answers}) == 1
    conflict = await post(client, b"[]", idempotency_key="k")
    assert (conflict.status_code, code_of(conflict)) == (409, "CONFLICT")
    assert len(await stored_payloads(database)) == 1


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xfc"],
    ids=["none", "empty", "no token", "wrong", "basic", "one letter more", "not ASCII"],
)
async def test_a_wrong_token_is_refused(
    client: httpx.AsyncClient, database: Database, authorization: str | None
) -> None:
    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    response = await client.post("/ingest/prices", content=b"{}", headers=headers)
    assert (response.status_code, code_of(response)) == (401, "UNAUTHENTICATED")
    assert response.headers["www-authenticate"].startswith("Bearer")
    assert await stored_payloads(database) == []


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"", {}, 400, "BAD_USER_INPUT"),
        (b"\n\n", {}, 400, "BAD_USER_INPUT"),
        (b"\xff\xfe", {}, 400, "BAD_USER_INPUT"),
        (b"{}", {"idempotency_key": "k" * 201}, 400, "BAD_USER_INPUT"),
        (b"{}", {"content_encoding": "br"}, 400, "BAD_USER_INPUT"),
        (b"{}", {"content_encoding": "gzip"}, 400, "BAD_USER_INPUT"),
        (gzip.compress(b"{}")[:-9], {"content_encoding": "gzip"}, 400, "BAD_USER_INPUT"),
        (b"", {"content_encoding": "gzip"}, 400, "BAD_USER_INPUT"),
        (b"{}\n" * (MAXIMUM_ROWS + 1), {}, 413, "BAD_USER_INPUT"),
        (b" " * (MAXIMUM_BYTES + 1), {}, 413, "BAD_USER_INPUT"),
    ],
    ids=[
        "empty",
        "blank",
        "not text",
        "long key",
        "unknown encoding",
        "not gzip",
        "cut gzip",
        "no gzip",
        "rows",
        "bytes",
    ],
)
async def test_what_cannot_be_taken_is_refused_with_a_sentence(
    client: httpx.AsyncClient, database: Database, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    response = await post(client, content, **headers)
    assert (response.status_code, code_of(response)) == (status, code)
    assert await stored_payloads(database) == []


async def test_a_gzip_body_of_one_or_several_members_is_unpacked(client: httpx.AsyncClient, database: Database) -> None:
    async def in_small_pieces() -> AsyncIterator[bytes]:
        packed = gzip.compress(b'{"a":1}\n') + gzip.compress(b'{"b":2}\n')
        for start in range(0, len(packed), 7):
            yield packed[start : start + 7]

    response = await post(client, in_small_pieces(), content_encoding="gzip")
    assert (response.status_code, response.json()["rows"]) == (202, 2)
    assert await stored_payloads(database) == [b'{"a":1}\n{"b":2}\n']


async def test_a_gzip_bomb_is_not_unpacked_beyond_the_limit(client: httpx.AsyncClient, database: Database) -> None:
    pieces_read = 0

    async def bomb() -> AsyncIterator[bytes]:
        nonlocal pieces_read
        packer = zlib.compressobj(9, wbits=31)
        for _ in range(500):
            pieces_read += 1
            yield packer.compress(b"\n" * 1024 * 1024) + packer.flush(zlib.Z_SYNC_FLUSH)

    response = await post(client, bomb(), content_encoding="gzip")
    assert response.status_code == 413
    assert pieces_read == MAXIMUM_BYTES // 1024 // 1024 + 1
    assert await stored_payloads(database) == []


async def test_one_small_piece_that_unpacks_to_much_does_not_take_memory(client: httpx.AsyncClient) -> None:
    packer = zlib.compressobj(1, wbits=31)
    bomb = b"".join(packer.compress(b"\n" * 1024 * 1024) for _ in range(200)) + packer.flush()
    tracemalloc.start()
    response = await post(client, bomb, content_encoding="gzip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert response.status_code == 413
    assert peak < 5 * MAXIMUM_BYTES


async def test_an_endless_body_is_not_read_beyond_the_limit(client: httpx.AsyncClient) -> None:
    pieces_read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal pieces_read
        while True:
            pieces_read += 1
            yield b" " * 1024 * 1024

    response = await post(client, endless())
    assert response.status_code == 413
    assert pieces_read == MAXIMUM_BYTES // 1024 // 1024 + 1


async def test_an_announced_size_beyond_the_limit_is_refused_before_the_body_is_read(client: httpx.AsyncClient) -> None:
    pieces_read = 0

    async def unread() -> AsyncIterator[bytes]:
        nonlocal pieces_read
        pieces_read += 1
        yield b"{}"

    response = await post(client, unread(), content_length=str(MAXIMUM_BYTES + 1))
    assert response.status_code == 413
    assert pieces_read == 0


async def test_while_the_database_is_away_senders_are_told_to_come_back(trove_settings: Settings) -> None:
    redis = connect_redis(str(trove_settings.redis_url))
    nowhere = "postgresql+asyncpg://trove@/trove?host=/nonexistent"
    engine = create_engine(nowhere, role=DatabaseRole.API, pool_size=1, application_name="tests-away")
    database = Database(engine, jobs=JobQueue(redis), events=EventBus(redis))
    async with door(database, trove_settings) as client:
        response = await post(client, b"{}")
    await database.close()
    await redis.aclose()
    assert (response.status_code, code_of(response)) == (503, "SERVICE_UNAVAILABLE")
    assert int(response.headers["retry-after"]) > 0
