"""Rules for tests, made by the command that everybody's go through, and what became of them."""

from collections.abc import Awaitable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, insert, select

from app.alerts.commands.rules import create_rule
from app.alerts.errors import AlertErrorCode, AlertRefused
from app.alerts.given import Target
from app.alerts.models import Condition, PriceState, Rule, RuleTarget
from app.core.database import Database
from app.prices.models import PriceSeries


async def rule_of(
    database: Database,
    owner_id: UUID,
    target: RuleTarget,
    key: UUID | None,
    condition: Condition = Condition.CROSSES_ABOVE,
    threshold: str | None = "100",
    **given: Any,
) -> UUID:
    """A rule of somebody's: in euros, unless it says otherwise or has no use for a currency."""
    values: dict[str, Any] = {"condition": condition, **given}
    if threshold is not None:
        values["threshold"] = Decimal(threshold)
        if target not in {RuleTarget.PREORDER, RuleTarget.PORTFOLIO}:
            values.setdefault("currency", "EUR")
    async with database.transaction() as transaction:
        return await create_rule(transaction, Target(target, key), values, owner_id=owner_id)


async def refusal_of(change: Awaitable[object]) -> tuple[AlertErrorCode, list[str]]:
    """Why a change was refused, and where."""
    with pytest.raises(AlertRefused) as refused:
        await change
    return refused.value.reason, refused.value.field


async def row_of(database: Database, rule_id: UUID) -> Mapping[str, Any]:
    """A rule as it is stored."""
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(select(*Rule.__table__.columns).where(Rule.id == rule_id))
        return {str(name): value for name, value in found.mappings().one().items()}


async def remember_price(database: Database, owner_id: UUID, rule_id: UUID) -> None:
    """Have a rule remember that it is triggered by some series."""
    async with database.transaction() as transaction:
        series_id = await transaction.connection.scalar(select(func.min(PriceSeries.id)))
        await transaction.connection.execute(
            insert(PriceState).values(
                rule_id=rule_id, owner_id=owner_id, series_id=series_id, subject_id=rule_id, is_triggered=True
            )
        )


async def remembered(database: Database, rule_id: UUID) -> int:
    """Of how many series a rule remembers something."""
    async with database.transaction() as transaction:
        counted = select(func.count()).select_from(PriceState).where(PriceState.rule_id == rule_id)
        return int(await transaction.connection.scalar(counted) or 0)
