"""Where objects such as photos are kept: a folder of this machine, or a bucket of S3, Google or Azure.

An object is written once, as a whole, and never changed; it has a key such as `photos/…/large.webp`. Whoever is to see
it gets a link that holds for some hours. Of a bucket the link leads there and the store itself has signed it; of a
folder it leads to `GET /photos/…` of ours.
"""

import base64
import hmac
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlencode, urlsplit

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from app.core.embedded import default_directory
from app.core.errors import Forbidden, NotFound, ServiceUnavailable
from app.core.secrets import Secrets
from app.core.settings import Settings
from app.core.storage_options import read_storage_options

if TYPE_CHECKING:
    # The library has these for those who check types, and nobody else.
    from obstore.store import ClientConfig, RetryConfig

logger = structlog.get_logger(__name__)

LOCAL_FOLDER = "objects"
OWNER_ONLY = 0o700
# A link stays the same for so long, so that browsers and caches in between find what they have already.
LINK_STAYS = timedelta(hours=1)
# And from the last moment on at which it was given, it holds for so long.
LINK_HOLDS = timedelta(hours=6)
# Of links to a bucket, which are another each time they are signed.
LINKS_KEPT = 20_000
CHUNK_BYTES = 256 * 1024
TIMEOUT = timedelta(seconds=20)
Bucket = S3Store | GCSStore | AzureStore
BUCKETS: Mapping[str, type[S3Store] | type[GCSStore] | type[AzureStore]] = {
    "s3": S3Store,
    "gs": GCSStore,
    "az": AzureStore,
}
_NUMBER = re.compile(r"[1-9][0-9]{0,12}")
_CLIENT: "ClientConfig" = {"connect_timeout": timedelta(seconds=5), "timeout": TIMEOUT}
_RETRIES: "RetryConfig" = {"max_retries": 2, "retry_timeout": TIMEOUT}
# What a store raises: the library's own, and those of Python that it uses for some of them.
_FAILURES = (BaseError, OSError, ValueError, NotImplementedError)
# What S3, Google and Azure say where it is not an object that is missing, but the bucket.
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")


class StorageUnavailable(ServiceUnavailable):
    """The store cannot be reached, or refuses us; the message holds nothing of how we got in."""


class ObjectMissing(NotFound):
    """The store has no such object."""


class LinkInvalid(Forbidden):
    """A link was not made by us, or was changed since."""


class LinkOver(Forbidden):
    """A link is ours, and its time is over."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it is read: how many bytes it has, and those bytes, piece by piece."""

    size: int
    pieces: AsyncIterator[bytes]


class Storage(ABC):
    """A store of objects by their keys."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name})"

    async def put(self, key: str, content: bytes, *, content_type: str) -> None:
        """Keep an object: all of it is there afterwards, or nothing. Raises StorageUnavailable."""
        with self._failing("put"):
            await self._put(key, content, content_type)

    async def get(self, key: str) -> StoredObject:
        """Begin to read an object; raises ObjectMissing where there is none, and StorageUnavailable."""
        with self._failing("get"):
            found = await obstore.get_async(await self._store(), key)
        return StoredObject(found.meta["size"], self._pieces(found.stream(CHUNK_BYTES)))

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete objects; those that are not there are no matter. Raises StorageUnavailable."""
        for key in keys:
            try:
                with self._failing("delete"):
                    await obstore.delete_async(await self._store(), key)
            except ObjectMissing:
                continue

    @abstractmethod
    async def link(self, key: str, *, now: datetime) -> str:
        """The address at which anybody can read an object for `LINK_HOLDS` at least; raises StorageUnavailable."""

    @abstractmethod
    async def _store(self) -> LocalStore | Bucket: ...

    @abstractmethod
    async def _put(self, key: str, content: bytes, content_type: str) -> None: ...

    async def _pieces(self, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        with self._failing("get"):
            async for piece in stream:
                yield bytes(piece)

    @contextmanager
    def _failing(self, operation: str) -> Iterator[None]:
        """Say what went wrong in a word: the messages of the stores hold addresses, and those may hold signatures."""
        reason = ""
        try:
            yield
        except _FAILURES as error:
            if isinstance(error, FileNotFoundError) and not any(word in str(error) for word in _NO_BUCKET):
                raise ObjectMissing("There is no such object.") from None
            reason = type(error).__name__
        if reason:
            logger.warning("storage_failed", operation=operation, store=self._name, reason=reason)
            raise StorageUnavailable("The store of photos cannot be reached; try again in a moment.") from None


class FolderStorage(Storage):
    """A folder of this machine, with links to our own door; `public_url` is where browsers reach it.

    The folder is made when the first object comes.
    """

    def __init__(self, folder: Path, secrets: Secrets, *, public_url: str | None) -> None:
        super().__init__(f"file://{folder}")
        self._folder = folder
        self._keys = secrets.derived_keys(b"links to stored objects")
        self._public_url = public_url
        self._opened: LocalStore | None = None

    async def link(self, key: str, *, now: datetime) -> str:
        """The address at our door; raises ServiceUnavailable where this server does not know its own."""
        if self._public_url is None:
            raise ServiceUnavailable("This server does not know its own address; its operator sets TROVE_PUBLIC_URL.")
        expires = int(_end_of_link(now).timestamp())
        signed = urlencode({"expires": expires, "signature": _signature(self._keys[0], key, expires)})
        return f"{self._public_url}/{key}?{signed}"

    def check(self, key: str, *, expires: str, signature: str, now: datetime) -> timedelta:
        """How long a link of ours still holds; raises LinkInvalid for any other, and LinkOver after its time."""
        # What is signed is the number, of which there is one writing.
        if not _NUMBER.fullmatch(expires):
            raise LinkInvalid("This link is not one of ours; ask for the address of the photo again.")
        given = signature.encode("utf-8", "surrogatepass")
        fits = [hmac.compare_digest(_signature(one, key, int(expires)).encode(), given) for one in self._keys]
        if not any(fits):
            raise LinkInvalid("This link is not one of ours; ask for the address of the photo again.")
        left = timedelta(seconds=int(expires) - now.timestamp())
        if left <= timedelta(0):
            raise LinkOver("This link is over; ask for the address of the photo again.")
        return left

    async def _store(self) -> LocalStore:
        if self._opened is None:
            # Nobody else of this machine reads what is private in here.
            self._folder.mkdir(mode=OWNER_ONLY, parents=True, exist_ok=True)
            # A photo has a folder of its own, which goes with it.
            self._opened = LocalStore(self._folder, automatic_cleanup=True)
        return self._opened

    async def _put(self, key: str, content: bytes, content_type: str) -> None:
        # A folder keeps no attributes: the ending of the key says what the object is.
        await obstore.put_async(await self._store(), key, content, use_multipart=False)


class BucketStorage(Storage):
    """A bucket of S3, Google or Azure, or of what speaks like one, with links that the store has signed."""

    def __init__(self, url: str, store: Bucket) -> None:
        super().__init__(url)
        self._opened = store
        self._links: dict[str, tuple[datetime, str]] = {}

    async def link(self, key: str, *, now: datetime) -> str:
        """The address in the bucket: the same for an hour, as far as this process remembers it."""
        ends = _end_of_link(now)
        kept = self._links.get(key)
        if kept is not None and kept[0] == ends:
            return kept[1]
        with self._failing("sign"):
            signed = await obstore.sign_async(self._opened, "GET", key, LINK_STAYS + LINK_HOLDS)
        if len(self._links) >= LINKS_KEPT:
            self._links.clear()
        self._links[key] = (ends, signed)
        return signed

    async def _store(self) -> LocalStore | Bucket:
        return self._opened

    async def _put(self, key: str, content: bytes, content_type: str) -> None:
        attributes = {"Content-Type": content_type, "Cache-Control": "private, max-age=3600, immutable"}
        await obstore.put_async(self._opened, key, content, attributes=attributes, use_multipart=False)


def storage_of(settings: Settings, secrets: Secrets) -> Storage:
    """The store of the settings; raises ServiceUnavailable, which says what to do, where it cannot be one."""
    url = settings.storage_url
    if url is None or url.startswith("file:"):
        directory = settings.directory or default_directory()
        folder = directory / LOCAL_FOLDER if url is None else Path(unquote(urlsplit(url).path))
        return FolderStorage(folder, secrets, public_url=_address_of(settings))
    return BucketStorage(url, _open_bucket(url, settings))


def _address_of(settings: Settings) -> str | None:
    if settings.public_url is None and settings.is_development:
        return f"http://localhost:{settings.port}"
    return settings.public_url


def _open_bucket(url: str, settings: Settings) -> Bucket:
    options = {} if settings.storage_options is None else dict(read_storage_options(settings.storage_options))
    client = _CLIENT.copy()
    # A store of one's own network, or of a test; of all others the address is https.
    client["allow_http"] = str(options.get("endpoint", "")).startswith("http://")
    reason = ""
    try:
        opened: Bucket = BUCKETS[urlsplit(url).scheme].from_url(
            url,
            config=options,  # type: ignore[arg-type]  # which options there are depends on the store
            client_options=client,
            retry_config=_RETRIES,
        )
    except _FAILURES as error:
        # Its message may hold what stands in the options.
        reason = type(error).__name__
    else:
        return opened
    raise ServiceUnavailable(
        f"The store {url} cannot be used ({reason}): check TROVE_STORAGE_URL and TROVE_STORAGE_OPTIONS."
    )


def _end_of_link(now: datetime) -> datetime:
    """When a link that is given now ends: the same instant for all that are given within the hour."""
    begun = timedelta(seconds=now.timestamp() // LINK_STAYS.total_seconds() * LINK_STAYS.total_seconds())
    return datetime.fromtimestamp(begun.total_seconds(), tz=now.tzinfo) + LINK_STAYS + LINK_HOLDS


def _signature(signing_key: bytes, key: str, expires: int) -> str:
    digest = hmac.digest(signing_key, f"GET\0{key}\0{expires}".encode("utf-8", "surrogatepass"), "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
