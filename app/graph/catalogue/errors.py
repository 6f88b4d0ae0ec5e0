"""What staff are refused, as payloads show it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import strawberry

from app.catalogue.errors import CatalogueErrorCode, CatalogueRefused
from app.core.database import Transaction
from app.graph.context import Info
from app.graph.fields import attribute, show_enum
from app.graph.user_errors import CODE, REFUSAL, Mutations, UserError
from app.identity.queries.permissions import viewer_may
from app.identity.scopes import Scope

show_enum(
    CatalogueErrorCode,
    "Why something about the catalogue was refused.",
    {
        CatalogueErrorCode.INVALID_INPUT: "A value is outside of what is allowed.",
        CatalogueErrorCode.NOT_FOUND: "There is no such item, variant or set.",
        CatalogueErrorCode.WRONG_KIND: "The items, or the item and the details, are of different kinds.",
        CatalogueErrorCode.SLUG_TAKEN: "The slug leads to another item.",
        CatalogueErrorCode.NAME_TAKEN: "Another item has the market name.",
        CatalogueErrorCode.KEY_TAKEN: "Another variant of the item has the key.",
        CatalogueErrorCode.EXTERNAL_ID_TAKEN: "The external id names another item.",
        CatalogueErrorCode.JAN_TAKEN: "The JAN code is that of another figure.",
        CatalogueErrorCode.CONFLICT: "Somebody else was faster.",
        CatalogueErrorCode.IDEMPOTENCY_KEY_REUSED: "The idempotency key was used for something else.",
        CatalogueErrorCode.ALREADY_MERGED: "The item was merged into another.",
        CatalogueErrorCode.TOO_MANY_PHOTOS: "Together the items have more photos than one may have.",
        CatalogueErrorCode.NOT_GRANTED: "The permission is not granted, or no longer.",
    },
)


@strawberry.type(description=REFUSAL)
class CatalogueError(UserError):
    code: CatalogueErrorCode = attribute(CODE)


# A mutation by staff of the catalogue.
edits = Mutations(CatalogueRefused, CatalogueError)


@asynccontextmanager
async def editing(info: Info) -> AsyncIterator[Transaction]:
    """The transaction of one edit; refuses who carries a permission that nobody grants them any more."""
    async with info.context.transaction() as transaction:
        if not await viewer_may(transaction.connection, Scope.CATALOGUE_WRITE):
            raise CatalogueRefused(
                CatalogueErrorCode.NOT_GRANTED, "This needs a permission that is not granted to you, or no longer."
            )
        yield transaction
