"""PostgreSQL: one pool per process, read snapshots, and write transactions whose news leaves only after the commit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar
from uuid import UUID

import orjson
import structlog
from asyncpg import Record
from asyncpg.connection import Connection as AsyncpgConnection
from asyncpg.exceptions import InterfaceError as AsyncpgInterfaceError
from asyncpg.exceptions import InternalClientError, PostgresError
from sqlalchemy import (
    ARRAY,
    Boolean,
    DateTime,
    Double,
    LargeBinary,
    MetaData,
    Numeric,
    Select,
    Text,
    Uuid,
    any_,
    bindparam,
    event,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.orm.attributes import InstrumentedAttribute
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.sql.elements import ColumnElement

from app.core.events import Event, EventBus
from app.core.jobs import Job, JobQueue

logger = structlog.get_logger(__name__)

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


# What may come out of a read or write when PostgreSQL is away or refuses.
DATABASE_FAILURES = (SQLAlchemyError, PostgresError, AsyncpgInterfaceError, InternalClientError, OSError)
# SQLSTATE classes 08 (connection), 53 (resources) and 57 (operator intervention): not our fault, and it passes.
PASSING_SQLSTATE_CLASSES = ("08", "53", "57")
# Bytes; the driver prepares longer ones anew each time.
LARGEST_PREPARED_STATEMENT = 128 * 1024


def is_database_away(error: BaseException | None) -> bool:
    """Whether PostgreSQL is away or out of connections, as opposed to a statement being wrong."""
    if isinstance(error, (InterfaceError, OperationalError, PoolTimeoutError, OSError)):
        return True
    if isinstance(error, (AsyncpgInterfaceError, InternalClientError)):
        return True
    if isinstance(error, DBAPIError) and error.orig is not None and is_database_away(error.orig.__cause__):
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
    AUTHENTICATOR = "trove_authenticator"
    WORKER = "trove_worker"
    MIGRATOR = "trove_migrator"


def create_engine(url: str, *, role: DatabaseRole | None, pool_size: int, application_name: str) -> AsyncEngine:
    """An engine whose sessions speak UTC and act as `role`; with `role=None` as the URL's own user."""
    session_settings = {"application_name": application_name, "timezone": "UTC", "jit": "off"}
    if role is not None:
        session_settings["role"] = role.value
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        # What people own and pay must not get into logs by way of an error message.
        hide_parameters=True,
        connect_args={
            "server_settings": session_settings,
            "timeout": 10,
            "max_cacheable_statement_size": LARGEST_PREPARED_STATEMENT,
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(connection: Any, _record: object, _proxy: object) -> None:
    """Have the pool connect anew where the server has hung up: the driver knows, so no ping needs to ask."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("the server has closed this connection")


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """A SELECT written for the driver: its text with numbered places, and the names of their values in that order.

    `constants` are the values that stand in the expressions themselves, the same each time.
    """

    text: str
    parameters: tuple[str, ...]
    constants: Mapping[str, Any]

    def arguments(self, values: Mapping[str, Any]) -> list[Any]:
        """The values in the order of the places."""
        constants = self.constants
        return [constants[name] if name in constants else values[name] for name in self.parameters]


# The moment that an operation takes for now; whoever runs a statement with it gives the value.
OPERATION_TIME = bindparam("operation_time", type_=DateTime(timezone=True))


def statement_of(select: Select[*tuple[Any, ...]]) -> Statement:
    """Write a SELECT once, to run it many times with other values for its named parameters."""
    written = select.compile(dialect=_DIALECT)
    if written.post_compile_params:
        raise ValueError("a compiled statement cannot use IN; use `among`")
    constants = {name: value for name, value in written.params.items() if value is not None}
    return Statement(str(written), tuple(written.positiontup or ()), constants)


_DIALECT = asyncpg_dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped


def among(column: ColumnElement[Any] | InstrumentedAttribute[Any], keys: Iterable[object]) -> ColumnElement[bool]:
    """`column = ANY(keys)`: one parameter, and so one prepared statement, whatever the number of keys."""
    return column == any_(literal(list(keys), ARRAY(column.type)))


@dataclass(frozen=True, slots=True)
class DatabaseViewer:
    """Whom a transaction is for, as row-level security knows it: a user, and what was granted to them.

    Permissions are words of our own, never of a request.
    """

    id: UUID
    permissions: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, str]:
        """The settings that policies look at."""
        return {"app.viewer_id": str(UUID(int=self.id.int)), "app.viewer_permissions": " ".join(self.permissions)}

    @property
    def statement(self) -> str:
        """Makes the running transaction this viewer's."""
        calls = (f"set_config('{name}', '{value}', true)" for name, value in self.settings.items())
        return f"SELECT {', '.join(calls)}"


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


async def clock_of(transaction: Transaction) -> datetime:
    """The database's clock, by which all processes agree on what came first."""
    now: datetime = (await transaction.connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


class Snapshot:
    """The reads of one operation: one connection, taken at its first read, in one transaction.

    The transaction is READ ONLY and REPEATABLE READ, so a response is one consistent picture; a statement that is known
    to be the only one needs none. Reads run one at a time, so loaders may ask concurrently. `statements` counts what
    was sent.
    """

    def __init__(self, database: "Database", *, viewer: DatabaseViewer | None = None) -> None:
        self._database = database
        self._viewer = viewer
        self._connection: AsyncConnection | None = None
        self._driver: AsyncpgConnection[Any] | None = None
        self._in_transaction = False
        self._is_broken = False
        self._counts_queries = False
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
        async with self._reading_alone():
            connection, _ = await self._open(in_transaction=True)
            if not self._counts_queries:
                event.listen(connection.sync_connection, "before_cursor_execute", self._count)
                self._counts_queries = True
            return await query(connection, *args, **kwargs)

    async def fetch(
        self,
        statement: Statement,
        values: Mapping[str, Any],
        *,
        record_class: type[Record] = Record,
        is_only_one: bool = False,
    ) -> Sequence[Any]:
        """Run a statement; one known to be the operation's only one is its own snapshot, without a transaction."""
        arguments = statement.arguments(values)
        self.statements += 1
        if is_only_one and self._viewer is None and self._connection is None:
            return await self._fetch_alone(statement, arguments)
        async with self._reading_alone():
            _, driver = await self._open(in_transaction=True)
            return await driver.fetch(statement.text, *arguments, record_class=record_class)

    async def _fetch_alone(self, statement: Statement, arguments: Sequence[Any]) -> Sequence[Any]:
        self._check_open()
        _, driver = await self._open(in_transaction=False)
        try:
            return await driver.fetch(statement.text, *arguments)
        except DATABASE_FAILURES as error:
            if not is_database_away(error):
                raise
            # The connection had been lost while nobody used it, or is being lost now: another one can tell.
            await self._leave()
        except BaseException:
            self._is_broken = True
            raise
        _, driver = await self._open(in_transaction=False)
        self._is_broken = True
        rows = await driver.fetch(statement.text, *arguments)
        self._is_broken = False
        return rows

    @asynccontextmanager
    async def _reading_alone(self) -> AsyncIterator[None]:
        async with self._one_at_a_time:
            self._check_open()
            self._reading = asyncio.current_task()
            try:
                yield
            except asyncio.CancelledError:
                self._is_broken = True
                # Loaders read in tasks of their own: who waits for them must hear of the end as of any failure.
                self._check_open()
                raise
            except Exception as error:
                self._is_broken = self._is_broken or is_database_away(error)
                raise
            finally:
                self._reading = None

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("this operation has ended; its snapshot cannot be read any more")

    async def _open(self, *, in_transaction: bool) -> "tuple[AsyncConnection, AsyncpgConnection[Any]]":
        if self._connection is None or self._driver is None:
            self._connection, self._driver = await self._database.lend()
            if in_transaction:
                try:
                    await self._begin(self._driver)
                except DATABASE_FAILURES as error:
                    if not is_database_away(error):
                        raise
                    self._in_transaction = False
                    await self._leave()
                    self._connection, self._driver = await self._database.lend()
        if in_transaction:
            await self._begin(self._driver)
        return self._connection, self._driver

    async def _begin(self, driver: "AsyncpgConnection[Any]") -> None:
        if self._in_transaction:
            return
        begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        if self._viewer is not None:
            # One round trip for both.
            begin += f"; {self._viewer.statement}"
        # From here on there may be a transaction, whatever becomes of the statement.
        self._in_transaction = True
        await driver.execute(begin)

    async def _leave(self) -> None:
        """Give up a connection that is of no use to anyone."""
        if self._connection is not None and self._driver is not None:
            connection, driver, self._connection, self._driver = self._connection, self._driver, None, None
            await self._database.take_back(connection, driver, is_broken=True)

    def _count(self, *_: object) -> None:
        self.statements += 1

    async def close(self) -> None:
        """Cancel a read that still runs, its statement included, and give the connection back."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
        async with self._one_at_a_time:
            if self._connection is None or self._driver is None:
                return
            connection, driver, self._connection = self._connection, self._driver, None
            try:
                if self._in_transaction and not self._is_broken:
                    await driver.execute("ROLLBACK")
            except DATABASE_FAILURES as error:
                logger.warning("snapshot_not_rolled_back", reason=type(error).__name__)
                self._is_broken = True
            except asyncio.CancelledError:
                self._is_broken = True
                raise
            finally:
                if self._counts_queries:
                    event.remove(connection.sync_connection, "before_cursor_execute", self._count)
                await self._database.take_back(connection, driver, is_broken=self._is_broken)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being read, and no transaction is open: closing it then waits for nothing."""
        return self._reading is None and not self._in_transaction and not self._is_broken


class Database:
    """The database of one process, as one role."""

    def __init__(self, engine: AsyncEngine, *, jobs: JobQueue, events: EventBus) -> None:
        self.engine = engine
        # The same pool; snapshots begin and end their transactions themselves.
        self._reading_engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        # Connections that the last snapshots gave back: taking one of these costs no look into the pool. Half of the
        # pool at most, so that writers find the other half there.
        self._kept: list[tuple[AsyncConnection, AsyncpgConnection[Any]]] = []
        self._kept_at_most = pool_size_of(engine) // 2
        self._waiting_for_pool = 0
        self._jobs = jobs
        self._events = events

    @property
    def events(self) -> EventBus:
        """Where hints of what was committed come by."""
        return self._events

    def snapshot(self, *, viewer: DatabaseViewer | None = None) -> Snapshot:
        """A read snapshot for one operation; close it at the operation's end."""
        return Snapshot(self, viewer=viewer)

    async def lend(self) -> "tuple[AsyncConnection, AsyncpgConnection[Any]]":
        """A connection for a snapshot, and the driver's connection beneath."""
        while self._kept:
            connection, driver = self._kept.pop()
            if not driver.is_closed():
                return connection, driver
            await connection.invalidate()
            await connection.close()
        connection = await self._from_pool(self._reading_engine)
        return connection, await asyncpg_connection(connection)

    async def _from_pool(self, engine: AsyncEngine) -> AsyncConnection:
        self._waiting_for_pool += 1
        try:
            return await engine.connect()
        finally:
            self._waiting_for_pool -= 1

    async def take_back(
        self, connection: AsyncConnection, driver: "AsyncpgConnection[Any]", *, is_broken: bool
    ) -> None:
        """Take a connection back, outside of any transaction unless it is broken."""
        is_clean = not (is_broken or connection.in_transaction() or driver.is_in_transaction())
        # Who waits, waits at the pool.
        if is_clean and not self._waiting_for_pool and len(self._kept) < self._kept_at_most:
            self._kept.append((connection, driver))
            return
        if is_broken:
            await connection.invalidate()
        await connection.close()

    @property
    def connections_in_use(self) -> int:
        """How many connections are lent or write."""
        pool = self.engine.pool
        return int(pool.checkedout()) - len(self._kept)  # type: ignore[attr-defined]  # of the queue pool we use

    @property
    def idle_connections(self) -> int:
        """How many connections wait to be used."""
        pool = self.engine.pool
        return int(pool.checkedin()) + len(self._kept)  # type: ignore[attr-defined]  # of the queue pool we use

    @asynccontextmanager
    async def transaction(
        self, *, viewer: DatabaseViewer | None = None, role: DatabaseRole | None = None
    ) -> AsyncIterator[Transaction]:
        """Commit at the end of the block, roll back on any exception; jobs and events leave after the commit.

        With `role` the transaction acts as that role, of which this database's own must be a member.
        """
        async with self._living_connection() as connection:
            try:
                async with connection.begin():
                    if role is not None:
                        await connection.execute(text(f"SET LOCAL ROLE {role.value}"))
                    if viewer is not None:
                        await connection.execute(text(viewer.statement))
                    transaction = Transaction(connection)
                    yield transaction
            except Exception as error:
                if is_database_away(error):
                    # The server's last word may leave the connection waiting for more: it must not be used again.
                    await connection.invalidate()
                raise
        await self._release(transaction)

    def authentication(self) -> AbstractAsyncContextManager[Transaction]:
        """The same, as the one role of the API's that may see what proves who somebody is."""
        return self.transaction(role=DatabaseRole.AUTHENTICATOR)

    @asynccontextmanager
    async def _living_connection(self) -> AsyncIterator[AsyncConnection]:
        """A connection that answers: what is written must not fail because the server was started anew meanwhile."""
        connection = await self._from_pool(self.engine)
        try:
            try:
                await (await asyncpg_connection(connection)).execute("SELECT")
            except DATABASE_FAILURES:
                await connection.invalidate()
                await connection.close()
                connection = await self._from_pool(self.engine)
            yield connection
        finally:
            await connection.close()

    async def _release(self, transaction: Transaction) -> None:
        for event_ in transaction.events:
            await self._events.publish(event_)
        for job in transaction.jobs:
            await self._jobs.enqueue(job)

    async def close(self) -> None:
        """Close the pool."""
        while self._kept:
            connection, _ = self._kept.pop()
            await connection.close()
        await self.engine.dispose()


def pool_size_of(engine: AsyncEngine) -> int:
    """How many connections an engine may open."""
    return int(engine.pool.size())  # type: ignore[attr-defined]  # of the queue pool we use


async def asyncpg_connection(connection: AsyncConnection) -> "AsyncpgConnection[Any]":
    """The driver's connection beneath, for COPY."""
    pooled: PoolProxiedConnection = await connection.get_raw_connection()
    driver_connection: AsyncpgConnection[Any] = pooled.driver_connection  # type: ignore[assignment]  # set while checked out
    return driver_connection


async def insert_at_once(
    connection: AsyncConnection,
    table: type[DeclarativeBase],
    rows: Sequence[Mapping[str, Any]],
    *,
    passes_over_existing: bool = False,
) -> None:
    """Insert thousands of rows, which all name the same columns, by one statement, in their order.

    With `passes_over_existing` a row that is there already, by any key, stays as it is. An `insert` with a list is a
    statement for each row: each is planned, and fires the triggers of statements.
    """
    if not rows:
        return
    into = table.__table__
    columns = ", ".join(into.c[name].name for name in rows[0])
    statement = text(
        f"INSERT INTO {into} ({columns}) "  # noqa: S608  # names of our own tables and columns
        f"SELECT {columns} FROM json_populate_recordset(CAST(NULL AS {into}), CAST(CAST(:rows AS text) AS json)) "
        f"{'ON CONFLICT DO NOTHING' if passes_over_existing else ''}"
    )
    await connection.execute(statement, {"rows": orjson.dumps(rows, default=str).decode()})
