"""Random worlds: everything that the tables can hold, and little of it looks like what importers write."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from random import Random
from uuid import UUID

import orjson

from app.catalogue.models import (
    Card,
    CardRuling,
    CardSet,
    Character,
    Coin,
    ExternalId,
    Figure,
    FigureCharacter,
    FigureRelease,
    FigureSculptor,
    FigureSeries,
    Item,
    ItemKind,
    ItemPhoto,
    ItemRedirect,
    ItemRevision,
    ItemVariant,
    Manufacturer,
    RevisionAction,
    Sculptor,
    Series,
    SeriesExternalId,
    Skin,
)
from app.core.database import Base
from app.identity.models import User
from app.ingestion.models import BatchKind, BatchStatus, IngestBatch, IngestReject
from app.operations.models import IMPORT_PREFIX, Importer, JobRun, RunState, ScheduledJob
from app.prices.fair_value import ExclusionReason
from app.prices.models import (
    Candle,
    Confidence,
    PriceKind,
    PricePoint,
    PriceSeries,
    Source,
    StoredExchangeRate,
    Valuation,
    ValuationBasis,
)
from app.prices.resolutions import Resolution, bucket_start
from app.providers.models import AuthMethod, Provider, ProviderCall, ProviderCredential
from tests.graph.oracle.alerting import add_alerts
from tests.graph.oracle.notifications import add_notifications
from tests.graph.oracle.organisations import add_organisations
from tests.graph.oracle.people import ODD_JSON, add_partner, add_person, odd_json
from tests.graph.oracle.possessions import add_possessions
from tests.graph.oracle.rows import World, any_instant, any_key, maybe, unique_text
from tests.graph.oracle.texts import any_text
from tests.graph.oracle.wishes import add_wishes

CURRENCIES = ("USD", "EUR", "JPY", "BHD", "CLF", "BTC", "ETH")
# Those that have exchange rates, at times.
PUBLISHED_CURRENCIES = ("USD", "JPY", "BHD", "CLF")
NOWS = (
    datetime(2026, 3, 10, 12, 34, 56, 789_012, tzinfo=UTC),
    datetime(2026, 3, 9, tzinfo=UTC),
    datetime(2024, 2, 29, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2025, 1, 1, 0, 0, 0, 100_000, tzinfo=UTC),
)
SCALES_OF_CANDLES = (0, 2, 8, 18)
EARLIEST_CANDLE = datetime(4, 1, 1, tzinfo=UTC)
STORED_RESOLUTIONS = (60, 300, 900, 3_600, 7_200, 14_400, 86_400, 604_800)
SHARE_OF_EMPTY_WORLDS = 0.05


def random_world(random: Random) -> World:
    """A small world; one in twenty is empty."""
    world = World(now=random.choice(NOWS))
    if random.random() >= SHARE_OF_EMPTY_WORLDS:
        _add_catalogue(world, random)
        _add_all_else(world, random)
    return world


def _add_catalogue(world: World, random: Random) -> None:
    for _ in range(random.randint(1, 4)):
        _add_source(world, random)
    _add_what_items_belong_to(world, random)
    for _ in range(random.randint(1, 12)):
        _add_item(world, random)


def _add_all_else(world: World, random: Random) -> None:
    for _ in range(random.randint(0, 18) if world.rows[ItemVariant] else 0):
        _add_series(world, random)
    add_partner(world, random)
    for _ in range(random.randint(0, 6)):
        add_person(world, random)
    for item in world.rows[Item]:
        _add_revisions(world, random, item["id"])
    for _ in range(random.randint(0, 4)):
        _add_batch(world, random)
    if world.rows[ItemVariant]:
        _add_valuations(world)
    for _ in range(random.randint(0, 3)):
        _add_provider(world, random)
    _add_exchange_rates(world)
    _mark_what_was_seen(world)
    _add_jobs(world)
    add_possessions(world)
    add_wishes(world)
    add_organisations(world)
    add_alerts(world)
    add_notifications(world)


def any_amount(random: Random) -> Decimal:
    """An amount that is not negative, of any scale; zeros at the end count."""
    chance = random.random()
    if chance < 0.25:
        return Decimal(
            random.choice(
                ("0", "0.00000000", "0.00000001", "1E-18", "100000000000000000000", "1.10", "1.000", "1000000")
            )
        )
    digits = random.randint(0, 10 ** random.choice((1, 3, 5, 12, 20)))
    return Decimal(digits).scaleb(-random.choice((0, 1, 2, 2, 3, 8, 18)))


def _of_scale(amount: Decimal, scale: int) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-scale), context=Context(prec=100))


def _add_source(world: World, random: Random) -> None:
    number = len(world.rows[Source]) + 1
    code = random.choice(("shop", "market", "0x", "a-")) + f"-{number}"
    world.add(Source, id=number, code=code, name=any_text(random), created_at=any_instant(world, random))


def _add_what_items_belong_to(world: World, random: Random) -> None:
    for _ in range(random.randint(0, 3)):
        _add_card_set(world, random)
    for table in (Manufacturer, Series, Character, Sculptor):
        for _ in range(random.randint(0, 3)):
            _add_named(world, random, table)


def _add_card_set(world: World, random: Random) -> None:
    world.add(
        CardSet,
        id=any_key(random),
        game=random.choice(("mtg", "pokemon", any_text(random))),
        code=unique_text(random, world.column(CardSet, "code")),
        slug=unique_text(random, world.column(CardSet, "slug")),
        name=_any_name(world, random, CardSet),
        released_on=maybe(random, any_day(random)),
        card_count=maybe(random, random.choice((0, 1, 350, 2**31 - 1))),
        icon_url=maybe(random, "https://images.example/" + any_text(random)),
        created_at=any_instant(world, random),
        updated_at=any_instant(world, random),
    )


def _add_named(world: World, random: Random, table: type[Base]) -> None:
    added = world.add(
        table,
        id=any_key(random),
        slug=unique_text(random, world.column(table, "slug")),
        name=_any_name(world, random, table),
        name_key=unique_text(random, world.column(table, "name_key")),
        created_at=any_instant(world, random),
        updated_at=any_instant(world, random),
    )
    for _ in range(random.choice((0, 1, 3)) if table is Series else 0):
        provider = random.choice(("anilist", "kitsu", 'm"al'))
        taken = [row["external_id"] for row in world.rows[SeriesExternalId] if row["provider"] == provider]
        world.add(SeriesExternalId, provider=provider, external_id=unique_text(random, taken), series_id=added["id"])


def _any_name(world: World, random: Random, table: type[Base]) -> str:
    names = world.column(table, "name")
    name: str = random.choice(names) if names and random.random() < 0.3 else any_text(random)
    return name


def any_day(random: Random) -> date:
    """A day of the calendar; the driver takes the very first and the very last for infinity."""
    return random.choice((date(1, 1, 2), date(1996, 12, 31), date(2024, 2, 29), date(2026, 3, 10), date(9999, 12, 30)))


def _any_of(world: World, random: Random, table: type[Base], most: int) -> list[UUID]:
    keys = world.column(table, "id")
    return random.sample(keys, min(len(keys), random.randint(0, most)))


def _add_item(world: World, random: Random) -> None:
    kind = random.choice(list(ItemKind))
    names, created = world.column(Item, "name"), world.column(Item, "created_at")
    repeats = random.random() < 0.3 and bool(names)
    item = world.add(
        Item,
        id=any_key(random),
        kind=kind.value,
        slug=unique_text(random, world.column(Item, "slug")),
        name=random.choice(names) if repeats else any_text(random, longest=500),
        image_url=maybe(random, "https://images.example/" + any_text(random)),
        is_nsfw=random.random() < 0.25,
        created_at=random.choice(created) if repeats else any_instant(world, random),
        updated_at=any_instant(world, random),
    )
    if random.random() < 0.85:
        _DETAILS[kind](world, random, item["id"])
    for _ in range(random.choice((0, 1, 1, 2, 3, 4))):
        _add_variant(world, random, item["id"])
    _add_photos(world, item["id"])
    for _ in range(random.choice((0, 0, 1, 3))):
        provider = random.choice(("steam-market", "shop", 'sh"op'))
        taken = [row["external_id"] for row in world.rows[ExternalId] if row["provider"] == provider]
        world.add(ExternalId, provider=provider, external_id=unique_text(random, taken), item_id=item["id"])
    for _ in range(random.choice((0, 0, 0, 1, 2))):
        _add_redirect(world, random, item["id"])


def _add_redirect(world: World, random: Random, item_id: UUID) -> None:
    taken = [*world.column(Item, "slug"), *world.column(ItemRedirect, "slug")]
    slug = maybe(random, unique_text(random, taken))
    old_id = any_key(random) if slug is None else maybe(random, any_key(random))
    world.add(ItemRedirect, id=any_key(random), item_id=item_id, old_id=old_id, slug=slug)


def _add_revisions(world: World, random: Random, item_id: UUID) -> None:
    people: list[UUID] = world.column(User, "id")
    for number in range(random.choice((0, 0, 1, 3, 6))):
        world.add(
            ItemRevision,
            id=any_key(random),
            item_id=item_id,
            number=number + 1,
            user_id=maybe(random, random.choice(people)),
            action=random.choice(list(RevisionAction)).value,
            changes=odd_json(random) or "{}",
            created_at=any_instant(world, random),
        )


def _add_skin(world: World, random: Random, item_id: UUID) -> None:
    world.add(
        Skin,
        item_id=item_id,
        market_hash_name=unique_text(random, world.column(Skin, "market_hash_name")),
        category=maybe(random, any_text(random)),
        weapon=maybe(random, any_text(random)),
        skin=maybe(random, any_text(random)),
        wear=maybe(random, any_text(random)),
        rarity=maybe(random, any_text(random)),
        stattrak=random.random() < 0.5,
        souvenir=random.random() < 0.5,
        float_minimum=maybe(random, _any_float(random)),
        float_maximum=maybe(random, _any_float(random)),
        collection=maybe(random, any_text(random)),
        crates=maybe(random, [any_text(random) for _ in range(random.choice((0, 1, 3)))]),
    )


def _any_float(random: Random) -> float:
    return random.choice((0.0, 1.0, 0.1, 0.07, 1e-7, 5e-324, -0.0, random.random()))


def _add_coin(world: World, random: Random, item_id: UUID) -> None:
    decimals = maybe(random, random.choice((0, 8, 18, -1, 2**31 - 1)))
    world.add(
        Coin,
        item_id=item_id,
        symbol=any_text(random),
        decimals=decimals,
        chain=maybe(random, any_text(random)),
        contract_address=maybe(random, any_text(random)),
    )


def _add_card(world: World, random: Random, item_id: UUID) -> None:
    others = [one for one in world.column(Card, "oracle_id") if one is not None]
    oracle_id = maybe(random, random.choice(others) if others and random.random() < 0.4 else any_text(random))
    world.add(
        Card,
        item_id=item_id,
        game=any_text(random),
        set_id=next(iter(_any_of(world, random, CardSet, 1)), None),
        number=maybe(random, any_text(random)),
        rarity=maybe(random, any_text(random)),
        type_line=maybe(random, any_text(random)),
        artist=maybe(random, any_text(random)),
        language=maybe(random, any_text(random)),
        finishes=maybe(random, [any_text(random) for _ in range(random.choice((0, 1, 3)))]),
        oracle_id=oracle_id,
    )
    for _ in range(random.choice((0, 1, 3))):
        world.add(
            CardRuling,
            id=any_key(random),
            oracle_id=oracle_id or any_text(random),
            published_on=any_day(random),
            source=any_text(random),
            comment=any_text(random),
        )


def _add_figure(world: World, random: Random, item_id: UUID) -> None:
    world.add(
        Figure,
        item_id=item_id,
        manufacturer_id=next(iter(_any_of(world, random, Manufacturer, 1)), None),
        scale=maybe(random, any_text(random)),
    )
    for series_id in _any_of(world, random, Series, 3):
        world.add(FigureSeries, item_id=item_id, series_id=series_id)
    for character_id in _any_of(world, random, Character, 3):
        world.add(FigureCharacter, item_id=item_id, character_id=character_id)
    for sculptor_id in _any_of(world, random, Sculptor, 2):
        world.add(FigureSculptor, item_id=item_id, sculptor_id=sculptor_id)
    for position in random.sample(range(5), random.choice((0, 0, 1, 2))):
        is_priced = random.random() < 0.5
        world.add(
            FigureRelease,
            item_id=item_id,
            position=position,
            released_on=maybe(random, any_day(random)),
            list_price=any_amount(random) if is_priced else None,
            currency=random.choice(CURRENCIES) if is_priced else None,
            jan=maybe(random, f"{random.randrange(10**13):013}"),
        )


_DETAILS = {
    ItemKind.SKIN: _add_skin,
    ItemKind.COIN: _add_coin,
    ItemKind.CARD: _add_card,
    ItemKind.FIGURE: _add_figure,
}


def _add_variant(world: World, random: Random, item_id: UUID) -> None:
    siblings = [row for row in world.rows[ItemVariant] if row["item_id"] == item_id]
    has_default = any(row["is_default"] for row in siblings)
    world.add(
        ItemVariant,
        id=any_key(random),
        item_id=item_id,
        key=unique_text(random, [row["key"] for row in siblings]),
        name=any_text(random),
        is_default=not has_default and random.random() < 0.7,
        position=random.choice((0, 0, 1, -1, 2**31 - 1)),
        created_at=any_instant(world, random),
    )


def _add_photos(world: World, item_id: UUID) -> None:
    # Drawn apart, so that all else of a world is what it would be without photos.
    random = Random(f"photos/{item_id}")
    for position in random.sample(range(5), random.choice((0, 0, 1, 3))):
        siblings = [row for row in world.rows[ItemPhoto] if row["item_id"] == item_id]
        photo_id = any_key(random)
        world.add(
            ItemPhoto,
            id=photo_id,
            item_id=item_id,
            position=position,
            is_primary=not any(row["is_primary"] for row in siblings) and random.random() < 0.7,
            content_type=random.choice(("image/jpeg", "image/png", "image/webp")),
            width=random.choice((1, 16, 16_383, 2**31 - 1)),
            height=random.choice((1, 16, 16_383, 2**31 - 1)),
            bytes=1,
            sha256="00",
            storage_key=f"photos/{photo_id.hex}",
            caption=maybe(random, any_text(random)),
            credit=maybe(random, any_text(random)),
            created_at=any_instant(world, random),
            updated_at=any_instant(world, random),
        )


def _add_series(world: World, random: Random) -> None:
    identity = {
        "variant_id": random.choice(world.rows[ItemVariant])["id"],
        "source_id": random.choice(world.rows[Source])["id"],
        "kind": random.choice(list(PriceKind)).value,
        "currency": random.choice(CURRENCIES),
    }
    if any(identity.items() <= row.items() for row in world.rows[PriceSeries]):
        return
    number = len(world.rows[PriceSeries]) + 1
    points = _add_points(world, random, number)
    provided = _add_provided_candles(world, random, number)
    if points:
        _add_rolled_up_candles(world, random, number)
    has_latest = random.random() < 0.8
    world.add(
        PriceSeries,
        id=number,
        **identity,
        latest_price=any_amount(random) if has_latest else None,
        latest_quantity=maybe(random, any_amount(random)) if has_latest else None,
        latest_observed_at=any_instant(world, random) if has_latest else None,
        latest_arrival=random.randint(1, 10) if has_latest else None,
        has_points=bool(points),
        provided_resolutions=provided,
        created_at=any_instant(world, random),
    )


def _add_points(world: World, random: Random, series_id: int) -> int:
    count = random.choice((0, 0, 1, 4, 12, 30))
    instants = [any_instant(world, random) for _ in range(max(count // 2, 1))]
    arrivals = random.sample(range(1, 1_000), count)
    for arrival in arrivals:
        world.add(
            PricePoint,
            series_id=series_id,
            observed_at=random.choice(instants),
            key=any_key(random),
            price=any_amount(random),
            quantity=maybe(random, any_amount(random) + Decimal("0.1")),
            arrival=arrival + random.choice((0, 0, 2**40)),
        )
    return count


def _add_provided_candles(world: World, random: Random, series_id: int) -> list[int]:
    provided = sorted(random.sample(STORED_RESOLUTIONS, random.choice((0, 0, 1, 2))))
    for resolution in provided:
        _add_candles(world, random, series_id, resolution, is_provided=True)
    return provided


def _add_rolled_up_candles(world: World, random: Random, series_id: int) -> None:
    for resolution in (Resolution.ONE_MINUTE, Resolution.ONE_HOUR, Resolution.ONE_DAY):
        _add_candles(world, random, series_id, int(resolution), is_provided=False)


def _add_candles(world: World, random: Random, series_id: int, resolution: int, *, is_provided: bool) -> None:
    taken = {
        row["bucket"] for row in world.rows[Candle] if row["series_id"] == series_id and row["resolution"] == resolution
    }
    end = bucket_start(max(any_instant(world, random), EARLIEST_CANDLE), resolution)
    for number in range(random.choice((3, 8, 40))):
        bucket = end - number * timedelta(seconds=resolution)
        if bucket not in taken and random.random() < 0.7:
            low, open_, close, high = sorted(
                _of_scale(any_amount(random), random.choice(SCALES_OF_CANDLES)) for _ in range(4)
            )
            volume = maybe(random, any_amount(random))
            world.add(
                Candle,
                series_id=series_id,
                resolution=resolution,
                bucket=bucket,
                open=random.choice((open_, close)),
                high=high,
                low=low,
                close=close,
                volume=volume,
                turnover=None if volume is None else maybe(random, any_amount(random)),
                point_count=None if is_provided else random.randint(1, 9),
                is_provided=is_provided,
            )


def _add_valuations(world: World) -> None:
    """Drawn by chance of their own, so that the rest of the world is the same with them and without."""
    random = Random(f"valuations/{world.rows[ItemVariant][0]['id']}")
    for _ in range(random.randint(1, 12)):
        _add_valuation(world, random)


def _add_valuation(world: World, random: Random) -> None:
    variant_id, currency = random.choice(world.rows[ItemVariant])["id"], random.choice(CURRENCIES)
    others = [row for row in world.rows[Valuation] if (row["variant_id"], row["currency"]) == (variant_id, currency)]
    basis = random.choice((*ValuationBasis, ValuationBasis.SALES))
    is_of_sales, has_value = basis is ValuationBasis.SALES, basis is not ValuationBasis.NONE
    has_interval = is_of_sales and random.random() < 0.7
    low, high = sorted((any_amount(random), any_amount(random)))
    excluded = [_any_exclusion(world, random) for _ in range(random.choice((0, 0, 1, 3)))] if is_of_sales else []
    world.add(
        Valuation,
        id=any_key(random),
        variant_id=variant_id,
        currency=currency,
        as_of=random.choice([any_instant(world, random), *(row["as_of"] for row in others)]),
        basis=basis.value,
        value=any_amount(random) if has_value else None,
        median=any_amount(random) if is_of_sales else None,
        low=low if has_interval else None,
        high=high if has_interval else None,
        sample_size=random.choice((1, 6, 2**31 - 99)) if is_of_sales else 0,
        confidence=random.choice(list(Confidence)).value,
        observed_at=any_instant(world, random) if has_value else None,
        excluded=orjson.dumps(excluded).decode(),
        excluded_count=len(excluded),
        explanation=any_text(random),
        computed_at=any_instant(world, random),
        is_current=not any(row["is_current"] for row in others) and random.random() < 0.8,
    )


def _any_exclusion(world: World, random: Random) -> dict[str, str]:
    return {
        "price": format(any_amount(random), "f"),
        "observed_at": any_instant(world, random).isoformat(),
        "source": random.choice(("shop", "0x")),
        "reason": ExclusionReason.OUTLIER.value,
        "score": format(any_amount(random), "f"),
    }


def _add_provider(world: World, random: Random) -> None:
    number = len(world.rows[Provider]) + 1
    is_learned = random.random() < 0.5
    provider = world.add(
        Provider,
        code=random.choice(("shop", "0x", "a-")) + f"-{number}",
        name=any_text(random),
        base_url="https://shop.example",
        docs_url=maybe(random, "https://shop.example/" + any_text(random)),
        auth_method=random.choice(list(AuthMethod)).value,
        window_seconds=random.choice((1, 60, 2**31 - 1)),
        request_count=random.choice((1, 20, 2**31 - 1)),
        learned_window_seconds=random.choice((1, 2**31 - 1)) if is_learned else None,
        learned_count=random.choice((1, 2**31 - 1)) if is_learned else None,
        # Now and then to the microsecond what the operation takes for now.
        blocked_until=maybe(random, random.choice((world.now, any_instant(world, random)))),
        is_enabled=random.random() < 0.5,
    )
    people: list[UUID] = world.column(User, "id")
    for _ in range(random.choice((0, 1, 3))):
        world.add(
            ProviderCredential,
            id=any_key(random),
            user_id=random.choice(people),
            provider=provider["code"],
            label=any_text(random),
            secret=random.randbytes(8),
            shown_as=any_text(random),
            created_at=any_instant(world, random),
            last_used_at=maybe(random, any_instant(world, random)),
        )
    for _ in range(random.choice((0, 1, 3, 8))):
        credential = maybe(random, random.choice(world.rows[ProviderCredential] or [None]))
        world.add(
            ProviderCall,
            id=any_key(random),
            provider=provider["code"],
            endpoint=any_text(random),
            user_id=maybe(random, random.choice(people)),
            credential_id=None if credential is None else credential["id"],
            started_at=any_instant(world, random),
            ended_at=maybe(random, any_instant(world, random)),
            duration_ms=maybe(random, random.choice((0, 1, 2**31 - 1))),
            status=maybe(random, random.choice((200, 429, -1))),
            error=maybe(random, any_text(random)),
        )


def _add_exchange_rates(world: World) -> None:
    # By chances of their own: the rest of the world is the same with them and without.
    random = Random(f"{world.now} {world.column(Item, 'slug')}")
    for currency in PUBLISHED_CURRENCIES:
        for number in random.sample(range(40), random.choice((0, 1, 4, 9))):
            world.add(
                StoredExchangeRate,
                currency=currency,
                rate_date=world.now.date() - timedelta(days=number - 2),
                units_per_eur=any_amount(random) + Decimal("0.1"),
                source=random.choice(("ECB", "ECB", any_text(random))),
            )


def _mark_what_was_seen(world: World) -> None:
    # By chances of their own, as above.
    random = Random(f"{world.now} {world.column(PriceSeries, 'latest_price')}")
    for source in world.rows[Source]:
        source["is_change_only"] = random.random() < 0.3
    for series in world.rows[PriceSeries]:
        series["last_seen_at"] = maybe(random, any_instant(world, random))


def _add_jobs(world: World) -> None:
    # By chances of their own, as above.
    random = Random(f"{world.now} {world.column(User, 'id')} jobs")
    for _ in range(random.choice((0, 1, 3))):
        cron, is_enabled = maybe(random, random.choice(("0 9 * * *", any_text(random)))), random.random() < 0.7
        world.add(
            ScheduledJob,
            name=unique_text(random, world.column(ScheduledJob, "name")),
            description=any_text(random),
            cron=cron,
            time_zone=random.choice(("UTC", "Europe/Berlin", any_text(random))),
            is_enabled=is_enabled,
            next_run_at=any_instant(world, random) if is_enabled and cron is not None else None,
        )
    for _ in range(random.choice((0, 2, 5, 9))):
        _add_run(world, random)


def _add_run(world: World, random: Random) -> None:
    jobs = [*world.column(ScheduledJob, "name"), any_text(random), random.choice(list(Importer)).job]
    job = random.choice((*jobs, jobs[-1]))
    taken: list[datetime] = world.column(JobRun, "requested_at")
    world.add(
        JobRun,
        id=any_key(random),
        job=job,
        state=random.choice(list(RunState)).value,
        # Else one would run, and one would wait, of each job.
        is_exclusive=False,
        arguments=orjson.dumps({"url": any_text(random)}).decode(),
        source=maybe(random, any_text(random)),
        requested_by=random.choice((world.column(User, "id")[0], random.choice(world.column(User, "id")), None)),
        requested_at=random.choice(taken) if taken and random.random() < 0.3 else any_instant(world, random),
        scheduled_for=maybe(random, any_instant(world, random)),
        started_at=maybe(random, any_instant(world, random)),
        heartbeat_at=maybe(random, any_instant(world, random)),
        ended_at=maybe(random, any_instant(world, random)),
        cancel_requested_at=maybe(random, any_instant(world, random)),
        progress=maybe(random, _any_progress(random)),
        result=maybe(random, _any_counts(random) if job.startswith(IMPORT_PREFIX) else _any_result(random)),
        error=maybe(random, any_text(random)),
    )


def _any_progress(random: Random) -> str:
    numbers = (0, 1, 500, 2**31, 2**63 - 1)
    unit = random.choice(("rows", "bytes", any_text(random)))
    total = maybe(random, random.choice(numbers))
    return orjson.dumps({"done": random.choice(numbers), "total": total, "unit": unit}).decode()


def _any_counts(random: Random) -> str:
    counts = {name: random.choice((0, 1, 500_000, 2**31 - 1)) for name in ("read", "created", "updated", "unchanged")}
    rejects = [{"row": random.choice((1, 7, 7, 2**31 - 1)), "reason": any_text(random)} for _ in range(3)]
    told: dict[str, object] = {**counts, "rejected": 3, "rejects": rejects[: random.choice((0, 1, 3))]}
    for name in random.sample(sorted(told), random.choice((0, 0, 1, 6))):
        del told[name]
    return orjson.dumps(told).decode()


def _any_result(random: Random) -> str:
    return json.dumps(random.choice(ODD_JSON))


def _add_batch(world: World, random: Random) -> None:
    number = len(world.rows[IngestBatch]) + 1
    # Of the partner first, who comes before everybody else.
    senders: list[UUID] = world.column(User, "id")
    status = random.choice(list(BatchStatus))
    is_processed = status is BatchStatus.PROCESSED
    rejects = random.choice((0, 1, 3, 8)) if is_processed else 0
    batch = world.add(
        IngestBatch,
        id=any_key(random),
        sender_id=random.choice((senders[0], random.choice(senders), None)),
        sequence=number,
        kind=random.choice(list(BatchKind)).value,
        idempotency_key=maybe(random, f"{number}-{any_text(random)}"[:100]),
        content_hash=random.randbytes(32),
        payload=maybe(random, random.randbytes(8)),
        status=status.value,
        row_count=random.choice((0, 1, 50_000, 2**31 - 1)),
        accepted_count=random.randint(0, 9) if is_processed else None,
        duplicate_count=random.randint(0, 9) if is_processed else None,
        rejected_count=rejects if is_processed else None,
        attempts=random.randint(0, 3),
        last_error=maybe(random, any_text(random)),
        received_at=any_instant(world, random),
        processed_at=any_instant(world, random) if is_processed else None,
    )
    for row_number in random.sample((1, 2, 3, 4, 10, 99, 50_000, 2**31 - 2, 2**31 - 1), rejects):
        world.add(
            IngestReject, batch_id=batch["id"], row_number=row_number, reason=any_text(random), content=any_text(random)
        )
