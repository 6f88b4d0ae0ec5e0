"""Objects in a folder and in a bucket: kept, read, deleted, and shown by links that nobody else can make."""

import io
import json
import stat
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import SecretStr, ValidationError

from app.core.clock import utc_now
from app.core.errors import ServiceUnavailable
from app.core.secrets import KeyRing, Secrets
from app.core.settings import Settings
from app.core.storage import (
    LINK_HOLDS,
    LINK_STAYS,
    FolderStorage,
    LinkInvalid,
    LinkOver,
    ObjectMissing,
    Storage,
    StorageUnavailable,
    storage_of,
)
from tests.core.fake_s3 import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, FakeS3, Kept
from tests.identity.loopback_server import free_listener, serving, url_of

KEY = "photos/0123/large.webp"
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
RING = KeyRing.fresh()
SECRETS = Secrets(RING)


@pytest.fixture
def folder(tmp_path: Path) -> FolderStorage:
    """A folder that is not there yet."""
    return FolderStorage(tmp_path / "private" / "objects", SECRETS, public_url="https://api.example")


@pytest.fixture
def fake() -> FakeS3:
    """A bucket."""
    return FakeS3()


@pytest.fixture
def address(fake: FakeS3) -> Iterator[str]:
    """Where the bucket's store answers."""
    listener = free_listener()
    with serving(fake.application(), listener):
        yield url_of(listener)


def bucket_at(address: str, *, name: str = BUCKET, **options: str) -> Storage:
    given = {
        "endpoint": address,
        "region": REGION,
        "access_key_id": ACCESS_KEY,
        "secret_access_key": SECRET_KEY,
    } | options
    settings = Settings(
        storage_url=f"s3://{name}/pictures", storage_options=SecretStr(json.dumps(given)), environment="production"
    )
    return storage_of(settings, SECRETS)


async def read(storage: Storage, key: str = KEY) -> bytes:
    found = await storage.get(key)
    content = b"".join([piece async for piece in found.pieces])
    assert found.size == len(content)
    return content


async def test_a_folder_keeps_objects_for_its_owner_alone(folder: FolderStorage, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    await folder.put(KEY, content, content_type="image/webp")
    assert await read(folder) == content
    assert (tmp_path / "private" / "objects" / KEY).read_bytes() == content
    assert stat.S_IMODE((tmp_path / "private" / "objects").stat().st_mode) == 0o700
    await folder.delete([KEY, "photos/0123/never.webp"])
    with pytest.raises(ObjectMissing):
        await folder.get(KEY)


async def test_nothing_outside_of_the_folder_is_reached(folder: FolderStorage, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    await folder.put(KEY, b"content", content_type="image/webp")
    for key in ("../../secret", "photos/../../../secret", str(tmp_path / "secret"), "photos/%2e%2e/secret", "photos//"):
        with pytest.raises((ObjectMissing, StorageUnavailable)):
            await folder.get(key)


async def test_a_folder_that_cannot_be_written_is_said_to_be_away(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    storage = FolderStorage(tmp_path / "file" / "objects", SECRETS, public_url=None)
    with pytest.raises(StorageUnavailable, match="cannot be reached"):
        await storage.put(KEY, b"content", content_type="image/webp")


def given_by(link: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(link).query))


async def test_a_link_to_a_folder_holds_for_hours_and_stays_the_same_for_one(folder: FolderStorage) -> None:
    link = await folder.link(KEY, now=NOON)
    assert link.startswith(f"https://api.example/{KEY}?expires=")
    assert await folder.link(KEY, now=NOON + LINK_STAYS - timedelta(microseconds=1)) == link
    assert await folder.link(KEY, now=NOON + LINK_STAYS) != link
    assert folder.check(KEY, **given_by(link), now=NOON) == LINK_STAYS + LINK_HOLDS
    late = NOON + LINK_STAYS + LINK_HOLDS
    assert folder.check(KEY, **given_by(link), now=late - timedelta(seconds=1)) == timedelta(seconds=1)
    with pytest.raises(LinkOver, match="ask for the address of the photo again"):
        folder.check(KEY, **given_by(link), now=late)


async def test_a_link_that_was_changed_is_none_of_ours(folder: FolderStorage) -> None:
    given = given_by(await folder.link(KEY, now=NOON))
    later = str(int(given["expires"]) + 1)
    changes: list[dict[str, Any]] = [
        {"expires": later},
        {"expires": ""},
        {"expires": "soon"},
        {"expires": "-1"},
        {"expires": f"{given['expires']}.0"},
        {"expires": f" {given['expires']}"},
        {"expires": "٣"},
        {"expires": "9" * 5_000},
        {"signature": ""},
        {"signature": given["signature"][:-1]},
        {"signature": given["signature"] + "="},
        {"signature": given["signature"].swapcase()},
        {"signature": "é"},
    ]
    for change in changes:
        with pytest.raises(LinkInvalid, match="not one of ours"):
            folder.check(KEY, **(given | change), now=NOON)
    with pytest.raises(LinkInvalid):
        folder.check(KEY.replace("large", "original"), **given, now=NOON)


async def test_links_outlast_a_new_key_of_the_ring_and_not_another_ring(folder: FolderStorage, tmp_path: Path) -> None:
    given = given_by(await folder.link(KEY, now=NOON))
    later = FolderStorage(tmp_path, Secrets(RING.with_new_key("next")), public_url=None)
    assert later.check(KEY, **given, now=NOON) > timedelta(0)
    with pytest.raises(LinkInvalid):
        FolderStorage(tmp_path, Secrets(KeyRing.fresh()), public_url=None).check(KEY, **given, now=NOON)


async def test_a_server_that_does_not_know_its_address_gives_no_link(tmp_path: Path) -> None:
    storage = storage_of(Settings(directory=tmp_path, environment="production"), SECRETS)
    with pytest.raises(ServiceUnavailable, match="TROVE_PUBLIC_URL"):
        await storage.link(KEY, now=NOON)


async def test_without_an_address_objects_are_kept_among_the_private_things(tmp_path: Path) -> None:
    storage = storage_of(Settings(directory=tmp_path, environment="development", port=8123), SECRETS)
    assert isinstance(storage, FolderStorage)
    assert (await storage.link(KEY, now=NOON)).startswith(f"http://localhost:8123/{KEY}?")
    await storage.put(KEY, b"content", content_type="image/webp")
    assert (tmp_path / "objects" / KEY).read_bytes() == b"content"


async def test_a_folder_can_be_named(tmp_path: Path) -> None:
    storage = storage_of(Settings(storage_url=f"file://{tmp_path}/some%20where"), SECRETS)
    await storage.put(KEY, b"content", content_type="image/webp")
    assert (tmp_path / "some where" / KEY).read_bytes() == b"content"


async def test_a_bucket_keeps_objects_below_its_prefix(fake: FakeS3, address: str) -> None:
    storage = bucket_at(address)
    await storage.put(KEY, b"content", content_type="image/webp")
    assert fake.objects == {f"pictures/{KEY}": Kept(b"content", "image/webp", "private, max-age=3600, immutable")}
    assert await read(storage) == b"content"
    await storage.delete([KEY, "photos/0123/never.webp"])
    assert fake.objects == {}
    with pytest.raises(ObjectMissing):
        await storage.get(KEY)


async def test_a_link_to_a_bucket_is_the_stores_own_and_stays_the_same_for_an_hour(fake: FakeS3, address: str) -> None:
    storage = bucket_at(address)
    await storage.put(KEY, b"content", content_type="image/webp")
    link = await storage.link(KEY, now=NOON)
    assert urlsplit(link).path == f"/{BUCKET}/pictures/{KEY}"
    assert await storage.link(KEY, now=NOON + LINK_STAYS - timedelta(seconds=1)) == link
    async with httpx.AsyncClient() as client:
        shown = await client.get(link)
        assert (shown.status_code, shown.content, shown.headers["content-type"]) == (200, b"content", "image/webp")
        changed = link.replace("large", "small")
        assert (await client.get(changed)).status_code == 403
        longer = urlencode({name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}).replace(
            "X-Amz-Expires=25200", "X-Amz-Expires=90000"
        )
        assert (await client.get(link.partition("?")[0] + "?" + longer)).status_code == 403
        fake.ahead = LINK_HOLDS
        assert (await client.get(link)).status_code == 200
        fake.ahead = LINK_HOLDS + LINK_STAYS + timedelta(seconds=10)
        assert (await client.get(link)).status_code == 403


async def test_another_hour_gives_another_link_to_a_bucket(address: str) -> None:
    storage = bucket_at(address)
    await storage.link(KEY, now=NOON)
    signed = storage._links  # type: ignore[attr-defined]  # of buckets
    assert list(signed) == [KEY]
    await storage.link(KEY, now=NOON + LINK_STAYS)
    assert signed[KEY][0] == NOON + 2 * LINK_STAYS + LINK_HOLDS


async def test_a_store_that_fails_is_said_to_be_away_and_nothing_secret_is_told(
    fake: FakeS3, address: str, log: io.StringIO
) -> None:
    storage = bucket_at(address, secret_access_key="another-secret-key")
    told = [repr(storage)]
    for change in (storage.put(KEY, b"x", content_type="image/webp"), storage.get(KEY), storage.delete([KEY])):
        with pytest.raises(StorageUnavailable, match="cannot be reached") as caught:
            await change
        told += traceback.format_exception(caught.value)
    assert fake.objects == {}
    told.append(log.getvalue())
    assert "storage_failed" in log.getvalue()
    assert not [text for text in told if "another-secret-key" in text or ACCESS_KEY in text or "Signature" in text]


async def test_a_store_that_has_enough_is_said_to_be_away(fake: FakeS3, address: str) -> None:
    fake.breaks = True
    with pytest.raises(StorageUnavailable):
        await bucket_at(address).put(KEY, b"x", content_type="image/webp")


@pytest.mark.parametrize("options", [{}, {"disable_bulk_delete": "true"}], ids=["several at once", "one by one"])
async def test_a_bucket_that_is_not_there_is_no_missing_object(address: str, options: dict[str, str]) -> None:
    storage = bucket_at(address, name="misspelt", **options)
    for change in (storage.put(KEY, b"x", content_type="image/webp"), storage.get(KEY), storage.delete([KEY])):
        with pytest.raises(StorageUnavailable):
            await change


async def test_a_link_is_signed_though_the_store_is_away(address: str) -> None:
    assert "X-Amz-Signature=" in await bucket_at("http://127.0.0.1:9").link(KEY, now=utc_now())


@pytest.mark.parametrize(
    "url",
    ["photos", "ftp://host/photos", "http://bucket.example", "file://photos", "s3://key:secret@bucket/x", "memory:///"],
)
def test_an_address_that_is_no_store_is_refused_without_being_told(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(storage_url=url)
    assert "key:secret" not in str(caught.value)


@pytest.mark.parametrize("options", ["secret", "[1]", '{"secret_access_key": 1}', "[" * 100_000])
def test_options_that_are_no_object_are_refused_without_being_told(options: str) -> None:
    with pytest.raises(ValidationError, match="must be a JSON object") as caught:
        Settings(storage_options=SecretStr(options))
    assert "secret_access" not in str(caught.value)


def test_an_option_that_the_store_does_not_know_is_refused_without_being_told() -> None:
    settings = Settings(
        storage_url="gs://bucket/x", storage_options=SecretStr('{"service_account_key": "very-secret", "nothing": "x"}')
    )
    with pytest.raises(ServiceUnavailable, match="TROVE_STORAGE_OPTIONS") as caught:
        storage_of(settings, SECRETS)
    assert "very-secret" not in "".join(traceback.format_exception(caught.value))


def service_account() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return json.dumps({"private_key": pem, "private_key_id": "1", "client_email": "trove@project.example"})


@pytest.mark.parametrize(
    ("url", "options", "begins", "signed_by"),
    [
        (
            "az://container/pictures",
            {"account_name": "account", "account_key": "c2VjcmV0"},
            "https://account.blob.core.windows.net/container/pictures/photos/",
            "sig=",
        ),
        (
            "gs://bucket/pictures",
            {"service_account_key": service_account()},
            "https://storage.googleapis.com/bucket/pictures/photos/",
            "X-Goog-Signature=",
        ),
    ],
    ids=["Azure", "Google"],
)
async def test_other_clouds_sign_links_too(url: str, options: dict[str, str], begins: str, signed_by: str) -> None:
    settings = Settings(storage_url=url, storage_options=SecretStr(json.dumps(options)))
    link = await storage_of(settings, SECRETS).link(KEY, now=utc_now())
    assert link.startswith(begins)
    assert signed_by in link
    assert not [option for name, option in options.items() if "key" in name and option in link]
