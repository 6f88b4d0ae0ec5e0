"""A person's preorders: written down, moved along, put off, and cancelled.

Locks are taken in the order items, store, portfolio, preorder: whoever removes a store has the preorders forget it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction, clock_of
from app.core.ids import new_id
from app.portfolios.commands.holds import hold_portfolio, refuse_another_version
from app.portfolios.commands.owners import only_writer_of
from app.portfolios.commands.wished_items import wished_variant
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.given_wishes import (
    ReleaseDate,
    read_amount,
    read_currency,
    read_delivery_days,
    read_notes,
    read_past,
    read_url,
)
from app.portfolios.models import Store
from app.portfolios.preorder_lifecycle import FIRST_STATES, refuse_illegal_step
from app.portfolios.texts import no_such, read_key, refused
from app.portfolios.wish_models import (
    DatePrecision,
    Preorder,
    PreorderDateChange,
    PreorderStatus,
    PreorderStatusChange,
)
from app.prices.exchange_rates import Exchange
from app.prices.queries.exchange_rates import exchange_rates

MOST_PREORDERS = 5_000
# Lists that are short by nature are not paged.
MOST_CHANGES = 100
KEYS_KEPT_FOR = timedelta(hours=24)

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReleaseChange:
    """A release date that was moved; None where none was known, or none is any more."""

    id: UUID
    preorder_id: UUID
    previous: ReleaseDate | None
    new: ReleaseDate | None
    changed_at: datetime

    @property
    def slip_days(self) -> int | None:
        """By how many days it was put off, negative where it was brought forward; None unless both are known.

        Where one of the two is a month, from month to month.
        """
        if self.previous is None or self.new is None:
            return None
        if self.previous.precision is DatePrecision.DAY is self.new.precision:
            return (self.new.on - self.previous.on).days
        return (self.new.on.replace(day=1) - self.previous.on.replace(day=1)).days


async def add_preorder(
    transaction: Transaction,
    given: Values,
    *,
    owner_id: UUID,
    item_id: UUID | None = None,
    variant_id: UUID | None = None,
    idempotency_key: str | None = None,
) -> UUID:
    """Write down a preorder of a variant, or of the default one of an item; gives its key.

    `given` may say `status`, `portfolio_id`, `store_id`, `price` and `currency`, `shipping`, `deposit`, `release` and
    `original_release` (a ReleaseDate each), `tracking_url`, `shipped_at`, `estimated_delivery_days` and `notes`. The
    same key and preorder within 24 hours give the first one again. Raises PortfolioRefused for what is not there, for
    values that no preorder can have, where the rate to the portfolio's base currency is missing, and for more than
    5,000 preorders.
    """
    connection = transaction.connection
    key = None if idempotency_key is None else read_key(idempotency_key)
    now = await clock_of(transaction)
    status: PreorderStatus = given.get("status") or PreorderStatus.PREORDERED
    if status not in FIRST_STATES:
        raise refused("A new preorder is neither received nor cancelled.", "status")
    values = _read(_NOTHING_SAID, given, now=now)
    content_hash = sha256(
        orjson.dumps([item_id, variant_id, status, {**values, "shipped_at": given.get("shipped_at")}], default=str)
    ).hexdigest()
    variant_id = await wished_variant(connection, item_id=item_id, variant_id=variant_id)
    await only_writer_of(connection, owner_id, "preorders")
    if key is not None:
        repeated = await _made_before(connection, owner_id, key, content_hash)
        if repeated is not None:
            return repeated
    await _refuse_too_many(connection, owner_id)
    await _refuse_foreign_store(connection, owner_id, values["store_id"])
    rate = await _frozen_rate(connection, owner_id, values, now=now)
    if status is PreorderStatus.SHIPPED and values["shipped_at"] is None:
        values["shipped_at"] = now
    preorder_id = new_id()
    await connection.execute(
        insert(Preorder).values(
            id=preorder_id,
            owner_id=owner_id,
            variant_id=variant_id,
            status=status.value,
            request_key=key,
            request_hash=None if key is None else content_hash,
            **values,
            **rate,
        )
    )
    await _log_status(connection, owner_id, preorder_id, None, status, None)
    return preorder_id


async def edit_preorder(
    transaction: Transaction,
    preorder_id: UUID,
    changes: Values,
    *,
    owner_id: UUID,
    expected_version: int | None = None,
) -> None:
    """Change what is given of a preorder, as in `add_preorder`, but its `release`; and of a cancelled one its `refund`.

    The rate is frozen anew where the currency changes, or the portfolio to one in another. Raises PortfolioRefused as
    `add_preorder` does, for a preorder that is not there, and for another version than expected.
    """
    connection = transaction.connection
    now = await clock_of(transaction)
    await _refuse_foreign_store(connection, owner_id, changes.get("store_id"))
    await _hold_portfolio_of(connection, preorder_id, changes, owner_id=owner_id)
    stored = await held_preorder(connection, preorder_id, owner_id=owner_id, expected_version=expected_version)
    if stored["status"] == PreorderStatus.RECEIVED and changes.keys() - _OF_RECEIVED:
        raise _illegal("It was received; what it cost is told by its trade.", "id")
    if changes.get("refund") and stored["status"] != PreorderStatus.CANCELLED:
        raise _illegal("Only a cancelled preorder is refunded; cancel it first.", "refund")
    values = _read(stored, changes, now=now)
    changed = {name: value for name, value in values.items() if stored[name] != value}
    if changed.keys() & {"currency", "portfolio_id"}:
        changed |= await _frozen_rate(connection, owner_id, values, now=now, stored=stored)
    if changed:
        await change_preorder(connection, preorder_id, changed)


async def move_preorder(
    transaction: Transaction,
    preorder_id: UUID,
    status: PreorderStatus,
    *,
    owner_id: UUID,
    note: str | None = None,
    details: Values | None = None,
    expected_version: int | None = None,
) -> None:
    """Move a preorder to another of its next states; `details` are changes of `edit_preorder` that come with it.

    Raises PortfolioRefused (ILLEGAL_STATE) for a state that does not follow, and for RECEIVED, which
    `receive_preorder` gives; and as `edit_preorder` does.
    """
    connection = transaction.connection
    note = read_notes(note, "note")
    now = await clock_of(transaction)
    details = details or {}
    stored = await held_preorder(connection, preorder_id, owner_id=owner_id, expected_version=expected_version)
    refuse_illegal_step(PreorderStatus(stored["status"]), status)
    if status is PreorderStatus.RECEIVED:
        raise _illegal("Use `receivePreorder`, which puts it into a portfolio.", "status")
    if details.get("refund") and status is not PreorderStatus.CANCELLED:
        raise _illegal("Only a cancelled preorder is refunded.", "refund")
    values = _read(stored, details, now=now)
    changed = {name: value for name, value in values.items() if stored[name] != value}
    if status is PreorderStatus.SHIPPED and values["shipped_at"] is None:
        changed["shipped_at"] = now
    if stored["status"] == PreorderStatus.CANCELLED and "shipped_at" not in details:
        # What was sent before it was cancelled did not come.
        changed["shipped_at"] = None
    await log_step(connection, stored, status, note)
    await change_preorder(connection, preorder_id, {**changed, "status": status.value})


async def reschedule_preorder(
    transaction: Transaction,
    preorder_id: UUID,
    release: ReleaseDate | None,
    *,
    owner_id: UUID,
    source: str | None = None,
    note: str | None = None,
    expected_version: int | None = None,
) -> ReleaseChange:
    """Note that the release was put off, brought forward, or is not known any more, and who says so.

    The first date that is known is the original one. Raises PortfolioRefused for the date that it has, for a preorder
    that is not there, received or cancelled, for another version than expected, and after 100 such changes.
    """
    connection = transaction.connection
    source, note = read_notes(source, "source"), read_notes(note, "note")
    stored = await held_preorder(connection, preorder_id, owner_id=owner_id, expected_version=expected_version)
    if stored["status"] in (PreorderStatus.RECEIVED, PreorderStatus.CANCELLED):
        raise _illegal("It is received or cancelled; its date does not change any more.", "id")
    new = _date_columns("release", release)
    if all(stored[name] == value for name, value in new.items()):
        raise refused("It is the date that the preorder has.", "release")
    await _refuse_more_changes(connection, PreorderDateChange, preorder_id)
    change_id = new_id()
    stored_change = await connection.execute(
        insert(PreorderDateChange)
        .values(
            id=change_id,
            owner_id=owner_id,
            preorder_id=preorder_id,
            previous_date=stored["release_date"],
            previous_precision=stored["release_precision"],
            new_date=new["release_date"],
            new_precision=new["release_precision"],
            source=source,
            note=note,
        )
        .returning(PreorderDateChange.created_at)
    )
    changed_at = stored_change.scalar_one()
    if stored["original_date"] is None:
        new |= _date_columns("original", release)
    await change_preorder(connection, preorder_id, new)
    previous = _release_of(stored["release_date"], stored["release_precision"])
    return ReleaseChange(change_id, preorder_id, previous, release, changed_at)


async def delete_preorder(
    transaction: Transaction, preorder_id: UUID, *, owner_id: UUID, expected_version: int | None = None
) -> None:
    """Forget a preorder with its log; the trade of a received one stays. Raises PortfolioRefused as others do."""
    connection = transaction.connection
    await held_preorder(connection, preorder_id, owner_id=owner_id, expected_version=expected_version)
    await connection.execute(delete(Preorder).where(Preorder.id == preorder_id))


async def held_preorder(
    connection: AsyncConnection, preorder_id: UUID, *, owner_id: UUID, expected_version: int | None
) -> Values:
    """The row of a preorder, locked until the transaction ends; refuses one that is not there or was changed."""
    held = select(*Preorder.__table__.columns).where(Preorder.id == preorder_id, Preorder.owner_id == owner_id)
    found = (await connection.execute(held.with_for_update(key_share=True))).mappings().one_or_none()
    if found is None:
        raise no_such("preorder", "id")
    refuse_another_version(found["version"], expected_version)
    return {str(name): value for name, value in found.items()}


async def change_preorder(connection: AsyncConnection, preorder_id: UUID, values: Values) -> None:
    """Write columns of a preorder that is held."""
    changed = update(Preorder).where(Preorder.id == preorder_id)
    await connection.execute(changed.values(version=Preorder.version + 1, updated_at=func.now(), **values))


async def log_step(connection: AsyncConnection, stored: Values, status: PreorderStatus, note: str | None) -> None:
    """Log that a preorder comes to another state; refuses more than 100 such steps."""
    await _refuse_more_changes(connection, PreorderStatusChange, stored["id"])
    await _log_status(connection, stored["owner_id"], stored["id"], stored["status"], status, note)


_NOTHING_SAID: Values = {
    "portfolio_id": None,
    "store_id": None,
    "price": None,
    "currency": None,
    "shipping": 0,
    "deposit": 0,
    "refund": 0,
    "original_date": None,
    "original_precision": None,
    "release_date": None,
    "release_precision": None,
    "tracking_url": None,
    "shipped_at": None,
    "estimated_delivery_days": None,
    "notes": None,
}
# What of a received preorder may still change.
_OF_RECEIVED = {"notes", "tracking_url", "store_id"}


def _read(stored: Values, changes: Values, *, now: datetime) -> dict[str, Any]:
    """All columns that can be said, each as it is to be: what is given is read, and the rest is what is stored."""
    values = {name: stored[name] for name in _NOTHING_SAID}
    values |= {name: _READERS[name](value) for name, value in changes.items() if name in _READERS}
    values |= {name: changes[name] for name in ("portfolio_id", "store_id") if name in changes}
    if "shipped_at" in changes:
        values["shipped_at"] = read_past(changes["shipped_at"], "shippedAt", now=now)
    if "release" in changes:
        values |= _date_columns("release", changes["release"])
    if "original_release" in changes:
        values |= _date_columns("original", changes["original_release"])
    if values["original_date"] is None:
        values |= {"original_date": values["release_date"], "original_precision": values["release_precision"]}
    elif values["release_date"] is None and stored["original_date"] is None:
        values |= {"release_date": values["original_date"], "release_precision": values["original_precision"]}
    _refuse_odd_amounts(values)
    return values


def _refuse_odd_amounts(values: Values) -> None:
    if (values["price"] is None) != (values["currency"] is None):
        missing, given = ("price", "currency") if values["price"] is None else ("currency", "price")
        raise refused(f"`{given}` goes with `{missing}`: give both or none.", missing)
    price = values["price"]
    if price is None and (values["shipping"] or values["deposit"]):
        raise refused("Without a price there is neither shipping nor a deposit.", "price")
    if values["deposit"] > (price or 0):
        raise refused("A deposit is a part of the price, and cannot be more.", "deposit")
    if values["refund"] > values["deposit"]:
        raise refused("No more than the deposit can be refunded.", "refund")


def _date_columns(which: str, release: ReleaseDate | None) -> dict[str, Any]:
    if release is None:
        return {f"{which}_date": None, f"{which}_precision": None}
    return {f"{which}_date": release.on, f"{which}_precision": release.precision.value}


def _release_of(on: date | None, precision: str | None) -> ReleaseDate | None:
    return None if on is None or precision is None else ReleaseDate(on, DatePrecision(precision))


def _amount_or_nothing(field: str) -> Any:
    return lambda value: 0 if value is None else read_amount(value, field)


_READERS: Mapping[str, Any] = {
    "price": lambda value: None if value is None else read_amount(value, "price"),
    "currency": lambda value: None if value is None else read_currency(value),
    "shipping": _amount_or_nothing("shipping"),
    "deposit": _amount_or_nothing("deposit"),
    "refund": _amount_or_nothing("refund"),
    "tracking_url": lambda value: read_url(value, "trackingUrl"),
    "estimated_delivery_days": read_delivery_days,
    "notes": read_notes,
}


def _illegal(message: str, field: str) -> PortfolioRefused:
    return PortfolioRefused(PortfolioErrorCode.ILLEGAL_STATE, message, field=[field])


async def _made_before(connection: AsyncConnection, owner_id: UUID, key: str, content_hash: str) -> UUID | None:
    """The preorder that was made under the key within a day; a key that is older is free again."""
    of_key = (Preorder.owner_id == owner_id) & (Preorder.request_key == key)
    await connection.execute(
        update(Preorder)
        .where(of_key, Preorder.created_at < func.now() - KEYS_KEPT_FOR)
        .values(request_key=None, request_hash=None)
    )
    made = (await connection.execute(select(Preorder.id, Preorder.request_hash).where(of_key))).one_or_none()
    if made is None:
        return None
    if made.request_hash != content_hash:
        raise PortfolioRefused(
            PortfolioErrorCode.IDEMPOTENCY_KEY_REUSED,
            "The key was used for another preorder; take a new one.",
            field=["idempotencyKey"],
        )
    preorder_id: UUID = made.id
    return preorder_id


async def _refuse_too_many(connection: AsyncConnection, owner_id: UUID) -> None:
    counted = select(func.count()).select_from(Preorder).where(Preorder.owner_id == owner_id)
    if ((await connection.scalar(counted)) or 0) >= MOST_PREORDERS:
        raise PortfolioRefused(
            PortfolioErrorCode.TOO_MANY, f"There are {MOST_PREORDERS:,} preorders, as many as there may be."
        )


async def _refuse_more_changes(
    connection: AsyncConnection, log: type[PreorderDateChange | PreorderStatusChange], preorder_id: UUID
) -> None:
    counted = select(func.count()).select_from(log).where(log.preorder_id == preorder_id)
    if ((await connection.scalar(counted)) or 0) >= MOST_CHANGES:
        raise PortfolioRefused(
            PortfolioErrorCode.TOO_MANY, f"It was changed {MOST_CHANGES} times, as often as it may be."
        )


async def _refuse_foreign_store(connection: AsyncConnection, owner_id: UUID, store_id: UUID | None) -> None:
    if store_id is None:
        return
    own = select(Store.id).where(Store.id == store_id, Store.owner_id == owner_id)
    if await connection.scalar(own.with_for_update(read=True, key_share=True)) is None:
        raise no_such("store among your own", "storeId")


async def _hold_portfolio_of(
    connection: AsyncConnection, preorder_id: UUID, changes: Values, *, owner_id: UUID
) -> None:
    """Hold the portfolio whose rate may be frozen, before the preorder is held."""
    portfolio_id = changes.get("portfolio_id")
    if "portfolio_id" not in changes and "currency" in changes:
        own = select(Preorder.portfolio_id).where(Preorder.id == preorder_id, Preorder.owner_id == owner_id)
        portfolio_id = await connection.scalar(own)
    if portfolio_id is not None:
        await hold_portfolio(connection, portfolio_id, owner_id=owner_id, field=["portfolioId"])


async def _frozen_rate(
    connection: AsyncConnection, owner_id: UUID, values: Values, *, now: datetime, stored: Values | None = None
) -> dict[str, Any]:
    """What a unit of the price's currency is in the portfolio's base currency today; nothing where one is not known.

    What is `stored` for the same two currencies stays.
    """
    unknown = {"exchange_rate": None, "rate_currency": None, "rate_date": None}
    if values["portfolio_id"] is None:
        return unknown
    portfolio = await hold_portfolio(connection, values["portfolio_id"], owner_id=owner_id, field=["portfolioId"])
    base = portfolio.base_currency
    if values["currency"] is None:
        return unknown
    if stored is not None and (stored["currency"], stored["rate_currency"]) == (values["currency"], base):
        return {}
    if values["currency"] == base:
        return {"exchange_rate": 1, "rate_currency": base, "rate_date": None}
    exchange = Exchange(values["currency"], base, now.date())
    rate = (await exchange_rates(connection, [exchange])).get(exchange)
    if rate is None:
        raise PortfolioRefused(
            PortfolioErrorCode.NO_EXCHANGE_RATE,
            f"No rate leads from {exchange.from_currency} to {base}; leave the portfolio out until there is one.",
            field=["currency"],
        )
    return {"exchange_rate": rate.rate, "rate_currency": base, "rate_date": rate.rate_date}


async def _log_status(
    connection: AsyncConnection,
    owner_id: UUID,
    preorder_id: UUID,
    previous: str | None,
    status: PreorderStatus,
    note: str | None,
) -> None:
    await connection.execute(
        insert(PreorderStatusChange).values(
            id=new_id(),
            owner_id=owner_id,
            preorder_id=preorder_id,
            previous_status=previous,
            status=status.value,
            note=note,
            created_at=func.clock_timestamp(),
        )
    )
