"""Makes alerts of what fired: each crossing of a rule once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.fired import Fired
from app.alerts.models import Alert, Rule
from app.core.database import Transaction, among
from app.core.ids import new_id


@dataclass(frozen=True, slots=True)
class RecordedAlert:
    """An alert that is new, as those need it who tell of it."""

    id: UUID
    owner_id: UUID
    condition: str
    target: str
    severity: str
    title: str
    notes: str | None
    channels: Sequence[str] | None


async def record_alerts(transaction: Transaction, fired: Collection[Fired]) -> list[RecordedAlert]:
    """Store what fired in the transaction that stores the observations; gives the alerts that are new.

    The rules are locked in the order of their ids. Of a rule that is to fire once only the first of these counts, by
    the time of its observation, and the rule ends with it; one that was paused, ended or deleted meanwhile does not
    fire.
    """
    if not fired:
        return []
    connection = transaction.connection
    rules = {
        row.id: row
        for row in await connection.execute(
            select(Rule)
            .with_only_columns(
                *(Rule.id, Rule.owner_id, Rule.condition, Rule.target, Rule.severity, Rule.notes, Rule.channels),
                *(Rule.threshold, Rule.is_recurring),
            )
            .where(among(Rule.id, {one.rule_id for one in fired}), Rule.is_active)
            .order_by(Rule.id)
            .with_for_update(key_share=True)
        )
    }
    chosen: list[Fired] = []
    ended: set[UUID] = set()
    for one in sorted(fired, key=lambda one: (one.observed_at, one.crossing)):
        rule = rules.get(one.rule_id)
        if rule is None or one.rule_id in ended:
            continue
        if not rule.is_recurring:
            ended.add(one.rule_id)
        chosen.append(one)
    titles = await titles_of(connection, chosen)
    rows = [
        {
            "id": new_id(),
            "owner_id": rules[one.rule_id].owner_id,
            "rule_id": one.rule_id,
            "crossing": one.crossing,
            "condition": rules[one.rule_id].condition,
            "severity": rules[one.rule_id].severity,
            "title": title,
            "notes": rules[one.rule_id].notes,
            "channels": rules[one.rule_id].channels,
            "threshold": rules[one.rule_id].threshold,
            **{name: getattr(one, name) for name in _OBSERVED},
        }
        for one, title in zip(chosen, titles, strict=True)
    ]
    if not rows:
        return []
    stored = set(await connection.scalars(insert(Alert).values(rows).on_conflict_do_nothing().returning(Alert.id)))
    await _mark_fired(connection, [one for one, row in zip(chosen, rows, strict=True) if row["id"] in stored], ended)
    return [
        RecordedAlert(
            row["id"],
            row["owner_id"],
            row["condition"],
            rules[row["rule_id"]].target,
            row["severity"],
            row["title"],
            row["notes"],
            row["channels"],
        )
        for row in rows
        if row["id"] in stored
    ]


async def titles_of(connection: AsyncConnection, fired: Sequence[Fired]) -> list[str]:
    """What each of these says in one line."""
    return [f"{one.crossing}" for one in fired]


_OBSERVED = tuple(name for name in Fired.__slots__ if name not in {"rule_id", "crossing"})


async def _mark_fired(connection: AsyncConnection, fired: Collection[Fired], ended: Collection[UUID]) -> None:
    for rule_id in sorted({one.rule_id for one in fired}):
        times = [one.observed_at for one in fired if one.rule_id == rule_id]
        is_over = {"is_active": False, "ended_at": func.now()} if rule_id in ended else {}
        await connection.execute(
            update(Rule)
            .where(Rule.id == rule_id)
            .values(last_fired_at=max(times), fired_count=Rule.fired_count + len(times), **is_over)
        )
