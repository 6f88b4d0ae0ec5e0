"""Nothing of a request gets into the text of a statement, and what differs only in values is the same statement."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from asyncpg.connection import LoggedQuery
from sqlalchemy import event

from app.core.database import Database, DatabaseRole
from app.core.ids import PublicIdTag, public_id
from app.core.paging import encode_cursor
from app.core.settings import Settings
from app.graph.execution import Engine
from tests.conftest import open_database
from tests.graph.oracle.asking import Asked, Path, resolvers_path, usual_path
from tests.graph.oracle.conftest import Stage
from tests.graph.oracle.storing import replace_world
from tests.graph.oracle.values import EnumValue, Value, written
from tests.graph.reads.small_worlds import BATCH, VARIANT, key_of, world_of
from tests.identity.builders import PARTNER

# Each is made longer by a word that stands nowhere else.
HOSTILE = (
    "'; DROP TABLE catalogue.items; --",
    "' OR '1'='1",
    '" OR "1"="1',
    "$1",
    "$$; SELECT 1; $$",
    "$tag$ quoted $tag$",
    "/* a remark */",
    "-- a remark\n",
    "\\'; SELECT 1; --",
    "E'\\x41' || chr(65)",
    "%(keys)s :keys {keys} %s ?",
    "ſ' İ\u202e \uff07 ʼ 𝕏",
    "NULL",
    "{a,b}",
)


@dataclass(slots=True)
class Sent:
    """The statements that one answer took."""

    texts: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)

    def note(self, query: LoggedQuery) -> None:
        """One statement, as the driver sends it."""
        self.texts.append(query.query)
        self.arguments.append(repr(query.args))


def listen(database: Database, sent: Sent) -> None:
    """Note what the driver sends over every connection that will be opened."""

    def note(query: LoggedQuery) -> None:
        sent.note(query)

    def begin(connection: Any, *_: object) -> None:
        connection.driver_connection.add_query_logger(note)

    event.listen(database.engine.sync_engine, "connect", begin)


@dataclass(frozen=True, slots=True)
class Ear:
    """A database, and what was sent to it lately."""

    database: Database
    sent: Sent

    async def hear(self, path: Path, asked: Asked) -> Sent:
        """What is sent to answer; the answer has to be one without errors."""
        self.sent.texts.clear()
        self.sent.arguments.clear()
        response = await path(asked)
        assert "errors" not in response, (response, asked.readable())
        # The driver tells its listeners a turn later.
        await asyncio.sleep(0)
        heard = Sent(list(self.sent.texts), list(self.sent.arguments))
        assert len(heard.texts) >= response["extensions"]["trove"]["statements"]
        return heard


@dataclass(frozen=True, slots=True)
class Words:
    """What one request chooses; another chooses otherwise, and nothing else differs."""

    text: str
    alias: str
    number: int
    year: int
    key: UUID
    enums: tuple[str, str, str]

    @property
    def spoken(self) -> tuple[str, ...]:
        """What must stand in no statement."""
        numbers = (str(self.number), str(self.year), str(self.number * 100))
        return (self.text, self.alias, *numbers, str(self.key), self.key.hex, self.series, self.item)

    @property
    def bound(self) -> tuple[str, ...]:
        """One of these must be among the values, or nothing was listened to."""
        return (self.alias[:4], str(self.number * 100), str(self.key), f"({self.number},", f" {self.number},")

    @property
    def series(self) -> str:
        """The id of a series."""
        return public_id(PublicIdTag.PRICE_SERIES, self.number * 100)

    @property
    def item(self) -> str:
        """The id of an item."""
        return public_id(PublicIdTag.ITEM, self.key)

    def cursor(self, order: str, *position: Any) -> str:
        """A cursor of a list."""
        return encode_cursor(order, position)


def words(hostile: str) -> tuple[Words, Words]:
    """Two ways to say the same."""
    one = Words(hostile + "qzwx", "qzwxAlias", 83, 2_083, UUID(int=0x7173_7A77_7873), ("COIN", "ASK", "ONE_HOUR"))
    other = Words("vkjq" + hostile, "vkjqAlias", 87, 2_087, UUID(int=0x766B_6A71_3837), ("SKIN", "SALE", "ONE_WEEK"))
    return one, other


def _items(said: Words) -> tuple[str, dict[str, Value]]:
    kind = EnumValue(said.enums[0])
    wanted = {"nameContains": said.text[:150], "slugs": [said.text, said.alias], "kind": kind}
    return "{ $alias: items(first: $number, filter: $filter) { $alias: nodes { id $alias: slug } totalCount } }", {
        "number": said.number,
        "filter": wanted,
    }


def _items_after(said: Words) -> tuple[str, dict[str, Value]]:
    after = said.cursor("items-by-name-asc", said.text, str(said.key))
    return "{ items(first: $number, after: $after) { edges { $alias: cursor } pageInfo { hasNextPage } } }", {
        "number": said.number,
        "after": after,
    }


def _items_before(said: Words) -> tuple[str, dict[str, Value]]:
    before = said.cursor("items-by-created_at-desc", f"{said.year}-02-03T04:05:06+00:00", str(said.key))
    order = [{"field": EnumValue("CREATED_AT"), "direction": EnumValue("DESC")}]
    return "{ items(last: $number, before: $before, orderBy: $order) { nodes { $alias: id } } }", {
        "number": said.number,
        "before": before,
        "order": order,
    }


def _by_slug(said: Words) -> tuple[str, dict[str, Value]]:
    return "{ $alias: item(slug: $slug) { $alias: __typename name } }", {"slug": said.text}


def _by_id(said: Words) -> tuple[str, dict[str, Value]]:
    return "{ item(id: $id) { id ... on Coin { $alias: symbol } } }", {"id": said.item}


def _by_ids(said: Words) -> tuple[str, dict[str, Value]]:
    return "{ nodes(ids: $ids) { id ... on PriceSeries { $alias: currency } } }", {"ids": [said.series, said.item]}


def _series(said: Words) -> tuple[str, dict[str, Value]]:
    return "{ items { nodes { $alias: series(source: $source, kind: $kind) { $alias: id latest { amount } } } } }", {
        "source": said.text,
        "kind": EnumValue(said.enums[1]),
    }


def _points(said: Words) -> tuple[str, dict[str, Value]]:
    query = (
        "{ node(id: $id) { ... on ItemVariant { series { $alias: points(first: $number, after: $after, from: $from, "
        "to: $to) { $alias: totalCount nodes { price } } } } } }"
    )
    return query, {
        "id": public_id(PublicIdTag.ITEM_VARIANT, key_of(VARIANT, 0)),
        "number": said.number,
        "after": said.cursor("price-points", f"{said.year}-02-03T04:05:06+00:00", said.number * 100),
        "from": f"{said.year}-02-03T04:05:06Z",
        "to": f"{said.year}-02-04T04:05:06Z",
    }


def _candles(said: Words) -> tuple[str, dict[str, Value]]:
    query = (
        "{ items { nodes { series { $alias: candles(last: $last, resolution: $resolution, from: $from) "
        "{ $alias: close } } } } }"
    )
    resolution = EnumValue(said.enums[2])
    return query, {"last": said.number * 100, "resolution": resolution, "from": f"{said.year}-02-03T04:05:06Z"}


def _rejects(said: Words) -> tuple[str, dict[str, Value]]:
    return "{ ingestBatch(id: $id) { $alias: rejects(last: $number, before: $before) { nodes { content } } } }", {
        "id": public_id(PublicIdTag.INGEST_BATCH, key_of(BATCH, 0)),
        "number": said.number,
        "before": said.cursor("ingest-rejects", said.number * 100),
    }


INGESTER = PARTNER
Ask = Callable[[Words], tuple[str, dict[str, Value]]]
REQUESTS: Sequence[Ask] = (
    _items,
    _items_after,
    _items_before,
    _by_slug,
    _by_id,
    _by_ids,
    _series,
    _points,
    _candles,
    _rejects,
)
TYPES = {
    "number": "Int",
    "last": "Int!",
    "filter": "ItemFilter",
    "after": "String",
    "before": "String",
    "order": "[ItemOrder!]",
    "slug": "String",
    "id": "ID!",
    "ids": "[ID!]!",
    "source": "String",
    "kind": "PriceKind",
    "from": "DateTime",
    "to": "DateTime",
    "resolution": "CandleResolution!",
}


def with_literals(ask: Ask, said: Words) -> Asked:
    """Everything stands in the document itself."""
    query, values = ask(said)
    for name in sorted(values, key=len, reverse=True):
        query = query.replace(f"${name}", written(values[name]))
    return Asked(query.replace("$alias", said.alias), viewer=INGESTER)


def with_variables(ask: Ask, said: Words) -> Asked:
    """Everything comes in variables."""
    query, values = ask(said)
    declared = ", ".join(f"${name}: {TYPES[name]}" for name in values)
    return Asked(f"query ({declared}) {query.replace('$alias', said.alias)}", values, viewer=INGESTER)


@pytest.fixture
async def ear(reads_settings: Settings, stage: Stage) -> AsyncIterator[Ear]:
    """A pool of its own over three items."""
    await replace_world(stage.owner, world_of(3))
    stage.stop_clock(world_of(0).now)
    sent = Sent()
    async with open_database(reads_settings, DatabaseRole.API) as database:
        listen(database, sent)
        yield Ear(database, sent)


@pytest.mark.usefixtures("plans")
@pytest.mark.parametrize("write", [with_literals, with_variables])
@pytest.mark.parametrize("ask", REQUESTS)
@pytest.mark.parametrize("by", [usual_path, resolvers_path])
async def test_no_word_of_a_request_gets_into_a_statement(
    ear: Ear,
    reads_engine: Engine,
    by: Callable[[Engine], Path],
    ask: Ask,
    write: Callable[[Ask, Words], Asked],
) -> None:
    path = by(Engine(replace(reads_engine.resources, database=ear.database)))
    # The first time the driver asks about types, in words of its own.
    await ear.hear(path, write(ask, words("")[0]))
    for hostile in HOSTILE:
        one, other = words(hostile)
        first = await ear.hear(path, write(ask, one))
        second = await ear.hear(path, write(ask, other))
        assert first.texts
        for said, sent in ((one, first), (other, second)):
            spoken = [word for word in said.spoken for text in sent.texts if word in text]
            assert not spoken, sent.texts
            assert any(word in arguments for word in said.bound for arguments in sent.arguments), sent.arguments
        assert first.texts == second.texts
