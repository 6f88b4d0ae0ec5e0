"""How a leaf is written: by Python from the driver's value, and by PostgreSQL as JSON; both come out alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLLeafType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLOutputType,
    is_leaf_type,
)
from orjson import Fragment
from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    Numeric,
    Text,
    Uuid,
    case,
    cast,
    extract,
    func,
    literal_column,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP, aggregate_order_by
from sqlalchemy.sql.elements import ColumnElement

from app.graph.reads.tables import Expression, expression_of

Part = str | ColumnElement[Any]
Parts = list[Part]
Write = Callable[[Any], Any]

SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE = 86_400, 3_600, 60
# PostgreSQL takes 100 arguments at most.
MAXIMUM_CONCATENATED = 90
# A value between its quotes.
QUOTED = 3


def text_of(constant: str) -> ColumnElement[str]:
    """A text of the declarations as SQL; never one of a request."""
    return literal_column("'" + constant.replace("'", "''") + "'", Text())


def failure(what: ColumnElement[Any]) -> ColumnElement[str]:
    """An expression that fails, where a value cannot be written: the plain path then says so in its own words."""
    return cast(cast(func.concat(cast(what, Text()), text_of(" cannot be shown")), Integer()), Text())


def _text(value: ColumnElement[Any]) -> Parts:
    return [func.to_json(value)]


def _boolean(value: ColumnElement[Any]) -> Parts:
    return [case((value, text_of("true")), (~value, text_of("false")))]


def _number(value: ColumnElement[Any]) -> Parts:
    return [value]


def _float(value: ColumnElement[Any]) -> Parts:
    """With a point also where it is whole, so that readers who tell integers from floats read the same."""
    written = cast(value, Text())
    return [written, case((written.regexp_match(text_of("^-?[0-9]+$")), text_of(".0")), else_=text_of(""))]


def _quoted(value: ColumnElement[Any]) -> Parts:
    return ['"', value, '"']


def date_time_text(value: ColumnElement[Any]) -> ColumnElement[str]:
    """RFC 3339 in UTC with `Z`; microseconds only where there are any, and then all six."""
    in_utc = func.timezone(text_of("UTC"), value)
    is_whole = cast(value, TIMESTAMP(timezone=True, precision=0)) == value
    whole = func.to_char(in_utc, text_of('YYYY-MM-DD"T"HH24:MI:SS"Z"'))
    return case((is_whole, whole), else_=func.to_char(in_utc, text_of('YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))


def _date_time(value: ColumnElement[Any]) -> Parts:
    return ['"', date_time_text(value), '"']


def _date(value: ColumnElement[Any]) -> Parts:
    return ['"', func.to_char(value, text_of("YYYY-MM-DD")), '"']


def public_id_text(tag: str, key: ColumnElement[Any]) -> ColumnElement[str]:
    """The opaque id of `app.core.ids`: base64url of the tag and the key's bytes."""
    sent = func.uuid_send(key) if isinstance(key.type, Uuid) else func.int4send(key)
    tagged = text_of(f"\\x{tag.encode().hex()}").cast(LargeBinary()).op("||")(sent)
    return func.translate(func.encode(tagged, text_of("base64")), text_of("+/"), text_of("-_"))


def cursor_text(name: str, values: Sequence[Expression]) -> ColumnElement[str]:
    """The opaque cursor of `app.core.paging`: the order's name and the position's values, as base64url of JSON."""
    parts: Parts = [f'["{name}"']
    for value in map(expression_of, values):
        parts += [",", *_in_cursor(value)]
    written = func.encode(func.convert_to(joined([*parts, "]"]), text_of("UTF8")), text_of("base64"))
    return func.translate(written, text_of("+/=\n"), text_of("-_"))


def _in_cursor(value: ColumnElement[Any]) -> Parts:
    if isinstance(value.type, Integer):
        return _number(value)
    if isinstance(value.type, DateTime):
        return _date_time(value)
    # Exact numbers are text, as wherever they are sent.
    is_exact = isinstance(value.type, Numeric) and not isinstance(value.type, Float)
    return _quoted(value) if is_exact or isinstance(value.type, Uuid) else _text(value)


def _duration(value: ColumnElement[Any]) -> Parts:
    seconds = func.greatest(func.floor(extract("epoch", value)), literal_column("0")).cast(BigInteger)

    def amount(count: ColumnElement[Any], unit: str) -> ColumnElement[str]:
        return case((count > literal_column("0"), func.concat(count, text_of(unit))))

    def whole(divided: ColumnElement[Any], by: int) -> ColumnElement[Any]:
        return func.div(divided, literal_column(str(by)))

    def rest(divided: ColumnElement[Any], by: int) -> ColumnElement[Any]:
        return func.mod(divided, literal_column(str(by)))

    of_day = rest(seconds, SECONDS_PER_DAY)
    written = func.concat(
        text_of("P"),
        amount(whole(seconds, SECONDS_PER_DAY), "D"),
        case((of_day > literal_column("0"), text_of("T"))),
        amount(whole(of_day, SECONDS_PER_HOUR), "H"),
        amount(whole(rest(of_day, SECONDS_PER_HOUR), SECONDS_PER_MINUTE), "M"),
        amount(rest(of_day, SECONDS_PER_MINUTE), "S"),
    )
    # Where there is no duration, there is nothing between the quotes, and so no text at all.
    return ['"', case((value.is_(None), null()), (seconds > literal_column("0"), written), else_=text_of("PT0S")), '"']


_SQL: dict[str, Callable[[ColumnElement[Any]], Parts]] = {
    "ID": _text,
    "String": _text,
    "URL": _text,
    "CurrencyCode": _text,
    "Boolean": _boolean,
    "Int": _number,
    "Float": _float,
    "BigInt": _quoted,
    "Decimal": _quoted,
    "DateTime": _date_time,
    "Date": _date,
    "Duration": _duration,
    "EmailAddress": _text,
    # Declared over JSON as text: it goes into the answer as it is.
    "JSON": _number,
    "GeoJSON": _number,
}


def _enum_sql(enum: GraphQLEnumType) -> Callable[[ColumnElement[Any]], Parts]:
    names = {_plain(value.value): name for name, value in enum.values.items()}

    def write(value: ColumnElement[Any]) -> Parts:
        named = ((value == text_of(stored), text_of(name)) for stored, name in names.items())
        return ['"', case(*named, (value.is_not(None), failure(value))), '"']

    return write


def _plain(value: Any) -> str:
    return str(value.value if isinstance(value, Enum) else value)


def _enum_write(enum: GraphQLEnumType) -> Write:
    names: Mapping[str, str] = {_plain(value.value): name for name, value in enum.values.items()}
    return names.__getitem__


def joined(parts: Parts) -> ColumnElement[str]:
    """The parts one after another as one text; nulls are written as nothing."""
    merged: Parts = []
    for part in parts:
        if merged and isinstance(part, str) and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    elements = [text_of(part) if isinstance(part, str) else part for part in merged]
    while len(elements) > MAXIMUM_CONCATENATED:
        elements = [
            func.concat(*elements[start : start + MAXIMUM_CONCATENATED])
            for start in range(0, len(elements), MAXIMUM_CONCATENATED)
        ]
    return func.concat(*elements)


def unless_null(value: ColumnElement[Any], parts: Parts) -> Parts:
    """The parts, or `null` where the value is null."""
    if len(parts) == 1 and not isinstance(parts[0], str):
        return [func.coalesce(cast(parts[0], Text()), text_of("null"))]
    if parts[0] == parts[-1] == '"' and len(parts) == QUOTED and not isinstance(parts[1], str):
        # Unlike concat, || is null where one side is.
        quoted = text_of('"').op("||")(cast(parts[1], Text())).op("||")(text_of('"'))
        return [func.coalesce(quoted, text_of("null"))]
    return [case((value.is_(None), text_of("null")), else_=joined(parts))]


@dataclass(frozen=True, slots=True)
class Leaf:
    """How the values of one output type are written; what `write` gets is never null."""

    write: Write
    parts: Callable[[ColumnElement[Any]], Parts]
    is_nullable: bool
    # Of a list: how its items are written.
    item: "Leaf | None" = None

    @property
    def items(self) -> "Leaf":
        """Of a list: how its items are written."""
        if self.item is None:
            raise TypeError("This is no list.")
        return self.item

    def json(self, value: ColumnElement[Any]) -> Parts:
        """The value as JSON, `null` where it may be null."""
        parts = self.parts(value)
        return unless_null(value, parts) if self.is_nullable else parts


def leaf_of(output: GraphQLOutputType) -> Leaf:
    """The leaf for a scalar, an enum, or a list of them; a list is read from an array."""
    is_nullable = not isinstance(output, GraphQLNonNull)
    inner = output.of_type if isinstance(output, GraphQLNonNull) else output
    if isinstance(inner, GraphQLList):
        return _list(leaf_of(inner.of_type), is_nullable)
    if not is_leaf_type(inner):
        raise TypeError(f"{output} is no leaf; declare an edge.")
    if isinstance(inner, GraphQLEnumType):
        return Leaf(_enum_write(inner), _enum_sql(inner), is_nullable)
    return Leaf(_python(inner), _SQL[inner.name], is_nullable)


def _python(scalar: GraphQLLeafType) -> Write:
    if scalar.name == "Float":
        return float
    if scalar.name in {"JSON", "GeoJSON"}:
        return Fragment
    if scalar.name in {"ID", "String", "URL", "CurrencyCode", "EmailAddress", "Boolean", "Int"}:
        return _as_it_is
    return scalar.coerce_output_value


def _as_it_is(value: Any) -> Any:
    return value


def _list(item: Leaf, is_nullable: bool) -> Leaf:
    def write(values: Any) -> Any:
        return [None if value is None else item.write(value) for value in values]

    def parts(values: ColumnElement[Any]) -> Parts:
        if not isinstance(values.type, ARRAY):
            raise TypeError("A list is read from an array.")
        items = func.unnest(values).table_valued("item", with_ordinality="place").render_derived("items")
        value: ColumnElement[Any] = items.c.item
        value.type = values.type.item_type
        one = joined(item.json(value))
        listed = select(func.string_agg(one, aggregate_order_by(text_of(","), items.c.place)))
        return ["[", listed.scalar_subquery(), "]"]

    return Leaf(write, parts, is_nullable, item)
