"""`GET /exports/{id}?token=…`: an archive of one's data, by a link that `createExportDownload` made."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.core.database import Database
from app.core.errors import NotFound, ServiceUnavailable
from app.core.ids import PublicIdTag, parse_public_id
from app.doors.browsers import caller_of
from app.doors.refusals import Refusals, refusing_without_database
from app.identity.commands.exports import FetchedExport, fetch_export
from app.identity.services import IdentityServices

# It is nobody else's: not a cache's, not that of the page it was opened from, and no page itself.
PRIVATE = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
REFUSALS = Refusals(headers=PRIVATE)
NO_SUCH_LINK = "This link does not hold, or no longer; make another with `createExportDownload`."
DATABASE_AWAY = "The database cannot be reached; try again in a moment."


async def download_export(request: Request) -> Response:
    """The archive as a download: 200 with the zip; 404 for every link that does not hold; 503 without the database."""
    try:
        with refusing_without_database("export_not_fetched", DATABASE_AWAY):
            fetched = await _fetch(request)
    except (NotFound, ServiceUnavailable) as refusal:
        return REFUSALS.answer(refusal)
    name = f"trove-data-{fetched.requested_at:%Y-%m-%d}.zip"
    return Response(
        fetched.archive,
        media_type="application/zip",
        headers=PRIVATE | {"Content-Disposition": f'attachment; filename="{name}"'},
    )


async def _fetch(request: Request) -> FetchedExport:
    database: Database = request.app.state.database
    identity: IdentityServices = request.app.state.identity
    parsed = parse_public_id(request.path_params["id"])
    tokens = request.query_params.getlist("token")
    if parsed is None or parsed[0] is not PublicIdTag.DATA_EXPORT or isinstance(parsed[1], int) or len(tokens) != 1:
        raise NotFound(NO_SUCH_LINK)
    async with database.authentication() as transaction:
        return await fetch_export(transaction, identity.secrets, parsed[1], token=tokens[0], caller=caller_of(request))


def routes() -> list[BaseRoute]:
    """The door that archives go out by."""
    return [Route("/exports/{id}", download_export, methods=["GET"])]
