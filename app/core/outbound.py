"""Calls to outside services by HTTP: bounded in time and in size, and without telling tales when they fail."""

import asyncio
import logging
import ssl
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from enum import StrEnum
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import Any, Protocol, TypedDict

import brotli
import httpx
import orjson

from app.core.public_addresses import PublicAddresses

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
LARGEST_ANSWER_BYTES = 1024 * 1024
USER_AGENT = f"Trove/{version('trove')}"
# Has zlib read the header of gzip.
GZIP_WINDOW = 16 + zlib.MAX_WBITS
PORTS = {"http": 80, "https": 443}


class OutsideFailure(StrEnum):
    """What went wrong."""

    UNREACHABLE = "cannot be reached"
    TIMED_OUT = "did not answer in time"
    REFUSED = "refused, or answered by a redirect"
    TOO_LARGE = "answered more than is read"
    NOT_JSON = "answered something that is not JSON"
    EMPTY = "answered nothing"
    NOT_HTTP = "answered something that is not HTTP as it was asked for"
    PRIVATE = "has an address that is not public"


class OutsideServiceFailed(Exception):
    """An outside service did not do what it was asked for. The message has its host, and nothing else of the request.

    `answer` is there wherever the service sent a status and headers, without content where that could not be read: what
    it says is for the caller to read, and for nobody to log.
    """

    def __init__(self, failure: OutsideFailure, *, host: str, answer: httpx.Response | None = None) -> None:
        super().__init__(f"{host} {failure.value}{'' if answer is None else f' (status {answer.status_code})'}.")
        self.failure = failure
        self.host = host
        self.answer = answer


class _Unfolding(Protocol):
    """What was compressed, as it comes in."""

    def unfolded(self, chunk: bytes, most: int) -> bytes:
        """What a chunk unfolds to, or more than `most` bytes of it; raises ValueError for what is not compressed so."""
        ...

    def is_whole(self) -> bool:
        """Whether it ended where it said that it would."""
        ...


class _Gzip:
    def __init__(self) -> None:
        self._unfold = zlib.decompressobj(GZIP_WINDOW)

    def unfolded(self, chunk: bytes, most: int) -> bytes:
        try:
            return self._unfold.decompress(chunk, most + 1)
        except zlib.error as error:
            raise ValueError from error

    def is_whole(self) -> bool:
        return self._unfold.eof and not self._unfold.unused_data


class _Brotli:
    def __init__(self) -> None:
        self._unfold = brotli.Decompressor()

    def unfolded(self, chunk: bytes, most: int) -> bytes:
        content = bytearray()
        try:
            content += self._unfold.process(chunk, output_buffer_limit=most + 1)
            while len(content) <= most and not self._unfold.can_accept_more_data():
                content += self._unfold.process(b"", output_buffer_limit=most + 1)
        except brotli.error as error:
            raise ValueError from error
        return bytes(content)

    def is_whole(self) -> bool:
        return bool(self._unfold.is_finished())


_UNFOLDING: Mapping[str, Callable[[], _Unfolding]] = {"gzip": _Gzip, "x-gzip": _Gzip, "br": _Brotli}


@cache
def _trusting() -> ssl.SSLContext:
    # Reading the trusted certificates takes longer than a call.
    return httpx.create_ssl_context()


class BoundedTransport(httpx.AsyncBaseTransport):
    """Sends requests and reads their answers, whole, within bounds of time and size.

    With `addresses` it connects to nothing but these, whatever the names of hosts come to mean meanwhile. With
    `reads_compressed` answers may be gzip or brotli; the bound of their size is that of what they unfold to. Raises
    OutsideServiceFailed where a bound is crossed, or where the service cannot be reached or understood. A refusal that
    has too much to say, or says it oddly, is given without its content.
    """

    def __init__(
        self,
        *,
        tls_context: ssl.SSLContext | None = None,
        total_seconds: float = TOTAL_SECONDS,
        largest_answer_bytes: int = LARGEST_ANSWER_BYTES,
        addresses: PublicAddresses | None = None,
        reads_compressed: bool = False,
    ) -> None:
        self._transport = httpx.AsyncHTTPTransport(
            verify=_trusting() if tls_context is None else tls_context,
            # A connection is known by its address. Kept, it could serve another host, whose certificate nobody saw.
            limits=httpx.Limits() if addresses is None else httpx.Limits(max_keepalive_connections=0),
        )
        self._total_seconds = total_seconds
        self._largest_answer_bytes = largest_answer_bytes
        self._addresses = addresses
        self._reads_compressed = reads_compressed

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and read its answer."""
        host = host_of(request)
        bare: httpx.Response | None = None
        try:
            async with self._failures_told(host):
                answer = await self._send(request, host)
                bare = _answer_of(answer, b"", request)
                try:
                    content = b"".join([chunk async for chunk in self._chunks(answer, host)])
                finally:
                    await answer.aclose()
                return _answer_of(answer, content, request)
        except OutsideServiceFailed as failed:
            failure = failed.failure
        if bare is not None and not bare.is_success:
            # Its status and headers say what is to be done, as how long to leave the service alone.
            return bare
        raise OutsideServiceFailed(failure, host=host, answer=bare)

    async def download(
        self,
        url: str,
        write: Callable[[bytes], object],
        *,
        on_progress: Callable[[int, int | None], None] = lambda received, total: None,
    ) -> None:
        """Write what a URL answers, unfolded, piece by piece as it comes.

        `on_progress` is told how many bytes have come, and of how many where the service says that. Raises as
        `handle_async_request` does, and also for every status that is no success.
        """
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip" if self._reads_compressed else "identity"}
        timeout = httpx.Timeout(TOTAL_SECONDS, connect=CONNECT_SECONDS).as_dict()
        request = httpx.Request("GET", url, headers=headers, extensions={"timeout": timeout})
        host = host_of(request)
        async with self._failures_told(host):
            answer = await self._send(request, host)
            try:
                if not answer.is_success:
                    told = httpx.Response(answer.status_code, headers=answer.headers, request=request)
                    raise OutsideServiceFailed(OutsideFailure.REFUSED, host=host, answer=told)
                total = answer.headers.get("Content-Length", "")
                async for chunk in self._chunks(answer, host):
                    write(chunk)
                    on_progress(answer.num_bytes_downloaded, int(total) if total.isdecimal() else None)
            finally:
                await answer.aclose()

    @asynccontextmanager
    async def _failures_told(self, host: str) -> AsyncIterator[None]:
        """Bound what is done within in time, and have it fail by an OutsideServiceFailed."""
        failure = None
        try:
            async with asyncio.timeout(self._total_seconds):
                yield
        except (TimeoutError, httpx.TimeoutException):
            failure = OutsideFailure.TIMED_OUT
        except (httpx.NetworkError, httpx.ProxyError, httpx.UnsupportedProtocol):
            failure = OutsideFailure.UNREACHABLE
        except httpx.TransportError:
            failure = OutsideFailure.NOT_HTTP
        if failure is not None:
            raise OutsideServiceFailed(failure, host=host)

    async def _send(self, request: httpx.Request, host: str) -> httpx.Response:
        if self._addresses is None:
            return await self._transport.handle_async_request(request)
        # As it goes over the wire: in its own letters the system could take it for another name.
        name = request.url.raw_host.decode("ascii")
        try:
            addresses = await self._addresses.of(name, request.url.port or PORTS.get(request.url.scheme, 0))
        except (OSError, UnicodeError):
            raise OutsideServiceFailed(OutsideFailure.UNREACHABLE, host=host) from None
        if not addresses:
            raise OutsideServiceFailed(OutsideFailure.PRIVATE, host=host)
        # To the address that was looked at, and not to the name: asked again, it could mean another one.
        *others, last = [_sent_to(str(address), request, name) for address in addresses]
        for sent in others:
            try:
                return await self._transport.handle_async_request(sent)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._transport.handle_async_request(last)

    async def _chunks(self, answer: httpx.Response, host: str) -> AsyncIterator[bytes]:
        encoding = answer.headers.get("Content-Encoding", "identity").lower()
        unfolding = _UNFOLDING.get(encoding) if self._reads_compressed else None
        unfold = None if unfolding is None else unfolding()
        is_empty = True
        length = 0
        async for raw in answer.aiter_raw():
            is_empty = False
            if encoding != "identity" and unfold is None:
                # What was not asked for could unfold to anything.
                raise OutsideServiceFailed(OutsideFailure.NOT_HTTP, host=host)
            chunk = raw if unfold is None else self._unfolded(unfold, raw, length, host)
            length += len(chunk)
            if length > self._largest_answer_bytes:
                raise OutsideServiceFailed(OutsideFailure.TOO_LARGE, host=host)
            yield chunk
        if unfold is not None and not is_empty and not unfold.is_whole():
            raise OutsideServiceFailed(OutsideFailure.NOT_HTTP, host=host)

    def _unfolded(self, unfold: _Unfolding, chunk: bytes, so_far: int, host: str) -> bytes:
        """What a chunk unfolds to, not much more than is allowed at most: a small one can unfold to a huge one."""
        try:
            return unfold.unfolded(chunk, self._largest_answer_bytes - so_far)
        except ValueError:
            failure = OutsideServiceFailed(OutsideFailure.NOT_HTTP, host=host)
        raise failure

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


def _answer_of(answer: httpx.Response, content: bytes, request: httpx.Request) -> httpx.Response:
    """The answer with its content as it was read, which is compressed no more."""
    headers = [(name, value) for name, value in answer.headers.raw if name.lower() != b"content-encoding"]
    return httpx.Response(answer.status_code, headers=headers, content=content, request=request)


def _sent_to(address: str, request: httpx.Request, name: str) -> httpx.Request:
    """The same request to an address; the host stays in its header, and in what TLS asks for and verifies."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": name},
    )


class ClientOptions(TypedDict):
    """What every client for outside services is made with, `httpx.AsyncClient` or a class derived from it."""

    transport: httpx.AsyncBaseTransport
    timeout: httpx.Timeout
    headers: dict[str, str]
    cookies: CookieJar
    follow_redirects: bool
    trust_env: bool


def client_options(
    *,
    tls_context: ssl.SSLContext | None = None,
    connect_seconds: float = CONNECT_SECONDS,
    total_seconds: float = TOTAL_SECONDS,
    largest_answer_bytes: int = LARGEST_ANSWER_BYTES,
    addresses: PublicAddresses | None = None,
    reads_compressed: bool = False,
) -> ClientOptions:
    """The options of a client for outside services.

    Certificates are verified, redirects are not followed, cookies are not kept, and nothing is compressed unless
    `reads_compressed`: then gzip is asked for, and a request may ask for brotli. URLs that people give are asked for
    with `addresses`, so that they lead to the public network alone.
    """
    _keep_addresses_out_of_logs()
    return ClientOptions(
        transport=BoundedTransport(
            tls_context=tls_context,
            total_seconds=total_seconds,
            largest_answer_bytes=largest_answer_bytes,
            addresses=addresses,
            reads_compressed=reads_compressed,
        ),
        timeout=httpx.Timeout(total_seconds, connect=connect_seconds),
        headers={"User-Agent": USER_AGENT, "Accept-Encoding": "gzip" if reads_compressed else "identity"},
        # One client serves many people: what a service gives one of them is not for the next.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        follow_redirects=False,
        # Else proxies of the environment get around the transport; certificates of the environment still count.
        trust_env=False,
    )


def client_for_given_urls(
    *, addresses: PublicAddresses | None = None, largest_answer_bytes: int = LARGEST_ANSWER_BYTES
) -> httpx.AsyncClient:
    """A client for URLs that people give us, which lead to the public network alone; whoever makes it closes it."""
    return httpx.AsyncClient(
        **client_options(addresses=addresses or PublicAddresses(), largest_answer_bytes=largest_answer_bytes)
    )


def outside_client() -> httpx.AsyncClient:
    """A client for outside services; whoever makes it closes it."""
    return httpx.AsyncClient(**client_options())


async def fetch(client: httpx.AsyncClient, method: str, url: str, **options: Any) -> httpx.Response:
    """The answer to a request, with the options of `httpx.AsyncClient.request`.

    Raises OutsideServiceFailed, also for every status that is no success.
    """
    answer = await client.request(method, url, **options)
    if not answer.is_success:
        raise OutsideServiceFailed(OutsideFailure.REFUSED, host=host_of(answer.request), answer=answer)
    return answer


async def fetch_json(client: httpx.AsyncClient, method: str, url: str, **options: Any) -> Any:
    """The JSON that answers a request, with the options of `httpx.AsyncClient.request`; raises OutsideServiceFailed."""
    answer = await fetch(client, method, url, **options)
    return json_of(answer)


def json_of(answer: httpx.Response) -> Any:
    """The JSON of an answer; raises OutsideServiceFailed."""
    try:
        return orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        failure = OutsideServiceFailed(OutsideFailure.NOT_JSON, host=host_of(answer.request), answer=answer)
    raise failure


def host_of(request: httpx.Request) -> str:
    """The host that a request goes to, with its port where that is not the usual one."""
    return request.url.netloc.decode()


def _keep_addresses_out_of_logs() -> None:
    # Both log what they send, addresses with their query strings among it, and those may be secret.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
