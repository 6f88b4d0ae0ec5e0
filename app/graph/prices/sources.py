"""Sources of prices: marketplaces, exchanges, shops."""

from dataclasses import dataclass
from enum import Enum

import strawberry

from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.reads.arguments import Orders
from app.graph.reads.fields import Reference, column, connection, refer, shows
from app.graph.relay import Connection
from app.graph.user_errors import CODE, REFUSAL, USER_ERRORS, Done, Mutations, UserError
from app.identity.access import ANYBODY, needs
from app.identity.scopes import Scope
from app.prices.commands.sources import edit_source
from app.prices.errors import PriceSourceErrorCode, PriceSourceRefused
from app.prices.models import Source


@strawberry.type(description="Where prices come from: a marketplace, an exchange, a shop.")
@shows(Source, key=Source.code)
class PriceSource:
    code: str = column(Source.code, "The short name by which batches and filters name it.")
    name: str = column(Source.name, "The name to show.")
    is_change_only: bool = column(
        Source.is_change_only,
        "Whether a price of it, but of a sale, is stored only when it moved: `lastSeenAt` tells that it stands.",
    )


class PriceSourceOrder(Enum):
    """What sources are ordered by."""

    CODE = "code"


PRICE_SOURCE_ORDERS = Orders("price-sources", {PriceSourceOrder.CODE: Source.code}, tie=Source.code)


@strawberry.type
class PriceSourceQueries:
    price_sources: Connection[PriceSource] | None = connection(
        "The sources of prices, by their code.", orders=PRICE_SOURCE_ORDERS, access=ANYBODY
    )


@strawberry.input(description="What to change about a source; what is left out stays.")
class EditPriceSourceInput:
    code: str = strawberry.field(description="The source's code.")
    name: str | None = strawberry.field(default=None, description="The name to show, 1 to 100 characters.")
    is_change_only: bool | None = strawberry.field(
        default=None, description="Whether to store a price only when it moved, from now on."
    )


strawberry.enum(PriceSourceErrorCode, description="Why a change of a source was refused.")


@strawberry.type(description=REFUSAL)
class PriceSourceError(UserError):
    field: list[str] = attribute("The path to the input that is at fault.")
    code: PriceSourceErrorCode = attribute(CODE)


@strawberry.type(description="What became of the source.")
class EditPriceSourcePayload:
    price_source: PriceSource | None = attribute("The source; null when refused.")
    user_errors: list[PriceSourceError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class _Edited(Done):
    price_source: Reference


_changes = Mutations(PriceSourceRefused, PriceSourceError)


@strawberry.type
class PriceSourceMutations:
    @_changes(
        "Change a source of prices. What is stored already stays as it is.",
        type=EditPriceSourcePayload,
        access=needs(Scope.OPERATIONS_WRITE),
    )
    @staticmethod
    async def edit_price_source(info: Info, input: EditPriceSourceInput) -> _Edited:
        async with info.context.transaction() as transaction:
            await edit_source(transaction, input.code, name=input.name, is_change_only=input.is_change_only)
        return _Edited(refer(PriceSource, input.code))
