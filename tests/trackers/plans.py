"""The plans of what is really sent to PostgreSQL, among as many trackers as make an index worth it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from unittest.mock import patch
from uuid import UUID

from sqlalchemy import event, text
from sqlalchemy.engine import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.database import Database, DatabaseViewer, Snapshot, Statement

# Evenly over the map, as far as the golden ratio spreads them; one to a client of nobody for each of the client's own.
_SPREAD = text("""
    INSERT INTO trackers.trackers
        (id, client_id, name, status, last_position, last_fix_at, last_reported_at, last_accuracy_meters)
    SELECT gen_random_uuid(), client.id, 'Box ' || number, 'in_transit',
        ST_SetSRID(ST_MakePoint((number * 0.6180339887 - floor(number * 0.6180339887)) * 360 - 180,
            number * 170.0 / 4000 - 85), 4326),
        now(), now(), 10
    FROM generate_series(1, 4000) AS number CROSS JOIN unnest(CAST(:clients AS uuid[])) AS client (id)
""")


async def spread_trackers(owner: AsyncEngine, *clients: UUID) -> None:
    """Give each of the clients four thousand trackers all over the earth, and have PostgreSQL look at them."""
    async with owner.begin() as connection:
        await connection.execute(_SPREAD, {"clients": list(clients)})
        await connection.execute(text("ANALYZE trackers.trackers"))


async def plans_of(database: Database, viewer: DatabaseViewer | None, ask: Callable[[], Awaitable[object]]) -> str:
    """The plans of all that is sent while somebody asks, each explained for that viewer as the API."""
    sent: list[tuple[str, tuple[Any, ...]]] = []
    fetch = Snapshot.fetch

    def hear(_: object, __: object, statement: str, parameters: tuple[Any, ...], *___: object) -> None:
        sent.append((statement, parameters))

    async def heard(self: Snapshot, statement: Statement, values: Mapping[str, Any], **more: Any) -> Any:
        sent.append((statement.text, tuple(statement.arguments(values))))
        return await fetch(self, statement, values, **more)

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        with patch.object(Snapshot, "fetch", heard):
            await ask()
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    async with database.transaction(viewer=viewer) as transaction:
        plans: list[str] = []
        for statement, parameters in sent:
            if "trackers." in statement:
                rows = await transaction.connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
                plans += rows.scalars()
    assert plans
    return "\n".join(plans)
