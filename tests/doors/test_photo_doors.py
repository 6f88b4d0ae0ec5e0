"""`POST /uploads/photos` and `GET /photos/…`: what they take and show, and what they say to everything else."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import pytest
from PIL import Image
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.catalogue.commands import photo_uploads
from app.catalogue.commands.photo_uploads import parse_upload_token
from app.catalogue.models import Item, PhotoUpload
from app.catalogue.pictures import MAXIMUM_BYTES
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import PublicIdTag, new_id, public_id
from app.core.settings import Settings
from app.core.storage import LINK_HOLDS, LINK_STAYS, FolderStorage
from app.identity.commands.api_tokens import API_TOKEN
from app.identity.models import ApiToken
from app.identity.scopes import OWN, Scope
from app.identity.tokens import new_token
from app.main import create_application
from tests.identity.builders import PARTNER_TOKEN, add_person

TOKEN = new_token(API_TOKEN)
READING_TOKEN = new_token(API_TOKEN)
EDITS = {"Authorization": f"Bearer {TOKEN.text}"}
ORIGIN = "https://app.example"
ADD = """
mutation ($input: AddItemPhotoInput!) {
    addItemPhoto(input: $input) {
        photo { small: url(size: SMALL) original: url(size: ORIGINAL) }
        userErrors { message }
    }
}
"""

NOT_READY = (
    "CREATE FUNCTION catalogue.not_ready() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN RAISE EXCEPTION 'the database system is starting up' USING ERRCODE = '57P03'; END $$",
    "CREATE TRIGGER not_ready BEFORE INSERT ON catalogue.photo_uploads "
    "FOR EACH ROW EXECUTE FUNCTION catalogue.not_ready()",
)


@pytest.fixture
async def editor(_owner: AsyncEngine, database: Database, partner: None) -> UUID:
    """Somebody who may change the catalogue, with a token for all of that and one for none; beside the partner."""
    async with _owner.begin() as connection:
        user_id = await add_person(connection, permissions=[Scope.CATALOGUE_WRITE])
        reading = (Scope.PORTFOLIOS_READ, Scope.ACCOUNT_WRITE)
        for token, scopes in ((TOKEN, (*OWN, Scope.CATALOGUE_WRITE)), (READING_TOKEN, reading)):
            await connection.execute(
                insert(ApiToken).values(
                    id=new_id(),
                    user_id=user_id,
                    name="Photos",
                    prefix=token.shown_prefix,
                    token_hash=token.hash,
                    scopes=[scope.value for scope in scopes],
                )
            )
    return user_id


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the whole application."""
    application = create_application(settings)
    async with application.router.lifespan_context(application):
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            yield client


@pytest.fixture
def settings(trove_settings: Settings, tmp_path: Path) -> Settings:
    """The settings of a server with a folder for its objects."""
    changed = {"directory": tmp_path, "allowed_origins": (ORIGIN,), "public_url": "http://localhost:8000"}
    return trove_settings.model_copy(update=changed)


@pytest.fixture
async def client(settings: Settings, editor: UUID) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application."""
    async with served(settings) as client:
        yield client


def picture(kind: str = "JPEG", size: tuple[int, int] = (40, 30)) -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, (200, 100, 50)).save(written, kind)
    return written.getvalue()


async def send(client: httpx.AsyncClient, content: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/uploads/photos", content=content, headers=EDITS | named)


def code_of(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert set(error) == {"code", "message"}
    assert error["message"].endswith(".")
    assert response.headers["cache-control"] == "no-store"
    return str(error["code"])


async def uploads(database: Database) -> list[UUID]:
    async with database.transaction() as transaction:
        return list((await transaction.connection.execute(select(PhotoUpload.id))).scalars())


def objects(settings: Settings) -> list[Path]:
    assert settings.directory is not None
    return [file for file in settings.directory.rglob("*") if file.is_file()]


async def test_a_photo_comes_in_by_one_door_and_out_by_the_other(
    client: httpx.AsyncClient, database: Database, editor: UUID
) -> None:
    item_id = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Item).values(id=item_id, kind="coin", slug="lantern", name="Lantern")
        )
    # What its sender calls it does not matter.
    sent = await send(client, picture("PNG"), content_type="image/jpeg")
    assert sent.status_code == 201
    answer = sent.json()
    assert answer == {"uploadId": answer["uploadId"], "contentType": "image/png", "width": 40, "height": 30}
    assert [parse_upload_token(answer["uploadId"])] == await uploads(database)
    given = {"itemId": public_id(PublicIdTag.ITEM, item_id), "uploadId": answer["uploadId"]}
    added = await client.post("/graphql", json={"query": ADD, "variables": {"input": given}}, headers=EDITS)
    payload = added.json()["data"]["addItemPhoto"]
    assert payload["userErrors"] == []
    for size, content_type in (("small", "image/webp"), ("original", "image/png")):
        shown = await client.get(payload["photo"][size])
        assert (shown.status_code, shown.headers["content-type"]) == (200, content_type)
        assert shown.headers["content-length"] == str(len(shown.content))
        assert shown.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in shown.headers["content-security-policy"]
        assert "set-cookie" not in shown.headers
        assert Image.open(io.BytesIO(shown.content)).size == (40, 30)
        directives = shown.headers["cache-control"].split(", ")
        assert (directives[0], directives[2]) == ("private", "immutable")
        assert LINK_HOLDS.total_seconds() - 60 < int(directives[1].removeprefix("max-age=")) <= 7 * 3600
        assert (await client.head(payload["photo"][size])).content == b""


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [
        (None, 401, "UNAUTHENTICATED"),
        ("Bearer wrong", 401, "UNAUTHENTICATED"),
        (f"Basic {TOKEN.text}", 401, "UNAUTHENTICATED"),
        (f"Bearer {READING_TOKEN.text}", 403, "FORBIDDEN"),
    ],
    ids=["nobody", "a wrong token", "another scheme", "a token that may not"],
)
async def test_who_may_not_send_is_refused_before_the_body_is_read(
    client: httpx.AsyncClient,
    database: Database,
    settings: Settings,
    authorization: str | None,
    status: int,
    code: str,
) -> None:
    pieces = 0

    async def unread() -> AsyncIterator[bytes]:
        nonlocal pieces
        pieces += 1
        yield picture()

    headers = {} if authorization is None else {"Authorization": authorization}
    response = await client.post("/uploads/photos", content=unread(), headers=headers)
    assert (response.status_code, code_of(response), pieces) == (status, code, 0)
    assert (status == 401) == ("www-authenticate" in response.headers)
    assert (await uploads(database), objects(settings)) == ([], [])


async def test_who_may_change_what_they_own_sends_photos_of_it(client: httpx.AsyncClient, database: Database) -> None:
    owner = {"Authorization": f"Bearer {PARTNER_TOKEN.text}"}
    sent = await client.post("/uploads/photos", content=picture(), headers=owner)
    assert sent.status_code == 201
    assert await uploads(database) == [parse_upload_token(sent.json()["uploadId"])]


async def test_who_has_sent_as_many_as_may_wait_is_told_to_add_them(
    client: httpx.AsyncClient, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(photo_uploads, "MOST_WAITING", 1)
    assert (await send(client, picture())).status_code == 201
    kept = objects(settings)
    # Whoever may not keep another has nothing drawn either: this is no picture, and nobody has looked at it.
    refused = await send(client, b"no picture")
    assert (refused.status_code, code_of(refused)) == (429, "BAD_USER_INPUT")
    assert (len(await uploads(database)), objects(settings)) == (1, kept)


async def test_a_cookie_alone_lets_nobody_send(client: httpx.AsyncClient, database: Database) -> None:
    cookies = {"Cookie": f"trove-refresh={TOKEN.text}; __Host-trove-refresh={TOKEN.text}"}
    response = await client.post("/uploads/photos", content=picture(), headers=cookies)
    assert (response.status_code, await uploads(database)) == (401, [])


async def test_a_form_and_an_empty_body_are_told_to_send_the_file_itself(
    client: httpx.AsyncClient, database: Database
) -> None:
    form = await client.post("/uploads/photos", files={"photo": ("photo.png", picture("PNG"))}, headers=EDITS)
    for answer, fault in ((form, "This is a form."), (await send(client, b""), "The body is empty.")):
        assert (answer.status_code, code_of(answer)) == (415, "BAD_USER_INPUT")
        assert answer.json()["error"]["message"].startswith(f"{fault} Send the file itself as the body; ")
    assert await uploads(database) == []


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"", {}, 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {"content_type": "image/svg+xml"}, 415),
        (b"<!doctype html><script>1</script>", {"content_type": "image/png"}, 415),
        (picture(), {"content_encoding": "gzip"}, 415),
        (picture(size=(15, 40)), {}, 422),
        (picture("PNG", (300, 300))[:200], {}, 422),
        (picture("PNG") + b"\0" * MAXIMUM_BYTES, {}, 413),
    ],
    ids=["nothing", "SVG", "HTML", "gzip", "too small", "cut off", "too large"],
)
async def test_what_cannot_be_a_photo_is_refused_and_nothing_is_kept(
    client: httpx.AsyncClient,
    database: Database,
    settings: Settings,
    content: bytes,
    headers: dict[str, str],
    status: int,
) -> None:
    response = await send(client, content, **headers)
    assert (response.status_code, code_of(response)) == (status, "BAD_USER_INPUT")
    assert (await uploads(database), objects(settings)) == ([], [])


async def test_an_endless_body_is_not_read_beyond_the_limit(client: httpx.AsyncClient) -> None:
    pieces = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal pieces
        while True:
            pieces += 1
            yield b" " * 1024 * 1024

    response = await send(client, endless())
    assert (response.status_code, response.headers["connection"]) == (413, "close")
    assert pieces == MAXIMUM_BYTES // 1024 // 1024 + 1


async def test_a_page_of_an_allowed_origin_may_send_and_no_other(client: httpx.AsyncClient) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    allowed = await client.options("/uploads/photos", headers=asked | {"Origin": ORIGIN})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert "access-control-allow-credentials" not in allowed.headers
    other = await client.options("/uploads/photos", headers=asked | {"Origin": "https://evil.example"})
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers
    assert (await send(client, picture(), origin=ORIGIN)).headers["access-control-allow-origin"] == ORIGIN
    assert (await client.options("/uploads/photos")).status_code == 401


async def test_while_the_store_is_away_senders_are_told_to_come_back(settings: Settings, editor: UUID) -> None:
    assert settings.directory is not None
    (settings.directory / "file").write_text("no folder")
    away = settings.model_copy(update={"storage_url": f"file://{settings.directory}/file/objects"})
    async with served(away) as client:
        response = await send(client, picture())
    assert (response.status_code, code_of(response)) == (503, "SERVICE_UNAVAILABLE")
    assert response.headers["retry-after"]


@pytest.fixture
async def starting_database(_owner: AsyncEngine) -> AsyncIterator[None]:
    """A database that says it is not ready, by the code that PostgreSQL has for it, to whoever sends a photo."""
    async with _owner.begin() as connection:
        for statement in NOT_READY:
            await connection.execute(text(statement))
    yield
    async with _owner.begin() as connection:
        await connection.execute(text("DROP FUNCTION catalogue.not_ready() CASCADE"))


@pytest.mark.usefixtures("starting_database")
async def test_while_the_database_is_not_ready_senders_are_told_to_come_back(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    response = await send(client, picture())
    assert (response.status_code, code_of(response)) == (503, "SERVICE_UNAVAILABLE")
    assert objects(settings) == []


async def a_link(client: httpx.AsyncClient) -> str:
    """The way of a link to a photo that is there, from the root on."""
    sent = await send(client, picture())
    key = parse_upload_token(sent.json()["uploadId"])
    assert key is not None
    storage: FolderStorage = client._transport.app.state.storage  # type: ignore[attr-defined]  # of the test's own transport
    whole = urlsplit(await storage.link(f"photos/{key.hex}/large.webp", now=utc_now()))
    return f"{whole.path}?{whole.query}"


async def test_a_link_that_is_not_ours_opens_nothing(client: httpx.AsyncClient) -> None:
    link = await a_link(client)
    assert (await client.get(link)).status_code == 200
    path, query = link.split("?")
    for wrong in (path, link[:-1], link.replace("large", "small"), f"{path}?signature=x&expires=99999999999"):
        response = await client.get(wrong)
        assert (response.status_code, code_of(response)) == (403, "FORBIDDEN"), wrong
    for wrong in (
        f"/photos/../secret-keys.json?{query}",
        f"/photos/%2e%2e/%2e%2e/secret-keys.json?{query}",
        f"/photos/{'0' * 32}/large.svg?{query}",
        f"/photos/{'0' * 32}%2flarge.webp/?{query}",
        "/photos/",
    ):
        response = await client.get(wrong)
        assert response.status_code == 404, wrong


async def test_a_link_is_over_after_its_hours(client: httpx.AsyncClient) -> None:
    link = await a_link(client)
    now = utc_now()
    with patch("app.doors.photos.utc_now", lambda: now + LINK_HOLDS):
        assert (await client.get(link)).status_code == 200
    with patch("app.doors.photos.utc_now", lambda: now + LINK_HOLDS + LINK_STAYS + timedelta(seconds=1)):
        response = await client.get(link)
    assert (response.status_code, code_of(response)) == (410, "FORBIDDEN")


async def test_a_link_to_a_photo_that_is_gone_says_so(client: httpx.AsyncClient, settings: Settings) -> None:
    link = await a_link(client)
    for file in objects(settings):
        file.unlink()
    response = await client.get(link)
    assert (response.status_code, code_of(response)) == (404, "NOT_FOUND")
    assert response.json()["error"]["message"] == "This photo has been deleted."


async def test_where_a_bucket_keeps_the_photos_this_door_shows_none(settings: Settings, editor: UUID) -> None:
    bucket = settings.model_copy(update={"storage_url": "s3://bucket/photos"})
    async with served(bucket) as client:
        response = await client.get(f"/photos/{'0' * 32}/large.webp?expires=1&signature=x")
    assert (response.status_code, code_of(response)) == (404, "NOT_FOUND")
