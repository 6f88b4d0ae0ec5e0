"""`POST /uploads/imports`, by which files of trades come in that are too large for the graph."""

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.core.database import Database
from app.core.errors import BadUserInput, NotFound, Refusal
from app.core.ids import PublicIdTag, parse_public_id, public_id
from app.doors.callers import sender_of
from app.doors.refusals import Refusals, refusing_without_database
from app.identity.access import needs
from app.identity.scopes import Scope
from app.portfolios.commands.preview_import import FileToImport, preview_file
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.imports.mappings import FileSource
from app.portfolios.imports.rows import LARGEST_FILE_BYTES

MAY_SEND = needs(Scope.PORTFOLIOS_WRITE)
AS_THE_BODY = "Send the file itself as the body; with curl by `--data-binary @trades.csv`."
DATABASE_AWAY = "The database cannot be reached; send the file again in a moment."


class FileTooLarge(Refusal):
    """A file has more bytes than are read."""


REFUSALS = Refusals(
    realm="trove-uploads",
    statuses={FileTooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE},
    headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"},
)


async def upload_import(request: Request) -> Response:
    """Preview a file: 201 with the `importId`; 400, 401, 403, 404, 413, 503 with a code and what to do."""
    try:
        with refusing_without_database("import_not_previewed", DATABASE_AWAY):
            import_id = await _take_in(request)
    except Refusal as refusal:
        return REFUSALS.answer(refusal)
    except ClientDisconnect:
        # Nobody is left to read an answer, and nothing was stored.
        return Response(status_code=HTTPStatus.BAD_REQUEST)
    return JSONResponse({"importId": import_id}, status_code=HTTPStatus.CREATED, headers={"Cache-Control": "no-store"})


async def _take_in(request: Request) -> str:
    database: Database = request.app.state.database
    viewer = await sender_of(request, MAY_SEND)
    portfolio_id = parse_public_id(request.query_params.get("portfolioId", ""))
    if portfolio_id is None or portfolio_id[0] is not PublicIdTag.PORTFOLIO or isinstance(portfolio_id[1], int):
        raise BadUserInput("Give the id of a portfolio as `portfolioId` in the address.", argument="portfolioId")
    file = FileToImport(
        content=b"",
        source=_source_of(request.query_params.get("source", "")),
        currency=request.query_params.get("currency"),
        may_lack_acquisitions=request.query_params.get("mayLackAcquisitions") == "true",
    )
    content = await _read_body(request)
    try:
        async with database.transaction(viewer=viewer.in_database) as transaction:
            import_id = await preview_file(
                transaction, portfolio_id[1], replace(file, content=content), owner_id=viewer.own_id
            )
    except PortfolioRefused as refusal:
        if refusal.reason is PortfolioErrorCode.NOT_FOUND:
            raise NotFound(refusal.message) from None
        raise
    return public_id(PublicIdTag.PORTFOLIO_IMPORT, import_id)


def _source_of(word: str) -> FileSource:
    known = {source.name: source for source in FileSource}
    if word not in known:
        raise BadUserInput(
            f"Give the source of the file as `source` in the address: {', '.join(known)}.", argument="source"
        )
    return known[word]


async def _read_body(request: Request) -> bytes:
    """The body; stops reading where it turns out too large."""
    if request.headers.get("content-type", "").strip().lower().startswith("multipart/"):
        raise BadUserInput(f"This is a form. {AS_THE_BODY}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FILE_BYTES:
            raise FileTooLarge(f"A file has at most {LARGEST_FILE_BYTES // 1024 // 1024} MB; import it in parts.")
    if not body:
        raise BadUserInput(f"The body is empty. {AS_THE_BODY}")
    return bytes(body)


def routes(allowed_origins: Sequence[str] = ()) -> list[BaseRoute]:
    """The door that files come in by; pages of these origins may send some."""
    pages = Middleware(
        CORSMiddleware,
        allow_origins=list(allowed_origins),
        allow_methods=["POST"],
        allow_headers=["Authorization", "Content-Type"],
        expose_headers=["Retry-After"],
    )
    return [Route("/uploads/imports", upload_import, methods=["POST", "OPTIONS"], middleware=[pages])]
