"""Tables as the migrated database describes itself, and rows for them that are made by type, constraint and reference.

Nothing here knows a table by its name: one that is added tomorrow is described and filled like the others.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

NAMESPACE = UUID("01a1fc00-0000-7000-8000-00000000abcd")
# Of our schemas; what an extension brings along is its own.
OURS = """
namespace.nspname !~ '^pg_' AND namespace.nspname <> 'information_schema'
AND NOT EXISTS (SELECT FROM pg_depend WHERE deptype = 'e' AND classid = CAST('pg_namespace' AS regclass)
    AND objid = namespace.oid)
"""
RELATIONS = f"""
SELECT CAST(relation.oid AS integer) AS oid, namespace.nspname || '.' || relation.relname AS name,
    CAST(relation.relkind AS text) AS kind,
    relation.relrowsecurity AS has_row_security, relation.relispartition AS is_partition,
    coalesce('security_invoker=true' = ANY (relation.reloptions), false) AS asks_as_reader
FROM pg_class AS relation JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
WHERE relation.relkind IN ('r', 'p', 'v', 'm', 'f') AND {OURS}
    AND NOT EXISTS (SELECT FROM pg_depend WHERE deptype = 'e' AND classid = CAST('pg_class' AS regclass)
        AND objid = relation.oid)
ORDER BY name
"""
COLUMNS = """
SELECT CAST(own.attrelid AS integer) AS oid, own.attname AS name, format_type(own.atttypid, own.atttypmod) AS type,
    CAST(own.attidentity AS text) <> '' AS is_identity,
    own.attnum = ANY (coalesce(primary_key.conkey, '{}')) AS is_key,
    CAST(reference.confrelid AS integer) AS refers_to, referred.attname AS referred_column,
    (SELECT string_agg(pg_get_constraintdef(oid), ' ') FROM pg_constraint
        WHERE conrelid = own.attrelid AND contype = 'c' AND conkey = ARRAY[own.attnum]) AS checks
FROM pg_attribute AS own
LEFT JOIN pg_constraint AS primary_key ON primary_key.conrelid = own.attrelid AND primary_key.contype = 'p'
LEFT JOIN LATERAL (
    SELECT confrelid, confkey[array_position(conkey, own.attnum)] AS number FROM pg_constraint
    WHERE conrelid = own.attrelid AND contype = 'f' AND own.attnum = ANY (conkey) LIMIT 1
) AS reference ON true
LEFT JOIN pg_attribute AS referred ON referred.attrelid = reference.confrelid AND referred.attnum = reference.number
WHERE CAST(own.attrelid AS integer) = ANY (:oids) AND own.attnum > 0
    AND NOT own.attisdropped AND CAST(own.attgenerated AS text) = ''
ORDER BY own.attrelid, own.attnum
"""
VIEWS = {"v", "m"}
FIRST_ALLOWED = re.compile(r"ARRAY\['([^']*)'")
ALLOWED_BYTES = re.compile(r"octet_length\(\w+\) = (?:ANY \(ARRAY\[)?(\d+)")

# What a row has, each value as PostgreSQL writes it.
Row = Mapping[str, str | None]
# Rows by the number of their table and the name of the person.
Made = Mapping[tuple[int, str], Row]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its type, what it refers to, and a value that its constraints allow where they list some."""

    name: str
    type: str
    is_key: bool
    is_identity: bool
    refers_to: int | None
    referred_column: str | None
    allowed: str | None
    # How many bytes it has to have, where that is said.
    length: int | None


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, a view or anything else that rows are read from; `name` has its schema."""

    oid: int
    name: str
    kind: str
    has_row_security: bool
    is_partition: bool
    asks_as_reader: bool
    columns: Sequence[Column]

    @property
    def is_view(self) -> bool:
        """Whether its rows stand elsewhere."""
        return self.kind in VIEWS

    @property
    def key(self) -> Sequence[Column]:
        """The primary key."""
        return [column for column in self.columns if column.is_key]


async def tables_of(connection: AsyncConnection) -> Sequence[str]:
    """The names of every table of our schemas; the rows of partitions are read through what they are parts of."""
    found = await connection.execute(text(RELATIONS))
    return [row.name for row in found if row.kind not in VIEWS and not row.is_partition]


async def relations_of(connection: AsyncConnection) -> Sequence[Relation]:
    """Every table and view of our schemas, partitions among them."""
    found = (await connection.execute(text(RELATIONS))).all()
    columns: dict[int, list[Column]] = {row.oid: [] for row in found}
    for row in await connection.execute(text(COLUMNS), {"oids": list(columns)}):
        column = Column(
            name=row.name,
            type=row.type,
            is_key=row.is_key,
            is_identity=row.is_identity,
            refers_to=row.refers_to,
            referred_column=row.referred_column,
            allowed=_first(FIRST_ALLOWED, row.checks),
            length=int(_first(ALLOWED_BYTES, row.checks) or 0) or None,
        )
        columns[row.oid].append(column)
    return [
        Relation(
            row.oid,
            row.name,
            row.kind,
            row.has_row_security,
            row.is_partition,
            row.asks_as_reader,
            columns[row.oid],
        )
        for row in found
    ]


def _first(allowed: re.Pattern[str], checks: str | None) -> str | None:
    found = allowed.search(checks or "")
    return found.group(1) if found else None


@dataclass(frozen=True, slots=True)
class Person:
    """Whose rows are made; `explicit` are values that have to be so, by table and column."""

    name: str
    explicit: Mapping[tuple[str, str], str | None] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Their key."""
        return str(uuid5(NAMESPACE, self.name))


# What belongs to nobody and is referred to by everybody's rows.
EVERYBODY = Person("everybody")


class Rows:
    """Makes rows, and knows those that were made."""

    def __init__(
        self,
        connection: AsyncConnection,
        relations: Sequence[Relation],
        private: Sequence[Relation],
        made: Made | None = None,
    ) -> None:
        self._connection = connection
        self._by_oid = {relation.oid: relation for relation in relations}
        self._private = {relation.oid for relation in private}
        self._made: dict[tuple[int, str], Row] = dict(made or {})

    @property
    def made(self) -> Made:
        """The rows that are there."""
        return self._made

    def of(self, person: Person, relation: Relation) -> Row:
        """The row of a person in a table."""
        return self._made[relation.oid, person.name]

    async def add(self, person: Person, relation: Relation) -> Row:
        """The row of a person in a table, made with everything that it refers to unless it is there."""
        made = self._made.get((relation.oid, person.name))
        if made is not None:
            return made
        values = await self.values(person, relation)
        names = ", ".join(values)
        casts = ", ".join(f"CAST(CAST(:{name} AS text) AS {relation_type(relation, name)})" for name in values)
        shown = ", ".join(f'CAST("{column.name}" AS text) AS "{column.name}"' for column in relation.columns)
        found = await self._made_by_trigger(relation, values, shown)
        if found is None:
            inserted = await self._connection.execute(
                text(f"INSERT INTO {relation.name} ({names}) VALUES ({casts}) RETURNING {shown}"), dict(values)
            )
            found = inserted.one()
        row: Row = dict(found._mapping)
        self._made[relation.oid, person.name] = row
        return row

    async def _made_by_trigger(self, relation: Relation, values: Mapping[str, str | None], shown: str) -> Any:
        """The row that came with another table's, if there is one with this key."""
        key = {column.name: values.get(column.name) for column in relation.key}
        if not key or None in key.values():
            return None
        matches = " AND ".join(f"CAST({name} AS text) = :{name}" for name in key)
        rows = await self._connection.execute(text(f"SELECT {shown} FROM {relation.name} WHERE {matches}"), key)
        return rows.one_or_none()

    async def values(self, person: Person, relation: Relation, *, salt: str = "1") -> dict[str, str | None]:
        """A value for each column that takes one; with another salt, of another row."""
        values: dict[str, str | None] = {}
        for place, column in enumerate(relation.columns):
            if column.is_identity:
                continue
            if (relation.name, column.name) in person.explicit:
                values[column.name] = person.explicit[relation.name, column.name]
            elif column.refers_to is not None and column.refers_to != relation.oid:
                values[column.name] = await self._referred(person, column)
            else:
                values[column.name] = value_of(person, relation, column, place, salt)
        return values

    async def _referred(self, person: Person, column: Column) -> str | None:
        relation = self._by_oid[column.refers_to or 0]
        row = await self.add(person if relation.oid in self._private else EVERYBODY, relation)
        return row[column.referred_column or ""]


def relation_type(relation: Relation, name: str) -> str:
    """The type of a column, as SQL writes it."""
    return next(column.type for column in relation.columns if column.name == name)


def value_of(person: Person, relation: Relation, column: Column, place: int, salt: str) -> str:
    """A value of the column's type that says whose it is; times of one row go on from column to column."""
    if column.type == "uuid":
        return _key(person, relation, column, salt)
    if column.allowed is not None:
        return f"{{{column.allowed}}}" if column.type.endswith("[]") else column.allowed
    if column.type.endswith("[]"):
        return f"{{{_plain_value(person, column.type.removesuffix('[]'), column.name, place, salt)}}}"
    if column.length is not None:
        return "\\x" + hashlib.sha256(f"{person.name} {column.name} {salt}".encode()).hexdigest()[: 2 * column.length]
    return _plain_value(person, column.type, column.name, place, salt)


def _key(person: Person, relation: Relation, column: Column, salt: str) -> str:
    is_own_key = column.is_key and len(relation.key) == 1
    if not is_own_key or (relation.name == "identity.users" and salt == "1"):
        return person.id
    return own_key(person.name, relation.name, salt)


def own_key(person: str, relation: str, salt: str = "1") -> str:
    """The key of a person's row in a table that has a key of one column."""
    return str(uuid5(NAMESPACE, f"{person} {relation} {salt}"))


def _plain_value(person: Person, type_: str, name: str, place: int, salt: str) -> str:
    number = sum(f"{person.name} {salt}".encode()) % 200
    match type_.partition("(")[0]:
        case "text" | "character varying":
            return f"{person.name}-{salt}-{name}"[:30]
        case "bytea":
            return "\\x" + f"{person.name} {name} {salt}".encode().hex()
        case "boolean":
            return "true"
        case "smallint" | "integer" | "bigint" | "numeric" | "double precision":
            return str(number)
        case "timestamp with time zone" | "date":
            return f"2026-{place % 12 + 1:02}-{number % 28 + 1:02}"
        case "time without time zone":
            return f"{place % 24:02}:{number % 60:02}"
        case "inet" | "cidr":
            return f"192.0.2.{number}"
        case "geography":
            return f"SRID=4326;POINT({number} {number % 90})" if number <= 180 else f"SRID=4326;POINT(0 {number % 90})"
        case "jsonb" | "json":
            return f'{{"{name}": "{person.name} {salt}"}}'
    raise ValueError(f"{name} is of type {type_}, for which this test has no value: add one in tests/private_rows.py")
