"""The mutations by which imports are previewed, applied and undone."""

from dataclasses import dataclass
from uuid import UUID

import strawberry

from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.portfolios.errors import PORTFOLIOS_WRITE, PortfolioError, portfolio_changes
from app.graph.portfolios.imports import PortfolioImport
from app.graph.portfolios.inputs import IDEMPOTENCY_KEY, own_key
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import CurrencyCode
from app.graph.user_errors import USER_ERRORS, Done
from app.portfolios.commands.apply_import import apply_import, undo_import
from app.portfolios.commands.inventory_imports import request_inventory
from app.portfolios.commands.preview_import import FileToImport, preview_file
from app.portfolios.imports.mappings import FileSource
from app.portfolios.models import ImportSource
from app.portfolios.new_trades import refused

LARGEST_INLINE_BYTES = 1024 * 1024


@strawberry.input(description="A file or an inventory to compare with a portfolio.")
class PreviewImportInput:
    portfolio_id: strawberry.ID = strawberry.field(description="The portfolio.")
    source: ImportSource = strawberry.field(description="Where it comes from.")
    content: str | None = strawberry.field(
        default=None, description="The text of the file, 1 MB at most; larger ones go by `POST /uploads/imports`."
    )
    steam_id: str | None = strawberry.field(
        default=None, description="Of `STEAM`: the SteamID64 of a public profile, 17 digits."
    )
    currency: CurrencyCode | None = strawberry.field(
        default=None, description="Of amounts without a currency; default: the base currency of the portfolio."
    )
    may_lack_acquisitions: bool = strawberry.field(
        default=False,
        description="Whether the file may dispose of more than is held, for acquisitions are missing: the gain of that "
        "is not known.",
    )
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="The import to apply.")
class ApplyImportInput:
    id: strawberry.ID = strawberry.field(description="An import that is previewed and has no bad rows.")


@strawberry.input(description="The import to undo.")
class UndoImportInput:
    id: strawberry.ID = strawberry.field(description="An import that was applied.")


@strawberry.type(description="What the file or inventory would bring.")
class PreviewImportPayload:
    import_: PortfolioImport | None = attribute(
        "The import. An inventory is read within moments; look again by its id. Null when refused.", name="import"
    )
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the import.")
class ApplyImportPayload:
    import_: PortfolioImport | None = attribute("The import, applied; null when refused.", name="import")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the import.")
class UndoImportPayload:
    import_: PortfolioImport | None = attribute("The import, undone; null when refused.", name="import")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class ImportChanged(Done):
    """The payload of an import."""

    import_: Reference


def _import_key(id: str) -> UUID:
    return own_key(id, PublicIdTag.PORTFOLIO_IMPORT, "import", "id")


@strawberry.type
class ImportMutations:
    @portfolio_changes(
        "Compare a file or an inventory with a portfolio, and store what it would bring; nothing else is changed. Rows "
        "that cannot be are named, and what the portfolio has already is no double.",
        type=PreviewImportPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def preview_import(info: Info, input: PreviewImportInput) -> ImportChanged:
        portfolio_id = own_key(input.portfolio_id, PublicIdTag.PORTFOLIO, "portfolio", "portfolioId")
        owner_id = info.context.viewer.own_id
        if input.source is ImportSource.STEAM:
            if input.steam_id is None or input.content is not None:
                raise refused("Of Steam give `steamId`, and no content.", "steamId")
            async with info.context.transaction() as transaction:
                import_id = await request_inventory(
                    transaction,
                    portfolio_id,
                    input.steam_id,
                    owner_id=owner_id,
                    idempotency_key=input.idempotency_key,
                )
            return ImportChanged(refer(PortfolioImport, import_id))
        file = _file_of(input)
        async with info.context.transaction() as transaction:
            import_id = await preview_file(
                transaction, portfolio_id, file, owner_id=owner_id, idempotency_key=input.idempotency_key
            )
        return ImportChanged(refer(PortfolioImport, import_id))

    @portfolio_changes(
        "Record what an import would bring, all of it or nothing. Refused where a row is bad, and where the portfolio "
        "has changed since so that one cannot be recorded.",
        type=ApplyImportPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def apply_import(info: Info, input: ApplyImportInput) -> ImportChanged:
        import_id = _import_key(input.id)
        async with info.context.transaction() as transaction:
            await apply_import(transaction, import_id, owner_id=info.context.viewer.own_id)
        return ImportChanged(refer(PortfolioImport, import_id))

    @portfolio_changes(
        "Take out of the portfolio exactly what an import has brought. Refused where later disposals rest on it, and "
        "where one of its trades was edited.",
        type=UndoImportPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def undo_import(info: Info, input: UndoImportInput) -> ImportChanged:
        import_id = _import_key(input.id)
        async with info.context.transaction() as transaction:
            await undo_import(transaction, import_id, owner_id=info.context.viewer.own_id)
        return ImportChanged(refer(PortfolioImport, import_id))


def _file_of(input: PreviewImportInput) -> FileToImport:
    if input.content is None or input.steam_id is not None:
        raise refused("Give the text of the file in `content`, and no `steamId`.", "content")
    content = input.content.encode("utf-8", "surrogatepass")
    if len(content) > LARGEST_INLINE_BYTES:
        raise refused("A text here has at most 1 MB; send larger files to `POST /uploads/imports`.", "content")
    return FileToImport(
        content=content,
        source=FileSource(input.source.value),
        currency=input.currency,
        may_lack_acquisitions=input.may_lack_acquisitions,
    )
