"""What the people of a world own: portfolios, holdings, trades, and lots that follow from nothing."""

from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import orjson

from app.catalogue.models import ItemVariant
from app.identity.models import User
from app.portfolios.models import (
    CostBasisMethod,
    ExportedRows,
    ExportFormat,
    Holding,
    HoldingDetails,
    HoldingPhoto,
    HoldingTurntable,
    ImportChange,
    ImportRow,
    ImportSource,
    ImportStatus,
    Lot,
    LotDisposal,
    Portfolio,
    PortfolioExport,
    PortfolioExportStatus,
    PortfolioImport,
    SharedPart,
    Snapshot,
    Store,
    Trade,
    TradeKind,
    TradeRevision,
    TradeRevisionAction,
    TurntableFrame,
    Visibility,
)
from tests.graph.oracle.rows import Row, World, any_instant, any_key, maybe
from tests.graph.oracle.texts import any_text

CURRENCIES = ("USD", "EUR", "JPY", "BHD", "BTC")
AMOUNTS = ("0", "0.00", "0.5", "12.50", "1E-18", "1000000000000000", "33.333333333333333333333333333333333333")


def add_possessions(world: World) -> None:
    """Give some people portfolios with something in them."""
    # By chances of their own: the rest of the world is the same with them and without.
    random = Random(f"possessions {world.now} {world.column(User, 'username')}")
    for owner_id in world.column(User, "id"):
        for number in range(random.choice((0, 1, 1, 2))):
            _add_portfolio(world, random, owner_id, is_default=number == 0)


def _add_portfolio(world: World, random: Random, owner_id: UUID, *, is_default: bool) -> None:
    visibility = random.choice(list(Visibility))
    portfolio = world.add(
        Portfolio,
        id=any_key(random),
        owner_id=owner_id,
        name=_short_text(random),
        description=maybe(random, any_text(random)),
        base_currency=random.choice(CURRENCIES),
        method=random.choice(list(CostBasisMethod)).value,
        visibility=visibility.value,
        shared_parts=[part.value for part in random.sample(list(SharedPart), random.randint(0, 4))],
        link_key=any_key(random).hex if visibility is Visibility.LINK else None,
        is_default=is_default,
        version=random.choice((1, 2, 2**31 - 1)),
        created_at=any_instant(world, random),
        updated_at=any_instant(world, random),
    )
    store = world.add(
        Store,
        id=any_key(random),
        owner_id=owner_id,
        name=_short_text(random),
        slug=f"store-{any_key(random)}",
        url=maybe(random, "https://shop.example/" + any_text(random)),
        created_at=any_instant(world, random),
    )
    variants: list[UUID] = world.column(ItemVariant, "id")
    days = {any_instant(world, random).date() for _ in range(random.choice((0, 2, 5)))}
    for day in sorted(days | {begin + timedelta(days=1) for begin in days}):
        _add_snapshot(world, random, portfolio, day)
    for _ in range(random.choice((0, 1, 2, 4)) if variants else 0):
        _add_holding(world, random, portfolio, store, random.choice(variants))
    for _ in range(random.choice((0, 1, 2))):
        _add_import(world, random, portfolio)
    if random.random() < 0.6:
        _add_export(world, random, portfolio)


def _add_snapshot(world: World, random: Random, portfolio: Row, day: date) -> None:
    held, unpriced = random.choice(((0, 0), (1, 0), (3, 1), (2, 2)))
    part = {"value": random.choice((None, "12.50")), "cost": "33.3", "holdings": held, "unpriced": unpriced}
    world.add(
        Snapshot,
        portfolio_id=portfolio["id"],
        day=day,
        owner_id=portfolio["owner_id"],
        currency=portfolio["base_currency"],
        value=None if held and held == unpriced else _any_amount(random),
        cost=_any_amount(random),
        realized_gain=_any_amount(random) * random.choice((-1, 1)),
        net_flow=_any_amount(random) * random.choice((-1, 0, 0, 1)),
        holding_count=held,
        unpriced_count=unpriced,
        stale_count=random.choice((0, held)),
        oldest_observed_at=maybe(random, any_instant(world, random)),
        parts=orjson.dumps({by: {any_text(random): part, "": part} for by in ("kind", "set", "place")}).decode(),
        computed_at=any_instant(world, random),
    )


def _short_text(random: Random) -> str:
    return (any_text(random) or "A")[:100]


def _any_amount(random: Random) -> Decimal:
    return Decimal(random.choice(AMOUNTS))


def _add_holding(world: World, random: Random, portfolio: Row, store: Row, variant_id: UUID) -> None:
    source = maybe(random, "steam")
    holding = world.add(
        Holding,
        id=any_key(random),
        owner_id=portfolio["owner_id"],
        portfolio_id=portfolio["id"],
        variant_id=variant_id,
        position=random.choice((0, 1, 2, 2**31 - 1)),
        quantity=_any_amount(random),
        cost=_any_amount(random),
        realized_gain=_any_amount(random) * random.choice((-1, 1)),
        missing_quantity=_any_amount(random),
        external_source=source,
        external_id=None if source is None else str(any_key(random)),
        archived_at=maybe(random, any_instant(world, random)),
        version=1,
        created_at=any_instant(world, random),
        updated_at=any_instant(world, random),
    )
    if random.random() < 0.7:
        _add_details(world, random, holding, store)
    _add_photos(world, holding)
    lots = []
    for _ in range(random.choice((0, 1, 2, 4))):
        trade = _add_trade(world, random, holding)
        for number in range(random.choice((0, 0, 1, 3))):
            _add_revision(world, random, trade, number + 1)
        if random.random() < 0.5:
            lots.append(_add_lot(world, random, trade))
        for number in range(random.choice((0, 0, 1, 2)) if lots else 0):
            # Of one lot a trade takes once.
            _add_disposal(world, random, trade, lots[number] if number < len(lots) else None, number + 1)


def _add_details(world: World, random: Random, holding: Row, store: Row) -> None:
    world.add(
        HoldingDetails,
        holding_id=holding["id"],
        owner_id=holding["owner_id"],
        portfolio_id=holding["portfolio_id"],
        condition=maybe(random, any_text(random)),
        grade=maybe(random, Decimal(random.choice(("0", "9.5", "10.0", "100")))),
        grader=maybe(random, any_text(random)),
        serial=maybe(random, any_text(random)),
        float_value=maybe(random, Decimal(random.choice(("0", "0.070000", "1")))),
        pattern=maybe(random, random.choice((0, 661, 100_000))),
        place=maybe(random, any_text(random)),
        store_id=maybe(random, store["id"]),
        acquired_on=maybe(random, any_instant(world, random).date()),
        notes=maybe(random, any_text(random)),
    )


def _add_photos(world: World, holding: Row) -> None:
    # Drawn apart, so that all else of a world is what it would be without photos.
    random = Random(f"photos/{holding['id']}")
    of_owner = {"holding_id": holding["id"], "owner_id": holding["owner_id"]}
    of_holding = of_owner | {"portfolio_id": holding["portfolio_id"]}
    for position in random.sample(range(5), random.choice((0, 0, 1, 3))):
        photo = _any_photo(world, random) | of_holding
        world.add(HoldingPhoto, position=position, updated_at=any_instant(world, random), **photo)
    if random.random() < 0.5:
        world.add(HoldingTurntable, created_at=any_instant(world, random), **of_holding)
        for position in random.sample(range(9), random.choice((2, 3))):
            world.add(TurntableFrame, position=position, **_any_photo(world, random), **of_owner)


def _any_photo(world: World, random: Random) -> Row:
    photo_id = any_key(random)
    return {
        "id": photo_id,
        "content_type": random.choice(("image/jpeg", "image/png", "image/webp")),
        "width": random.choice((1, 16, 16_383, 2**31 - 1)),
        "height": random.choice((1, 16, 16_383, 2**31 - 1)),
        "bytes": 1,
        "sha256": "00",
        "storage_key": f"photos/{photo_id.hex}",
        "created_at": any_instant(world, random),
    }


def _add_trade(world: World, random: Random, holding: Row) -> Row:
    kind = random.choice(list(TradeKind))
    is_rate_given = random.random() < 0.5
    return world.add(
        Trade,
        id=any_key(random),
        owner_id=holding["owner_id"],
        portfolio_id=holding["portfolio_id"],
        holding_id=holding["id"],
        kind=kind.value,
        occurred_at=any_instant(world, random),
        quantity=_any_amount(random) + (0 if kind is TradeKind.FEE else Decimal("0.1")),
        price=_any_amount(random),
        fee=_any_amount(random),
        currency=random.choice(CURRENCIES),
        exchange_rate=_any_amount(random) + 1,
        rate_date=None if is_rate_given else any_instant(world, random).date(),
        exchange=maybe(random, any_text(random)),
        tags=[any_text(random) for _ in range(random.choice((0, 1, 3)))],
        notes=maybe(random, any_text(random)),
        # Without it most portfolios would have no realised gains to tell of.
        may_lack_acquisitions=random.random() < 0.95,
        external_source=None,
        external_id=None,
        version=1,
        created_at=any_instant(world, random),
        updated_at=any_instant(world, random),
    )


def _add_revision(world: World, random: Random, trade: Row, number: int) -> None:
    world.add(
        TradeRevision,
        id=any_key(random),
        owner_id=trade["owner_id"],
        portfolio_id=trade["portfolio_id"],
        trade_id=trade["id"],
        number=number,
        action=random.choice(list(TradeRevisionAction)).value,
        before=orjson.dumps({"price": "0.5", "tags": [any_text(random)], "notes": None}).decode(),
        created_at=any_instant(world, random),
    )


def _add_export(world: World, random: Random, portfolio: Row) -> None:
    world.add(
        PortfolioExport,
        id=any_key(random),
        owner_id=portfolio["owner_id"],
        portfolio_id=portfolio["id"],
        format=random.choice(list(ExportFormat)).value,
        what=random.choice(list(ExportedRows)).value,
        status=random.choice(list(PortfolioExportStatus)).value,
        rows_done=random.choice((0, 1, 2**31 - 1)),
        rows_total=random.choice((None, 0, 2**31 - 1)),
        content=None,
        content_bytes=random.choice((None, 0, 2**31 - 1)),
        created_at=any_instant(world, random),
        finished_at=maybe(random, any_instant(world, random)),
        expires_at=maybe(random, any_instant(world, random)),
    )


def _add_import(world: World, random: Random, portfolio: Row) -> None:
    instants = {
        name: maybe(random, any_instant(world, random))
        for name in ("next_attempt_at", "previewed_at", "applied_at", "undone_at", "expires_at")
    }
    counts = ("trades", "acquired", "gone", "moved", "unchanged", "duplicates", "skipped", "bad", "attempts")
    found = world.add(
        PortfolioImport,
        id=any_key(random),
        owner_id=portfolio["owner_id"],
        portfolio_id=portfolio["id"],
        source=random.choice(list(ImportSource)).value,
        steam_id=maybe(random, "76561197960265729"),
        status=random.choice(list(ImportStatus)).value,
        failure=maybe(random, any_text(random)),
        created_at=any_instant(world, random),
        **{name: random.choice((0, 1, 2**31 - 1)) for name in counts},
        **instants,
    )
    for number in range(random.choice((0, 1, 3))):
        _add_import_row(world, random, found, number + 1)


def _add_import_row(world: World, random: Random, of_import: Row, number: int) -> None:
    own = [row for row in world.rows[Trade] if row["owner_id"] == of_import["owner_id"]]
    trade = random.choice(own) if own and random.random() < 0.5 else None
    gone = maybe(random, any_key(random))
    variants: list[UUID] = world.column(ItemVariant, "id")
    world.add(
        ImportRow,
        import_id=of_import["id"],
        number=number,
        owner_id=of_import["owner_id"],
        change=random.choice(list(ImportChange)).value,
        line=maybe(random, number + 1),
        subject=maybe(random, any_text(random)),
        reason=maybe(random, any_text(random)),
        variant_id=random.choice([gone, *variants]),
        holding_name=maybe(random, any_text(random)),
        holding_id=gone if trade is None else trade["holding_id"],
        made_holding=random.random() < 0.5,
        trade_id=gone if trade is None else trade["id"],
        asset_id=maybe(random, "36058977722"),
        context=random.choice((None, 2, 16)),
        kind=maybe(random, random.choice(list(TradeKind)).value),
        occurred_at=maybe(random, any_instant(world, random)),
        quantity=maybe(random, _any_amount(random)),
        price=maybe(random, _any_amount(random)),
        fee=maybe(random, _any_amount(random)),
        currency=maybe(random, random.choice(CURRENCIES)),
        exchange_rate=maybe(random, _any_amount(random)),
        exchange=maybe(random, any_text(random)),
        tags=[any_text(random) for _ in range(random.choice((0, 1, 3)))],
        notes=maybe(random, any_text(random)),
        may_lack_acquisitions=random.random() < 0.5,
        external_id=maybe(random, any_text(random)),
    )


def _add_lot(world: World, random: Random, trade: Row) -> Row:
    cost = _any_amount(random)
    return world.add(
        Lot,
        id=trade["id"],
        owner_id=trade["owner_id"],
        portfolio_id=trade["portfolio_id"],
        holding_id=trade["holding_id"],
        acquired_at=trade["occurred_at"],
        quantity=trade["quantity"] + 1,
        cost=cost,
        remaining_quantity=trade["quantity"],
        remaining_cost=random.choice((None, cost, Decimal(0))),
    )


def _add_disposal(world: World, random: Random, trade: Row, lot: Row | None, number: int) -> None:
    amounts: dict[str, Any] = {name: maybe(random, _any_amount(random)) for name in ("proceeds", "gain")}
    world.add(
        LotDisposal,
        trade_id=trade["id"],
        number=number,
        owner_id=trade["owner_id"],
        portfolio_id=trade["portfolio_id"],
        holding_id=trade["holding_id"],
        lot_id=None if lot is None else lot["id"],
        acquired_at=None if lot is None else lot["acquired_at"],
        disposed_at=trade["occurred_at"],
        quantity=_any_amount(random) + 1,
        cost=None if lot is None else _any_amount(random),
        **amounts,
    )
