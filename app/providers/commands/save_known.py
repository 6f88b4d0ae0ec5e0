"""Brings the providers that we know into the table."""

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import CursorResult
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Transaction
from app.providers.known import KNOWN_PROVIDERS, KnownProvider
from app.providers.models import Provider


async def save_known_providers(
    transaction: Transaction, *, providers: Sequence[KnownProvider] = KNOWN_PROVIDERS
) -> int:
    """Add the providers that are missing, and leave the others as they are; gives how many were added.

    An operator may have another plan, and so another limit. Every worker does this as it starts, and not a migration:
    a new provider needs no change of tables.
    """
    result: CursorResult[tuple[()]] = await transaction.connection.execute(
        insert(Provider).values([asdict(provider) for provider in providers]).on_conflict_do_nothing()
    )
    return result.rowcount


async def save_provider_at(transaction: Transaction, provider: KnownProvider) -> None:
    """Add a provider whose address the operator's settings give, or have it at that address from now on.

    What else its row says is left as it is.
    """
    added = insert(Provider).values(asdict(provider))
    moved = added.on_conflict_do_update(
        index_elements=[Provider.code],
        set_={"base_url": added.excluded.base_url},
        where=Provider.base_url != added.excluded.base_url,
    )
    await transaction.connection.execute(moved)
