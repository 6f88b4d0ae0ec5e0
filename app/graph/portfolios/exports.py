"""Exports of what is in a portfolio, and the mutation that asks for one."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlencode

import strawberry
from strawberry import UNSET, Parent

from app.core.ids import PublicIdTag, public_id
from app.graph.access import private
from app.graph.context import Info
from app.graph.fields import attribute, resolved, show_enum
from app.graph.portfolios.errors import (
    OWNER_ALONE,
    PORTFOLIOS_READ,
    PortfolioError,
    portfolio_changes,
)
from app.graph.portfolios.inputs import IDEMPOTENCY_KEY, key_of, own_key
from app.graph.reads.arguments import OperationContext, graphql_argument
from app.graph.reads.fields import Reference, column, edge, refer, reference, shows
from app.graph.reads.layout import Row, value_of
from app.graph.relay import Node
from app.graph.scalars import URL
from app.graph.user_errors import USER_ERRORS, Done
from app.portfolios.commands.portfolio_exports import MOST_KEPT, link_query, start_export
from app.portfolios.models import ExportedRows, ExportFormat, PortfolioExportStatus
from app.portfolios.models import Portfolio as PortfolioRow
from app.portfolios.models import PortfolioExport as ExportTable

if TYPE_CHECKING:
    from app.graph.portfolios.portfolios import Portfolio

show_enum(
    ExportFormat,
    "How an export is written.",
    {
        ExportFormat.CSV: "CSV in UTF-8; trades in the strict shape that can be imported again.",
        ExportFormat.JSONL: "JSON Lines: an object for each row, numbers as strings.",
    },
)
show_enum(
    ExportedRows,
    "What an export tells of a portfolio.",
    {
        ExportedRows.TRADES: "Its trades, the oldest first.",
        ExportedRows.HOLDINGS: "What is in it, with its details, in its order.",
    },
)
show_enum(
    PortfolioExportStatus,
    "How far an export has come.",
    {
        PortfolioExportStatus.WAITING: "It is being written; look again in a moment.",
        PortfolioExportStatus.READY: "It can be fetched.",
        PortfolioExportStatus.FAILED: "It could not be written; ask for another one.",
        PortfolioExportStatus.EXPIRED: "Its day is over, and the file gone.",
    },
)


@strawberry.type(description="A file of what is in a portfolio, which is written within moments and kept for a day.")
@private(OWNER_ALONE)
@shows(ExportTable, PublicIdTag.PORTFOLIO_EXPORT, carries=[ExportTable.id])
class PortfolioExport(Node):
    format: ExportFormat = column(ExportTable.format, "How it is written.")
    what: ExportedRows = column(ExportTable.what, "What it tells.")
    status: PortfolioExportStatus = column(ExportTable.status, "How far it has come.")
    rows_done: int = column(ExportTable.rows_done, "How many rows are written.")
    rows_total: int | None = column(ExportTable.rows_total, "How many there are; null until it has begun.")
    content_bytes: int | None = column(ExportTable.content_bytes, "Its size; null until it is ready.")
    created_at: datetime = column(ExportTable.created_at, "When it was asked for.")
    finished_at: datetime | None = column(ExportTable.finished_at, "When it was ready.")
    expires_at: datetime | None = column(ExportTable.expires_at, "Until when the file is kept; null until it is ready.")
    portfolio: Annotated["Portfolio", strawberry.lazy("app.graph.portfolios.portfolios")] | None = edge(
        "The portfolio that it tells of.", on=ExportTable.portfolio_id, to=PortfolioRow.id
    )

    @resolved(
        "Where a browser fetches the file; null until it is ready. Whoever has this link has the file, for 15 to 30 "
        "minutes; ask again for a new one."
    )
    @staticmethod
    def url(root: Parent[Row], info: Info) -> URL | None:
        if value_of(root, ExportTable.status) != PortfolioExportStatus.READY:
            return None
        identity = info.context.resources.identity
        key = value_of(root, ExportTable.id)
        signed = urlencode(link_query(identity.secrets, key, now=info.context.now))
        address = f"/portfolio-exports/{public_id(PublicIdTag.PORTFOLIO_EXPORT, key)}?{signed}"
        return URL(f"{identity.require_public_url()}{address}")


@strawberry.type
class ExportQueries:
    @reference(
        "One of one's own exports; null where there is none.",
        [graphql_argument("id", strawberry.ID, default=UNSET)],
        type=PortfolioExport | None,
        access=PORTFOLIOS_READ,
    )
    @staticmethod
    def portfolio_export(_: OperationContext, id: str) -> Reference | None:
        key = key_of(id, PublicIdTag.PORTFOLIO_EXPORT)
        return None if key is None else refer(PortfolioExport, key)


@strawberry.input(description="What to export.")
class StartPortfolioExportInput:
    portfolio_id: strawberry.ID = strawberry.field(description="The portfolio.")
    format: ExportFormat = strawberry.field(description="How to write it.")
    what: ExportedRows = strawberry.field(description="What to tell of it.")
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.type(description="The export that was asked for.")
class StartPortfolioExportPayload:
    export: PortfolioExport | None = attribute("The export, to be looked at again by its id; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class ExportStarted(Done):
    """The payload of an export that was asked for."""

    export: Reference


@strawberry.type
class ExportMutations:
    @portfolio_changes(
        f"Have a file written of what is in a portfolio; it is kept for a day, and {MOST_KEPT} of one person at most.",
        type=StartPortfolioExportPayload,
        access=PORTFOLIOS_READ,
    )
    @staticmethod
    async def start_portfolio_export(info: Info, input: StartPortfolioExportInput) -> ExportStarted:
        portfolio_id = own_key(input.portfolio_id, PublicIdTag.PORTFOLIO, "portfolio", "portfolioId")
        async with info.context.transaction() as transaction:
            export_id = await start_export(
                transaction,
                portfolio_id,
                owner_id=info.context.viewer.own_id,
                format_=input.format,
                what=input.what,
                idempotency_key=input.idempotency_key,
            )
        return ExportStarted(refer(PortfolioExport, export_id))
