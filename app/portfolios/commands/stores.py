"""The stores where somebody acquires things: a list of their own, each name in it once."""

import unicodedata
from uuid import UUID

from sqlalchemy import delete, exists, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.slugs import distinct_slug_of, name_key, slug_of
from app.core.database import Transaction
from app.core.ids import new_id
from app.core.secure_urls import is_secure_url
from app.portfolios.commands.creation_keys import claim_key
from app.portfolios.commands.holds import hold_owner
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import HoldingDetails, Store
from app.portfolios.texts import Given, not_found, read_name, refused
from app.portfolios.wish_models import Preorder

MOST_STORES = 1_000
LONGEST_URL = 2_000


async def add_store(
    transaction: Transaction,
    *,
    owner_id: UUID,
    name: str,
    url: str | None = None,
    idempotency_key: str | None = None,
) -> UUID:
    """Add a store to somebody's list; gives its id.

    A repeat with the same idempotency key and input within a day gives the first one again. Raises PortfolioRefused for
    what it cannot have, for a name that one of theirs has, and for the 1,001st store.
    """
    connection = transaction.connection
    name, url = read_name(name, "name"), _read_url(url)
    await hold_owner(connection, owner_id)
    store_id = new_id()
    first = await claim_key(connection, idempotency_key, [name, url], owner_id=owner_id, made=Store.id, new_id=store_id)
    if first != store_id:
        return first
    counted = select(func.count()).select_from(Store).where(Store.owner_id == owner_id)
    if int((await connection.execute(counted)).scalar_one()) >= MOST_STORES:
        raise PortfolioRefused(
            PortfolioErrorCode.TOO_MANY, f"You have {MOST_STORES:,} stores, which is all one may have."
        )
    slug = store_slug(name)
    await _refuse_taken(connection, slug, owner_id)
    await connection.execute(insert(Store).values(id=store_id, owner_id=owner_id, name=name, slug=slug, url=url))
    return store_id


async def edit_store(transaction: Transaction, store_id: UUID, given: Given, *, owner_id: UUID) -> None:
    """Change a store's `name` or `url`, whichever is given; raises PortfolioRefused for what it cannot have."""
    connection = transaction.connection
    columns: dict[str, str | None] = {}
    if "name" in given:
        name = read_name(given["name"], "name")
        columns |= {"name": name, "slug": store_slug(name)}
    if "url" in given:
        columns["url"] = _read_url(given["url"])
    await hold_owner(connection, owner_id)
    await _require(connection, store_id, owner_id)
    if columns.get("slug") is not None:
        await _refuse_taken(connection, str(columns["slug"]), owner_id, of=store_id)
    if columns:
        await connection.execute(update(Store).where(Store.id == store_id).values(columns))


async def remove_store(
    transaction: Transaction, store_id: UUID, *, owner_id: UUID, clears_holdings: bool = False
) -> None:
    """Remove a store from somebody's list.

    Raises PortfolioRefused where a holding was acquired or a preorder placed there, unless `clears_holdings` has all of
    these forget it.
    """
    connection = transaction.connection
    await hold_owner(connection, owner_id)
    await _require(connection, store_id, owner_id)
    acquired_there, ordered_there = HoldingDetails.store_id == store_id, Preorder.store_id == store_id
    if clears_holdings:
        await connection.execute(update(HoldingDetails).where(acquired_there).values(store_id=None))
        await connection.execute(update(Preorder).where(ordered_there).values(store_id=None))
    elif await connection.scalar(select(or_(exists().where(acquired_there), exists().where(ordered_there)))):
        raise PortfolioRefused(
            PortfolioErrorCode.NOT_EMPTY,
            "Some of your holdings were acquired there, or preorders placed. Send `clearsHoldings: true` to have them "
            "forget it.",
            field=["id"],
        )
    await connection.execute(delete(Store).where(Store.id == store_id))


def store_slug(name: str) -> str:
    """What two spellings of a store's name share; letters without a spelling in ASCII are told apart by a hash."""
    letters = [letter for letter in unicodedata.normalize("NFKD", name) if letter.isalnum()]
    is_spelled = letters and all(letter.isascii() for letter in letters)
    return slug_of(name) if is_spelled else distinct_slug_of(name_key(name))


def no_such_store(field: str) -> PortfolioRefused:
    """The refusal of an id that is no store of the caller's."""
    return not_found("You have no such store.", field)


def _read_url(url: str | None) -> str | None:
    if url is not None and (len(url) > LONGEST_URL or not is_secure_url(url)):
        raise refused(f"It is an address that begins with https:// and has {LONGEST_URL:,} characters at most.", "url")
    return url


async def _require(connection: AsyncConnection, store_id: UUID, owner_id: UUID) -> None:
    of_owner = select(Store.id).where(Store.id == store_id, Store.owner_id == owner_id)
    if await connection.scalar(of_owner.with_for_update()) is None:
        raise no_such_store("id")


async def _refuse_taken(connection: AsyncConnection, slug: str, owner_id: UUID, *, of: UUID | None = None) -> None:
    holder = await connection.scalar(
        select(Store.name).where(Store.owner_id == owner_id, Store.slug == slug, Store.id.is_distinct_from(of))
    )
    if holder is not None:
        raise PortfolioRefused(
            PortfolioErrorCode.NAME_TAKEN, f"You have this store already, as “{holder}”.", field=["name"]
        )
