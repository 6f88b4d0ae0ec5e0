"""Prices in the graph: quotes, series, points and candles; the door for small batches; the live stream."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated
from uuid import UUID

import orjson
import strawberry
from strawberry import Parent

from app.catalogue import queries as catalogue
from app.catalogue.queries import ItemRow, VariantRow
from app.core.errors import BadUserInput, Conflict
from app.core.ids import PublicIdTag
from app.core.money import in_minor_units
from app.core.paging import decode_cursor, encode_cursor, page_request
from app.graph.context import Info
from app.graph.fields import attribute, resolved, show_enum, streamed, type_in
from app.graph.ingestion import IngestBatch
from app.graph.relay import Connection, Node, Page, key_of, page_of, shown_from
from app.graph.scalars import BigInt, CurrencyCode, write_decimal
from app.ingestion import queries as ingestion
from app.ingestion.commands import accept_batch
from app.ingestion.models import BatchKind
from app.ingestion.queries import BatchRow
from app.prices import queries
from app.prices.models import PriceKind
from app.prices.queries import (
    CandleOrigin,
    CandleRow,
    CandleWindow,
    ChangeRow,
    PointRow,
    PointWindow,
    QuoteRow,
    SeriesRow,
)
from app.prices.resolutions import Resolution

ITEM = type_in("app.graph.catalogue", "Item")
ITEM_VARIANT = type_in("app.graph.catalogue", "ItemVariant")

POINT_ORDER = "price-points"
CHANGE_ORDER = "price-changes"
MAXIMUM_POINTS_PER_MUTATION = 250
MAXIMUM_WATCHED_ITEMS = 250
MAXIMUM_CANDLES = 10_000
MAXIMUM_CANDLE_COLUMNS = 100_000
DEFAULT_CANDLES = 500
# Changes are kept for seven days; a day less is promised, so that a replay never meets the pruning.
REPLAY_KEPT_FOR = timedelta(days=6)


show_enum(
    PriceKind,
    "What a price says. Kinds are never pooled: each has its own series.",
    {
        PriceKind.SALE: "What a completed sale brought.",
        PriceKind.MARKET: "The source's own market price, or what an exchange trades at.",
        PriceKind.MID: "The middle between what is asked and what is bid.",
        PriceKind.ASK: "What a seller asks.",
        PriceKind.BID: "What a buyer offers.",
        PriceKind.LOW: "The lowest price that the source saw in its window.",
        PriceKind.HIGH: "The highest price that the source saw in its window.",
        PriceKind.LIST: "The list price (MSRP).",
    },
)
show_enum(
    Resolution,
    "The length of a candle's bucket. Buckets are cut in UTC; weeks begin on Monday.",
    {
        Resolution.ONE_MINUTE: "60 seconds.",
        Resolution.FIVE_MINUTES: "300 seconds.",
        Resolution.FIFTEEN_MINUTES: "900 seconds.",
        Resolution.ONE_HOUR: "3,600 seconds.",
        Resolution.FOUR_HOURS: "14,400 seconds, from midnight.",
        Resolution.ONE_DAY: "86,400 seconds, from midnight.",
        Resolution.ONE_WEEK: "604,800 seconds, from Monday at midnight.",
    },
    name="CandleResolution",
)
show_enum(
    CandleOrigin,
    "How a candle came to be.",
    {
        CandleOrigin.PROVIDED: "The source gave it, at this resolution, as it is.",
        CandleOrigin.DERIVED: "Made when read, from finer candles that the source gave.",
        CandleOrigin.ROLLED_UP: "Made by Trove from the points of the series.",
    },
)


@strawberry.type(description="Where prices come from: a marketplace, an exchange, a shop.")
class PriceSource:
    code: str = attribute("The short name by which batches and filters name it.")
    name: str = attribute("The name to show.")


@dataclass(frozen=True, slots=True)
class SourceName:
    """A source as a series knows it."""

    code: str
    name: str


@strawberry.type(description="A price as it was last seen: never without its kind, source and age.")
class Price:
    currency: CurrencyCode = attribute("The currency of the amount.")
    observed_at: datetime = attribute("When the source showed this price.")
    quantity: Decimal | None = attribute("How many units it was for; null where the source does not say.")

    @resolved("The price of one unit, exact.")
    @staticmethod
    def amount(root: Parent[QuoteRow]) -> Decimal:
        return root.price

    @resolved(
        "The amount in the currency's smallest unit (cents); null for a finer price.",
        type=BigInt | None,
    )
    @staticmethod
    def minor_units(root: Parent[QuoteRow]) -> int | None:
        return in_minor_units(root.price, root.currency)

    @resolved("What the price says.")
    @staticmethod
    def kind(root: Parent[QuoteRow]) -> PriceKind:
        return root.kind

    @resolved("The code of the source that showed it.")
    @staticmethod
    def source(root: Parent[QuoteRow]) -> str:
        return root.source_code

    @resolved("How old the observation is, at the time of this operation.")
    @staticmethod
    def staleness(root: Parent[QuoteRow], info: Info) -> timedelta:
        return info.context.now - root.observed_at


@strawberry.type(description="One observed price of a series.")
class PricePoint:
    observed_at: datetime = attribute("When the source showed this price.")
    price: Decimal = attribute("The price of one unit, in the currency of the series, exact.")
    quantity: Decimal | None = attribute("How many units it was for; null where the source does not say.")


@strawberry.type(description="Open, high, low and close of one bucket `[start, start + resolution)`.")
class Candle:
    start: datetime = attribute("The beginning of the bucket, which is also its label.")
    open: Decimal = attribute("The first price of the bucket.")
    high: Decimal = attribute("The highest price of the bucket.")
    low: Decimal = attribute("The lowest price of the bucket.")
    close: Decimal = attribute("The last price of the bucket.")
    volume: Decimal | None = attribute("The sum of the quantities, in units; null where no quantity is known.")
    point_count: int | None = attribute("How many points it was made of; null for candles that a source provided.")

    @resolved("Volume-weighted average price: turnover divided by volume; null where the turnover is not known.")
    @staticmethod
    def volume_weighted_average_price(root: Parent[CandleRow]) -> Decimal | None:
        if root.turnover is None or not root.volume:
            return None
        return root.turnover / root.volume

    @resolved("How it came to be.")
    @staticmethod
    def origin(root: Parent[CandleRow]) -> CandleOrigin:
        return root.origin

    @resolved("Whether the bucket is over. A candle that still runs may change.")
    @staticmethod
    def is_complete(root: Parent[CandleRow], info: Info) -> bool:
        return root.start + timedelta(seconds=root.resolution) <= info.context.now


@strawberry.type(description="Candles as parallel arrays for charts: the entries at one place belong to one candle.")
class CandleColumns:
    start: list[datetime] = attribute("The beginnings of the buckets, ascending.")
    open: list[Decimal] = attribute("The first prices.")
    high: list[Decimal] = attribute("The highest prices.")
    low: list[Decimal] = attribute("The lowest prices.")
    close: list[Decimal] = attribute("The last prices.")
    volume: list[Decimal | None] = attribute("The sums of the quantities, null where none is known.")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of candles."""

    start: Sequence[datetime]
    open: Sequence[Decimal]
    high: Sequence[Decimal]
    low: Sequence[Decimal]
    close: Sequence[Decimal]
    volume: Sequence[Decimal | None]


@strawberry.type(description="The prices of one variant from one source, of one kind, in one currency.")
class PriceSeries(Node):
    is_type_of = shown_from(SeriesRow)

    currency: CurrencyCode = attribute("The currency of every price in the series.")
    has_points: bool = attribute("Whether it holds single points; candles are then rolled up from them.")

    @resolved("Where the prices come from.", type=PriceSource)
    @staticmethod
    def source(root: Parent[SeriesRow]) -> SourceName:
        return SourceName(root.source_code, root.source_name)

    @resolved("What the prices say.")
    @staticmethod
    def kind(root: Parent[SeriesRow]) -> PriceKind:
        return root.kind

    @resolved("The lengths of candles that the source itself provides, shortest first; empty where it provides none.")
    @staticmethod
    def provided_resolutions(root: Parent[SeriesRow]) -> list[timedelta]:
        return [timedelta(seconds=seconds) for seconds in root.provided_resolutions]

    @resolved("The variant that is priced.", type=ITEM_VARIANT)
    @staticmethod
    async def variant(root: Parent[SeriesRow], info: Info) -> VariantRow | None:
        return await info.context.loaders.one(catalogue.variants_by_id, root.variant_id)

    @resolved("The newest price; null before the first.", type=Price | None)
    @staticmethod
    def latest(root: Parent[SeriesRow]) -> QuoteRow | None:
        return root.latest

    @resolved(
        "The points by time, those with `from <= observedAt < to`. With `last` the newest of them.",
        type=Connection[PricePoint],
    )
    @staticmethod
    async def points(
        root: Parent[SeriesRow],
        info: Info,
        from_: Annotated[datetime | None, strawberry.argument(name="from")] = None,
        to: datetime | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Page[PointRow]:
        check_range(from_, to)
        request = page_request(first=first, after=after, last=last, before=before)
        cursor = request.before if request.backward else request.after
        window = PointWindow(
            since=from_,
            until=to,
            beyond=_point_position(cursor, "before" if request.backward else "after") if cursor else None,
            backward=request.backward,
            limit=request.limit + 1,
        )
        rows = await info.context.loaders.many(queries.points_by_series, root.id, window=window)
        return page_of(rows, request, cursor=_point_cursor, count=partial(_count_points, root, info, from_, to))

    @resolved(
        "Candles by time: the newest `last` (10,000 at most) of `from <= start < to`.",
        type=list[Candle],
    )
    @staticmethod
    async def candles(
        root: Parent[SeriesRow],
        info: Info,
        resolution: Resolution,
        from_: Annotated[datetime | None, strawberry.argument(name="from")] = None,
        to: datetime | None = None,
        last: int = DEFAULT_CANDLES,
    ) -> Sequence[CandleRow]:
        window = _candle_window(resolution, from_, to, last, MAXIMUM_CANDLES)
        return await info.context.loaders.many(queries.candles_by_series, root.id, window=window)

    @resolved("The same candles as parallel arrays, for charts; 100,000 at most.", type=CandleColumns)
    @staticmethod
    async def candle_columns(
        root: Parent[SeriesRow],
        info: Info,
        resolution: Resolution,
        from_: Annotated[datetime | None, strawberry.argument(name="from")] = None,
        to: datetime | None = None,
        last: int = MAXIMUM_CANDLES,
    ) -> Columns:
        window = _candle_window(resolution, from_, to, last, MAXIMUM_CANDLE_COLUMNS)
        rows = await info.context.loaders.many(queries.candles_by_series, root.id, window=window)
        return Columns(
            start=[row.start for row in rows],
            open=[row.open for row in rows],
            high=[row.high for row in rows],
            low=[row.low for row in rows],
            close=[row.close for row in rows],
            volume=[row.volume for row in rows],
        )


def check_range(since: datetime | None, until: datetime | None) -> None:
    """Refuse a range that ends before it begins."""
    if since is not None and until is not None and until < since:
        raise BadUserInput(
            "`to` lies before `from`; a range ends after it begins.", argument="to", allowed=["an instant after `from`"]
        )


def _candle_window(
    resolution: Resolution, since: datetime | None, until: datetime | None, last: int, maximum: int
) -> CandleWindow:
    check_range(since, until)
    if not 1 <= last <= maximum:
        raise BadUserInput(
            f"`last` must be from 1 to {maximum}, and is {last}.", argument="last", allowed=[f"1..{maximum}"]
        )
    return CandleWindow(resolution=resolution, since=since, until=until, limit=last)


def _point_cursor(point: PointRow) -> str:
    return encode_cursor(POINT_ORDER, [point.observed_at.isoformat(), point.arrival])


def _point_position(cursor: str, argument: str) -> tuple[datetime, int]:
    observed_at, arrival = decode_cursor(cursor, order=POINT_ORDER, argument=argument, types=[str, int])
    try:
        return datetime.fromisoformat(str(observed_at)), int(arrival or 0)
    except ValueError as error:
        raise BadUserInput(
            f"`{argument}` is not a cursor of this list; use one that the list gave you.", argument=argument
        ) from error


async def _count_points(series: SeriesRow, info: Info, since: datetime | None, until: datetime | None) -> int:
    window = PointWindow(since=since, until=until, beyond=None, backward=False, limit=0)
    return await info.context.loaders.one(queries.point_count_by_series, series.id, window=window) or 0


async def best_quote(info: Info, variant: VariantRow | None, currency: str | None) -> QuoteRow | None:
    """The best current quote of a variant, in one currency if given."""
    if variant is None:
        return None
    return await info.context.loaders.one(
        queries.best_quote_by_variant, variant.id, currency=currency, now=info.context.now
    )


@strawberry.input(description="One observed price. Name the item by `itemId` or by `slug`.")
class PricePointInput:
    item_id: strawberry.ID | None = strawberry.field(default=None, description="The item's global id.")
    slug: str | None = strawberry.field(default=None, description="The item's slug.")
    variant: str | None = strawberry.field(default=None, description="The variant's key; default: the default variant.")
    source: str = strawberry.field(description="Code of the source: 2 to 40 of a-z, 0-9 and -. A new one is kept.")
    kind: PriceKind = strawberry.field(default=PriceKind.MARKET, description="What the price says.")
    currency: CurrencyCode = strawberry.field(description="The currency of the price.")
    price: Decimal = strawberry.field(description="The price of one unit; not negative.")
    quantity: Decimal | None = strawberry.field(default=None, description="How many units it was for; above 0.")
    observed_at: datetime | None = strawberry.field(
        default=None, description="When the source showed it, not in the future; default: now."
    )
    key: str | None = strawberry.field(
        default=None,
        description="The source's own id of the sale or listing; makes the point unique at its time.",
    )


@strawberry.input(description="A small batch of prices.")
class IngestPricesInput:
    points: list[PricePointInput] = strawberry.field(description="1 to 250 points.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="A repeat with the same key and points gives the first batch again."
    )


@strawberry.enum(description="Why `ingestPrices` did not store the batch.")
class IngestPricesErrorCode(Enum):
    INVALID_POINTS = "invalid_points"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"


@strawberry.type(description="A refusal that the caller can act on.")
class IngestPricesError:
    field: list[str] = attribute("The path to the input that is at fault.")
    message: str = attribute("What is wrong and what to do.")
    code: IngestPricesErrorCode = attribute("The same in one word.")


@strawberry.type(description="What became of the batch.")
class IngestPricesPayload:
    batch: IngestBatch | None = attribute("The stored batch; a worker processes it within moments. Null when refused.")
    user_errors: list[IngestPricesError] = attribute("Why it was refused; empty when it was stored.")


@strawberry.type(description="A new latest price of a series.")
class PriceUpdate:
    @resolved("The position of this update; give it as `since` to go on from here after a reconnect.")
    @staticmethod
    def cursor(root: Parent[ChangeRow]) -> str:
        return encode_cursor(CHANGE_ORDER, [root.position, int(root.recorded_at.timestamp())])

    @resolved("The new price.", type=Price)
    @staticmethod
    def price(root: Parent[ChangeRow]) -> QuoteRow:
        return root.quote

    @resolved("The item whose price it is.", type=ITEM)
    @staticmethod
    async def item(root: Parent[ChangeRow], info: Info) -> ItemRow | None:
        return await info.context.loaders.one(catalogue.items_by_id, root.item_id)

    @resolved("The variant whose price it is.", type=ITEM_VARIANT)
    @staticmethod
    async def variant(root: Parent[ChangeRow], info: Info) -> VariantRow | None:
        return await info.context.loaders.one(catalogue.variants_by_id, root.variant_id)

    @resolved("The series that it continues.", type=PriceSeries)
    @staticmethod
    async def series(root: Parent[ChangeRow], info: Info) -> SeriesRow | None:
        return await info.context.loaders.one(queries.series_by_id, root.series_id)


async def watched_items(info: Info, item_ids: Sequence[str] | None, slugs: Sequence[str] | None) -> list[UUID]:
    """The keys of the items to watch; a refusal names what is wrong with the list."""
    argument, names = ("slugs", slugs) if item_ids is None else ("itemIds", item_ids)
    if names is None or (item_ids is not None and slugs is not None):
        raise BadUserInput("Give `itemIds` or `slugs`, one of them.", argument="itemIds", allowed=["itemIds", "slugs"])
    if not 1 <= len(names) <= MAXIMUM_WATCHED_ITEMS:
        raise BadUserInput(
            f"`{argument}` must hold 1 to {MAXIMUM_WATCHED_ITEMS} entries, and holds {len(names)}.",
            argument=argument,
            allowed=[f"1..{MAXIMUM_WATCHED_ITEMS} entries"],
        )
    keys: list[UUID | int | None]
    if item_ids is None:
        items = await info.context.loaders.several(catalogue.items_by_slug, names)
        keys = [item.id if item else None for item in items]
    else:
        keys = [key_of(item_id, PublicIdTag.ITEM, argument=argument) for item_id in names]
    watched = [key for key in keys if isinstance(key, UUID)]
    if len(watched) < len(keys):
        unknown = names[next(place for place, key in enumerate(keys) if not isinstance(key, UUID))]
        raise BadUserInput(f"`{argument}` holds {unknown}, which is no item.", argument=argument)
    return watched


def replay_position(since: str, now: datetime) -> int:
    """The position behind a cursor of the stream; refuses one that is older than what is kept."""
    position, recorded_at = decode_cursor(since, order=CHANGE_ORDER, argument="since", types=[int, int])
    if int(recorded_at or 0) < (now - REPLAY_KEPT_FOR).timestamp():
        raise BadUserInput(
            f"`since` is older than the {REPLAY_KEPT_FOR.days} days that updates are kept for; "
            "read the current prices and subscribe without it.",
            argument="since",
            allowed=["a `cursor` of the last days"],
        )
    return int(position or 0)


def _line(point: PricePointInput, now: datetime) -> dict[str, object]:
    return {
        "item": point.slug,
        "itemId": point.item_id,
        "variant": point.variant,
        "source": point.source,
        "kind": point.kind.value,
        "currency": point.currency,
        "price": write_decimal(point.price),
        "quantity": None if point.quantity is None else write_decimal(point.quantity),
        "observedAt": (point.observed_at or now).isoformat(),
        "key": point.key,
    }


@strawberry.type
class PriceMutations:
    @resolved(
        "Store a small batch of prices (1 to 250). It is acknowledged once stored; follow it with `ingestBatch(id)`. "
        "Needs the ingest token.",
        type=IngestPricesPayload,
    )
    @staticmethod
    async def ingest_prices(info: Info, input: IngestPricesInput) -> "Ingested":
        info.context.require_ingest()
        if not 1 <= len(input.points) <= MAXIMUM_POINTS_PER_MUTATION:
            return Ingested.refused(
                ["input", "points"],
                f"Send 1 to {MAXIMUM_POINTS_PER_MUTATION} points at a time, and not {len(input.points)}; "
                "larger batches go to POST /ingest/prices.",
                IngestPricesErrorCode.INVALID_POINTS,
            )
        lines = [orjson.dumps(_line(point, info.context.now)) for point in input.points]
        try:
            async with info.context.transaction() as transaction:
                accepted = await accept_batch(
                    transaction,
                    kind=BatchKind.PRICE_POINTS,
                    payload=b"\n".join(lines),
                    idempotency_key=input.idempotency_key,
                )
        except Conflict as conflict:
            return Ingested.refused(
                ["input", "idempotencyKey"], conflict.message, IngestPricesErrorCode.IDEMPOTENCY_KEY_REUSED
            )
        return Ingested(await info.context.loaders.one(ingestion.batches_by_id, accepted.id), [])


@dataclass(frozen=True, slots=True)
class Ingested:
    """The payload of `ingestPrices`."""

    batch: BatchRow | None
    user_errors: Sequence[IngestPricesError]

    @classmethod
    def refused(cls, field: list[str], message: str, code: IngestPricesErrorCode) -> "Ingested":
        """The payload of a batch that was not stored."""
        return cls(None, [IngestPricesError(field=field, message=message, code=code)])


@strawberry.type
class PriceSubscriptions:
    @streamed(
        "Each new latest price of the items (1 to 250, by `itemIds` or by `slugs`), as it is stored. With `since`, a "
        "`cursor` of this stream, first what came after it: no gap and nothing twice. A reader that is slower than the "
        "prices is sent only the latest of each series.",
        type=PriceUpdate,
    )
    @staticmethod
    async def price_updates(
        info: Info,
        item_ids: list[strawberry.ID] | None = None,
        slugs: list[str] | None = None,
        since: str | None = None,
    ) -> AsyncIterator[ChangeRow]:
        items = await watched_items(info, item_ids, slugs)
        position = None if since is None else replay_position(since, info.context.now)
        return info.context.resources.price_feed.subscribe(items, since=position)
