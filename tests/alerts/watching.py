"""Rules for tests, written straight into the table, and the alerts that came of them."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text, update

from app.alerts.models import Alert, Rule
from app.core.database import Database
from app.core.ids import new_id
from app.notifications.models import Notification
from app.trackers.models import Membership
from tests.identity.builders import add_person

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def person(database: Database) -> UUID:
    """Somebody."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("SET LOCAL ROLE trove_migrator"))
        return await add_person(transaction.connection)


async def member(database: Database, client_id: UUID, *, role: str = "viewer") -> UUID:
    """Somebody who belongs to a client."""
    user_id = await person(database)
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("SET LOCAL ROLE trove_migrator"))
        await transaction.connection.execute(
            insert(Membership).values(client_id=client_id, user_id=user_id, id=new_id(), role=role)
        )
    return user_id


async def rule(
    database: Database, owner_id: UUID, target: str, target_id: UUID, condition: str, **columns: Any
) -> UUID:
    """A rule of somebody's that has watched for long, unless told otherwise."""
    values = {"watches_from": LONG_AGO} | columns
    async with database.transaction() as transaction:
        return (
            await transaction.connection.execute(
                insert(Rule)
                .values(owner_id=owner_id, target=target, **{f"{target}_id": target_id}, condition=condition, **values)
                .returning(Rule.id)
            )
        ).scalar_one()


async def changed(database: Database, rule_id: UUID, **columns: Any) -> None:
    """Change columns of a rule."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Rule).where(Rule.id == rule_id).values(**columns))


async def rule_row(database: Database, rule_id: UUID) -> Mapping[str, Any]:
    """A rule as it is stored."""
    async with database.transaction() as transaction:
        found = await transaction.connection.execute(select(*Rule.__table__.columns).where(Rule.id == rule_id))
        return {str(name): value for name, value in found.mappings().one().items()}


async def alerts(database: Database, rule_id: UUID) -> Sequence[Any]:
    """The alerts of a rule, by their time; each was told in the app."""
    async with database.transaction() as transaction:
        rows = (
            await transaction.connection.execute(
                select(*Alert.__table__.columns).where(Alert.rule_id == rule_id).order_by(Alert.observed_at, Alert.id)
            )
        ).all()
        told = await transaction.connection.scalars(
            select(Notification.alert_id).where(Notification.alert_id.in_([row.id for row in rows]))
        )
        assert set(told) == {row.id for row in rows}
    return rows
