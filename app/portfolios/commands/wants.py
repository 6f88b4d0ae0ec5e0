"""What a person wants to own. Whether a want is fulfilled follows from holdings, so nothing here says it.

Locks are taken in the order items, wants.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.ids import new_id
from app.portfolios.commands.creation_keys import claim_key
from app.portfolios.commands.holds import refuse_another_version
from app.portfolios.commands.owners import only_writer_of
from app.portfolios.commands.wished_items import wished_variant
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.given_wishes import read_amount, read_currency, read_notes, read_priority
from app.portfolios.texts import no_such, refused
from app.portfolios.wish_models import Condition, Want

MOST_WANTS = 2_000


async def add_want(
    transaction: Transaction,
    given: Mapping[str, Any],
    *,
    owner_id: UUID,
    item_id: UUID | None = None,
    variant_id: UUID | None = None,
    idempotency_key: str | None = None,
) -> UUID:
    """Want a variant, or the default one of an item; gives the want's key. One that was removed comes back with it.

    `given` may say `accepts_any_print`, `minimum_condition` (a Condition), `maximum_price` and `currency`, `priority`
    and `notes`. A repeat with the same idempotency key and input within a day gives the first one again. Raises
    PortfolioRefused for a variant that is not there or wanted already, for values that no want can have, and for more
    than 2,000 wants.
    """
    connection = transaction.connection
    values = _read({**_NOTHING_SAID, **given})
    variant_id = await wished_variant(connection, item_id=item_id, variant_id=variant_id)
    await only_writer_of(connection, owner_id, "wants")
    removed = select(Want.id).where(
        Want.owner_id == owner_id, Want.variant_id == variant_id, Want.deleted_at.is_not(None)
    )
    removed_id: UUID | None = await connection.scalar(removed.order_by(Want.deleted_at.desc()).limit(1))
    want_id = new_id() if removed_id is None else removed_id
    first = await claim_key(
        connection,
        idempotency_key,
        [variant_id, values],
        owner_id=owner_id,
        made=Want.id,
        new_id=want_id,
        is_kept=Want.deleted_at.is_(None),
    )
    if first != want_id:
        return first
    await _refuse_wanted(connection, owner_id, variant_id)
    counted = select(func.count()).select_from(Want).where(Want.owner_id == owner_id, Want.deleted_at.is_(None))
    if ((await connection.scalar(counted)) or 0) >= MOST_WANTS:
        raise PortfolioRefused(PortfolioErrorCode.TOO_MANY, f"There are {MOST_WANTS:,} wants, as many as there may be.")
    if removed_id is not None:
        await _change(connection, removed_id, {**values, "deleted_at": None})
        return removed_id
    await connection.execute(insert(Want).values(id=want_id, owner_id=owner_id, variant_id=variant_id, **values))
    return want_id


async def edit_want(
    transaction: Transaction,
    want_id: UUID,
    changes: Mapping[str, Any],
    *,
    owner_id: UUID,
    expected_version: int | None = None,
) -> None:
    """Change what is given of a want, as in `add_want`; `variant_id` names another variant.

    Raises PortfolioRefused as `add_want` does, for a want that is not there, and for another version than expected.
    """
    connection = transaction.connection
    variant_id = changes.get("variant_id")
    if variant_id is not None:
        await wished_variant(connection, item_id=None, variant_id=variant_id)
        await only_writer_of(connection, owner_id, "wants")
    stored = await _held(connection, want_id, owner_id=owner_id, expected_version=expected_version)
    given = {name: value for name, value in changes.items() if name != "variant_id"}
    values = _read({**{name: stored[name] for name in _NOTHING_SAID}, **given})
    if variant_id is not None and variant_id != stored["variant_id"]:
        await _refuse_wanted(connection, owner_id, variant_id)
        values["variant_id"] = variant_id
    if any(stored[name] != value for name, value in values.items()):
        await _change(connection, want_id, values)


async def remove_want(
    transaction: Transaction, want_id: UUID, *, owner_id: UUID, expected_version: int | None = None
) -> None:
    """Want something no more. Raises PortfolioRefused as `edit_want` does."""
    connection = transaction.connection
    await _held(connection, want_id, owner_id=owner_id, expected_version=expected_version)
    await _change(connection, want_id, {"deleted_at": func.now()})


_NOTHING_SAID: Mapping[str, Any] = {
    "accepts_any_print": False,
    "minimum_condition": None,
    "maximum_price": None,
    "currency": None,
    "priority": 0,
    "notes": None,
}


def _read(given: Mapping[str, Any]) -> dict[str, Any]:
    condition: str | None = given["minimum_condition"]
    price: Decimal | None = given["maximum_price"]
    currency: str | None = given["currency"]
    values = {
        "accepts_any_print": bool(given["accepts_any_print"]),
        "minimum_condition": None if condition is None else Condition(condition).value,
        "maximum_price": None if price is None else read_amount(price, "maximumPrice"),
        "currency": None if currency is None else read_currency(currency),
        "priority": read_priority(given["priority"] or 0),
        "notes": read_notes(given["notes"]),
    }
    if (price is None) != (currency is None):
        missing, given_field = ("maximumPrice", "currency") if price is None else ("currency", "maximumPrice")
        raise refused(f"`{given_field}` goes with `{missing}`: give both or none.", missing)
    return values


async def _refuse_wanted(connection: AsyncConnection, owner_id: UUID, variant_id: UUID) -> None:
    wanted = select(Want.id).where(Want.owner_id == owner_id, Want.variant_id == variant_id, Want.deleted_at.is_(None))
    if await connection.scalar(wanted) is not None:
        raise PortfolioRefused(
            PortfolioErrorCode.ALREADY_LISTED, "It is among your wants; edit that one.", field=["variantId"]
        )


async def _held(
    connection: AsyncConnection, want_id: UUID, *, owner_id: UUID, expected_version: int | None
) -> Mapping[str, Any]:
    held = select(*Want.__table__.columns).where(
        Want.id == want_id, Want.owner_id == owner_id, Want.deleted_at.is_(None)
    )
    found = (await connection.execute(held.with_for_update(key_share=True))).mappings().one_or_none()
    if found is None:
        raise no_such("want", "id")
    refuse_another_version(found["version"], expected_version)
    return {str(name): value for name, value in found.items()}


async def _change(connection: AsyncConnection, want_id: UUID, values: Mapping[str, Any]) -> None:
    changed = update(Want).where(Want.id == want_id)
    await connection.execute(changed.values(version=Want.version + 1, updated_at=func.now(), **values))
