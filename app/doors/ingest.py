"""`POST /ingest/prices`: a batch of price points as NDJSON, stored before it is acknowledged with 202."""

import asyncio
import zlib
from http import HTTPStatus

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.core.database import Database
from app.core.errors import BadUserInput, Refusal
from app.core.ids import PublicIdTag, public_id
from app.doors.callers import sender_of
from app.doors.refusals import Refusals, refusing_without_database
from app.identity.access import needs
from app.identity.scopes import Scope
from app.ingestion.commands import MAXIMUM_BYTES, AcceptedBatch, accept_batch
from app.ingestion.errors import BatchTooLarge
from app.ingestion.models import BatchKind

MAY_SEND = needs(Scope.PRICES_WRITE)
# Storing takes milliseconds; a database that takes this long is as good as away.
STORED_WITHIN_SECONDS = 10.0
_GZIP = 16 + zlib.MAX_WBITS
REFUSALS = Refusals(realm="trove-ingest", statuses={BatchTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
DATABASE_AWAY = "The database cannot be reached; send it again, with the same Idempotency-Key if it had one."


async def ingest_prices(request: Request) -> Response:
    """Accept a batch: 202 with its id; 400, 401, 403, 409, 413, 503 with a code and a sentence that says what to do."""
    try:
        with refusing_without_database("batch_not_stored", DATABASE_AWAY):
            batch = await _accept(request)
    except Refusal as refusal:
        return REFUSALS.answer(refusal)
    except ClientDisconnect:
        # Nobody is left to read an answer, and nothing was stored.
        return Response(status_code=HTTPStatus.BAD_REQUEST)
    answer = {
        "batchId": public_id(PublicIdTag.INGEST_BATCH, batch.id),
        "rows": batch.row_count,
        "repeated": batch.is_repeat,
    }
    return JSONResponse(answer, status_code=HTTPStatus.ACCEPTED)


async def _accept(request: Request) -> AcceptedBatch:
    database: Database = request.app.state.database
    viewer = await sender_of(request, MAY_SEND)
    payload = await _read_body(request)
    async with (
        asyncio.timeout(STORED_WITHIN_SECONDS),
        database.transaction(viewer=viewer.in_database) as transaction,
    ):
        return await accept_batch(
            transaction,
            kind=BatchKind.PRICE_POINTS,
            payload=payload,
            idempotency_key=request.headers.get("idempotency-key"),
            sender_id=viewer.user_id,
        )


async def _read_body(request: Request) -> bytes:
    """The body, unpacked; stops reading, and unpacking, where it turns out too large."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "x-gzip"}:
        raise BadUserInput(f"The content encoding {encoding} is not known; send gzip or none.", allowed=["gzip"])
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAXIMUM_BYTES:
        raise _too_large()
    body = bytearray()
    unpacker = None if encoding == "identity" else _Unpacker()
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        body += chunk if unpacker is None else unpacker.unpack(chunk, room=MAXIMUM_BYTES - len(body))
        if received > MAXIMUM_BYTES or len(body) > MAXIMUM_BYTES:
            raise _too_large()
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


def _too_large() -> BatchTooLarge:
    return BatchTooLarge(f"A batch has at most {MAXIMUM_BYTES // 1024 // 1024} MiB; send it as several.")


def routes() -> list[BaseRoute]:
    """The doors that take batches in."""
    return [Route("/ingest/prices", ingest_prices, methods=["POST"])]
