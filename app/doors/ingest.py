"""`POST /ingest/prices` and `/ingest/locations`: batches as NDJSON, stored before they are acknowledged with 202."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.core.database import Database
from app.core.errors import BadUserInput, Refusal
from app.core.ids import PublicIdTag, public_id
from app.doors.callers import sender_of
from app.doors.refusals import Refusals, refusing_without_database
from app.identity.access import Access, needs
from app.identity.scopes import Scope
from app.identity.viewer import Viewer
from app.ingestion.commands import MAXIMUM_BYTES, AcceptedBatch, accept_batch
from app.ingestion.errors import BatchTooLarge
from app.ingestion.models import BatchKind

# Storing takes milliseconds; a database that takes this long is as good as away.
STORED_WITHIN_SECONDS = 10.0
BATCH_HEADER = "Trove-Batch-Id"
_GZIP = 16 + zlib.MAX_WBITS
REFUSALS = Refusals(realm="trove-ingest", statuses={BatchTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
DATABASE_AWAY = "The database cannot be reached; send it again, with the same Idempotency-Key if it had one."


Endpoint = Callable[[Request], Awaitable[Response]]


def refusing(answer: Endpoint, refusals: Refusals) -> Endpoint:
    """The endpoint, answering what it raises: 400, 401, 403, 409, 413, 503 with a code and what to do."""

    async def endpoint(request: Request) -> Response:
        try:
            with refusing_without_database("batch_not_stored", DATABASE_AWAY):
                return await answer(request)
        except Refusal as refusal:
            return refusals.answer(refusal)
        except ClientDisconnect:
            # Nobody is left to read an answer, and nothing was stored.
            return Response(status_code=HTTPStatus.BAD_REQUEST)

    return endpoint


def batch_endpoint(kind: BatchKind, access: Access) -> Endpoint:
    """Takes batches of a kind from those who have access: 202 with the batch's id."""

    async def ingest(request: Request) -> Response:
        viewer = await sender_of(request, access)
        payload = await read_body(request)
        key = request.headers.get("idempotency-key")
        batch = await store_batch(request, viewer, kind=kind, payload=payload, idempotency_key=key)
        return JSONResponse(answer_of(batch), status_code=HTTPStatus.ACCEPTED, headers=headers_of(batch))

    return refusing(ingest, REFUSALS)


def answer_of(batch: AcceptedBatch) -> dict[str, object]:
    """What a sender is told of a stored batch."""
    return {
        "batchId": public_id(PublicIdTag.INGEST_BATCH, batch.id),
        "rows": batch.row_count,
        "repeated": batch.is_repeat,
    }


def headers_of(batch: AcceptedBatch) -> dict[str, str]:
    """The id of a stored batch for who reads no answer, such as the log of a phone."""
    return {BATCH_HEADER: public_id(PublicIdTag.INGEST_BATCH, batch.id)}


async def store_batch(
    request: Request, viewer: Viewer, *, kind: BatchKind, payload: bytes, idempotency_key: str | None = None
) -> AcceptedBatch:
    """Store a batch of the viewer's."""
    database: Database = request.app.state.database
    async with (
        asyncio.timeout(STORED_WITHIN_SECONDS),
        database.transaction(viewer=viewer.in_database) as transaction,
    ):
        return await accept_batch(
            transaction,
            kind=kind,
            payload=payload,
            idempotency_key=idempotency_key,
            sender_id=viewer.user_id,
        )


async def read_body(request: Request, *, most_bytes: int = MAXIMUM_BYTES) -> bytes:
    """The body, unpacked; stops reading, and unpacking, where it turns out too large."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise BadUserInput(f"The content encoding {encoding} is not known; send gzip or none.", allowed=["gzip"])
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > most_bytes:
        raise _too_large(most_bytes)
    body = bytearray()
    unpacker = None if encoding == "identity" else _Unpacker()
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        body += chunk if unpacker is None else unpacker.unpack(chunk, room=most_bytes - len(body))
        if received > most_bytes or len(body) > most_bytes:
            raise _too_large(most_bytes)
    if unpacker is not None:
        unpacker.finish()
    return bytes(body)


class _Unpacker:
    """Unpacks gzip as it comes in, of one member or several, and never more than there is room for."""

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(_GZIP)

    def unpack(self, chunk: bytes, *, room: int) -> bytes:
        """What the chunk unpacks to, cut one byte after the room ends."""
        unpacked = bytearray()
        try:
            while chunk and len(unpacked) <= room:
                if self._decompressor.eof:
                    self._decompressor = zlib.decompressobj(_GZIP)
                unpacked += self._decompressor.decompress(chunk, room + 1 - len(unpacked))
                chunk = self._decompressor.unconsumed_tail or self._decompressor.unused_data
        except zlib.error:
            raise BadUserInput("The body is not gzip, though its Content-Encoding says so.") from None
        return bytes(unpacked)

    def finish(self) -> None:
        """Refuse a body that was cut off."""
        if not self._decompressor.eof:
            raise BadUserInput("The gzip body ends early; send all of it.")


def _too_large(most_bytes: int) -> BatchTooLarge:
    return BatchTooLarge(f"What is sent at once has at most {most_bytes // 1024:,} KiB; send it as several.")


def routes() -> list[BaseRoute]:
    """The doors that take batches in."""
    return [
        Route(f"/ingest/{name}", batch_endpoint(kind, needs(scope)), methods=["POST"])
        for name, kind, scope in (
            ("prices", BatchKind.PRICE_POINTS, Scope.PRICES_WRITE),
            ("locations", BatchKind.LOCATION_REPORTS, Scope.LOCATIONS_WRITE),
        )
    ]
