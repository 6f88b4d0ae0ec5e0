"""Preorders by their commands: the lifecycle, dates that slip, money that is paid ahead, and what arrives."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, func, insert, select, update

from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import new_id
from app.portfolios.commands import preorders
from app.portfolios.commands.receive_preorder import receive_preorder
from app.portfolios.commands.stores import remove_store
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.given_wishes import ReleaseDate, release_day, release_month
from app.portfolios.models import Holding, Lot, Portfolio, Store, Trade
from app.portfolios.preorder_lifecycle import FIRST_STATES, NEXT_STATES
from app.portfolios.queries.preorders import SLIP_DAYS
from app.portfolios.wish_models import Preorder, PreorderDateChange, PreorderStatus, PreorderStatusChange
from tests.lock_waits import until_somebody_waits
from tests.portfolios.builders import portfolio_of
from tests.portfolios.wishes_builders import Scene, rate, refusal_of, row_of, scene_of

INVALID = PortfolioErrorCode.INVALID_INPUT
ILLEGAL = PortfolioErrorCode.ILLEGAL_STATE
MISSING = PortfolioErrorCode.NOT_FOUND
YEN: dict[str, Any] = {"price": Decimal(15_000), "currency": "JPY"}
# What a yen stays in euros, and is in what has another currency.
YEN_RATES = {"EUR": Decimal("0.00625"), "JPY": Decimal(1)}
STEPS = [(before, after) for before in PreorderStatus for after in PreorderStatus]


@pytest.fixture
async def scene(database: Database) -> Scene:
    """Two people, a portfolio in euros, and a catalogue."""
    return await scene_of(database)


async def ordered(
    database: Database, scene: Scene, *, slug: str = "keeper", key: str | None = None, **given: Any
) -> UUID:
    """A preorder of Ada's."""
    async with database.transaction() as transaction:
        return await preorders.add_preorder(
            transaction, given, owner_id=scene.ada, variant_id=scene.variant(slug), idempotency_key=key
        )


async def edited(
    database: Database, owner_id: UUID, preorder_id: UUID, version: int | None = None, **changes: Any
) -> None:
    """Change a preorder."""
    async with database.transaction() as transaction:
        await preorders.edit_preorder(transaction, preorder_id, changes, owner_id=owner_id, expected_version=version)


async def moved(database: Database, owner_id: UUID, preorder_id: UUID, status: PreorderStatus, **details: Any) -> None:
    """Move a preorder along."""
    async with database.transaction() as transaction:
        await preorders.move_preorder(transaction, preorder_id, status, owner_id=owner_id, details=details)


async def put_off(
    database: Database, owner_id: UUID, preorder_id: UUID, release: ReleaseDate | None, **said: Any
) -> None:
    """Move the date of a preorder."""
    async with database.transaction() as transaction:
        await preorders.reschedule_preorder(transaction, preorder_id, release, owner_id=owner_id, **said)


async def received(database: Database, owner_id: UUID, preorder_id: UUID, **where: Any) -> UUID:
    """Have a preorder arrive."""
    async with database.transaction() as transaction:
        return await receive_preorder(transaction, preorder_id, owner_id=owner_id, **where)


async def in_state(database: Database, preorder_id: UUID, status: PreorderStatus) -> None:
    """Have a preorder be in a state, however it came there."""
    async with database.transaction() as transaction:
        stored = update(Preorder).where(Preorder.id == preorder_id)
        await transaction.connection.execute(stored.values(status=status.value))


async def steps_of(database: Database, preorder_id: UUID) -> list[tuple[str | None, str]]:
    """The log of a preorder's states."""
    async with database.transaction() as transaction:
        logged = select(PreorderStatusChange).where(PreorderStatusChange.preorder_id == preorder_id)
        rows = await transaction.connection.execute(logged.order_by(PreorderStatusChange.created_at))
        return [(row.previous_status, row.status) for row in rows]


async def slip_of(database: Database, preorder_id: UUID) -> int | None:
    """By how many days a preorder slipped."""
    async with database.transaction() as transaction:
        slip: int | None = await transaction.connection.scalar(select(SLIP_DAYS).where(Preorder.id == preorder_id))
        return slip


async def test_a_preorder_goes_its_whole_way(database: Database, scene: Scene) -> None:
    preorder = await ordered(database, scene, status=PreorderStatus.ANNOUNCED)
    way = [PreorderStatus.OPEN, PreorderStatus.PREORDERED, PreorderStatus.IN_PRODUCTION, PreorderStatus.RELEASED]
    for status in [*way, PreorderStatus.SHIPPED]:
        await moved(database, scene.ada, preorder, status)
    stored = await row_of(database, Preorder, preorder)
    assert (stored["status"], stored["version"]) == ("shipped", 6)
    assert utc_now() - timedelta(minutes=1) < stored["shipped_at"] <= utc_now()
    names = ["announced", *way, "shipped"]
    assert await steps_of(database, preorder) == list(zip([None, *names], names, strict=False))


async def test_each_state_leads_to_its_next_ones_and_to_no_other(database: Database, scene: Scene) -> None:
    preorder = await ordered(database, scene)
    for before, after in STEPS:
        await in_state(database, preorder, before)
        moving = moved(database, scene.ada, preorder, after)
        # Received is what `receive_preorder` alone does.
        if after in NEXT_STATES[before] and after is not PreorderStatus.RECEIVED:
            await moving
            assert (await row_of(database, Preorder, preorder))["status"] == after
        else:
            assert await refusal_of(moving) == (ILLEGAL, ["status"]), (before, after)
            assert (await row_of(database, Preorder, preorder))["status"] == before


LIFECYCLE = {
    PreorderStatus.ANNOUNCED: {"open", "preordered", "cancelled"},
    PreorderStatus.OPEN: {"preordered", "cancelled"},
    PreorderStatus.PREORDERED: {"in_production", "released", "shipped", "cancelled"},
    PreorderStatus.IN_PRODUCTION: {"released", "shipped", "cancelled"},
    PreorderStatus.RELEASED: {"shipped", "received", "cancelled"},
    PreorderStatus.SHIPPED: {"received", "cancelled"},
    PreorderStatus.RECEIVED: set(),
    PreorderStatus.CANCELLED: {"announced", "open", "preordered"},
}


@pytest.mark.parametrize("status", PreorderStatus)
def test_the_lifecycle_is_the_one_of_the_domain(status: PreorderStatus) -> None:
    assert set(NEXT_STATES[status]) == LIFECYCLE[status]


async def test_a_new_preorder_is_neither_received_nor_cancelled(database: Database, scene: Scene) -> None:
    for status in set(PreorderStatus) - set(FIRST_STATES):
        assert await refusal_of(ordered(database, scene, status=status)) == (INVALID, ["status"])


async def test_a_cancelled_preorder_shows_its_loss_and_can_be_taken_up_again(database: Database, scene: Scene) -> None:
    preorder = await ordered(database, scene, deposit=Decimal(5_000), **YEN)
    early = edited(database, scene.ada, preorder, refund=Decimal(1))
    assert await refusal_of(early) == (ILLEGAL, ["refund"])
    with_step = moved(database, scene.ada, preorder, PreorderStatus.RELEASED, refund=Decimal(1))
    assert await refusal_of(with_step) == (ILLEGAL, ["refund"])
    await moved(database, scene.ada, preorder, PreorderStatus.CANCELLED, refund=Decimal(2_000))
    more = edited(database, scene.ada, preorder, refund=Decimal("5000.01"))
    assert await refusal_of(more) == (INVALID, ["refund"])
    await edited(database, scene.ada, preorder, refund=Decimal(3_000))
    less = edited(database, scene.ada, preorder, deposit=Decimal(2_999))
    assert await refusal_of(less) == (INVALID, ["refund"])
    await moved(database, scene.ada, preorder, PreorderStatus.PREORDERED)
    stored = await row_of(database, Preorder, preorder)
    assert (stored["deposit"], stored["refund"]) == (5_000, 3_000)


async def test_dates_slip_and_the_log_says_from_when_to_when(database: Database, scene: Scene) -> None:
    preorder = await ordered(database, scene)
    assert await slip_of(database, preorder) is None
    await put_off(database, scene.ada, preorder, release_month("2026-03", "release"))
    assert await slip_of(database, preorder) == 0
    await put_off(database, scene.ada, preorder, release_month("2026-05", "release"), source="The maker", note="Molds")
    assert await slip_of(database, preorder) == 61
    await put_off(database, scene.ada, preorder, release_day(date(2026, 5, 20), "release"))
    # A day of the same month is no other month.
    assert await slip_of(database, preorder) == 61
    await put_off(database, scene.ada, preorder, release_day(date(2026, 2, 3), "release"))
    assert await slip_of(database, preorder) == -28
    await put_off(database, scene.ada, preorder, None)
    assert await slip_of(database, preorder) is None
    async with database.transaction() as transaction:
        logged = select(PreorderDateChange).where(PreorderDateChange.preorder_id == preorder)
        rows = (await transaction.connection.execute(logged.order_by(PreorderDateChange.created_at))).all()
    assert [(row.previous_date, row.new_date, row.new_precision) for row in rows] == [
        (None, date(2026, 3, 1), "month"),
        (date(2026, 3, 1), date(2026, 5, 1), "month"),
        (date(2026, 5, 1), date(2026, 5, 20), "day"),
        (date(2026, 5, 20), date(2026, 2, 3), "day"),
        (date(2026, 2, 3), None, None),
    ]
    assert (rows[1].source, rows[1].note) == ("The maker", "Molds")
    original = release_day(date(2026, 2, 1), "originalRelease")
    await edited(database, scene.ada, preorder, original_release=original)
    assert (await row_of(database, Preorder, preorder))["original_date"] == date(2026, 2, 1)


async def test_a_date_that_is_none_or_the_same_is_refused(database: Database, scene: Scene) -> None:
    day = release_day(date(2026, 3, 5), "release")
    preorder = await ordered(database, scene, release=day)
    assert await refusal_of(put_off(database, scene.ada, preorder, day)) == (INVALID, ["release"])
    for wrong in ("2026", "2026-13", "2026-3", "03-2026", "2026-03-01", "month", ""):
        with pytest.raises(PortfolioRefused):
            release_month(wrong, "release")
    for far in (date(1, 1, 1), date(9999, 12, 31)):
        with pytest.raises(PortfolioRefused):
            release_day(far, "release")
    await in_state(database, preorder, PreorderStatus.CANCELLED)
    assert await refusal_of(put_off(database, scene.ada, preorder, None)) == (ILLEGAL, ["id"])


async def test_a_log_takes_no_more_than_it_may(
    database: Database, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preorders, "MOST_CHANGES", 2)
    preorder = await ordered(database, scene)
    await put_off(database, scene.ada, preorder, release_month("2026-03", "release"))
    await put_off(database, scene.ada, preorder, release_month("2026-04", "release"))
    third = put_off(database, scene.ada, preorder, release_month("2026-05", "release"))
    assert await refusal_of(third) == (PortfolioErrorCode.TOO_MANY, [])
    await moved(database, scene.ada, preorder, PreorderStatus.RELEASED)
    third = moved(database, scene.ada, preorder, PreorderStatus.SHIPPED)
    assert await refusal_of(third) == (PortfolioErrorCode.TOO_MANY, [])


IMPOSSIBLE: tuple[tuple[dict[str, Any], str], ...] = (
    ({"price": Decimal("NaN"), "currency": "EUR"}, "price"),
    ({"price": Decimal("1." + "3" * 39), "currency": "EUR"}, "price"),
    ({"price": Decimal(-1), "currency": "EUR"}, "price"),
    ({"price": Decimal(1), "currency": "XXX"}, "currency"),
    ({"price": Decimal(1)}, "currency"),
    ({"currency": "EUR"}, "price"),
    ({"shipping": Decimal("Infinity"), **YEN}, "shipping"),
    ({"shipping": Decimal(1)}, "price"),
    ({"deposit": Decimal(1)}, "price"),
    ({"deposit": Decimal(15_001), **YEN}, "deposit"),
    ({"deposit": Decimal("sNaN"), **YEN}, "deposit"),
    ({"tracking_url": "http://example.org/"}, "trackingUrl"),
    ({"tracking_url": "javascript:alert(1)"}, "trackingUrl"),
    ({"estimated_delivery_days": -1}, "estimatedDeliveryDays"),
    ({"estimated_delivery_days": 2**31}, "estimatedDeliveryDays"),
    ({"notes": "x" * 2_001}, "notes"),
)


async def test_what_no_preorder_can_have_is_refused_and_changes_nothing(database: Database, scene: Scene) -> None:
    preorder = await ordered(database, scene)
    for given, field in IMPOSSIBLE:
        assert await refusal_of(ordered(database, scene, slug="heron", **given)) == (INVALID, [field]), field
        assert await refusal_of(edited(database, scene.ada, preorder, **given)) == (INVALID, [field]), field
    assert (await row_of(database, Preorder, preorder))["version"] == 1


async def test_it_was_not_sent_tomorrow(database: Database, scene: Scene) -> None:
    tomorrow = utc_now() + timedelta(days=1)
    ahead = (PortfolioErrorCode.IN_THE_FUTURE, ["shippedAt"])
    assert await refusal_of(ordered(database, scene, shipped_at=tomorrow)) == ahead
    preorder = await ordered(database, scene)
    assert await refusal_of(edited(database, scene.ada, preorder, shipped_at=tomorrow)) == ahead


async def test_the_things_of_others_are_not_there(database: Database, scene: Scene) -> None:
    preorder = await ordered(database, scene)
    async with database.transaction() as transaction:
        of_bob = await portfolio_of(transaction.connection, scene.bob)
        store = new_id()
        await transaction.connection.execute(
            insert(Store).values(id=store, owner_id=scene.bob, name="Shop", slug="shop")
        )
    assert await refusal_of(ordered(database, scene, portfolio_id=of_bob)) == (MISSING, ["portfolioId"])
    assert await refusal_of(ordered(database, scene, store_id=store)) == (MISSING, ["storeId"])
    foreign: tuple[tuple[dict[str, Any], str], ...] = (
        ({"portfolio_id": of_bob}, "portfolioId"),
        ({"store_id": store}, "storeId"),
    )
    for changes, field in foreign:
        assert await refusal_of(edited(database, scene.ada, preorder, **changes)) == (MISSING, [field])
    not_there = (MISSING, ["id"])
    assert await refusal_of(edited(database, scene.bob, preorder, notes="Mine")) == not_there
    assert await refusal_of(moved(database, scene.bob, preorder, PreorderStatus.RELEASED)) == not_there
    assert await refusal_of(put_off(database, scene.bob, preorder, None)) == not_there
    assert await refusal_of(received(database, scene.bob, preorder)) == not_there
    async with database.transaction() as transaction:
        deleting = preorders.delete_preorder(transaction, preorder, owner_id=scene.bob)
        assert await refusal_of(deleting) == not_there
    await in_state(database, preorder, PreorderStatus.SHIPPED)
    await edited(database, scene.ada, preorder, **YEN)
    elsewhere = received(database, scene.ada, preorder, portfolio_id=of_bob)
    assert await refusal_of(elsewhere) == (MISSING, ["portfolioId"])
    assert await refusal_of(received(database, scene.ada, preorder, holding_id=new_id())) == (MISSING, ["holdingId"])


async def test_the_rate_is_frozen_with_the_portfolio_and_again_with_another_currency(
    database: Database, scene: Scene
) -> None:
    yesterday, before = utc_now().date() - timedelta(days=1), utc_now().date() - timedelta(days=9)
    async with database.transaction() as transaction:
        await rate(transaction.connection, "JPY", "160", yesterday)
        await rate(transaction.connection, "USD", "1.25", before)
    preorder = await ordered(database, scene, portfolio_id=scene.portfolio_id, **YEN)
    stored = await row_of(database, Preorder, preorder)
    frozen = ("exchange_rate", "rate_currency", "rate_date")
    assert [stored[name] for name in frozen] == [Decimal("0.00625"), "EUR", yesterday]
    async with database.transaction() as transaction:
        await rate(transaction.connection, "JPY", "200", utc_now().date())
    await edited(database, scene.ada, preorder, price=Decimal(20_000), notes="Dearer")
    assert (await row_of(database, Preorder, preorder))["exchange_rate"] == Decimal("0.00625")
    async with database.transaction() as transaction:
        other = {each: await portfolio_of(transaction.connection, scene.ada, base_currency=each) for each in YEN_RATES}
    for base, found in YEN_RATES.items():
        await edited(database, scene.ada, preorder, portfolio_id=other[base])
        assert (await row_of(database, Preorder, preorder))["exchange_rate"] == found
    await edited(database, scene.ada, preorder, portfolio_id=scene.portfolio_id, currency="USD")
    stored = await row_of(database, Preorder, preorder)
    assert [stored[name] for name in frozen] == [Decimal("0.8"), "EUR", before]
    await edited(database, scene.ada, preorder, currency="EUR")
    stored = await row_of(database, Preorder, preorder)
    assert [stored[name] for name in frozen] == [Decimal(1), "EUR", None]
    await edited(database, scene.ada, preorder, portfolio_id=None)
    stored = await row_of(database, Preorder, preorder)
    assert [stored[name] for name in frozen] == [None] * 3


async def test_without_a_rate_there_is_no_preorder_for_the_portfolio(database: Database, scene: Scene) -> None:
    no_rate = (PortfolioErrorCode.NO_EXCHANGE_RATE, ["currency"])
    assert await refusal_of(ordered(database, scene, portfolio_id=scene.portfolio_id, **YEN)) == no_rate
    preorder = await ordered(database, scene, **YEN)
    joining = edited(database, scene.ada, preorder, portfolio_id=scene.portfolio_id)
    assert await refusal_of(joining) == no_rate


async def test_a_repeat_under_its_key_gives_the_first_one_within_a_day(database: Database, scene: Scene) -> None:
    first = await ordered(database, scene, key="one", **YEN)
    assert await ordered(database, scene, key="one", **YEN) == first
    other = refusal_of(ordered(database, scene, key="one", slug="heron", **YEN))
    assert await other == (PortfolioErrorCode.IDEMPOTENCY_KEY_REUSED, ["idempotencyKey"])
    for wrong in ("", "x" * 201, "a\nb"):
        assert await refusal_of(ordered(database, scene, key=wrong)) == (INVALID, ["idempotencyKey"])
    async with database.transaction() as transaction:
        long_ago = update(Preorder).where(Preorder.id == first)
        await transaction.connection.execute(long_ago.values(created_at=utc_now() - timedelta(hours=25)))
    at_once = await asyncio.gather(*(ordered(database, scene, key="one", slug="heron", **YEN) for _ in range(3)))
    assert len(set(at_once)) == 1
    assert at_once[0] != first


async def test_what_arrives_becomes_a_purchase_at_the_frozen_rate(database: Database, scene: Scene) -> None:
    today = utc_now().date()
    async with database.transaction() as transaction:
        await rate(transaction.connection, "JPY", "160", today - timedelta(days=1))
        store = new_id()
        await transaction.connection.execute(
            insert(Store).values(id=store, owner_id=scene.ada, name="駿河屋\u3000二号店", slug="harbour-hobby")
        )
    preorder = await ordered(
        database,
        scene,
        portfolio_id=scene.portfolio_id,
        store_id=store,
        shipping=Decimal(2_000),
        deposit=Decimal(5_000),
        **YEN,
    )
    async with database.transaction() as transaction:
        await rate(transaction.connection, "JPY", "200", today)
    assert await refusal_of(received(database, scene.ada, preorder)) == (ILLEGAL, ["id"])
    await moved(database, scene.ada, preorder, PreorderStatus.SHIPPED, estimated_delivery_days=7)
    trade_id = await received(database, scene.ada, preorder, note="At last")
    trade = await row_of(database, Trade, trade_id)
    assert (trade["kind"], trade["quantity"], trade["price"], trade["fee"]) == ("buy", 1, 15_000, 2_000)
    assert (trade["currency"], trade["exchange_rate"], trade["exchange"]) == (
        "JPY",
        Decimal("0.00625"),
        "駿河屋\u3000二号店",
    )
    holding = await row_of(database, Holding, trade["holding_id"])
    assert (holding["portfolio_id"], holding["variant_id"]) == (scene.portfolio_id, scene.variant("keeper"))
    assert (holding["quantity"], holding["cost"]) == (1, Decimal("106.25"))
    assert (await row_of(database, Lot, trade_id))["cost"] == Decimal("106.25")
    stored = await row_of(database, Preorder, preorder)
    assert (stored["status"], stored["trade_id"]) == ("received", trade_id)
    assert stored["received_at"] == trade["occurred_at"]
    assert (await steps_of(database, preorder))[-1] == ("shipped", "received")
    assert await refusal_of(received(database, scene.ada, preorder)) == (ILLEGAL, ["id"])
    dearer = edited(database, scene.ada, preorder, price=Decimal(1))
    assert await refusal_of(dearer) == (ILLEGAL, ["id"])
    await edited(database, scene.ada, preorder, notes="Lovely")


async def test_what_arrives_twice_at_once_is_held_once(database: Database, scene: Scene) -> None:
    preorder = await ordered(database, scene, status=PreorderStatus.SHIPPED, price=Decimal(80), currency="EUR")
    outcomes = await asyncio.gather(
        *(received(database, scene.ada, preorder, portfolio_id=scene.portfolio_id) for _ in range(3)),
        return_exceptions=True,
    )
    refused = [outcome.reason for outcome in outcomes if isinstance(outcome, PortfolioRefused)]
    assert refused == [ILLEGAL] * 2
    async with database.transaction() as transaction:
        assert await transaction.connection.scalar(select(func.count()).select_from(Trade)) == 1
        assert await transaction.connection.scalar(select(Holding.quantity)) == 1


async def test_where_it_goes_is_named_or_known_or_the_default(database: Database, scene: Scene) -> None:
    euros: dict[str, Any] = {"price": Decimal(80), "currency": "EUR", "status": PreorderStatus.SHIPPED}
    first, second = [await ordered(database, scene, **euros) for _ in range(2)]
    assert await refusal_of(received(database, scene.ada, first)) == (INVALID, ["portfolioId"])
    async with database.transaction() as transaction:
        own = update(Portfolio).where(Portfolio.id == scene.portfolio_id)
        await transaction.connection.execute(own.values(is_default=True))
    holding = (await row_of(database, Trade, await received(database, scene.ada, first)))["holding_id"]
    heron = await ordered(database, scene, slug="heron", **euros)
    other = received(database, scene.ada, heron, holding_id=holding)
    assert await refusal_of(other) == (INVALID, ["holdingId"])
    trade = await row_of(database, Trade, await received(database, scene.ada, second, holding_id=holding))
    assert trade["holding_id"] == holding
    assert (await row_of(database, Holding, holding))["quantity"] == 2


async def test_nothing_arrives_without_a_price_or_from_the_future(database: Database, scene: Scene) -> None:
    preorder = await ordered(database, scene, status=PreorderStatus.SHIPPED)
    nameless = received(database, scene.ada, preorder, portfolio_id=scene.portfolio_id)
    assert await refusal_of(nameless) == (INVALID, ["id"])
    tomorrow = utc_now() + timedelta(days=1)
    early = received(database, scene.ada, preorder, received_at=tomorrow)
    assert await refusal_of(early) == (PortfolioErrorCode.IN_THE_FUTURE, ["receivedAt"])
    await edited(database, scene.ada, preorder, **YEN)
    no_rate = received(database, scene.ada, preorder, portfolio_id=scene.portfolio_id)
    assert await refusal_of(no_rate) == (PortfolioErrorCode.NO_EXCHANGE_RATE, ["id"])
    long_ago = received(
        database, scene.ada, preorder, portfolio_id=scene.portfolio_id, received_at=datetime(1, 1, 1, tzinfo=UTC)
    )
    assert await refusal_of(long_ago) == (INVALID, ["receivedAt"])
    assert (await row_of(database, Preorder, preorder))["status"] == "shipped"


async def test_of_two_who_edit_the_same_version_one_is_told(database: Database, scene: Scene) -> None:
    preorder = await ordered(database, scene)
    outcomes = await asyncio.gather(
        *(edited(database, scene.ada, preorder, 1, notes=notes) for notes in "abc"), return_exceptions=True
    )
    refused = [outcome.reason for outcome in outcomes if isinstance(outcome, PortfolioRefused)]
    assert refused == [PortfolioErrorCode.CONFLICT] * 2
    assert (await row_of(database, Preorder, preorder))["version"] == 2


async def test_a_portfolio_or_trade_that_goes_leaves_the_preorder(database: Database, scene: Scene) -> None:
    preorder = await ordered(
        database,
        scene,
        portfolio_id=scene.portfolio_id,
        status=PreorderStatus.SHIPPED,
        price=Decimal(80),
        currency="EUR",
    )
    trade_id = await received(database, scene.ada, preorder)
    async with database.transaction() as transaction:
        await transaction.connection.execute(delete(Portfolio).where(Portfolio.id == scene.portfolio_id))
    stored = await row_of(database, Preorder, preorder)
    assert (stored["portfolio_id"], stored["trade_id"], stored["status"]) == (None, None, "received")
    assert trade_id is not None


async def test_a_store_that_is_removed_meanwhile_is_not_there_and_nobody_is_stuck(
    database: Database, scene: Scene
) -> None:
    store_id = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Store).values(id=store_id, owner_id=scene.ada, name="Kite", slug="kite")
        )
    preorder = await ordered(database, scene, store_id=store_id)
    refused = refusal_of(_removed_store(database, scene.ada, store_id))
    assert await refused == (PortfolioErrorCode.NOT_EMPTY, ["id"])
    async with database.transaction() as transaction:
        await transaction.connection.execute(select(Store.id).where(Store.id == store_id).with_for_update())
        editing = asyncio.create_task(refusal_of(edited(database, scene.ada, preorder, store_id=store_id)))
        await until_somebody_waits(database)
        await remove_store(transaction, store_id, owner_id=scene.ada, clears_holdings=True)
    assert await editing == (MISSING, ["storeId"])
    assert (await row_of(database, Preorder, preorder))["store_id"] is None


async def _removed_store(database: Database, owner_id: UUID, store_id: UUID) -> None:
    async with database.transaction() as transaction:
        await remove_store(transaction, store_id, owner_id=owner_id)


async def test_a_preorder_that_is_forgotten_leaves_nothing(database: Database, scene: Scene) -> None:
    preorder = await ordered(database, scene)
    await put_off(database, scene.ada, preorder, release_month("2026-03", "release"))
    async with database.transaction() as transaction:
        await preorders.delete_preorder(transaction, preorder, owner_id=scene.ada)
        for table in (Preorder, PreorderDateChange, PreorderStatusChange):
            assert await transaction.connection.scalar(select(func.count()).select_from(table)) == 0
