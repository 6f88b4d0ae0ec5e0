"""Holds rules against a release date that was moved, in the transaction that moves it."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from app.alerts.commands.subject_states import KnownState, write_states
from app.alerts.fired import Fired
from app.alerts.models import Condition, Rule, SubjectState
from app.core.database import Transaction
from app.portfolios.commands.preorders import ReleaseChange

LEAST_DAYS = 1


async def watch_preorders(transaction: Transaction, change: ReleaseChange) -> list[Fired]:
    """The rules that fire at a release that was put off by as many days as they say, or more; one unless they say.

    The preorder is held already; the rules are held from here on. The number of days is the new value.
    """
    days = change.slip_days
    if days is None or days < LEAST_DAYS:
        return []
    rules = (await transaction.connection.execute(_rules_of(change))).all()
    fired = [_fired(rule.id, change, days) for rule in rules if _fires(rule, change, days)]
    resting = {rule.id for rule in rules if rule.cooldown_minutes}
    await write_states(
        transaction,
        [
            KnownState(
                rule_id=one.rule_id,
                subject_id=change.preorder_id,
                is_triggered=False,
                observed_at=change.changed_at,
                fired_at=change.changed_at,
            )
            for one in fired
            if one.rule_id in resting
        ],
    )
    return fired


def _rules_of(change: ReleaseChange) -> Any:
    last_fired_at = (
        select(SubjectState.fired_at)
        .where(SubjectState.rule_id == Rule.id, SubjectState.subject_id == change.preorder_id)
        .scalar_subquery()
    )
    return (
        select(Rule)
        .with_only_columns(
            *(Rule.id, Rule.threshold, Rule.cooldown_minutes, Rule.watches_from, Rule.expires_at),
            last_fired_at.label("fired_at"),
        )
        .where(Rule.preorder_id == change.preorder_id, Rule.condition == Condition.DATE_SLIPPED.value, Rule.is_active)
        .order_by(Rule.id)
        .with_for_update(of=Rule, key_share=True)
    )


def _fires(rule: Any, change: ReleaseChange, days: int) -> bool:
    rests = timedelta(minutes=rule.cooldown_minutes)
    return (
        days >= (rule.threshold or LEAST_DAYS)
        and change.changed_at >= rule.watches_from
        and (rule.expires_at is None or change.changed_at < rule.expires_at)
        and (rule.fired_at is None or change.changed_at - rule.fired_at >= rests)
    )


def _fired(rule_id: Any, change: ReleaseChange, days: int) -> Fired:
    return Fired(
        rule_id=rule_id,
        crossing=f"date_slipped:{change.id}",
        observed_at=change.changed_at,
        preorder_id=change.preorder_id,
        new_value=Decimal(days),
    )
