"""Bringing all secrets under the current key, while others read and write them; and trying to read all of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    LargeBinary,
    MetaData,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.core.secrets import (
    ENCRYPTED,
    VERSION,
    SecretPlace,
    Secrets,
    SecretUnreadable,
    key_id_of,
    place_of,
)

ROWS_AT_ONCE = 200
BYTES_AT_ONCE = 16 * 1024 * 1024
# Rows that somebody else holds, or writes under an old key meanwhile, are looked for again so often, and so much later.
MOST_PASSES = 20
SECONDS_BETWEEN_PASSES = 0.5
EXAMPLES_KEPT = 20
# What a first byte that is not ours is counted under; no key can have this id.
NO_KEY = "(no ciphertext)"

Key = tuple[Any, ...]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A secret that could not be read, and why."""

    place: SecretPlace
    reason: str


@dataclass(slots=True)
class Outcome:
    """What became of the secrets: how many could be read, which not, and how many are under each key at the end.

    For a rotation `done` are those encrypted anew and `outstanding` those that are not under the current key; for a
    check `done` are those that were read. `unreadable` counts, `examples` are the first of them.
    """

    done: int = 0
    unreadable: int = 0
    outstanding: int = 0
    examples: list[Unreadable] = field(default_factory=list)
    keys_in_use: Mapping[str, int] = field(default_factory=dict)


def encrypted_columns(tables: MetaData) -> list[Column[Any]]:
    """Every column made by `encrypted()`, by table and name."""
    found = [column for table in tables.tables.values() for column in table.columns if column.info.get(ENCRYPTED)]
    return sorted(found, key=lambda column: (column.table.fullname, column.name))


async def count_secrets(engine: AsyncEngine, columns: Iterable[Column[Any]], *, besides: Secrets | None = None) -> int:
    """How many secrets there are; with `besides`, those that are not under its current key."""
    count = 0
    async with engine.connect() as connection:
        for column in columns:
            wanted = _is_outstanding(column, besides) if besides else column.is_not(None)
            count += (await connection.execute(select(func.count()).where(wanted))).scalar_one()
    return count


async def rotate(
    engine: AsyncEngine, secrets: Secrets, columns: Sequence[Column[Any]], *, on_progress: Progress = lambda rows: None
) -> Outcome:
    """Encrypt anew, under the current key, every secret that is not; needs the right to update all the tables.

    Each batch is a transaction of its own, so it may be ended at any point and begun again. It waits for nobody: rows
    that others hold are passed over and looked for again, several times. What cannot be read is left as it is.
    """
    outcome = Outcome()
    for number in range(MOST_PASSES):
        if number:
            await asyncio.sleep(SECONDS_BETWEEN_PASSES)
        # Counted anew: in each pass the same are met again.
        outcome.unreadable, outcome.examples = 0, []
        for column in columns:
            await _rotate_column(engine, secrets, column, outcome, on_progress)
        outcome.outstanding = await count_secrets(engine, columns, besides=secrets)
        if outcome.outstanding <= outcome.unreadable:
            break
    outcome.keys_in_use = await keys_in_use(engine, columns)
    return outcome


async def check(
    engine: AsyncEngine, secrets: Secrets, columns: Sequence[Column[Any]], *, on_progress: Progress = lambda rows: None
) -> Outcome:
    """Read every secret, and say which cannot be read; changes nothing."""
    outcome = Outcome()
    for column in columns:
        async with engine.connect() as connection:
            async for keys in _batches(connection, column, column.is_not(None)):
                rows = await _rows(connection, column, keys, column.is_not(None))
                for row in rows:
                    if _decrypted(secrets, column, row, outcome) is not None:
                        outcome.done += 1
                on_progress(len(rows))
        outcome.keys_in_use = await keys_in_use(engine, columns)
    outcome.outstanding = await count_secrets(engine, columns, besides=secrets)
    return outcome


async def keys_in_use(engine: AsyncEngine, columns: Iterable[Column[Any]]) -> dict[str, int]:
    """How many secrets are encrypted under each key, by its id."""
    counts: Counter[str] = Counter()
    async with engine.connect() as connection:
        for column in columns:
            # The bytes before the first nonce, as far as the length in the second byte says.
            is_ours = (func.octet_length(column) > len(VERSION)) & (_beginning(column, len(VERSION)) == VERSION)
            beginning = case((is_ours, _beginning(column, func.get_byte(column, 1) + 2)))
            rows = await connection.execute(
                select(beginning, func.count()).where(column.is_not(None)).group_by(beginning)
            )
            for prefix, count in rows:
                counts[_key_id(prefix)] += count
    return dict(sorted(counts.items()))


def _key_id(prefix: bytes | None) -> str:
    try:
        return key_id_of(prefix or b"")
    except SecretUnreadable:
        return NO_KEY


async def _rotate_column(
    engine: AsyncEngine, secrets: Secrets, column: Column[Any], outcome: Outcome, on_progress: Progress
) -> None:
    outstanding = _is_outstanding(column, secrets)
    async with engine.connect() as looking, engine.connect() as writing:
        async for keys in _batches(looking, column, outstanding):
            async with writing.begin():
                done = await _rotate_rows(writing, secrets, column, keys, outcome)
            outcome.done += done
            on_progress(done)


async def _rotate_rows(
    connection: AsyncConnection, secrets: Secrets, column: Column[Any], keys: Sequence[Key], outcome: Outcome
) -> int:
    # Whoever waits for nobody is part of no deadlock. A row that was changed a moment ago is read as it is now.
    rows = await _rows(connection, column, keys, _is_outstanding(column, secrets), is_to_be_changed=True)
    changes = []
    for row in rows:
        secret = _decrypted(secrets, column, row, outcome)
        if secret is not None:
            key = row[:-1]
            changes.append(
                {f"key_{place}": part for place, part in enumerate(key)}
                | {"ciphertext": secrets.encrypt(secret, place_of(column, *key))}
            )
    if changes:
        key_columns = column.table.primary_key.columns
        values: dict[str, Any] = {column.name: bindparam("ciphertext")}
        # Nothing happened to the row that its readers would call a change.
        values |= {other.name: other for other in column.table.columns if other.onupdate is not None}
        statement = update(column.table).values(values)
        for place, part in enumerate(key_columns):
            statement = statement.where(part == bindparam(f"key_{place}"))
        await connection.execute(statement, changes)
    return len(changes)


def _decrypted(secrets: Secrets, column: Column[Any], row: Sequence[Any], outcome: Outcome) -> bytes | None:
    """The secret of a row, which is its key and the ciphertext; None, and noted, where it cannot be read."""
    *key, ciphertext = row
    place = place_of(column, *key)
    try:
        return secrets.decrypt(ciphertext, place)
    except SecretUnreadable as error:
        outcome.unreadable += 1
        if len(outcome.examples) < EXAMPLES_KEPT:
            outcome.examples.append(Unreadable(place, str(error)))
        return None


async def _batches(
    connection: AsyncConnection, column: Column[Any], wanted: ColumnElement[bool]
) -> AsyncIterator[list[Key]]:
    """The primary keys of the rows that are wanted, in their order, in batches bounded by number and by bytes."""
    key_columns = list(column.table.primary_key.columns)
    key = tuple_(*key_columns)
    after: Key | None = None
    while True:
        statement = select(*key_columns, func.octet_length(column)).where(wanted)
        if after is not None:
            passed = (literal(part, of.type) for part, of in zip(after, key_columns, strict=True))
            statement = statement.where(key > tuple_(*passed))
        rows = (await connection.execute(statement.order_by(*key_columns).limit(ROWS_AT_ONCE))).all()
        # A transaction left open would keep PostgreSQL from clearing away what rotation leaves behind.
        await connection.rollback()
        if not rows:
            return
        batch: list[Key] = []
        size = 0
        for *row, length in rows:
            if batch and size + length > BYTES_AT_ONCE:
                break
            batch.append(tuple(row))
            size += length
        after = batch[-1]
        yield batch


async def _rows(
    connection: AsyncConnection,
    column: Column[Any],
    keys: Sequence[Key],
    wanted: ColumnElement[bool],
    *,
    is_to_be_changed: bool = False,
) -> Sequence[Sequence[Any]]:
    """The primary key and the ciphertext of those rows that are still wanted."""
    key_columns = list(column.table.primary_key.columns)
    statement = select(*key_columns, column).where(tuple_(*key_columns).in_(keys), wanted).order_by(*key_columns)
    if is_to_be_changed:
        statement = statement.with_for_update(skip_locked=True, key_share=True)
    return (await connection.execute(statement)).all()


def _is_outstanding(column: Column[Any], secrets: Secrets) -> ColumnElement[bool]:
    """Whether a row's secret is not under the current key."""
    prefix = secrets.current_prefix
    return _beginning(column, len(prefix)) != prefix


def _beginning(column: Column[Any], length: int | ColumnElement[int]) -> ColumnElement[bytes]:
    return cast(func.substring(column, 1, length), LargeBinary)
