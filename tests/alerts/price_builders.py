"""Rules over prices and prices for tests, and what fired."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text, update

from app.alerts.crossings import Comparison, Watch, reach_of
from app.alerts.models import Alert, Condition, Rule, RuleTarget
from app.core.database import Database
from app.core.ids import new_id
from app.ingestion.models import BatchKind, IngestBatch
from app.ingestion.processing import process_batch
from app.notifications.commands.price_alerts import WATCHED_PRICE_BATCHES
from tests.prices.builders import Line, accepted, point

# Long before rules are made by the clock of the database: these tests say when everything is.
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
_OVER_PRICES = {one.value for one in Comparison}


def at(minute: float) -> datetime:
    """So many minutes after noon."""
    return NOON + timedelta(minutes=minute)


def price(amount: str, minute: float, *, item: str = "aurum", **more: Any) -> Line:
    """What an item costs, in dollars, so many minutes after noon."""
    return point(item, amount, at=at(minute), **more)


@dataclass(slots=True)
class Prices:
    """A database that prices come into, at moments that the test says."""

    database: Database
    batch_count: int = field(default=0)

    async def accept(
        self, *lines: Line, accepted_at: datetime | None = None, kind: BatchKind = BatchKind.PRICE_POINTS
    ) -> UUID:
        """A batch that waits; without a time it was accepted as its newest price was observed."""
        batch = await accepted(self.database, lines, kind)
        when = accepted_at or max(datetime.fromisoformat(str(line["observedAt"])) for line in lines)
        async with self.database.transaction() as transaction:
            changed = update(IngestBatch).where(IngestBatch.id == batch.id).values(received_at=when)
            await transaction.connection.execute(changed)
        return batch.id

    async def process(self, batch_id: UUID) -> None:
        """Take a batch in."""
        async with self.database.transaction() as transaction:
            await process_batch(transaction, WATCHED_PRICE_BATCHES, batch_id)

    async def come(
        self, *lines: Line, accepted_at: datetime | None = None, kind: BatchKind = BatchKind.PRICE_POINTS
    ) -> None:
        """A batch that is accepted and taken in."""
        await self.process(await self.accept(*lines, accepted_at=accepted_at, kind=kind))


async def rule_of(
    database: Database,
    owner_id: UUID,
    condition: str,
    threshold: str | None,
    *,
    target: RuleTarget = RuleTarget.ITEM,
    key: UUID | None = None,
    currency: str | None = "USD",
    hysteresis: str = "0",
    **columns: Any,
) -> UUID:
    """A rule that counts since long before noon; `key` is the id of what it looks at."""
    values = {
        "id": new_id(),
        "owner_id": owner_id,
        "target": target.value,
        "condition": condition,
        "threshold": None if threshold is None else Decimal(threshold),
        "currency": currency,
        "hysteresis": Decimal(hysteresis),
        "watches_from": NOON - timedelta(days=4000),
    } | columns
    if key is not None:
        values[f"{target.value}_id"] = key
    if condition in _OVER_PRICES and threshold is not None:
        watch = Watch(comparison=Comparison(condition), threshold=Decimal(threshold), hysteresis=Decimal(hysteresis))
        values["reach_low"], values["reach_high"] = reach_of(watch)
    if condition in {Condition.RISES_BY, Condition.FALLS_BY}:
        values.setdefault("next_look_at", NOON)
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(Rule).values(**values))
    return UUID(str(values["id"]))


async def alerts(database: Database, *columns: str, rule_id: UUID | None = None) -> list[Any]:
    """The alerts in the order of their observations: the minute after noon and the new value, or these columns."""
    wanted = [getattr(Alert, name) for name in columns] or [Alert.observed_at, Alert.new_value]
    found = select(*wanted).order_by(Alert.observed_at, Alert.crossing)
    if rule_id is not None:
        found = found.where(Alert.rule_id == rule_id)
    async with database.transaction() as transaction:
        rows = (await transaction.connection.execute(found)).all()
    if columns:
        return [tuple(row) for row in rows]
    return [((row.observed_at - NOON) / timedelta(minutes=1), str(row.new_value.normalize())) for row in rows]


async def told(database: Database) -> list[UUID | None]:
    """Of which alerts notifications tell."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(text("SELECT alert_id FROM notifications.notifications"))
        return [row.alert_id for row in rows]


async def count_of(database: Database, table: str) -> int:
    """How many rows a table has."""
    async with database.transaction() as transaction:
        counted = await transaction.connection.scalar(text(f"SELECT count(*) FROM {table}"))  # of a test
        return int(counted or 0)


def each(values: Iterable[str], *, begin: float = 0, **more: Any) -> list[Line]:
    """Prices a minute apart."""
    return [price(value, begin + minute, **more) for minute, value in enumerate(values)]
