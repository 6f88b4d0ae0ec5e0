"""The peer in plain Strawberry: the same graph as far as the workloads walk it, written the ordinary way.

An object per row, a resolver per edge, a data loader per edge and request (one statement for all parents), asyncpg,
documents parsed and validated once, orjson, and uvicorn with the options of the other peers.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, NewType
from uuid import UUID

import asyncpg
import orjson
import strawberry
import typer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.schema.config import StrawberryConfig
from strawberry.types.scalar import ScalarDefinition

from app.core.ids import PublicIdTag, parse_public_id, public_id
from tests.bench.asgi import pool_of_environment, ready, serve, viewer_of

CurrencyCode = NewType("CurrencyCode", str)
URL = NewType("URL", str)


@strawberry.enum
class ItemKind(Enum):
    SKIN = "skin"
    COIN = "coin"
    CARD = "card"
    FIGURE = "figure"


@strawberry.enum
class PriceKind(Enum):
    SALE = "sale"
    MARKET = "market"
    MID = "mid"
    ASK = "ask"
    BID = "bid"
    LOW = "low"
    HIGH = "high"
    LIST = "list"


@strawberry.enum
class CandleResolution(Enum):
    ONE_MINUTE = 60
    FIVE_MINUTES = 300
    FIFTEEN_MINUTES = 900
    ONE_HOUR = 3_600
    FOUR_HOURS = 14_400
    ONE_DAY = 86_400
    ONE_WEEK = 604_800


class Loaders:
    """The loaders of one request."""

    def __init__(self, pool: "asyncpg.Pool[Any]", viewer_id: UUID | None = None) -> None:
        self.pool = pool
        self.viewer_id = viewer_id
        self.held_variants: DataLoader[UUID, ItemVariant | None] = DataLoader(self._held_variants)
        self.items: DataLoader[UUID, Item | None] = DataLoader(self._items)
        self.variant_prices: DataLoader[UUID, Price | None] = DataLoader(self._variant_prices)
        self.variants: DataLoader[UUID, list[ItemVariant]] = DataLoader(self._variants)
        self.prices: DataLoader[UUID, Price | None] = DataLoader(self._prices)
        self.series: DataLoader[tuple[UUID, PriceKind | None], list[PriceSeries]] = DataLoader(self._series)

    async def _variants(self, item_ids: list[UUID]) -> "list[list[ItemVariant]]":
        rows = await self.pool.fetch(VARIANTS, item_ids)
        variants: dict[UUID, list[ItemVariant]] = {}
        for row in rows:
            variants.setdefault(row["item_id"], []).append(_variant(row))
        return [variants.get(item_id, []) for item_id in item_ids]

    async def _prices(self, item_ids: list[UUID]) -> "list[Price | None]":
        prices = {row["item_id"]: _price(row) for row in await self.pool.fetch(PRICES, item_ids)}
        return [prices.get(item_id) for item_id in item_ids]

    async def _held_variants(self, variant_ids: list[UUID]) -> "list[ItemVariant | None]":
        variants = {row["id"]: _variant(row) for row in await self.pool.fetch(VARIANTS_BY_ID, variant_ids)}
        return [variants.get(variant_id) for variant_id in variant_ids]

    async def _items(self, item_ids: list[UUID]) -> "list[Item | None]":
        items = {row["id"]: _item(row) for row in await self.pool.fetch(ITEMS_BY_ID, item_ids)}
        return [items.get(item_id) for item_id in item_ids]

    async def _variant_prices(self, variant_ids: list[UUID]) -> "list[Price | None]":
        prices = {row["variant_id"]: _price(row) for row in await self.pool.fetch(VARIANT_PRICES, variant_ids)}
        return [prices.get(variant_id) for variant_id in variant_ids]

    async def _series(self, keys: "list[tuple[UUID, PriceKind | None]]") -> "list[list[PriceSeries]]":
        series: dict[tuple[UUID, PriceKind | None], list[PriceSeries]] = {}
        for kind in {kind for _, kind in keys}:
            variant_ids = [variant_id for variant_id, wanted in keys if wanted is kind]
            for row in await self.pool.fetch(SERIES, variant_ids, kind.value if kind else None):
                series.setdefault((row["variant_id"], kind), []).append(_series(row))
        return [series.get(key, []) for key in keys]


Info = strawberry.Info[Loaders, None]


@strawberry.interface
class Node:
    id: strawberry.ID


@strawberry.type
class Price:
    amount: Decimal
    currency: CurrencyCode
    kind: PriceKind
    source: str
    observed_at: datetime
    quantity: Decimal | None


@strawberry.type
class Candle:
    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None


@strawberry.type
class PriceSeries(Node):
    key: strawberry.Private[int]
    kind: PriceKind
    currency: CurrencyCode
    has_points: bool
    latest: Price | None

    @strawberry.field
    async def candles(self, info: Info, resolution: CandleResolution, last: int = 500) -> list[Candle]:
        rows = await info.context.pool.fetch(CANDLES, self.key, resolution.value, last)
        return [
            Candle(
                start=row["bucket"],
                open=row["open"],
                high=row["high"],
                low=row["low"],
                close=row["close"],
                volume=row["volume"],
            )
            for row in rows
        ]


@strawberry.type
class ItemVariant(Node):
    uuid: strawberry.Private[UUID]
    item_uuid: strawberry.Private[UUID]
    key: str
    name: str
    is_default: bool

    @strawberry.field
    async def item(self, info: Info) -> "Item | None":
        return await info.context.items.load(self.item_uuid)

    @strawberry.field
    async def price(self, info: Info) -> Price | None:
        return await info.context.variant_prices.load(self.uuid)

    @strawberry.field
    async def series(self, info: Info, kind: PriceKind | None = None) -> list[PriceSeries]:
        return await info.context.series.load((self.uuid, kind))


@strawberry.interface
class Item(Node):
    uuid: strawberry.Private[UUID]
    slug: str
    name: str
    created_at: datetime
    updated_at: datetime
    kind: ItemKind
    image_url: URL | None

    @strawberry.field
    async def variants(self, info: Info) -> list[ItemVariant]:
        return await info.context.variants.load(self.uuid)

    @strawberry.field
    async def price(self, info: Info) -> Price | None:
        return await info.context.prices.load(self.uuid)


@strawberry.type
class Skin(Item):
    pass


@strawberry.type
class Coin(Item):
    pass


@strawberry.type
class Card(Item):
    pass


@strawberry.type
class Figure(Item):
    pass


@strawberry.type
class Holding(Node):
    variant_uuid: strawberry.Private[UUID]
    quantity: Decimal

    @strawberry.field
    async def variant(self, info: Info) -> ItemVariant | None:
        return await info.context.held_variants.load(self.variant_uuid)


@strawberry.type
class HoldingConnection:
    nodes: list[Holding]


@strawberry.type
class Portfolio(Node):
    uuid: strawberry.Private[UUID]
    owner_id: strawberry.Private[UUID]
    name: str

    @strawberry.field
    async def holdings(self, info: Info, first: int = 25) -> HoldingConnection:
        rows = await info.context.pool.fetch(HOLDINGS, self.uuid, first)
        return HoldingConnection(nodes=[_holding(row) for row in rows])


@strawberry.type
class ItemConnection:
    nodes: list[Item]


@strawberry.type
class Query:
    @strawberry.field
    async def items(self, info: Info, first: int = 25) -> ItemConnection:
        return ItemConnection(nodes=[_item(row) for row in await info.context.pool.fetch(ITEMS, first)])

    @strawberry.field
    async def node(self, info: Info, id: strawberry.ID) -> Node | None:
        parsed = parse_public_id(id)
        if parsed is None:
            return None
        tag, key = parsed
        statement, shown = NODES[tag]
        row = await info.context.pool.fetchrow(statement, key)
        node = shown(row) if row else None
        return None if isinstance(node, Portfolio) and node.owner_id != info.context.viewer_id else node


KINDS: Mapping[ItemKind, type[Item]] = {
    ItemKind.SKIN: Skin,
    ItemKind.COIN: Coin,
    ItemKind.CARD: Card,
    ItemKind.FIGURE: Figure,
}


def _item(row: Any) -> Item:
    kind = ItemKind(row["kind"])
    return KINDS[kind](
        id=strawberry.ID(public_id(PublicIdTag.ITEM, row["id"])),
        uuid=row["id"],
        slug=row["slug"],
        name=row["name"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        kind=kind,
        image_url=row["image_url"],
    )


def _variant(row: Any) -> ItemVariant:
    return ItemVariant(
        id=strawberry.ID(public_id(PublicIdTag.ITEM_VARIANT, row["id"])),
        uuid=row["id"],
        item_uuid=row["item_id"],
        key=row["key"],
        name=row["name"],
        is_default=row["is_default"],
    )


def _holding(row: Any) -> Holding:
    return Holding(
        id=strawberry.ID(public_id(PublicIdTag.HOLDING, row["id"])),
        variant_uuid=row["variant_id"],
        quantity=row["quantity"],
    )


def _portfolio(row: Any) -> Portfolio:
    return Portfolio(
        id=strawberry.ID(public_id(PublicIdTag.PORTFOLIO, row["id"])),
        uuid=row["id"],
        owner_id=row["owner_id"],
        name=row["name"],
    )


def _price(row: Any) -> Price:
    return Price(
        amount=row["latest_price"],
        currency=row["currency"],
        kind=PriceKind(row["kind"]),
        source=row["code"],
        observed_at=row["latest_observed_at"],
        quantity=row["latest_quantity"],
    )


def _series(row: Any) -> PriceSeries:
    return PriceSeries(
        id=strawberry.ID(public_id(PublicIdTag.PRICE_SERIES, row["id"])),
        key=row["id"],
        kind=PriceKind(row["kind"]),
        currency=row["currency"],
        has_points=row["has_points"],
        latest=None if row["latest_price"] is None else _price(row),
    )


_ITEM_COLUMNS = "id, kind, slug, name, image_url, created_at, updated_at"
ITEMS = f"SELECT {_ITEM_COLUMNS} FROM catalogue.items ORDER BY name, id LIMIT $1"
ITEM = f"SELECT {_ITEM_COLUMNS} FROM catalogue.items WHERE id = $1"
ITEMS_BY_ID = f"SELECT {_ITEM_COLUMNS} FROM catalogue.items WHERE id = ANY($1)"
VARIANTS_BY_ID = "SELECT id, item_id, key, name, is_default FROM catalogue.item_variants WHERE id = ANY($1)"
PORTFOLIO = "SELECT id, owner_id, name FROM portfolios.portfolios WHERE id = $1"
HOLDINGS = """
    SELECT id, variant_id, quantity FROM portfolios.holdings WHERE portfolio_id = $1 ORDER BY position, id LIMIT $2
"""
VARIANTS = """
    SELECT id, item_id, key, name, is_default FROM catalogue.item_variants
    WHERE item_id = ANY($1) ORDER BY position, id
"""
# The best price by the same rule as Trove's: fresh before stale, then by kind, then the newest.
PRICES = """
    SELECT DISTINCT ON (variant.item_id)
        variant.item_id, series.latest_price, series.latest_quantity, series.latest_observed_at, series.kind,
        series.currency, source.code
    FROM catalogue.item_variants AS variant
    JOIN prices.price_series AS series ON series.variant_id = variant.id
    JOIN prices.sources AS source ON source.id = series.source_id
    WHERE variant.item_id = ANY($1) AND variant.is_default AND series.latest_price IS NOT NULL
    ORDER BY
        variant.item_id, series.latest_observed_at < now() - interval '30 days',
        array_position(ARRAY['sale', 'market', 'mid', 'ask', 'list', 'low', 'bid', 'high'], series.kind),
        series.latest_observed_at DESC, series.id
"""
VARIANT_PRICES = """
    SELECT DISTINCT ON (series.variant_id)
        series.variant_id, series.latest_price, series.latest_quantity, series.latest_observed_at, series.kind,
        series.currency, source.code
    FROM prices.price_series AS series
    JOIN prices.sources AS source ON source.id = series.source_id
    WHERE series.variant_id = ANY($1) AND series.latest_price IS NOT NULL
    ORDER BY
        series.variant_id, series.latest_observed_at < now() - interval '30 days',
        array_position(ARRAY['sale', 'market', 'mid', 'ask', 'list', 'low', 'bid', 'high'], series.kind),
        series.latest_observed_at DESC, series.id
"""
_SERIES_COLUMNS = """
    SELECT
        series.id, series.variant_id, series.kind, series.currency, series.has_points, series.latest_price,
        series.latest_quantity, series.latest_observed_at, source.code
    FROM prices.price_series AS series JOIN prices.sources AS source ON source.id = series.source_id
"""
SERIES = f"""
    {_SERIES_COLUMNS}
    WHERE series.variant_id = ANY($1) AND ($2::text IS NULL OR series.kind = $2)
    ORDER BY series.kind, source.code, series.currency, series.id
"""
ONE_SERIES = f"{_SERIES_COLUMNS} WHERE series.id = $1"
CANDLES = """
    SELECT * FROM (
        SELECT bucket, open, high, low, close, volume FROM prices.candles
        WHERE series_id = $1 AND resolution = $2 AND is_provided
        ORDER BY bucket DESC LIMIT $3
    ) AS newest ORDER BY bucket
"""
NODES: Mapping[PublicIdTag, tuple[str, Any]] = {
    PublicIdTag.ITEM: (ITEM, _item),
    PublicIdTag.PRICE_SERIES: (ONE_SERIES, _series),
    PublicIdTag.PORTFOLIO: (PORTFOLIO, _portfolio),
}


def _write_date_time(instant: datetime) -> str:
    return instant.replace(tzinfo=None).isoformat() + "Z"


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(name="DateTime", serialize=_write_date_time),
    CurrencyCode: strawberry.scalar(name="CurrencyCode", serialize=str),
    URL: strawberry.scalar(name="URL", serialize=str),
}
schema = strawberry.Schema(
    query=Query,
    types=[Skin, Coin, Card, Figure, PriceSeries, Portfolio],
    config=StrawberryConfig(scalar_map=SCALARS),
    extensions=[ParserCache, ValidationCache],
)


async def answer(request: Request) -> Response:
    """Execute the document."""
    asked = orjson.loads(await request.body())
    result = await schema.execute(
        asked["query"],
        variable_values=asked.get("variables"),
        context_value=Loaders(request.app.state.pool, viewer_of(request)),
    )
    body: dict[str, Any] = {"data": result.data}
    if result.errors:
        body["errors"] = [error.formatted for error in result.errors]
    return Response(orjson.dumps(body), media_type="application/json")


def create_application() -> Starlette:
    """The peer over the bench's database."""

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        async with pool_of_environment() as pool:
            application.state.pool = pool
            yield

    return Starlette(routes=[Route("/graphql", answer, methods=["POST"]), Route("/readyz", ready)], lifespan=lifespan)


def main(port: Annotated[int, typer.Option()]) -> None:
    """Serve until SIGTERM."""
    serve(create_application(), port)


if __name__ == "__main__":
    typer.run(main)
