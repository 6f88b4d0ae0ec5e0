"""`GET /portfolio-exports/{id}`: a file of what is in a portfolio, by the link that the graph gave."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from app.core.clock import utc_now
from app.core.database import Database
from app.core.errors import NotFound, ServiceUnavailable
from app.core.ids import PublicIdTag, parse_public_id
from app.doors.exports import DATABASE_AWAY, PRIVATE, REFUSALS
from app.doors.refusals import refusing_without_database
from app.identity.services import IdentityServices
from app.portfolios.commands.portfolio_exports import FetchedPortfolioExport, fetch_portfolio_export
from app.portfolios.models import ExportFormat

PATH = "/portfolio-exports"
CONTENT_TYPES = {ExportFormat.CSV: "text/csv; charset=utf-8", ExportFormat.JSONL: "application/jsonl"}


async def download_portfolio_export(request: Request) -> Response:
    """The file as a download: 200 with it; 404 for every link that does not hold; 503 without the database."""
    try:
        with refusing_without_database("portfolio_export_not_fetched", DATABASE_AWAY):
            fetched = await _fetch(request)
    except (NotFound, ServiceUnavailable) as refusal:
        return REFUSALS.answer(refusal)
    name = f"trove-{fetched.what.value}-{fetched.created_at:%Y-%m-%d}.{fetched.format.value}"
    headers = PRIVATE | {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Type": CONTENT_TYPES[fetched.format],
    }
    return Response(fetched.content, headers=headers)


async def _fetch(request: Request) -> FetchedPortfolioExport:
    database: Database = request.app.state.database
    identity: IdentityServices = request.app.state.identity
    parsed = parse_public_id(request.path_params["id"])
    if parsed is None or parsed[0] is not PublicIdTag.PORTFOLIO_EXPORT or isinstance(parsed[1], int):
        raise NotFound("There is no such export; use the `url` that the API gave you.")
    async with database.authentication() as transaction:
        return await fetch_portfolio_export(
            transaction,
            identity.secrets,
            parsed[1],
            expires=request.query_params.get("expires", ""),
            signature=request.query_params.get("signature", ""),
            now=utc_now(),
        )


def routes() -> list[BaseRoute]:
    """The door that exports of portfolios go out by."""
    return [Route(f"{PATH}/{{id}}", download_portfolio_export, methods=["GET"])]
