"""`POST /uploads/photos`, by which photos come in; and `GET /photos/…`, by which those of a folder go out again."""

import re
from collections.abc import Sequence
from http import HTTPStatus

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from app.catalogue.commands.photo_uploads import (
    FOLDER,
    StoredUpload,
    prepare_upload,
    require_sender,
    store_upload,
    upload_token,
)
from app.catalogue.errors import PictureNotUnderstood, PictureTooLarge, PictureUnfit, TooManyUploads
from app.catalogue.pictures import MAXIMUM_BYTES
from app.core.clock import utc_now
from app.core.database import Database
from app.core.errors import NotFound, Refusal
from app.core.storage import FolderStorage, LinkOver, ObjectMissing, Storage
from app.doors.callers import sender_of
from app.doors.refusals import Refusals, refusing_without_database
from app.identity.access import needs
from app.identity.scopes import Scope

# For what one owns, or for an item; which of the two, adding it says.
MAY_SEND = needs(Scope.PORTFOLIOS_WRITE, Scope.CATALOGUE_WRITE)
AS_THE_BODY = "Send the file itself as the body; with curl by `--data-binary @photo.png`."
CONTENT_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
_FILE = re.compile(r"[0-9a-f]{32}/(?:small|medium|large|original)\.(?P<ending>jpg|png|webp)", re.ASCII)
# It is a picture and nothing else, wherever somebody opens it; and pages of every origin may show it.
SHOWN = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Referrer-Policy": "no-referrer",
}
REFUSALS = Refusals(
    realm="trove-uploads",
    statuses={
        PictureTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        PictureNotUnderstood: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        PictureUnfit: HTTPStatus.UNPROCESSABLE_ENTITY,
        TooManyUploads: HTTPStatus.TOO_MANY_REQUESTS,
        LinkOver: HTTPStatus.GONE,
    },
    headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
)
DATABASE_AWAY = "The database cannot be reached; send the photo again in a moment."


async def upload_photo(request: Request) -> Response:
    """Take a photo in: 201 with its `uploadId`; 401, 403, 413, 415, 422, 429, 503 with a code and what to do."""
    try:
        with refusing_without_database("photo_not_stored", DATABASE_AWAY):
            upload = await _take_in(request)
    except Refusal as refusal:
        return REFUSALS.answer(refusal)
    except ClientDisconnect:
        # Nobody is left to read an answer, and nothing was stored.
        return Response(status_code=HTTPStatus.BAD_REQUEST)
    answer = {
        "uploadId": upload_token(upload.id),
        "contentType": upload.content_type,
        "width": upload.width,
        "height": upload.height,
    }
    return JSONResponse(answer, status_code=HTTPStatus.CREATED, headers={"Cache-Control": "no-store"})


async def show_photo(request: Request) -> Response:
    """A photo that a folder keeps: 200 with it; 403, 404, 410 and 503 with a code and what to do."""
    try:
        return await _show(request)
    except Refusal as refusal:
        return REFUSALS.answer(refusal)


async def _take_in(request: Request) -> StoredUpload:
    database: Database = request.app.state.database
    storage: Storage = request.app.state.storage
    viewer = await sender_of(request, MAY_SEND)
    await require_sender(database, viewer)
    photo = await prepare_upload(await _read_body(request))
    return await store_upload(database, storage, photo, viewer=viewer)


async def _read_body(request: Request) -> bytes:
    """The body; stops reading where it turns out too large."""
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise PictureNotUnderstood("Send the photo as it is, without a content encoding; pictures are packed already.")
    if request.headers.get("content-type", "").strip().lower().startswith("multipart/"):
        raise PictureNotUnderstood(f"This is a form. {AS_THE_BODY}")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > MAXIMUM_BYTES:
        raise _too_large()
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAXIMUM_BYTES:
            raise _too_large()
    if not body:
        raise PictureNotUnderstood(f"The body is empty. {AS_THE_BODY}")
    return bytes(body)


async def _show(request: Request) -> Response:
    storage: Storage = request.app.state.storage
    file: str = request.path_params["file"]
    named = _FILE.fullmatch(file)
    if named is None or not isinstance(storage, FolderStorage):
        raise NotFound("There is no such photo; use an address that the API gave you.")
    key = f"{FOLDER}/{file}"
    left = storage.check(
        key,
        expires=request.query_params.get("expires", ""),
        signature=request.query_params.get("signature", ""),
        now=utc_now(),
    )
    try:
        found = await storage.get(key)
    except ObjectMissing:
        raise NotFound("This photo has been deleted.") from None
    caching = {"Cache-Control": f"private, max-age={int(left.total_seconds())}, immutable"}
    return StreamingResponse(
        found.pieces,
        media_type=CONTENT_TYPES[named["ending"]],
        headers=SHOWN | caching | {"Content-Length": str(found.size)},
    )


def _too_large() -> PictureTooLarge:
    return PictureTooLarge(f"A photo has at most {MAXIMUM_BYTES // 1024 // 1024} MB; send a smaller one.")


def routes(allowed_origins: Sequence[str] = ()) -> list[BaseRoute]:
    """The doors that photos come in and go out by; pages of these origins may send some."""
    pages = Middleware(
        CORSMiddleware,
        allow_origins=list(allowed_origins),
        allow_methods=["POST"],
        allow_headers=["Authorization", "Content-Type"],
        expose_headers=["Retry-After"],
    )
    return [
        Route("/uploads/photos", upload_photo, methods=["POST", "OPTIONS"], middleware=[pages]),
        Route("/photos/{file:path}", show_photo, methods=["GET"]),
    ]
