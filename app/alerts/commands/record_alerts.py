"""Makes alerts of what fired: each crossing of a rule once."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, Boolean, DateTime, Uuid, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.fired import Fired
from app.alerts.models import Rule
from app.alerts.queries.titles import titles_of
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
        for one, title in zip(chosen, await titles_of(connection, chosen), strict=True)
    ]
    if not rows:
        return []
    stored = set(await connection.scalars(_STORE, {"rows": orjson.dumps(rows, default=str).decode()}))
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


_OBSERVED = tuple(name for name in Fired.__slots__ if name not in {"rule_id", "crossing"})


# By one statement however many they are; the names are those of the columns.
_OF_RULE = ("id", "owner_id", "rule_id", "crossing", "condition", "severity", "title", "notes", "channels", "threshold")
_COLUMNS = ", ".join((*_OF_RULE, *_OBSERVED))
_STORE = text(f"""
    INSERT INTO alerts.alerts ({_COLUMNS})
    SELECT {_COLUMNS}
    FROM json_populate_recordset(CAST(NULL AS alerts.alerts), CAST(CAST(:rows AS text) AS json))
    ON CONFLICT (rule_id, crossing) DO NOTHING RETURNING id
""")  # noqa: S608  # names of our own columns
_MARK = text("""
    UPDATE alerts.rules AS rule
    SET last_fired_at = greatest(rule.last_fired_at, fired.last_fired_at),
        fired_count = rule.fired_count + fired.times,
        is_active = rule.is_active AND NOT fired.is_over,
        ended_at = CASE WHEN fired.is_over THEN now() ELSE rule.ended_at END
    FROM (
        SELECT rule_id, max(observed_at) AS last_fired_at, CAST(count(*) AS integer) AS times,
            bool_or(is_over) AS is_over
        FROM unnest(:rule_ids, :times, :are_over) AS each (rule_id, observed_at, is_over)
        GROUP BY rule_id
    ) AS fired
    WHERE rule.id = fired.rule_id
""").bindparams(
    bindparam("rule_ids", type_=ARRAY(Uuid)),
    bindparam("times", type_=ARRAY(DateTime(timezone=True))),
    bindparam("are_over", type_=ARRAY(Boolean)),
)


async def _mark_fired(connection: AsyncConnection, fired: Sequence[Fired], ended: Collection[UUID]) -> None:
    """Count for each rule how often it fired, and end those that were to fire once."""
    await connection.execute(
        _MARK,
        {
            "rule_ids": [one.rule_id for one in fired],
            "times": [one.observed_at for one in fired],
            "are_over": [one.rule_id in ended for one in fired],
        },
    )
