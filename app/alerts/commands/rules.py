"""Rules as people make, change, pause and delete them. What happens is held against them elsewhere.

A rule is held before it is changed, so that what fires meanwhile waits, or was there first.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.commands.creation_keys import claim_key
from app.alerts.commands.targets import require_target
from app.alerts.errors import AlertErrorCode, AlertRefused
from app.alerts.given import (
    CHANGES,
    MINUTE,
    TERMS,
    WIDE,
    Given,
    Target,
    Terms,
    not_found,
    read_changed_terms,
    read_others,
    read_terms,
    refused,
)
from app.alerts.models import Condition, PriceState, Rule, RuleTarget, SubjectState
from app.core.database import Transaction, clock_of
from app.core.ids import new_id
from app.portfolios.commands.owners import only_writer_of
from app.portfolios.models import Portfolio
from app.prices.models import PriceKind, Source
from app.prices.queries.exchange_rates import units_per_euro

MOST_RULES = 1_000
MOST_NEW_RULES = 60
# Each is held against the prices of thousands of series.
MOST_WIDE_RULES = 50
NEW_WITHIN = timedelta(minutes=1)


async def create_rule(
    transaction: Transaction, target: Target, given: Given, *, owner_id: UUID, idempotency_key: str | None = None
) -> UUID:
    """Make a rule and give its key; `given` has what `Terms` have, and of `cooldown`, `is_recurring`, `expires_at`,
    `severity`, `notes` and `channels` what is not to be as usual.

    Raises AlertRefused for a target that is not there or somebody else's, for what does not go with the condition, for
    more than 1,000 rules, 50 of them wide, and for more than 60 within a minute.
    """
    connection = transaction.connection
    now = await clock_of(transaction)
    terms = read_terms(target.kind, given)
    others = read_others(given, now=now)
    await only_writer_of(connection, owner_id, "rules")
    rule_id = new_id()
    first = await claim_key(connection, idempotency_key, [target, given], owner_id=owner_id, new_id=rule_id)
    if first != rule_id:
        return first
    target_id = await require_target(connection, target, user_id=owner_id)
    await _refuse_too_many(connection, owner_id, target.kind, now)
    values = await rule_values(connection, target, terms, on=now.date())
    named = {} if target_id is None else {f"{target.kind.value}_id": target_id}
    await connection.execute(
        insert(Rule).values(
            id=rule_id,
            owner_id=owner_id,
            target=target.kind.value,
            **named,
            **values,
            **others,
            next_look_at=_first_look(target.kind, terms.condition),
        )
    )
    return rule_id


async def edit_rule(
    transaction: Transaction, rule_id: UUID, given: Given, *, owner_id: UUID, expected_version: int | None = None
) -> None:
    """Change what is given of a rule. With other terms it begins anew; so does one that expired, with a later expiry.

    Raises AlertRefused as `create_rule` does, for a rule that is not there, and for another version than expected.
    """
    connection = transaction.connection
    rule = await _held(connection, rule_id, owner_id=owner_id, expected_version=expected_version)
    now = await clock_of(transaction)
    kind = RuleTarget(rule["target"])
    stored = await terms_of(connection, rule)
    terms = read_changed_terms(kind, stored, {name: given[name] for name in TERMS if name in given})
    values = read_others(given, now=now)
    is_revived = "expires_at" in values and has_expired(rule, now=now)
    if terms != stored or is_revived:
        if "expires_at" not in values:
            _refuse_expired(rule, now)
        target = Target(kind, None if kind is RuleTarget.WANTS else rule[f"{kind.value}_id"])
        values |= await rule_values(connection, target, terms, on=now.date())
        values |= await _anew(connection, rule_id, kind, terms.condition, is_paused=rule["paused_at"] is not None)
        await _change(connection, rule_id, values)
    elif any(rule[name] != value for name, value in values.items()):
        await _change(connection, rule_id, values)


async def pause_rule(
    transaction: Transaction, rule_id: UUID, *, owner_id: UUID, expected_version: int | None = None
) -> None:
    """Have a rule hold nothing against anything for the time being. One that is paused stays so.

    Raises AlertRefused as `edit_rule` does, and for a rule that has ended.
    """
    connection = transaction.connection
    rule = await _held(connection, rule_id, owner_id=owner_id, expected_version=expected_version)
    if rule["paused_at"] is not None:
        return
    if rule["ended_at"] is not None or has_expired(rule, now=await clock_of(transaction)):
        raise AlertRefused(AlertErrorCode.ILLEGAL_STATE, "It has ended, so there is nothing to pause.", field=["id"])
    await _change(connection, rule_id, {"paused_at": func.now(), "is_active": False})


async def resume_rule(
    transaction: Transaction, rule_id: UUID, *, owner_id: UUID, expected_version: int | None = None
) -> None:
    """Have a rule that was paused, or fired once and ended, begin anew. One that is active stays as it is.

    Raises AlertRefused as `edit_rule` does, and for a rule that has expired.
    """
    connection = transaction.connection
    rule = await _held(connection, rule_id, owner_id=owner_id, expected_version=expected_version)
    _refuse_expired(rule, await clock_of(transaction))
    if rule["is_active"]:
        return
    anew = await _anew(connection, rule_id, RuleTarget(rule["target"]), Condition(rule["condition"]), is_paused=False)
    await _change(connection, rule_id, {**anew, "paused_at": None})


async def delete_rule(
    transaction: Transaction, rule_id: UUID, *, owner_id: UUID, expected_version: int | None = None
) -> None:
    """Delete a rule; the alerts that it gave stay. Raises AlertRefused as `edit_rule` does."""
    connection = transaction.connection
    await _held(connection, rule_id, owner_id=owner_id, expected_version=expected_version)
    await connection.execute(delete(Rule).where(Rule.id == rule_id))


def has_expired(rule: Mapping[str, Any], *, now: datetime) -> bool:
    """Whether a rule ended, or is about to, because of its expiry, and not because it fired."""
    return rule["expires_at"] is not None and rule["expires_at"] <= (rule["ended_at"] or now)


async def rule_values(connection: AsyncConnection, target: Target, terms: Terms, *, on: date) -> dict[str, Any]:
    """The terms as a rule stores them. Raises AlertRefused for a source that is not known, and for a currency that had
    no exchange rate by that day.
    """
    currency = terms.currency
    if currency is None and target.kind is RuleTarget.PORTFOLIO:
        currency = await connection.scalar(select(Portfolio.base_currency).where(Portfolio.id == target.key))
    if currency is not None and currency not in await units_per_euro(connection, [currency], on):
        raise refused(
            f"There is no exchange rate of {currency} yet, so nothing can be held against it: name another currency.",
            "currency",
        )
    reach = terms.reach if target.kind is not RuleTarget.PORTFOLIO else None
    low, high = reach or (None, None)
    return {
        "condition": terms.condition.value,
        "threshold": terms.threshold,
        "currency": currency,
        "hysteresis": terms.hysteresis,
        "window_minutes": _minutes(terms.window),
        "duration_minutes": _minutes(terms.duration),
        "price_kind": None if terms.price_kind is None else terms.price_kind.value,
        "source_id": None if terms.source is None else await _source_id(connection, terms.source),
        "reach_low": low,
        "reach_high": high,
    }


async def terms_of(connection: AsyncConnection, rule: Mapping[str, Any]) -> Terms:
    """The terms of a rule that is stored."""
    source_id = rule["source_id"]
    code = None
    if source_id is not None:
        code = await connection.scalar(select(Source.code).where(Source.id == source_id))
    window, duration, price_kind = rule["window_minutes"], rule["duration_minutes"], rule["price_kind"]
    return Terms(
        condition=Condition(rule["condition"]),
        threshold=rule["threshold"],
        currency=rule["currency"],
        hysteresis=rule["hysteresis"] or Decimal(0),
        window=None if window is None else window * MINUTE,
        duration=None if duration is None else duration * MINUTE,
        price_kind=None if price_kind is None else PriceKind(price_kind),
        source=code,
    )


def _minutes(length: timedelta | None) -> int | None:
    return None if length is None else length // MINUTE


async def _source_id(connection: AsyncConnection, code: str) -> int:
    source_id: int | None = await connection.scalar(select(Source.id).where(Source.code == code))
    if source_id is None:
        raise refused("It is the code of a source of prices; `priceSources` lists them.", "source")
    return source_id


async def _refuse_too_many(connection: AsyncConnection, owner_id: UUID, target: RuleTarget, now: datetime) -> None:
    since = now - NEW_WITHIN
    counted = select(
        func.count(),
        func.count().filter(Rule.created_at > since),
        func.min(Rule.created_at).filter(Rule.created_at > since),
        func.count().filter(Rule.target.in_([kind.value for kind in WIDE])),
    ).where(Rule.owner_id == owner_id)
    total, lately, oldest, wide = (await connection.execute(counted)).one()
    if total >= MOST_RULES:
        raise AlertRefused(
            AlertErrorCode.TOO_MANY, f"There are {MOST_RULES:,} rules, as many as there may be: delete one first."
        )
    if target in WIDE and wide >= MOST_WIDE_RULES:
        raise AlertRefused(
            AlertErrorCode.TOO_MANY,
            f"There are {MOST_WIDE_RULES} rules over card sets, watchlists and all wants, as many as there may be: "
            "delete one first, or watch an item.",
        )
    if lately >= MOST_NEW_RULES:
        seconds = max(1, -(-(oldest - since) // timedelta(seconds=1)))
        raise AlertRefused(
            AlertErrorCode.RATE_LIMITED,
            f"You made {MOST_NEW_RULES} rules within a minute, as many as one may; go on in {seconds} seconds.",
        )


async def _held(
    connection: AsyncConnection, rule_id: UUID, *, owner_id: UUID, expected_version: int | None
) -> Mapping[str, Any]:
    held = select(*Rule.__table__.columns).where(Rule.id == rule_id, Rule.owner_id == owner_id)
    found = (await connection.execute(held.with_for_update(key_share=True))).mappings().one_or_none()
    if found is None:
        raise not_found("rule", "id")
    if expected_version is not None and found["version"] != expected_version:
        raise AlertRefused(
            AlertErrorCode.CONFLICT,
            f"It was changed meanwhile: its version is {found['version']}, not {expected_version}. "
            "Look at it and try again.",
            field=["expectedVersion"],
        )
    return {str(name): value for name, value in found.items()}


def _refuse_expired(rule: Mapping[str, Any], now: datetime) -> None:
    # Whatever has ended it: begun anew it would be over at once.
    if rule["expires_at"] is not None and rule["expires_at"] <= now:
        raise AlertRefused(
            AlertErrorCode.ILLEGAL_STATE, "It has expired: have `editAlertRule` give it a later expiry.", field=["id"]
        )


async def _anew(
    connection: AsyncConnection, rule_id: UUID, target: RuleTarget, condition: Condition, *, is_paused: bool
) -> dict[str, Any]:
    """What a rule that begins anew has; what it remembered is gone."""
    for table in (PriceState, SubjectState):
        await connection.execute(delete(table).where(table.rule_id == rule_id))
    return {
        "is_active": not is_paused,
        "ended_at": None,
        "watches_from": func.now(),
        "next_look_at": _first_look(target, condition),
    }


def _first_look(target: RuleTarget, condition: Condition) -> Any:
    """When the clock first looks at a rule; null for one that what happens is held against."""
    is_by_clock = target is RuleTarget.PORTFOLIO or condition in CHANGES or condition is Condition.SILENT_FOR
    return func.now() if is_by_clock else None


async def _change(connection: AsyncConnection, rule_id: UUID, values: Mapping[str, Any]) -> None:
    changed = update(Rule).where(Rule.id == rule_id)
    await connection.execute(changed.values(version=Rule.version + 1, updated_at=func.now(), **values))
