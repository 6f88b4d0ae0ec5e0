"""PostgreSQL: one pool per process, read snapshots, and write transactions whose news leaves only after the commit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar
from uuid import UUID

from asyncpg.connection import Connection as AsyncpgConnection
from sqlalchemy import (
    ARRAY,
    Boolean,
    DateTime,
    Double,
    LargeBinary,
    MetaData,
    Numeric,
    Text,
    Uuid,
    any_,
    event,
    literal,
    text,
)
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm.attributes import InstrumentedAttribute
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.elements import ColumnElement

from app.core.events import Event, EventBus
from app.core.jobs import Job, JobQueue

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


# What may come out of a read or write when PostgreSQL is away or refuses.
DATABASE_FAILURES = (SQLAlchemyError, OSError)
# SQLSTATE classes 08 (connection), 53 (resources) and 57 (operator intervention): not our fault, and it passes.
PASSING_SQLSTATE_CLASSES = ("08", "53", "57")


def is_database_away(error: BaseException | None) -> bool:
    """Whether PostgreSQL is away or out of connections, as opposed to a statement being wrong."""
    if isinstance(error, (InterfaceError, OperationalError, PoolTimeoutError, OSError)):
        return True
    sqlstate = getattr(getattr(error, "orig", None), "sqlstate", None) if isinstance(error, DBAPIError) else None
    sqlstate = sqlstate or getattr(error, "sqlstate", None)
    return isinstance(sqlstate, str) and sqlstate.startswith(PASSING_SQLSTATE_CLASSES)


class Base(DeclarativeBase):
    """The base of every table; each room's tables live in a PostgreSQL schema named like the room."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_key",
            "uq": "%(table_name)s_unique_%(column_0_N_name)s",
            "fk": "%(table_name)s_%(column_0_N_name)s_reference",
            "ck": "%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        str: Text(),
        bool: Boolean(),
        float: Double(),
        Decimal: Numeric(),
        UUID: Uuid(),
        bytes: LargeBinary(),
        datetime: DateTime(timezone=True),
    }


class DatabaseRole(StrEnum):
    """What a connection may do; the grants of each role are in the migrations."""

    API = "trove_api"
    WORKER = "trove_worker"
    MIGRATOR = "trove_migrator"


def create_engine(url: str, *, role: DatabaseRole | None, pool_size: int, application_name: str) -> AsyncEngine:
    """An engine whose sessions speak UTC and act as `role`; with `role=None` as the URL's own user."""
    session_settings = {"application_name": application_name, "timezone": "UTC", "jit": "off"}
    if role is not None:
        session_settings["role"] = role.value
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=True,
        # What people own and pay must not get into logs by way of an error message.
        hide_parameters=True,
        connect_args={"server_settings": session_settings, "timeout": 10},
    )


def among(column: ColumnElement[Any] | InstrumentedAttribute[Any], keys: Iterable[object]) -> ColumnElement[bool]:
    """`column = ANY(keys)`: one parameter, and so one prepared statement, whatever the number of keys."""
    return column == any_(literal(list(keys), ARRAY(column.type)))


class Transaction:
    """One read-write transaction: commands use its `connection`, and ask it for jobs and events after the commit."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.jobs: list[Job] = []
        self.events: list[Event] = []

    def enqueue(self, job: Job) -> None:
        """Ask for a job once this transaction has committed; dropped when it rolls back."""
        self.jobs.append(job)

    def announce(self, event: Event) -> None:
        """Tell live listeners once this transaction has committed; dropped when it rolls back."""
        self.events.append(event)


class Snapshot:
    """The reads of one operation: one connection, taken at its first read, in one transaction.

    The transaction is READ ONLY and REPEATABLE READ, so a response is one consistent picture. Reads run one at a time,
    so loaders may ask concurrently. `statements` counts what was sent.
    """

    def __init__(self, database: "Database", *, viewer_id: str | None = None) -> None:
        self._database = database
        self._viewer_id = viewer_id
        self._connection: AsyncConnection | None = None
        self._one_at_a_time = asyncio.Lock()
        self._closed = False
        self._reading: asyncio.Task[Any] | None = None
        self.statements = 0

    async def read(
        self,
        query: Callable[Concatenate[AsyncConnection, Parameters], Awaitable[Result]],
        *args: Parameters.args,
        **kwargs: Parameters.kwargs,
    ) -> Result:
        """Run a query function of a room on this snapshot's connection."""
        async with self._one_at_a_time:
            self._check_open()
            self._reading = asyncio.current_task()
            try:
                connection = self._connection or await self._open()
                return await query(connection, *args, **kwargs)
            except asyncio.CancelledError:
                # Loaders read in tasks of their own: who waits for them must hear of the end as of any failure.
                self._check_open()
                raise
            finally:
                self._reading = None

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this operation has ended; its snapshot cannot be read any more")

    async def _open(self) -> AsyncConnection:
        connection = await self._database.engine.connect()
        self._connection = await connection.execution_options(
            isolation_level="REPEATABLE READ", postgresql_readonly=True
        )
        event.listen(self._connection.sync_connection, "before_cursor_execute", self._count)
        if self._viewer_id is not None:
            await self._connection.execute(
                text("SELECT set_config('app.viewer_id', :viewer_id, true)"), {"viewer_id": self._viewer_id}
            )
        return self._connection

    def _count(self, *_: object) -> None:
        self.statements += 1

    async def close(self) -> None:
        """Cancel a read that still runs, its statement included, and give the connection back."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
        async with self._one_at_a_time:
            if self._connection is not None:
                connection, self._connection = self._connection, None
                await connection.close()


class Database:
    """The database of one process, as one role."""

    def __init__(self, engine: AsyncEngine, *, jobs: JobQueue, events: EventBus) -> None:
        self.engine = engine
        self._jobs = jobs
        self._events = events

    def snapshot(self, *, viewer_id: str | None = None) -> Snapshot:
        """A read snapshot for one operation; close it at the operation's end."""
        return Snapshot(self, viewer_id=viewer_id)

    @asynccontextmanager
    async def transaction(self, *, viewer_id: str | None = None) -> AsyncIterator[Transaction]:
        """Commit at the end of the block, roll back on any exception; jobs and events leave after the commit."""
        async with self.engine.connect() as connection, connection.begin():
            if viewer_id is not None:
                await connection.execute(
                    text("SELECT set_config('app.viewer_id', :viewer_id, true)"), {"viewer_id": viewer_id}
                )
            transaction = Transaction(connection)
            yield transaction
        await self._release(transaction)

    async def _release(self, transaction: Transaction) -> None:
        for event_ in transaction.events:
            await self._events.publish(event_)
        for job in transaction.jobs:
            await self._jobs.enqueue(job)

    async def close(self) -> None:
        """Close the pool."""
        await self.engine.dispose()


async def asyncpg_connection(connection: AsyncConnection) -> "AsyncpgConnection[Any]":
    """The driver's connection beneath, for COPY."""
    pooled: PoolProxiedConnection = await connection.get_raw_connection()
    driver_connection: AsyncpgConnection[Any] = pooled.driver_connection  # type: ignore[assignment]  # set while checked out
    return driver_connection
