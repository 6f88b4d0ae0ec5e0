"""`/ingest/owntracks`, `/ingest/osmand` and `/ingest/nmea`: what phones and receivers say of where they are.

Each message is stored as it came, as a row of a batch, before it is acknowledged; a worker judges what it says. Only
what is no message at all is refused at once: a phone sends again what was not taken, and nothing after it.
"""

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.core.errors import BadUserInput
from app.core.ids import PublicIdTag, parse_public_id
from app.doors.callers import Device, device_of
from app.doors.ingest import answer_of, headers_of, read_body, refusing, store_batch
from app.doors.refusals import Refusals
from app.identity.access import needs
from app.identity.scopes import Scope
from app.ingestion.batch_rows import shown
from app.ingestion.commands import AcceptedBatch
from app.ingestion.errors import BatchTooLarge
from app.ingestion.models import BatchKind
from app.trackers.formats.nmea import is_position
from app.trackers.formats.osmand import MOST_FIELDS, device_named_in
from app.trackers.formats.owntracks import is_location
from app.trackers.history_models import ReportSource

MAY_SEND = needs(Scope.LOCATIONS_WRITE)
LARGEST_MESSAGE_BYTES = 12 * 1024
LARGEST_LOG_BYTES = 1024 * 1024
REFUSALS = Refusals(realm="trove-ingest", scheme="Basic", statuses={BatchTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE})


async def ingest_owntracks(request: Request) -> Response:
    """Take a message of OwnTracks; answers an empty list of commands, also to messages that tell of no place."""
    device = await device_of(request, MAY_SEND)
    message = _object(await read_body(request, most_bytes=LARGEST_MESSAGE_BYTES))
    kind = message.get("_type")
    if not isinstance(kind, str) or kind == "encrypted":
        raise BadUserInput("Send a message of OwnTracks that is not encrypted: an object with a `_type`.")
    if not is_location(message):
        return JSONResponse([])
    batch = await _store(request, device, ReportSource.OWNTRACKS, [message], _name_of(request, device))
    return JSONResponse([], headers=headers_of(batch))


async def ingest_osmand(request: Request) -> Response:
    """Take a message of OsmAnd's protocol: a query, a form, or JSON of Background Geolocation."""
    if request.method == "HEAD":
        return Response(status_code=HTTPStatus.METHOD_NOT_ALLOWED)
    device = await device_of(request, MAY_SEND)
    body = await read_body(request, most_bytes=LARGEST_MESSAGE_BYTES)
    message = _object(body) if body.lstrip().startswith(b"{") else _fields(request.url.query, body)
    name = device_named_in(message) or _name_of(request, device)
    told = message if body.lstrip().startswith(b"{") else urlencode(message)
    batch = await _store(request, device, ReportSource.OSMAND, [told], name)
    return JSONResponse(answer_of(batch), headers=headers_of(batch))


async def ingest_nmea(request: Request) -> Response:
    """Take sentences of NMEA 0183, one a line; those that tell of no place are passed over."""
    device = await device_of(request, MAY_SEND)
    lines = (await read_body(request, most_bytes=LARGEST_LOG_BYTES)).decode("ascii", errors="replace").splitlines()
    sentences = [line.strip() for line in lines if is_position(line.strip())]
    if not sentences:
        raise BadUserInput("Send sentences such as $GPRMC,… and $GPGGA,…, one a line; these have none of them.")
    batch = await _store(request, device, ReportSource.NMEA, sentences, _name_of(request, device))
    return JSONResponse(answer_of(batch), status_code=HTTPStatus.ACCEPTED, headers=headers_of(batch))


async def _store(
    request: Request, device: Device, source: ReportSource, messages: Iterable[object], name: str | None
) -> AcceptedBatch:
    match parse_public_id(name or ""):
        case (PublicIdTag.TRACKER, _):
            pass
        case _:
            wrong = f"{shown(name)} is not the id of a tracker. " if name else ""
            raise BadUserInput(
                f"{wrong}Name the tracker by its id: as the user name of Basic authentication, or as `id` in the "
                "address."
            )
    rows = ({"tracker": name, "source": source.value, "message": message} for message in messages)
    try:
        payload = b"\n".join(orjson.dumps(row) for row in rows)
    except orjson.JSONEncodeError:
        raise BadUserInput("Send JSON with fewer levels: this cannot be written down as it came.") from None
    return await store_batch(request, device.viewer, kind=BatchKind.LOCATION_REPORTS, payload=payload)


def _name_of(request: Request, device: Device) -> str | None:
    """What the device calls itself: by Basic, or else in the address, or else in OwnTracks' own header."""
    return device.name or request.query_params.get("id") or request.headers.get("x-limit-u")


def _object(body: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict):
        raise BadUserInput("Send one JSON object.")
    return message


def _fields(query: str, body: bytes) -> dict[str, str]:
    """The fields of the address and of a form, without the token that may stand among them; the first of a name."""
    try:
        parts = (query, body.decode("ascii"))
        pairs = [pair for part in parts for pair in parse_qsl(part, max_num_fields=MOST_FIELDS)]
    except ValueError:
        raise BadUserInput(f"Send a query of at most {MOST_FIELDS} fields, in ASCII.") from None
    return {name: value for name, value in reversed(pairs) if name != "key"}


def routes() -> list[BaseRoute]:
    """The doors for phones and receivers."""
    return [
        Route("/ingest/owntracks", refusing(ingest_owntracks, REFUSALS), methods=["POST"]),
        Route("/ingest/osmand", refusing(ingest_osmand, REFUSALS), methods=["GET", "POST"]),
        Route("/ingest/nmea", refusing(ingest_nmea, REFUSALS), methods=["POST"]),
    ]
