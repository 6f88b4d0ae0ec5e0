"""What staff are refused, as payloads show it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import strawberry

from app.catalogue.errors import CatalogueErrorCode, CatalogueRefused
from app.core.database import Transaction
from app.graph.context import Info
from app.graph.fields import Resolver, attribute, resolved, show_enum
from app.identity.access import needs
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
        CatalogueErrorCode.NOT_GRANTED: "The permission is not granted, or no longer.",
    },
)


@strawberry.type(description="A refusal that the caller can act on.")
class CatalogueError:
    field: list[str] = attribute("The path to the input that is at fault; empty where it is none in particular.")
    message: str = attribute("What is wrong and what to do.")
    code: CatalogueErrorCode = attribute("The same in one word.")


USER_ERRORS = "Why it was refused; empty when it was done."


@dataclass(frozen=True, slots=True)
class Refused:
    """The payload of a mutation that was refused: its errors, and null for everything else."""

    user_errors: Sequence[CatalogueError]

    def __getattr__(self, _name: str) -> None:
        return None


def edits(description: str, *, type: Any) -> Callable[[Resolver], Resolver]:
    """A mutation by staff of the catalogue: what it refuses becomes `userErrors` of its payload."""

    def declare(resolver: Resolver) -> Resolver:
        edit: Callable[..., Awaitable[Any]] = resolver.__func__ if isinstance(resolver, staticmethod) else resolver

        @wraps(edit)
        async def refusing(*args: Any, **kwargs: Any) -> Any:
            try:
                return await edit(*args, **kwargs)
            except CatalogueRefused as refusal:
                field = ["input", *refusal.field] if refusal.field else []
                return Refused([CatalogueError(field=field, message=refusal.message, code=refusal.reason)])

        declared = resolved(description, type=type, access=needs(Scope.CATALOGUE_WRITE))
        return declared(staticmethod(refusing))  # type: ignore[return-value]

    return declare


@asynccontextmanager
async def editing(info: Info) -> AsyncIterator[Transaction]:
    """The transaction of one edit; refuses who carries a permission that nobody grants them any more."""
    async with info.context.transaction() as transaction:
        if not await viewer_may(transaction.connection, Scope.CATALOGUE_WRITE):
            raise CatalogueRefused(
                CatalogueErrorCode.NOT_GRANTED, "This needs a permission that is not granted to you, or no longer."
            )
        yield transaction
