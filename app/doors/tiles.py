"""`GET /tiles/{z}/{x}/{y}.mvt`: one's trackers and places as vector tiles, for maps on the web."""

import hashlib
import re
from collections.abc import Sequence
from http import HTTPStatus

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.core.database import Database
from app.core.errors import BadUserInput, Refusal
from app.doors.callers import sender_of
from app.doors.refusals import Refusals, refusing_without_database
from app.identity.access import needs
from app.identity.scopes import Scope
from app.trackers.queries.tiles import MOST_ZOOM, Tile, vector_tile

MAY_SEE = needs(Scope.TRACKERS_READ)
CONTENT_TYPE = "application/vnd.mapbox-vector-tile"
# It is asked for again each time, and answered with nothing where it is the same.
PRIVATE = {
    "Cache-Control": "private, no-cache",
    "Vary": "Authorization",
    "X-Content-Type-Options": "nosniff",
}
REFUSALS = Refusals(
    realm="trove-tiles",
    headers={"Cache-Control": "no-store", "Vary": "Authorization", "X-Content-Type-Options": "nosniff"},
)
DATABASE_AWAY = "The database cannot be reached; ask for the tile again in a moment."
_NUMBER = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)


async def show_tile(request: Request) -> Response:
    """A tile: 200 with it, 204 where it is empty, 304 where it has not changed; 400, 401, 403 and 503 as JSON."""
    try:
        with refusing_without_database("tile_not_shown", DATABASE_AWAY):
            content = await _read_tile(request)
    except Refusal as refusal:
        return REFUSALS.answer(refusal)
    headers = PRIVATE | {"ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}
    if _is_known(request, headers["ETag"]):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if not content:
        return Response(status_code=HTTPStatus.NO_CONTENT, headers=headers)
    return Response(content, media_type=CONTENT_TYPE, headers=headers)


async def _read_tile(request: Request) -> bytes:
    database: Database = request.app.state.database
    viewer = await sender_of(request, MAY_SEE)
    tile = _tile_of(request)
    snapshot = database.snapshot(viewer=viewer.in_database)
    try:
        return await snapshot.read(vector_tile, tile)
    finally:
        await snapshot.close()


def _tile_of(request: Request) -> Tile:
    given: list[str] = [request.path_params[name] for name in ("z", "x", "y")]
    if all(_NUMBER.fullmatch(number) for number in given):
        tile = Tile(*map(int, given))
        if tile.is_on_map:
            return tile
    raise BadUserInput(
        f"There is no such tile: `/tiles/z/x/y.mvt` has z from 0 to {MOST_ZOOM}, and x and y from 0 to 2 to the power "
        "of z less 1."
    )


def _is_known(request: Request, tag: str) -> bool:
    known = ",".join(request.headers.getlist("if-none-match")).split(",")
    return any(each.strip().removeprefix("W/") in (tag, "*") for each in known)


def routes(allowed_origins: Sequence[str] = ()) -> list[BaseRoute]:
    """The door that tiles go out by; pages of these origins may ask for some."""
    pages = Middleware(
        CORSMiddleware,
        allow_origins=list(allowed_origins),
        allow_methods=["GET"],
        allow_headers=["Authorization", "If-None-Match"],
        expose_headers=["ETag", "Retry-After"],
    )
    return [Route("/tiles/{z}/{x}/{y}.mvt", show_tile, methods=["GET", "OPTIONS"], middleware=[pages])]
