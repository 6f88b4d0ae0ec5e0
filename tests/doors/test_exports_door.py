"""`GET /exports/{id}`: an archive for whoever has its link, and for nobody else; and the whole way to it."""

import asyncio
import io
import json
import socket
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
import uvicorn
from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.applications import Starlette

from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole, create_engine
from app.core.events import EventBus
from app.core.ids import PublicIdTag, new_id, parse_public_id, public_id
from app.core.jobs import JobQueue, connect_redis
from app.core.secrets import place_of
from app.core.settings import Settings
from app.doors.exports import routes
from app.identity.authentication import Authentication
from app.identity.commands.challenges import begin_challenge
from app.identity.commands.exports import ExportDownload, create_download
from app.identity.commands.sessions import SignInMethod, begin_session
from app.identity.models import AuditEntry, Challenge, ChallengeKind, DataExport
from app.identity.viewer import Caller, Viewer
from app.main import create_application
from tests.identity.builders import SECRETS, add_person
from tests.outages_builders import eventually
from tests.prompt_server import PromptServer

ARCHIVE = b"PK, an archive of Ada's"


@asynccontextmanager
async def door(database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the door over this database."""

    class Identity:
        """What the door asks of identity."""

        secrets = SECRETS

    application = Starlette(routes=routes())
    application.state.database = database
    application.state.identity = Identity()
    transport = httpx.ASGITransport(application, client=("203.0.113.9", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://trove") as client:
        yield client


@pytest.fixture
async def client(api_database: Database) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the door, over the API's role."""
    async with door(api_database) as client:
        yield client


@pytest.fixture
async def ada(_owner: AsyncEngine, database: Database) -> UUID:
    """Somebody."""
    async with _owner.begin() as connection:
        return await add_person(connection, username="ada")


@pytest.fixture
async def eve(_owner: AsyncEngine, database: Database) -> UUID:
    """Somebody else."""
    async with _owner.begin() as connection:
        return await add_person(connection, username="eve")


async def ready_export(database: Database, user_id: UUID, archive: bytes = ARCHIVE) -> UUID:
    """An export that can be fetched."""
    export_id = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(DataExport).values(
                id=export_id,
                user_id=user_id,
                status="ready",
                archive=SECRETS.encrypt(archive, place_of(DataExport.archive, export_id)),
                expires_at=utc_now() + timedelta(days=1),
            )
        )
    return export_id


async def link_to(api_database: Database, user_id: UUID, export_id: UUID) -> ExportDownload:
    """A link of the owner's."""
    caller = Caller(Viewer(user_id=user_id, is_session=True))
    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        return await create_download(transaction, SECRETS, export_id, caller=caller)


async def fetch(client: httpx.AsyncClient, export_id: UUID, token: str | None, **more: str) -> httpx.Response:
    """Follow a link."""
    parameters = more if token is None else {"token": token, **more}
    return await client.get(
        f"/exports/{public_id(PublicIdTag.DATA_EXPORT, export_id)}",
        params=parameters,
        headers={"User-Agent": "Browser/1"},
    )


async def fetched(database: Database) -> list[Any]:
    """What the audit log says of archives that were fetched."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(select(*AuditEntry.__table__.columns))
        return [row for row in rows if row.action == "export_fetched"]


async def test_the_link_gives_the_archive_as_a_download_that_nobody_keeps(
    client: httpx.AsyncClient, api_database: Database, database: Database, ada: UUID
) -> None:
    export_id = await ready_export(database, ada)
    link = await link_to(api_database, ada, export_id)
    assert timedelta(minutes=14) < link.expires_at - utc_now() <= timedelta(minutes=15)
    answer = await fetch(client, export_id, link.token)
    assert (answer.status_code, answer.content) == (200, ARCHIVE)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == f'attachment; filename="trove-data-{utc_now():%Y-%m-%d}.zip"'
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    (entry,) = await fetched(database)
    assert (entry.subject_id, entry.actor_id, str(entry.address), entry.user_agent) == (
        ada,
        None,
        "203.0.113.9",
        "Browser/1",
    )
    assert link.token not in str(entry)


async def test_a_download_that_broke_off_can_be_repeated_while_the_link_holds(
    client: httpx.AsyncClient, api_database: Database, database: Database, ada: UUID
) -> None:
    export_id = await ready_export(database, ada)
    link = await link_to(api_database, ada, export_id)
    for _ in range(2):
        assert (await fetch(client, export_id, link.token)).content == ARCHIVE
    assert len(await fetched(database)) == 2
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Challenge).values(expires_at=utc_now()))
    assert (await fetch(client, export_id, link.token)).status_code == 404


async def test_every_link_that_does_not_hold_is_answered_alike(
    client: httpx.AsyncClient, api_database: Database, database: Database, ada: UUID, eve: UUID
) -> None:
    own, eves = await ready_export(database, ada), await ready_export(database, eve, b"of Eve's")
    token = (await link_to(api_database, ada, own)).token
    eves_token = (await link_to(api_database, eve, eves)).token
    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        another_kind = await begin_challenge(
            transaction, SECRETS, ChallengeKind.MAGIC_LINK, content={"export": str(own)}, user_id=ada
        )
        anothers = await begin_challenge(
            transaction, SECRETS, ChallengeKind.EXPORT_DOWNLOAD, content={"export": str(eves)}, user_id=ada
        )
    wrong = [
        await fetch(client, own, None),
        await fetch(client, own, ""),
        await fetch(client, own, "trove_challenge_x"),
        await fetch(client, own, token[:-1] + ("a" if token[-1] != "a" else "b")),
        await fetch(client, own, token + "\0"),
        await fetch(client, own, eves_token),
        await fetch(client, eves, token),
        await fetch(client, own, another_kind),
        await fetch(client, eves, anothers),
        await fetch(client, new_id(), token),
        await client.get(f"/exports/{own}", params={"token": token}),
        await client.get(f"/exports/{public_id(PublicIdTag.USER, own)}", params={"token": token}),
        await client.get(f"/exports/{public_id(PublicIdTag.DATA_EXPORT, own)}?token={token}&token={token}"),
    ]
    assert {answer.status_code for answer in wrong} == {404}
    assert len({answer.content for answer in wrong}) == 1
    assert {answer.headers["cache-control"] for answer in wrong} == {"no-store"}
    assert await fetched(database) == []
    # And each holds where it belongs.
    assert (await fetch(client, own, token)).status_code == 200
    assert (await fetch(client, eves, eves_token)).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE identity.data_exports SET expires_at = now()",
        "UPDATE identity.data_exports SET status = 'expired', archive = NULL",
        "DELETE FROM identity.data_exports",
        "DELETE FROM identity.challenges",
    ],
)
async def test_a_link_ends_with_its_archive(
    client: httpx.AsyncClient, api_database: Database, database: Database, ada: UUID, change: str
) -> None:
    export_id = await ready_export(database, ada)
    link = await link_to(api_database, ada, export_id)
    async with database.transaction() as transaction:
        await transaction.connection.execute(text(change))
    assert (await fetch(client, export_id, link.token)).status_code == 404


async def test_while_the_database_is_away_one_is_told_to_come_back(trove_settings: Settings) -> None:
    redis = connect_redis(str(trove_settings.redis_url))
    nowhere = "postgresql+asyncpg://trove@/trove?host=/nonexistent"
    engine = create_engine(nowhere, role=DatabaseRole.API, pool_size=1, application_name="tests-away")
    database = Database(engine, jobs=JobQueue(redis), events=EventBus(redis))
    async with door(database) as client:
        answer = await fetch(client, new_id(), "trove_challenge_x")
    await database.close()
    await redis.aclose()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert answer.headers["retry-after"] == "5"


async def access_token_of(database: Database, settings: Settings, user_id: UUID) -> str:
    """An access token of a session that begins now, as signing in gives it."""
    redis = connect_redis(str(settings.redis_url))
    issuer = settings.public_url or "trove"
    authentication = Authentication(database, SECRETS, EventBus(redis), issuer=issuer)
    async with database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        session = await begin_session(
            transaction, user_id=user_id, method=SignInMethod.PASSWORD, caller=Caller(), device="a test"
        )
    token = await authentication.access_token(session)
    await redis.aclose()
    return token.text


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[str]:
    """The whole application at a port of this machine; gives its address there."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = PromptServer(
            uvicorn.Config(create_application(settings), log_config=None, access_log=False, timeout_graceful_shutdown=3)
        )
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(60):
                while not server.started:  # noqa: ASYNC110  # the server tells nobody
                    await asyncio.sleep(0.02)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


async def test_somebody_has_all_their_data_by_a_server_and_a_worker(
    api_database: Database, trove_settings: Settings, ada: UUID, live_worker: object
) -> None:
    settings = trove_settings.model_copy(update={"public_url": "https://trove.example"})
    token = await access_token_of(api_database, settings, ada)
    async with serving(settings) as url, httpx.AsyncClient(base_url=url, timeout=30) as client:
        await _fetch_all(client, url, token)


async def _fetch_all(client: httpx.AsyncClient, server: str, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}

    async def ask(query: str, **variables: str) -> Any:
        answer = await client.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
        data = answer.json()
        assert "errors" not in data, data
        return data["data"]

    asked = (await ask("mutation { exportMyData { export { id } userErrors { code } } }"))["exportMyData"]
    export_id = asked["export"]["id"]
    parsed = parse_public_id(export_id)
    assert parsed is not None

    async def is_ready() -> bool:
        found = await ask("query ($id: ID!) { node(id: $id) { ... on DataExport { status } } }", id=export_id)
        return bool(found["node"]["status"] == "READY")

    await eventually("the export is ready", is_ready, within=60)
    made = await ask(
        "mutation ($id: ID!) { createExportDownload(input: {id: $id}) { url userErrors { code } } }", id=export_id
    )
    url = made["createExportDownload"]["url"]
    assert url.startswith("https://trove.example/exports/")
    # The link needs no session, and nothing but itself.
    answer = await client.get(url.replace("https://trove.example", server))
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert json.loads(archive.read("account.json"))[0]["username"] == "ada"
        assert [entry["action"] for entry in json.loads(archive.read("audit-log.json"))] == [
            "signed_in",
            "export_requested",
        ]
