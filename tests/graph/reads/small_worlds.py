"""Worlds in which every edge leads somewhere, as wide as a test wants them."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from app.catalogue.models import Coin, ExternalId, Item, ItemVariant
from app.identity.models import User
from app.ingestion.models import IngestBatch, IngestReject
from app.prices.models import PricePoint, PriceSeries, Source, Valuation
from tests.graph.oracle.rows import World
from tests.graph.oracle.worlds import NOWS
from tests.identity.builders import PARTNER_ID, PARTNER_ROW

A_TICK = timedelta(minutes=1)


def world_of(items: int) -> World:
    """So many items, each with two of whatever an item can have several of, and as many batches."""
    world = World(now=NOWS[0])
    world.add(User, **PARTNER_ROW)
    for number in (1, 2):
        world.add(Source, id=number, code=f"market-{number}", name=f"Market {number}", created_at=world.now)
    for number in range(items):
        _add_item(world, number)
        _add_batch(world, number)
    return world


def key_of(kind: int, number: int) -> UUID:
    """The key of something by what it is and its number."""
    return UUID(int=(kind << 64) + number, version=4)


ITEM, VARIANT, BATCH, POINT, VALUATION = range(1, 6)


def _add_item(world: World, number: int) -> None:
    key, at = key_of(ITEM, number), world.now - number * A_TICK
    named = {"slug": f"coin-{number}", "name": f"Coin {number}", "image_url": None}
    world.add(Item, id=key, kind="coin", **named, created_at=at, updated_at=at)
    world.add(Coin, item_id=key, symbol=f"C{number}", decimals=8)
    for provider in ("one", "two"):
        world.add(ExternalId, provider=provider, external_id=f"{number}", item_id=key)
    for position in (0, 1):
        variant = key_of(VARIANT, 2 * number + position)
        about = {"key": f"key-{position}", "name": f"Variant {position}", "is_default": position == 0}
        world.add(ItemVariant, id=variant, item_id=key, **about, position=position, created_at=at)
        for source in (1, 2):
            _add_series(world, 4 * number + 2 * position + source, variant, source)
            _add_valuation(world, 4 * number + 2 * position + source, variant, "USD" if source == 1 else "EUR")


def _add_series(world: World, key: int, variant: UUID, source: int) -> None:
    price = Decimal(key) / 100
    latest = {
        "latest_price": price,
        "latest_quantity": None,
        "latest_observed_at": world.now - A_TICK,
        "latest_arrival": key,
    }
    identity = {"variant_id": variant, "source_id": source, "kind": "market", "currency": "USD"}
    world.add(PriceSeries, id=key, **identity, **latest, has_points=True, provided_resolutions=[], created_at=world.now)
    for back in (1, 2, 3):
        point = key_of(POINT, 4 * key + back)
        at = world.now - back * A_TICK
        world.add(
            PricePoint, series_id=key, observed_at=at, key=point, price=price, quantity=None, arrival=4 * key + back
        )


def _add_valuation(world: World, number: int, variant: UUID, currency: str) -> None:
    price = Decimal(number) / 100
    exclusion = (
        '{"price": "9", "observed_at": "2026-03-01T00:00:00+00:00", "source": "a", "reason": "outlier", "score": "4"}'
    )
    world.add(
        Valuation,
        id=key_of(VALUATION, number),
        variant_id=variant,
        currency=currency,
        as_of=world.now - A_TICK,
        basis="sales",
        value=price,
        median=price,
        low=price,
        high=price,
        sample_size=6,
        confidence="medium",
        observed_at=world.now - A_TICK,
        excluded=f"[{exclusion}]",
        excluded_count=1,
        explanation="Median of 6 sales.",
        computed_at=world.now,
        is_current=True,
    )


def _add_batch(world: World, number: int) -> None:
    key = key_of(BATCH, number)
    counts = {"row_count": 3, "accepted_count": 1, "duplicate_count": 0, "rejected_count": 2, "attempts": 1}
    world.add(
        IngestBatch,
        id=key,
        sender_id=PARTNER_ID,
        sequence=number + 1,
        kind="price_points",
        idempotency_key=None,
        content_hash=bytes(32),
        payload=None,
        status="processed",
        last_error=None,
        received_at=world.now,
        processed_at=world.now,
        **counts,
    )
    for row in (1, 2):
        world.add(IngestReject, batch_id=key, row_number=row, reason="No price.", content="{}")
