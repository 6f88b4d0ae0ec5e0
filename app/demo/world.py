"""The demo world: its items, a year of daily prices for each, and of exchange rates, the same for everyone on a day."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from math import exp, log
from random import Random

import orjson
from sqlalchemy import exists, func, select

from app.catalogue.commands.save_items import SavedItems, save_items
from app.catalogue.models import Item, ItemVariant
from app.core.clock import utc_now
from app.core.database import Database, Transaction, among
from app.core.key_rings import key_ring_of
from app.core.secrets import Secrets
from app.core.settings import Settings
from app.core.storage import storage_of
from app.core.worker_database import worker_database
from app.demo.items import WORLD, DemoItem
from app.demo.photos import load_photos
from app.demo.rates import SOURCE as RATES_SOURCE
from app.demo.rates import demo_rates
from app.ingestion.delivery import Delivery, deliver
from app.ingestion.file_rows import CanonicalRow, in_batches
from app.ingestion.models import BatchKind
from app.notifications.commands.price_alerts import WATCHED_PRICE_BATCHES
from app.prices.commands.import_exchange_rates import ImportedRates, import_exchange_rates
from app.prices.models import PriceKind, PriceSeries, Source, StoredExchangeRate
from app.trackers.commands.save_cities import ensure_cities

MARKET = "demo-market"
AUCTIONS = "demo-auctions"
DAYS = 365

# Walks begin on one day for all, so that a day's price does not depend on the day of loading.
_FIRST_DAY = date(2024, 1, 1)
# How much of the way back to its usual price a walk goes in a day.
_PULL = 0.015
_ASKED_ABOVE_MARKET = 1.06
_SALES_A_DAY = (0, 0, 0, 1, 1, 2)


@dataclass(frozen=True, slots=True)
class LoadedWorld:
    """What loading did; there is no delivery when the world was there already, and no rates where real ones are."""

    items: SavedItems
    delivery: Delivery | None
    rates: ImportedRates | None


@dataclass(frozen=True, slots=True)
class DayPrice:
    """The market price of an item's default variant at the beginning of a day."""

    day: date
    price: float


def load_world(settings: Settings) -> LoadedWorld:
    """Load the world, with its photos and the cities of the real one, into the services of these settings.

    Where it is there nothing changes.
    """

    async def load() -> LoadedWorld:
        async with worker_database(settings, application_name="trove-demo") as database:
            loaded = await load_world_into(database, now=utc_now())
            async with database.transaction() as transaction:
                await ensure_cities(transaction)
            await load_photos(database, storage_of(settings, Secrets(key_ring_of(settings))))
            return loaded

    return asyncio.run(load())


async def load_world_into(database: Database, *, now: datetime) -> LoadedWorld:
    """Save the items of the world, and deliver their prices up to `now`; where it is there nothing changes.

    Exchange rates are added for the days since the last time, unless real ones have been imported.
    """
    async with database.transaction() as transaction:
        items = await save_items(transaction, [demo.item for demo in WORLD])
        rates = await load_rates(transaction, now=now)
    if await _has_prices(database):
        return LoadedWorld(items, None, rates)
    batches = in_batches(price_rows(now))
    return LoadedWorld(
        items, await deliver(database, WATCHED_PRICE_BATCHES, kind=BatchKind.PRICE_POINTS, batches=batches), rates
    )


async def load_rates(transaction: Transaction, *, now: datetime) -> ImportedRates | None:
    """Import the demo's exchange rates up to `now`; None, and nothing is done, where there are real ones."""
    has_real_ones = select(exists().where(StoredExchangeRate.source != RATES_SOURCE))
    if await transaction.connection.scalar(has_real_ones):
        return None
    return await import_exchange_rates(transaction, demo_rates(now.astimezone(UTC).date()), source=RATES_SOURCE)


async def _has_prices(database: Database) -> bool:
    """Whether every item of the world has a price from the demo's market."""
    async with database.transaction() as transaction:
        priced = await transaction.connection.scalar(
            select(func.count(Item.id.distinct()))
            .join(ItemVariant, ItemVariant.item_id == Item.id)
            .join(PriceSeries, PriceSeries.variant_id == ItemVariant.id)
            .join(Source, Source.id == PriceSeries.source_id)
            .where(
                among(Item.slug, [demo.item.slug for demo in WORLD]),
                Source.code == MARKET,
                PriceSeries.latest_price.is_not(None),
            )
        )
    return priced == len(WORLD)


def price_rows(now: datetime) -> Iterator[CanonicalRow]:
    """The rows of the world's prices for the year up to `now`."""
    numbers = count(1)
    for demo in WORLD:
        for day_price in daily_prices(demo, now.astimezone(UTC).date()):
            for row in _rows_of_day(demo, day_price):
                if row["observedAt"] <= _instant(now):
                    yield CanonicalRow(next(numbers), orjson.dumps(row))


def daily_prices(demo: DemoItem, last_day: date, *, days: int = DAYS) -> list[DayPrice]:
    """The last so many days of the item's walk. The same day has the same price whichever the last day is."""
    random = Random(demo.item.slug)  # noqa: S311 - a walk that everyone sees alike, no secret
    usual = log(demo.price)
    position = usual
    walk: list[DayPrice] = []
    for day in range((last_day - _FIRST_DAY).days + 1):
        walk.append(DayPrice(_FIRST_DAY + timedelta(days=day), exp(position)))
        position += _PULL * (usual - position) + random.gauss(0, demo.volatility)
    return walk[-days:]


def spelled_price(demo: DemoItem, price: float) -> str:
    """The price with the item's decimal places, and at least one unit of the last."""
    return f"{max(price, 10**-demo.places):.{demo.places}f}"


def _rows_of_day(demo: DemoItem, day_price: DayPrice) -> Iterator[dict[str, str]]:
    midnight = datetime.combine(day_price.day, time(), UTC)
    random = Random(f"{demo.item.slug} {day_price.day}")  # noqa: S311 - as above
    variants = [("default", 1.0), *((variant.key, demo.variant_factor) for variant in demo.item.variants)]
    for variant, factor in variants:
        market = day_price.price * factor
        ask = market * _ASKED_ABOVE_MARKET * random.uniform(0.99, 1.03)
        yield _row(demo, variant, MARKET, PriceKind.MARKET, market, midnight)
        yield _row(demo, variant, MARKET, PriceKind.ASK, ask, midnight)
    if demo.is_auctioned:
        for sale in range(random.choice(_SALES_A_DAY)):
            at = midnight + timedelta(seconds=random.randrange(86_400))
            price = day_price.price * random.uniform(0.93, 1.05)
            row = _row(demo, "default", AUCTIONS, PriceKind.SALE, price, at)
            yield {**row, "quantity": "1", "key": f"{demo.item.slug}-{day_price.day}-{sale}"}


def _row(demo: DemoItem, variant: str, source: str, kind: PriceKind, price: float, at: datetime) -> dict[str, str]:
    return {
        "item": demo.item.slug,
        "variant": variant,
        "source": source,
        "kind": kind.value,
        "currency": demo.currency,
        "price": spelled_price(demo, price),
        "observedAt": _instant(at),
    }


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
