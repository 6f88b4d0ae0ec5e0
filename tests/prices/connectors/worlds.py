"""For each connector a small catalogue and a provider that knows some of it; and what a sweep brings in."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

from pydantic import SecretStr
from sqlalchemy import select

from app.catalogue.models import Item, ItemVariant
from app.catalogue.new_items import (
    CardDetails,
    CoinDetails,
    NewCardSet,
    NewExternalId,
    NewItem,
    NewVariant,
    SkinDetails,
)
from app.core.database import Database
from app.core.retrying import ONCE, Retries
from app.ingestion.delivery import process_batches
from app.prices.commands.price_batches import price_batches
from app.prices.commands.sweep import SweepOutcome, sweep
from app.prices.connectors.binance import Binance, BinanceCandles
from app.prices.connectors.coinbase import Coinbase
from app.prices.connectors.coingecko import CoinGecko, CoinGeckoCandles
from app.prices.connectors.csfloat import CsFloat
from app.prices.connectors.interface import Connector
from app.prices.connectors.pokemon_tcg import PokemonTcg
from app.prices.connectors.scryfall import Scryfall
from app.prices.connectors.skinport import Skinport, SkinportSales
from app.prices.connectors.steam_market import SteamMarket
from app.prices.models import Candle, PricePoint, PriceSeries, Source
from app.providers.client import ProviderClient, provider_http
from tests.catalogue.builders import saved
from tests.prices.connectors.fakes import (
    FakeBinance,
    FakeCoinbase,
    FakeCoinGecko,
    FakeCsFloat,
    FakePokemonTcg,
    FakeProvider,
    FakeScryfall,
    FakeSkinport,
    FakeSteam,
)
from tests.providers.builders import add_provider

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
NOON_SECONDS = int(NOON.timestamp())
HOUR = 3600
AT_ONCE = Retries(attempts=3, first_seconds=0.01)
KEY = SecretStr("key-of-the-operator")


def coin(slug: str, symbol: str, *ids: tuple[str, str]) -> NewItem:
    """A coin with ids of providers."""
    names = tuple(NewExternalId(*one) for one in ids)
    return NewItem(slug=slug, name=slug, details=CoinDetails(symbol=symbol), external_ids=names)


def skin(slug: str, name: str, *phases: str) -> NewItem:
    """A skin, with phases."""
    return NewItem(
        slug=slug,
        name=name,
        details=SkinDetails(market_hash_name=name),
        variants=tuple(NewVariant(phase.lower().replace(" ", "-"), phase) for phase in phases),
    )


def card(slug: str, provider: str, external_id: str, set_code: str, *finishes: str) -> NewItem:
    """A card of a set, in some finishes."""
    game = "mtg" if provider == "scryfall" else "pokemon"
    return NewItem(
        slug=slug,
        name=slug,
        details=CardDetails(game=game, card_set=NewCardSet(game, set_code)),
        external_ids=(NewExternalId(provider, external_id),),
        variants=tuple(NewVariant(finish, finish) for finish in finishes),
    )


COINS = (
    coin("bitcoin", "BTC", ("coingecko", "bitcoin")),
    coin("ethereum", "ETH", ("coingecko", "ethereum")),
    coin("nobody-coin", "NBDY", ("coingecko", "nobody-coin")),
)
REDLINE, DOPPLER = "AK-47 | Redline (Field-Tested)", "★ Karambit | Doppler (Factory New)"
SKINS = (
    skin("redline", REDLINE),
    skin("doppler", DOPPLER, "Phase 2", "Ruby"),
    skin("lost", "★ Lost | Knife™ (Battle-Scarred)"),
)
MAGIC = (
    card("otter", "scryfall", "id-1", "abc", "nonfoil", "foil"),
    card("tide", "scryfall", "id-2", "abc"),
    card("gone", "scryfall", "id-3", "abc"),
)
POKEMON = (
    card("venusaur", "pokemon-tcg", "g1-1", "g1", "holofoil", "reverse-holofoil"),
    card("eevee", "pokemon-tcg", "base1-51", "base1", "normal"),
    card("missingno", "pokemon-tcg", "g1-0", "g1"),
)


@dataclass(frozen=True, slots=True)
class World:
    """A connector, what of the catalogue it may price (one of it the provider does not know), and the provider.

    `questions` is how many requests price it all.
    """

    connector: Callable[[], Connector]
    items: tuple[NewItem, ...]
    provider: Callable[[], FakeProvider]
    questions: int


def _coinbase() -> FakeCoinbase:
    return FakeCoinbase(
        candles={
            # The running candle first: it began at noon.
            "BTC-USD": [
                [NOON_SECONDS, 59000.01, 60500, 60000, 59999.99, 12.5],
                [NOON_SECONDS - HOUR, 58000, 60010.5, 58100, 60000, 100],
            ],
            "ETH-USD": [[NOON_SECONDS - HOUR, 2900, 3000, 2950, 2999.5, 7]],
        },
        listed=["BTC-USD", "ETH-USD", "BTC-EUR", "NBDY-USD"],
    )


def _binance() -> FakeBinance:
    milliseconds = NOON_SECONDS * 1000
    return FakeBinance(
        prices={"BTCUSDT": "60000.01000000", "ETHUSDT": "2999.50000000", "ETHBTC": "0.05"},
        klines={
            name: [
                [milliseconds - HOUR * 1000, opened, high, low, close, "2.5", milliseconds - 1, "150000.25", 9]
            ]
            for name, opened, high, low, close in (
                ("BTCUSDT", "59000.1", "60500", "58000", "60000.01"),
                ("ETHUSDT", "2900", "3000", "2850.5", "2999.5"),
            )
        },
    )  # fmt: skip


def _binance_candles() -> FakeBinance:
    fake = _binance()
    # It lists a market that it has no candles of.
    fake.prices["NBDYUSDT"] = "1"
    return fake


def _coingecko() -> FakeCoinGecko:
    milliseconds = NOON_SECONDS * 1000
    return FakeCoinGecko(
        coins={
            "bitcoin": f'{{"usd": 60000.123456789012, "last_updated_at": {NOON_SECONDS - 42}}}',
            "ethereum": f'{{"usd": 2999.5, "last_updated_at": {NOON_SECONDS - 40}}}',
        },
        ohlc={
            "bitcoin": [
                [milliseconds, 59000.5, 60500, 58000, 60000],
                [milliseconds + 60_000, 60000, 60001, 60000, 60001],
            ],
            "ethereum": [[milliseconds, 2900, 3000, 2850.5, 2999.5]],
        },
    )  # fmt: skip


def _skinport() -> FakeSkinport:
    def item(name: str, **more: object) -> dict[str, object]:
        return {
            "market_hash_name": name, "currency": "EUR", "suggested_price": 13.18, "item_page": "https://skinport.example",
            "min_price": 11.33, "max_price": 18.22, "mean_price": 12.58, "median_price": 12.0, "quantity": 25,
            "created_at": 1535988253, "updated_at": NOON_SECONDS - 60, **more,
        }  # fmt: skip

    def sale(name: str, version: str | None, median: float | None, volume: int) -> dict[str, object]:
        day = {"min": median, "max": median, "avg": median, "median": median, "volume": volume}
        return {"market_hash_name": name, "version": version, "currency": "EUR", "last_24_hours": day}

    return FakeSkinport(
        items=[item(REDLINE), item(DOPPLER, min_price=None, median_price=None, quantity=0), item("Another | Item")],
        sales=[
            sale(REDLINE, None, 11.5, 3),
            sale(DOPPLER, "Phase 2", 950.01, 1),
            sale(DOPPLER, "Ruby", None, 0),
            sale("Another | Item", None, 1, 1),
        ],
    )


def _steam() -> FakeSteam:
    return FakeSteam(
        overviews={
            REDLINE: {"success": True, "lowest_price": "$1,234.56", "volume": "1,234", "median_price": "$1,200.20"},
            DOPPLER: {"success": True, "lowest_price": "$0.03"},
        }
    )


def _csfloat() -> FakeCsFloat:
    return FakeCsFloat(prices={REDLINE: 123456, DOPPLER: 3})


def _scryfall() -> FakeScryfall:
    def of(card_id: str, **prices: str | None) -> dict[str, object]:
        empty = dict.fromkeys(("usd", "usd_foil", "usd_etched", "eur", "eur_foil", "tix"))
        return {"object": "card", "id": card_id, "prices": {**empty, **prices}}

    return FakeScryfall(
        cards={"id-1": of("id-1", usd="0.35", usd_foil="4.20", tix="0.02"), "id-2": of("id-2", eur="1.55")}
    )


def _pokemon() -> FakePokemonTcg:
    def prices(market: float | None) -> dict[str, float | None]:
        return {"low": 3.5, "mid": None, "high": 9.99, "market": market, "directLow": 9.99}

    venusaur = {
        "id": "g1-1",
        "set": {"id": "g1"},
        "tcgplayer": {"updatedAt": "2024/04/30", "prices": {"holofoil": prices(4.38), "reverseHolofoil": prices(6)}},
        "cardmarket": {
            "updatedAt": "2024/04/29",
            "prices": {"averageSellPrice": 3.29, "lowPrice": 0.99, "trendPrice": 4.0, "reverseHoloTrend": 0},
        },
    }
    eevee = {"id": "base1-51", "set": {"id": "base1"}, "tcgplayer": {"prices": {"normal": {"market": 1.25}}}}
    return FakePokemonTcg(cards=[venusaur, eevee])


WORLDS = {
    "binance": World(Binance, COINS, _binance, 1),
    "binance-candles": World(BinanceCandles, COINS, _binance_candles, 4),
    "coinbase": World(Coinbase, COINS, _coinbase, 4),
    "coingecko": World(CoinGecko, COINS, _coingecko, 1),
    "coingecko-candles": World(CoinGeckoCandles, COINS, _coingecko, 3),
    "csfloat": World(lambda: CsFloat(KEY), SKINS, _csfloat, 3),
    "pokemon-tcg": World(PokemonTcg, POKEMON, _pokemon, 2),
    "scryfall": World(Scryfall, MAGIC, _scryfall, 1),
    "skinport": World(Skinport, SKINS, _skinport, 1),
    "skinport-sales": World(SkinportSales, SKINS, _skinport, 1),
    "steam-market": World(SteamMarket, SKINS, _steam, 3),
}


async def build(database: Database, world: World, fake: FakeProvider, **columns: object) -> Connector:
    """Store the world's items and its provider's row, and give its connector."""
    await saved(database, *world.items)
    connector = world.connector()
    await add_provider(database, fake.port, code=connector.provider, **columns)
    return connector


async def swept(
    database: Database,
    connector: Connector,
    *,
    retries: Retries = ONCE,
    limit: int | None = None,
    at: datetime | None = NOON,
) -> SweepOutcome:
    """A sweep over what was built, and what it found taken in."""
    async with provider_http() as http:
        client = ProviderClient(database, connector.provider, http, retries=retries, patience_seconds=5)
        outcome = await sweep(database, client, connector, limit=limit, at=at)
    delivery = await process_batches(database, price_batches(), outcome.batch_ids)
    assert delivery.rejected == []
    return outcome


class StoredPrice(NamedTuple):
    """A stored point, with the series that it is of."""

    slug: str
    variant: str
    source: str
    kind: str
    currency: str
    price: Decimal
    quantity: Decimal | None
    observed_at: datetime


async def stored_prices(database: Database) -> set[StoredPrice]:
    """All points."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(
                Item.slug,
                ItemVariant.key,
                Source.code,
                PriceSeries.kind,
                PriceSeries.currency,
                PricePoint.price,
                PricePoint.quantity,
                PricePoint.observed_at,
            )
            .join(ItemVariant, ItemVariant.item_id == Item.id)
            .join(PriceSeries, PriceSeries.variant_id == ItemVariant.id)
            .join(Source, Source.id == PriceSeries.source_id)
            .join(PricePoint, PricePoint.series_id == PriceSeries.id)
        )
        return {StoredPrice(*row) for row in rows}


async def stored_candles(database: Database) -> set[tuple[object, ...]]:
    """All provided candles: slug, currency, resolution, bucket, open, high, low, close, volume, turnover."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(
                Item.slug,
                PriceSeries.currency,
                Candle.resolution,
                Candle.bucket,
                Candle.open,
                Candle.high,
                Candle.low,
                Candle.close,
                Candle.volume,
                Candle.turnover,
            )
            .join(ItemVariant, ItemVariant.item_id == Item.id)
            .join(PriceSeries, PriceSeries.variant_id == ItemVariant.id)
            .join(Candle, Candle.series_id == PriceSeries.id)
            .where(Candle.is_provided)
        )
        return {tuple(row) for row in rows}
