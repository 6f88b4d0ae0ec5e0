"""What the people of a world wish for: watchlists, wants, and preorders that came along."""

from datetime import date, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

from app.catalogue.models import ItemVariant
from app.identity.models import User
from app.portfolios.models import Portfolio, Store, Trade
from app.portfolios.wish_models import (
    Condition,
    DatePrecision,
    Preorder,
    PreorderDateChange,
    PreorderStatus,
    PreorderStatusChange,
    Want,
    Watchlist,
    WatchlistItem,
)
from tests.graph.oracle.possessions import CURRENCIES
from tests.graph.oracle.rows import Row, World, any_instant, any_key, maybe
from tests.graph.oracle.texts import any_text

AMOUNTS = ("0", "0.00", "0.5", "12.50", "0.000000000000000001", "1000000000000000")
# As far as commands let them be.
DAYS = (date(1900, 1, 1), date(2024, 2, 29), date(2026, 3, 10), date(2026, 3, 31), date(2200, 12, 31))


def add_wishes(world: World) -> None:
    """Give some people wishes, by chances of their own as possessions are."""
    random = Random(f"wishes {world.now} {world.column(User, 'username')}")
    variants = world.rows[ItemVariant]
    if not variants:
        return
    for owner_id in world.column(User, "id"):
        for number in range(random.choice((0, 1, 1, 2))):
            _add_watchlist(world, random, owner_id, number)
        for variant in random.sample(variants, min(len(variants), random.choice((0, 1, 2, 4)))):
            _add_want(world, random, owner_id, variant["id"])
        for _ in range(random.choice((0, 1, 2, 3))):
            _add_preorder(world, random, owner_id, random.choice(variants)["id"])


def _add_watchlist(world: World, random: Random, owner_id: UUID, number: int) -> None:
    watchlist = world.add(
        Watchlist,
        id=any_key(random),
        owner_id=owner_id,
        name=f"{number} {any_text(random)}"[:100],
        is_default=number == 0,
        position=random.choice((0, 1, 2**31 - 1)),
        version=random.choice((1, 2, 2**31 - 1)),
        created_at=any_instant(world, random),
        updated_at=any_instant(world, random),
    )
    by_item = {variant["item_id"]: variant["id"] for variant in world.rows[ItemVariant]}
    for item_id in random.sample(sorted(by_item), min(len(by_item), random.choice((0, 1, 2, 4)))):
        world.add(
            WatchlistItem,
            id=any_key(random),
            owner_id=owner_id,
            watchlist_id=watchlist["id"],
            item_id=item_id,
            variant_id=maybe(random, by_item[item_id]),
            notes=maybe(random, any_text(random)),
            position=random.choice((0, 1, 2, 2**31 - 1)),
            created_at=any_instant(world, random),
        )


def _add_want(world: World, random: Random, owner_id: UUID, variant_id: UUID) -> None:
    is_priced = random.random() < 0.5
    condition = maybe(random, random.choice(list(Condition)).value)
    world.add(
        Want,
        id=any_key(random),
        owner_id=owner_id,
        variant_id=variant_id,
        accepts_any_print=random.random() < 0.5,
        minimum_condition=condition if random.random() < 0.5 else None,
        maximum_price=_any_amount(random) if is_priced else None,
        currency=random.choice(CURRENCIES) if is_priced else None,
        priority=random.choice((0, 0, 5, 10)),
        notes=maybe(random, any_text(random)),
        version=1,
        created_at=any_instant(world, random),
        updated_at=any_instant(world, random),
        deleted_at=any_instant(world, random) if random.random() < 0.2 else None,
    )


def _any_amount(random: Random) -> Decimal:
    return Decimal(random.choice(AMOUNTS))


def _own(world: World, random: Random, table: type[Portfolio | Store | Trade], owner_id: UUID) -> UUID | None:
    keys = [row["id"] for row in world.rows[table] if row["owner_id"] == owner_id]
    return maybe(random, random.choice(keys)) if keys else None


def _any_release(random: Random) -> tuple[date | None, str | None]:
    if random.random() < 0.2:
        return None, None
    day = random.choice(DAYS)
    precision = random.choice(list(DatePrecision))
    return (day if precision is DatePrecision.DAY else day.replace(day=1)), precision.value


def _add_preorder(world: World, random: Random, owner_id: UUID, variant_id: UUID) -> None:
    is_priced, is_frozen = random.random() < 0.8, random.random() < 0.5
    price, deposit = _any_amount(random), _any_amount(random)
    deposit = min(price, deposit) if is_priced else Decimal(0)
    original, release = _any_release(random), _any_release(random)
    if original[0] is None:
        release = (None, None)
    preorder = world.add(
        Preorder,
        id=any_key(random),
        owner_id=owner_id,
        variant_id=variant_id,
        portfolio_id=_own(world, random, Portfolio, owner_id),
        store_id=_own(world, random, Store, owner_id),
        trade_id=_own(world, random, Trade, owner_id),
        status=random.choice(list(PreorderStatus)).value,
        price=price if is_priced else None,
        shipping=_any_amount(random) if is_priced else Decimal(0),
        deposit=deposit,
        refund=random.choice((Decimal(0), deposit)),
        currency=random.choice(CURRENCIES) if is_priced else None,
        exchange_rate=_any_amount(random) + 1 if is_frozen else None,
        rate_currency=random.choice(CURRENCIES) if is_frozen else None,
        rate_date=maybe(random, random.choice(DAYS)) if is_frozen else None,
        original_date=original[0],
        original_precision=original[1],
        release_date=release[0],
        release_precision=release[1],
        tracking_url=maybe(random, "https://parcels.example/" + any_text(random)),
        shipped_at=maybe(random, world.now - timedelta(hours=random.choice((0, 1, 30)))),
        received_at=maybe(random, any_instant(world, random)),
        estimated_delivery_days=maybe(random, random.choice((0, 7, 3_650))),
        notes=maybe(random, any_text(random)),
        version=1,
        created_at=any_instant(world, random),
        updated_at=any_instant(world, random),
    )
    for _ in range(random.choice((0, 1, 3))):
        _add_changes(world, random, preorder)


def _add_changes(world: World, random: Random, preorder: Row) -> None:
    of_preorder = {"owner_id": preorder["owner_id"], "preorder_id": preorder["id"]}
    previous, new = _any_release(random), _any_release(random)
    world.add(
        PreorderDateChange,
        id=any_key(random),
        **of_preorder,
        previous_date=previous[0],
        previous_precision=previous[1],
        new_date=new[0],
        new_precision=new[1],
        source=maybe(random, any_text(random)),
        note=maybe(random, any_text(random)),
        created_at=any_instant(world, random),
    )
    world.add(
        PreorderStatusChange,
        id=any_key(random),
        **of_preorder,
        previous_status=maybe(random, random.choice(list(PreorderStatus)).value),
        status=random.choice(list(PreorderStatus)).value,
        note=maybe(random, any_text(random)),
        created_at=any_instant(world, random),
    )
