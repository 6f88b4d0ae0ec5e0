"""Rules over prices, held against prices as they come in by batches."""

import asyncio
import importlib
from datetime import date, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text, update
from structlog.testing import capture_logs

from app.alerts.commands import watch_prices
from app.alerts.commands.look_at_windows import look_at_windows
from app.alerts.commands.record_alerts import record_alerts
from app.alerts.commands.take_over_rules import take_over_rules
from app.alerts.models import Rule, RuleTarget
from app.catalogue.commands.merge_items import Merge, merge_items
from app.catalogue.new_items import CardDetails, NewCardSet, NewItem, NewVariant
from app.core.database import Database, Transaction
from app.core.ids import new_id
from app.ingestion.models import BatchKind
from app.notifications.commands.price_alerts import WATCHED_PRICE_BATCHES
from app.portfolios.commands.merge_wishes import merge_wishes
from app.portfolios.commands.take_over_variants import take_over_variants
from app.portfolios.wish_models import Want, Watchlist, WatchlistItem
from app.prices.commands.merge_variants import merge_variants
from app.prices.models import StoredExchangeRate
from tests.alerts.price_builders import NOON, Prices, alerts, at, count_of, each, price, rule_of, told
from tests.catalogue.builders import coin, saved
from tests.identity.builders import add_person
from tests.lock_waits import until_somebody_waits
from tests.prices.builders import candle
from workers.ingestion import process_waiting_batches

DAY = timedelta(days=1)


def lantern(slug: str, code: str, *variants: NewVariant, game: str = "Tidewatch") -> NewItem:
    details = CardDetails(game=game, card_set=NewCardSet(code, code), number=slug, oracle_id="lantern")
    return NewItem(slug=slug, name=slug, details=details, variants=variants)


@pytest.fixture
async def prices(database: Database) -> Prices:
    await saved(
        database,
        coin("aurum", variants=(NewVariant("minted", "Minted"),)),
        coin("argent", symbol="BBB"),
        lantern("lantern-old", "TW1", NewVariant("foil", "Foil")),
        lantern("lantern-new", "TW2"),
        lantern("lantern-foreign", "TW1", game="Elsewhere"),
    )
    return Prices(database)


@pytest.fixture
async def ada(prices: Prices) -> UUID:
    async with prices.database.transaction() as transaction:
        return await add_person(transaction.connection, username="ada")


async def item(database: Database, slug: str = "aurum") -> UUID:
    async with database.transaction() as transaction:
        return UUID(
            str(
                await transaction.connection.scalar(text("SELECT id FROM catalogue.items WHERE slug = :s"), {"s": slug})
            )
        )


async def variant(database: Database, slug: str, key: str | None = None) -> UUID:
    item_id = await item(database, slug)
    statement = "SELECT id FROM catalogue.item_variants WHERE item_id = :item AND "
    statement += "is_default" if key is None else f"key = '{key}'"
    async with database.transaction() as transaction:
        return UUID(str(await transaction.connection.scalar(text(statement), {"item": item_id})))


async def test_a_price_that_crosses_makes_one_alert_and_one_notification(
    database: Database, prices: Prices, ada: UUID
) -> None:
    rule_id = await rule_of(database, ada, "crosses_above", "100", key=await item(database))
    await prices.come(price("99", 0))
    assert await alerts(database) == []

    await prices.come(price("101", 1))

    assert await alerts(
        database, "rule_id", "old_value", "new_value", "threshold", "currency", "observed_price", "price_kind"
    ) == [(rule_id, Decimal(99), Decimal(101), Decimal(100), "USD", Decimal(101), "market")]
    [alert_id] = [row[0] for row in await alerts(database, "id")]
    assert await told(database) == [alert_id]
    assert await count_of(database, "alerts.price_states") == 0


async def test_a_first_price_does_not_fire(database: Database, prices: Prices, ada: UUID) -> None:
    await rule_of(database, ada, "crosses_above", "100", key=await item(database))
    await prices.come(*each(["101", "102"]))
    assert await alerts(database) == []


async def test_a_batch_may_cross_several_times(database: Database, prices: Prices, ada: UUID) -> None:
    await rule_of(database, ada, "crosses_level", "100", key=await item(database))
    await prices.come(*reversed(each(["99", "101", "100", "99", "101"])))
    assert await alerts(database) == [(1, "101"), (3, "99"), (4, "101")]


async def test_a_batch_that_is_sent_three_times_fires_once(database: Database, prices: Prices, ada: UUID) -> None:
    await rule_of(database, ada, "crosses_above", "100", key=await item(database))
    for _ in range(3):
        await prices.come(*each(["99", "101", "98", "102"]))
    assert await alerts(database) == [(1, "101"), (3, "102")]
    assert len(await told(database)) == 2


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_batches_in_any_order_fire_at_what_is_new_to_the_series(
    database: Database, prices: Prices, ada: UUID, order: tuple[int, ...]
) -> None:
    await rule_of(database, ada, "crosses_above", "100", key=await item(database))
    await prices.come(price("99", 0))
    batches = [[price("101", 1)], [price("98", 2)], [price("102", 3)]]
    known = 0
    expected = []
    value = 99
    for place in order:
        await prices.come(*batches[place])
        minute, new = place + 1, int(str(batches[place][0]["price"]))
        if minute > known:
            if value <= 100 < new:
                expected.append((minute, str(new)))
            known, value = minute, new
    assert await alerts(database) == expected


async def test_prices_of_one_instant_are_observed_as_they_arrive(database: Database, prices: Prices, ada: UUID) -> None:
    over_prices = await rule_of(database, ada, "crosses_above", "100", key=await item(database))
    over_changes = await rule_of(database, ada, "rises_by", "1", key=await item(database), window_minutes=1)
    await prices.come(price("99", 0, kind="sale", key="a"))
    await prices.come(price("101", 0, kind="sale", key="b"))
    await prices.come(price("102", 1, kind="sale", key="c"))
    assert await alerts(database, rule_id=over_prices) == [(0, "101")]
    await prices.come(price("98", 1, kind="sale", key="d"))
    await prices.come(price("103", 1, kind="sale", key="e"))
    await prices.come(price("97", 1, kind="sale", key="f"), price("104", 1, kind="sale", key="g"))
    assert await alerts(database, rule_id=over_prices) == [(0, "101"), (1, "103"), (1, "104")]
    changes = await alerts(database, "observed_price", rule_id=over_changes)
    assert changes == [(Decimal(103),), (Decimal(104),)]


@pytest.mark.parametrize(("minutes_late", "fires"), [(15, True), (15.01, False)])
async def test_a_price_of_more_than_fifteen_minutes_ago_does_not_fire(
    database: Database, prices: Prices, ada: UUID, minutes_late: float, fires: bool
) -> None:
    await rule_of(database, ada, "crosses_above", "100", key=await item(database))
    await prices.come(price("99", 0))
    await prices.come(price("101", 10), accepted_at=at(10 + minutes_late))
    await prices.come(price("102", 20))
    assert await alerts(database) == ([(10, "101")] if fires else [])


@pytest.mark.parametrize(("days_late", "fires"), [(1, True), (1.01, False)])
async def test_a_price_of_a_source_that_is_asked_once_a_day_may_be_a_day_old(
    database: Database, prices: Prices, ada: UUID, days_late: float, fires: bool
) -> None:
    await rule_of(database, ada, "crosses_above", "100", key=await item(database))
    await prices.come(price("99", 0, source="cardmarket"))
    await prices.come(price("101", 10, source="cardmarket"), accepted_at=at(10) + days_late * DAY)
    assert await alerts(database) == ([(10, "101")] if fires else [])


async def test_a_rule_looks_at_the_kind_and_source_that_it_names(database: Database, prices: Prices, ada: UUID) -> None:
    await prices.come(price("99", 0), price("99", 0, source="other"), price("99", 0, kind="sale"))
    async with database.transaction() as transaction:
        source_id = await transaction.connection.scalar(text("SELECT id FROM prices.sources WHERE code = 'other'"))
    key = await item(database)
    of_source = await rule_of(database, ada, "crosses_above", "100", key=key, source_id=source_id)
    of_kind = await rule_of(database, ada, "crosses_above", "100", key=key, price_kind="sale")
    of_all = await rule_of(database, ada, "crosses_above", "100", key=key)

    await prices.come(price("101", 1), price("102", 1, source="other"), price("103", 1, kind="sale"))

    assert await alerts(database, rule_id=of_source) == [(1, "102")]
    assert await alerts(database, rule_id=of_kind) == [(1, "103")]
    assert sorted(await alerts(database, rule_id=of_all)) == [(1, "101"), (1, "102"), (1, "103")]


async def watchlist_of(database: Database, owner_id: UUID, item_id: UUID, variant_id: UUID | None = None) -> UUID:
    watchlist_id = new_id()
    async with database.transaction() as transaction:
        connection = transaction.connection
        await connection.execute(
            insert(Watchlist).values(id=watchlist_id, owner_id=owner_id, name=str(watchlist_id), position=1)
        )
        entry = {"owner_id": owner_id, "watchlist_id": watchlist_id, "item_id": item_id, "variant_id": variant_id}
        await connection.execute(insert(WatchlistItem).values(id=new_id(), position=1, **entry))
    return watchlist_id


async def test_each_target_watches_each_series_of_its_variants_by_itself(
    database: Database, prices: Prices, ada: UUID
) -> None:
    foil = await variant(database, "lantern-old", "foil")
    old = await item(database, "lantern-old")
    async with database.transaction() as transaction:
        set_id = await transaction.connection.scalar(text("SELECT id FROM catalogue.card_sets WHERE code = 'TW1'"))
    rules = {
        "item": await rule_of(database, ada, "at_or_below", "5", key=old),
        "variant": await rule_of(database, ada, "at_or_below", "5", target=RuleTarget.VARIANT, key=foil),
        "set": await rule_of(database, ada, "at_or_below", "5", target=RuleTarget.CARD_SET, key=set_id),
    }
    for name, variant_id in (("list", None), ("list of foils", foil)):
        key = await watchlist_of(database, ada, old, variant_id)
        rules[name] = await rule_of(database, ada, "at_or_below", "5", target=RuleTarget.WATCHLIST, key=key)
    plain = {"item": "lantern-old"}
    shiny = {"item": "lantern-old", "variant": "foil"}
    other = {"item": "lantern-new"}
    await prices.come(*(price("6", 0, **which) for which in (plain, shiny, other)))

    await prices.come(price("5", 1, **plain), price("4", 1, **shiny), price("3", 1, **other))

    fired = {name: sorted(await alerts(database, rule_id=rule_id)) for name, rule_id in rules.items()}
    both = [(1, "4"), (1, "5")]
    assert fired == {
        "item": both,
        "variant": [(1, "4")],
        "set": both,
        "list": both,
        "list of foils": [(1, "4")],
    }


async def rate(database: Database, units: str, on: date, currency: str = "USD") -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(StoredExchangeRate).values(
                currency=currency, rate_date=on, units_per_eur=Decimal(units), source="ECB"
            )
        )


async def test_a_price_in_another_currency_counts_at_the_rate_of_its_day(
    database: Database, prices: Prices, ada: UUID
) -> None:
    await rate(database, "2", NOON.date() - DAY)
    await rule_of(database, ada, "crosses_above", "50", key=await item(database), currency="EUR")
    await rule_of(database, ada, "crosses_above", "50", key=await item(database), currency="GBP")
    await prices.come(price("99", 0))
    await prices.come(price("101", 1))
    assert await alerts(database, "old_value", "new_value", "currency", "observed_price", "observed_currency") == [
        (Decimal("49.5"), Decimal("50.5"), "EUR", Decimal(101), "USD")
    ]


async def test_a_rate_that_moves_fires_with_the_next_price_and_not_by_itself(
    database: Database, prices: Prices, ada: UUID
) -> None:
    await rate(database, "2", NOON.date() - DAY)
    await rule_of(database, ada, "crosses_above", "50", key=await item(database), currency="EUR")
    await prices.come(price("99", 0))
    # It is published in the course of the day, and makes 66 euros of the 99 dollars.
    await rate(database, "1.5", NOON.date())
    assert await alerts(database) == []
    await prices.come(price("99.5", 200))
    await prices.come(price("99.6", 201))
    assert [minute for minute, _ in await alerts(database)] == [200]


async def test_a_crossing_in_another_currency_is_from_the_price_before_whenever_that_was(
    database: Database, prices: Prices, ada: UUID
) -> None:
    await rate(database, "2", NOON.date() - DAY)
    await rule_of(database, ada, "crosses_above", "50", key=await item(database), currency="EUR")
    # The rule remembers the second price, and is far from the third, which it is not held against.
    for amount, minute in (("101", 0), ("99", 1), ("30", 2), ("102", 3 * 1440)):
        await prices.come(price(amount, minute))
    assert await alerts(database, "old_value", "new_value") == [(Decimal(15), Decimal(51))]


async def test_hysteresis_and_cooldown_are_remembered_from_batch_to_batch(
    database: Database, prices: Prices, ada: UUID
) -> None:
    key = await item(database)
    banded = await rule_of(database, ada, "crosses_above", "100", key=key, hysteresis="5")
    cooling = await rule_of(database, ada, "crosses_above", "100", key=key, cooldown_minutes=10)
    for minute, value in enumerate(["99", "101", "96", "101", "95", "101"]):
        await prices.come(price(value, minute))
    await prices.come(price("99", 20))
    await prices.come(price("101", 21))
    assert await alerts(database, rule_id=banded) == [(1, "101"), (5, "101")]
    assert await alerts(database, rule_id=cooling) == [(1, "101"), (21, "101")]


async def test_a_state_that_follows_from_the_price_again_is_forgotten(
    database: Database, prices: Prices, ada: UUID
) -> None:
    await rule_of(database, ada, "crosses_above", "100", key=await item(database), hysteresis="5")
    await prices.come(*each(["99", "101", "99"]))
    assert await count_of(database, "alerts.price_states") == 1
    await prices.come(price("94", 5))
    assert await count_of(database, "alerts.price_states") == 0


@pytest.mark.parametrize(
    "columns",
    [
        {"is_active": False, "paused_at": NOON},
        {"expires_at": at(1)},
        {"watches_from": at(1.5)},
    ],
    ids=["paused", "expired", "made after the price came"],
)
async def test_a_rule_that_does_not_count_now_does_not_fire(
    database: Database, prices: Prices, ada: UUID, columns: dict[str, Any]
) -> None:
    await rule_of(database, ada, "crosses_above", "100", key=await item(database), **columns)
    await prices.come(price("99", 0))
    await prices.come(price("101", 1))
    assert await alerts(database) == []


async def test_a_rule_that_is_to_fire_once_fires_once_over_two_series_of_a_batch(
    database: Database, prices: Prices, ada: UUID
) -> None:
    rule_id = await rule_of(database, ada, "crosses_above", "100", key=await item(database), is_recurring=False)
    await prices.come(price("99", 0), price("99", 0, kind="sale"))
    await prices.come(price("101", 2), price("102", 1, kind="sale"))
    await prices.come(*each(["98", "103"], begin=3))
    assert await alerts(database) == [(1, "102")]
    async with database.transaction() as transaction:
        row = (
            await transaction.connection.execute(
                text("SELECT is_active, fired_count FROM alerts.rules WHERE id = :id"), {"id": rule_id}
            )
        ).one()
    assert tuple(row) == (False, 1)


async def test_a_rule_that_is_to_fire_once_fires_once_over_two_batches_at_a_time(
    database: Database, prices: Prices, ada: UUID
) -> None:
    await rule_of(database, ada, "crosses_above", "100", key=await item(database), is_recurring=False)
    await prices.come(price("99", 0), price("99", 0, kind="sale"))
    batches = [await prices.accept(price("101", 1)), await prices.accept(price("102", 1, kind="sale"))]
    await asyncio.gather(*(prices.process(batch_id) for batch_id in batches))
    assert len(await alerts(database)) == 1


async def test_a_rule_that_is_made_while_a_batch_is_taken_in_begins_at_the_new_price(
    database: Database, prices: Prices, ada: UUID
) -> None:
    await prices.come(price("99", 0))
    batch_id = await prices.accept(price("101", 1))
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("SELECT id FROM prices.price_series FOR UPDATE"))
        processing = asyncio.create_task(prices.process(batch_id))
        await until_somebody_waits(database)
        await rule_of(database, ada, "crosses_above", "100", key=await item(database), watches_from=at(2))
    await processing
    await prices.come(price("102", 3))
    assert await alerts(database) == []
    await prices.come(*each(["99", "103"], begin=4))
    assert await alerts(database) == [(5, "103")]


async def test_what_a_rule_forgot_while_a_batch_was_taken_in_stays_forgotten(
    database: Database, prices: Prices, ada: UUID
) -> None:
    """Somebody gives a rule that is triggered another threshold while a batch is held against it."""
    rule_id = await rule_of(database, ada, "crosses_above", "100", key=await item(database), hysteresis="50")
    await prices.come(price("99", 0))
    await prices.come(price("101", 1))
    batch_id = await prices.accept(price("99", 2))
    async with database.transaction() as transaction:
        connection = transaction.connection
        await connection.execute(text("DELETE FROM alerts.price_states"))
        await connection.execute(
            update(Rule)
            .where(Rule.id == rule_id)
            .values(threshold=Decimal(110), hysteresis=Decimal(0), version=2, reach_low=110, reach_high=110)
        )
        processing = asyncio.create_task(prices.process(batch_id))
        await until_somebody_waits(database)
    await processing
    assert await count_of(database, "alerts.price_states") == 0
    await prices.come(price("111", 3))
    assert await alerts(database) == [(1, "101"), (3, "111")]


async def test_what_a_rule_over_changes_forgot_while_a_batch_was_taken_in_stays_forgotten(
    database: Database, prices: Prices, ada: UUID
) -> None:
    await rule_of(database, ada, "rises_by", "10", key=await item(database), window_minutes=60)
    for amount, minute in (("100", -70), ("120", 0)):
        await prices.come(price(amount, minute))
    batch_id = await prices.accept(price("121", 1))
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("DELETE FROM alerts.price_states"))
        await transaction.connection.execute(update(Rule).values(threshold=Decimal(30), version=2))
        processing = asyncio.create_task(prices.process(batch_id))
        await until_somebody_waits(database)
    await processing
    async with database.transaction() as transaction:
        remembered = await transaction.connection.scalars(text("SELECT is_triggered FROM alerts.price_states"))
        assert remembered.all() == [False]


async def test_candles_are_observed_by_their_closes(database: Database, prices: Prices, ada: UUID) -> None:
    await rule_of(database, ada, "crosses_level", "100", key=await item(database))
    five = timedelta(minutes=5)
    candles = [
        candle("aurum", NOON + number * five, five, f"100 {max(close, 100)} {min(close, 100)} {close}")
        for number, close in enumerate([99, 101, 98])
    ]
    await prices.come(*candles, accepted_at=at(15), kind=BatchKind.CANDLES)
    # The last one goes on, and is another price each time.
    running = candle("aurum", NOON + 3 * five, five, "98 103 98 103")
    await prices.come(running, accepted_at=at(17), kind=BatchKind.CANDLES)
    assert await alerts(database) == [(10, "101"), (15, "98"), (17, "103")]


async def test_a_close_is_known_from_the_end_of_its_candle_on(database: Database, prices: Prices, ada: UUID) -> None:
    await rule_of(database, ada, "rises_by", "50", key=await item(database), window_minutes=10)
    five = timedelta(minutes=5)
    candles = [
        candle("aurum", NOON + number * five, five, f"{close} {close} {close} {close}")
        for number, close in enumerate([100, 50, 100, 160])
    ]
    await prices.come(*candles, accepted_at=at(20), kind=BatchKind.CANDLES)
    assert await alerts(database, "observed_at", "base_value") == [(at(20), Decimal(50))]


async def want_of(database: Database, owner_id: UUID, variant_id: UUID, **columns: object) -> UUID:
    want_id = new_id()
    values = {"maximum_price": Decimal(5), "currency": "USD"} | columns
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Want).values(id=want_id, owner_id=owner_id, variant_id=variant_id, **values)
        )
    return want_id


async def test_a_want_is_met_by_a_price_at_or_below_its_maximum(database: Database, prices: Prices, ada: UUID) -> None:
    await rate(database, "2", NOON.date() - DAY)
    new = await variant(database, "lantern-new")
    async with database.transaction() as transaction:
        bob = await add_person(transaction.connection, username="bob")
    wanted = await want_of(database, ada, new)
    await want_of(database, bob, new)
    in_euros = await want_of(database, ada, await variant(database, "aurum"), maximum_price=Decimal(40), currency="EUR")
    await want_of(database, ada, await variant(database, "argent"), maximum_price=None, currency=None)
    await rule_of(database, ada, "want_met", None, target=RuleTarget.WANT, key=wanted, currency=None)
    of_all = await rule_of(database, ada, "want_met", None, target=RuleTarget.WANTS, currency=None)
    for minute, (card_price, coin_price) in enumerate([("6", "81"), ("5", "80"), ("4", "79")]):
        await prices.come(
            price(card_price, minute, item="lantern-new"),
            price(coin_price, minute),
            price(card_price, minute, item="argent"),
            price("1", minute, item="lantern-new", kind="bid"),
        )
    fired = await alerts(database, "want_id", "new_value", "currency", "owner_id", rule_id=of_all)
    assert sorted(fired, key=lambda row: row[2]) == [
        (in_euros, Decimal(40), "EUR", ada),
        (wanted, Decimal(5), "USD", ada),
    ]
    assert len(await alerts(database)) == 3


@pytest.mark.parametrize(("any_print", "minutes"), [(False, []), (True, [1, 2])])
async def test_a_want_of_any_print_is_met_by_the_other_prints(
    database: Database, prices: Prices, ada: UUID, any_print: bool, minutes: list[int]
) -> None:
    await want_of(database, ada, await variant(database, "lantern-old"), accepts_any_print=any_print)
    await rule_of(database, ada, "want_met", None, target=RuleTarget.WANTS, currency=None)
    foil = {"item": "lantern-old", "variant": "foil"}
    # It has the same name for rules, in another game.
    foreign = {"item": "lantern-foreign"}
    await prices.come(price("6", 0, item="lantern-new"), price("6", 0, **foil), price("6", 0, **foreign))
    await prices.come(price("5", 1, item="lantern-new"))
    await prices.come(price("5", 2, **foil))
    await prices.come(price("5", 3, **foreign))
    assert [minute for minute, _ in await alerts(database)] == minutes


@pytest.mark.parametrize(("minimum", "fires"), [("mint", False), ("near_mint", True), ("excellent", True)])
async def test_a_want_of_a_condition_is_met_by_that_or_a_better_one(
    database: Database, prices: Prices, ada: UUID, minimum: str, fires: bool
) -> None:
    await saved(database, coin("obol", symbol="CCC", variants=(NewVariant("near-mint", "Near Mint"),)))
    await want_of(database, ada, await variant(database, "obol", "near-mint"), minimum_condition=minimum)
    await rule_of(database, ada, "want_met", None, target=RuleTarget.WANTS, currency=None)
    for minute, amount in enumerate(["6", "5"]):
        await prices.come(price(amount, minute, item="obol", variant="near-mint"))
    assert await alerts(database) == ([(1, "5")] if fires else [])


async def two_wants_of_one_card(database: Database, owner_id: UUID, **columns: object) -> tuple[UUID, UUID]:
    """A want of one print, and one of another that any print would do for: the same series are of both."""
    of_any = await want_of(
        database, owner_id, await variant(database, "lantern-old"), accepts_any_print=True, **columns
    )
    of_one = await want_of(
        database, owner_id, await variant(database, "lantern-new"), **{"maximum_price": Decimal(4)} | columns
    )
    return of_any, of_one


@pytest.mark.parametrize(("amounts", "currency"), [(["6", "5", "4"], "USD"), (["12", "10", "8"], "EUR")])
async def test_two_wants_that_one_price_is_of_are_met_each_by_itself(
    database: Database, prices: Prices, ada: UUID, amounts: list[str], currency: str
) -> None:
    await rate(database, "2", NOON.date() - DAY)
    of_any, of_one = await two_wants_of_one_card(database, ada, currency=currency)
    await rule_of(database, ada, "want_met", None, target=RuleTarget.WANTS, currency=None)
    for minute, amount in enumerate(amounts):
        await prices.come(price(amount, minute, item="lantern-new"))
    assert await alerts(database, "want_id", "new_value") == [(of_any, Decimal(5)), (of_one, Decimal(4))]


async def test_each_of_two_wants_that_one_price_is_of_rests_by_itself(
    database: Database, prices: Prices, ada: UUID
) -> None:
    of_any, of_one = await two_wants_of_one_card(database, ada)
    await rule_of(database, ada, "want_met", None, target=RuleTarget.WANTS, currency=None, cooldown_minutes=10)
    for minute, amount in ((0, "6"), (1, "5"), (2, "6"), (3, "4"), (4, "6"), (11, "5"), (12, "4")):
        await prices.come(price(amount, minute, item="lantern-new"))
    fired = await alerts(database, "observed_at", "want_id")
    assert fired == [(at(1), of_any), (at(3), of_one), (at(11), of_any)]


async def test_a_price_that_was_below_a_raised_maximum_already_does_not_meet_the_want_again(
    database: Database, prices: Prices, ada: UUID
) -> None:
    wanted = await want_of(database, ada, await variant(database, "lantern-new"))
    await rule_of(database, ada, "want_met", None, target=RuleTarget.WANTS, currency=None, cooldown_minutes=2)
    for minute, amount in enumerate(["6", "5", "9"]):
        await prices.come(price(amount, minute, item="lantern-new"))
    async with database.transaction() as transaction:
        changed = update(Want).where(Want.id == wanted).values(maximum_price=Decimal(10))
        await transaction.connection.execute(changed)
    await prices.come(*each(["8", "11", "9"], begin=5, item="lantern-new"))
    assert await alerts(database) == [(1, "5"), (7, "9")]


async def test_a_change_is_held_against_the_price_a_window_ago(database: Database, prices: Prices, ada: UUID) -> None:
    key = await item(database)
    rises = await rule_of(database, ada, "rises_by", "10", key=key, window_minutes=60)
    falls = await rule_of(database, ada, "falls_by", "10", key=key, window_minutes=60)
    for value, minute in (("111", -90), ("100", 0), ("105", 30), ("111", 65), ("112", 66), ("90", 130)):
        await prices.come(price(value, minute))
    # The first change that is known, a fall from 111 to 100, does not fire.
    columns = ("old_value", "new_value", "base_value", "observed_price")
    assert await alerts(database, *columns, rule_id=rises) == [
        (Decimal("-5.405405"), Decimal(11), Decimal(100), Decimal(111))
    ]
    assert await alerts(database, *columns, rule_id=falls) == [
        (Decimal(12), Decimal("-19.642857"), Decimal(112), Decimal(90))
    ]


async def test_what_had_changed_when_a_rule_began_is_its_first_observation(
    database: Database, prices: Prices, ada: UUID
) -> None:
    key = await item(database)
    await prices.come(*(price(value, minute) for value, minute in (("100", -70), ("200", -55))))
    # The price of minute 3 is older than the rule, and comes in after it was made.
    doubled = await rule_of(database, ada, "rises_by", "10", key=key, window_minutes=60, watches_from=at(10))
    await prices.come(price("210", 3), accepted_at=at(12))
    assert await alerts(database, rule_id=doubled) == []
    level = await rule_of(database, ada, "rises_by", "10", key=key, window_minutes=30, watches_from=at(40))
    await prices.come(price("250", 45))
    assert await alerts(database, "old_value", "base_value", rule_id=level) == [(Decimal(0), Decimal(210))]


async def test_a_change_that_only_time_brings_about_is_seen_by_the_clock(
    database: Database, prices: Prices, ada: UUID
) -> None:
    rule_id = await rule_of(database, ada, "rises_by", "10", key=await item(database), window_minutes=60)
    await prices.come(price("100", 0))
    await prices.come(price("80", 30))
    await prices.come(price("95", 61))

    async def look(minute: float) -> int:
        async with database.transaction() as transaction:
            fired = await look_at_windows(transaction, limit=10, now=at(minute))
            return len(await record_alerts(transaction, fired))

    assert [await look(minute) for minute in (70, 70.5, 91, 92, 93)] == [0, 0, 1, 0, 0]
    [(new_value, base)] = await alerts(database, "new_value", "base_value", rule_id=rule_id)
    assert (new_value, base) == (Decimal("18.75"), Decimal(80))
    async with database.transaction() as transaction:
        next_look_at = await transaction.connection.scalar(text("SELECT next_look_at FROM alerts.rules"))
    assert next_look_at == at(94)


async def test_the_clock_looks_at_the_series_that_each_target_has(
    database: Database, prices: Prices, ada: UUID
) -> None:
    old, foil = await item(database, "lantern-old"), await variant(database, "lantern-old", "foil")
    plain = {"item": "lantern-old"}
    shiny = {"item": "lantern-old", "variant": "foil"}
    series: list[dict[str, Any]] = [plain, shiny, plain | {"kind": "sale"}, plain | {"source": "other"}]
    for amount, minute in (("100", 0), ("80", 30), ("95", 61)):
        await prices.come(*(price(amount, minute, **one) for one in series))
    async with database.transaction() as transaction:
        source_id = await transaction.connection.scalar(text("SELECT id FROM prices.sources WHERE code = 'other'"))
        set_id = await transaction.connection.scalar(text("SELECT id FROM catalogue.card_sets WHERE code = 'TW1'"))
    lists = [await watchlist_of(database, ada, old, one) for one in (None, foil)]
    since: dict[str, Any] = {"window_minutes": 60, "watches_from": at(62)}
    targets: dict[str, dict[str, Any]] = {
        "item": {"key": old},
        "kind": {"key": old, "price_kind": "sale"},
        "source": {"key": old, "source_id": source_id},
        "variant": {"target": RuleTarget.VARIANT, "key": foil},
        "set": {"target": RuleTarget.CARD_SET, "key": set_id},
        "list": {"target": RuleTarget.WATCHLIST, "key": lists[0]},
        "list of foils": {"target": RuleTarget.WATCHLIST, "key": lists[1]},
        "paused": {"key": old, "is_active": False, "paused_at": NOON},
        "expired": {"key": old, "expires_at": at(91)},
    }
    rules = {name: await rule_of(database, ada, "rises_by", "10", **one, **since) for name, one in targets.items()}
    async with database.transaction() as transaction:
        await look_at_windows(transaction, limit=20, now=at(70))
        await transaction.connection.execute(update(Rule).values(next_look_at=at(91)))
        fired = await look_at_windows(transaction, limit=20, now=at(91))
    counts = {name: sum(one.rule_id == rule_id for one in fired) for name, rule_id in rules.items()}
    assert counts == {
        "item": 4, "kind": 1, "source": 1, "variant": 1, "set": 4, "list": 4, "list of foils": 1, "paused": 0,
        "expired": 0,
    }  # fmt: skip


async def test_nothing_is_asked_for_where_nobody_watches(database: Database, prices: Prices) -> None:
    await prices.come(price("99", 0))
    await prices.come(price("101", 1))
    assert await count_of(database, "alerts.alerts") == 0


async def test_a_waiting_batch_that_is_processed_by_two_workers_fires_once(
    database: Database, prices: Prices, ada: UUID
) -> None:
    await rule_of(database, ada, "crosses_above", "100", key=await item(database))
    await prices.come(price("99", 0))
    for _ in range(2):
        await prices.accept(price("101", 1))
    await asyncio.gather(*(process_waiting_batches(database, WATCHED_PRICE_BATCHES) for _ in range(2)))
    assert await alerts(database) == [(1, "101")]


async def test_the_clock_passes_over_series_that_prices_are_coming_into(
    database: Database, prices: Prices, ada: UUID
) -> None:
    await rule_of(database, ada, "rises_by", "10", key=await item(database), window_minutes=60)
    for value, minute in (("100", 0), ("80", 30), ("95", 61)):
        await prices.come(price(value, minute))
    async with database.transaction() as batch:
        await batch.connection.execute(text("SELECT id FROM prices.price_series FOR UPDATE"))
        async with database.transaction() as transaction:
            assert await look_at_windows(transaction, limit=10, now=at(91)) == []
    async with database.transaction() as transaction:
        assert [fired.base_value for fired in await look_at_windows(transaction, limit=10, now=at(92))] == [Decimal(80)]


async def test_the_clock_waits_for_a_merge_before_it_takes_rules(database: Database, prices: Prices, ada: UUID) -> None:
    merged = await item(database)
    await rule_of(database, ada, "rises_by", "10", key=merged, window_minutes=60)
    await prices.come(price("100", 0), price("100", 0, item="argent"))
    looks: list[asyncio.Task[object]] = []

    async def look() -> None:
        async with database.transaction() as transaction:
            await look_at_windows(transaction, limit=10, now=at(30))

    async def look_meanwhile(_: Transaction, __: Merge) -> None:
        looks.append(asyncio.create_task(look()))
        await until_somebody_waits(database)

    async with database.transaction() as transaction:
        await merge_items(
            transaction,
            winner_id=await item(database, "argent"),
            loser_id=merged,
            editor_id=None,
            followers=[merge_variants, look_meanwhile, take_over_rules],
        )
    await asyncio.gather(*looks)


async def test_the_clock_takes_few_wide_rules_at_a_time_and_the_others_all_the_same(
    database: Database, prices: Prices, ada: UUID
) -> None:
    async with database.transaction() as transaction:
        card_set = await transaction.connection.scalar(text("SELECT id FROM catalogue.card_sets WHERE code = 'TW2'"))
    wide = [
        await rule_of(
            database, ada, "rises_by", "10", target=RuleTarget.CARD_SET, key=card_set, window_minutes=60,
            next_look_at=at(minute),
        )
        for minute in range(3)
    ]  # fmt: skip
    await rule_of(database, ada, "rises_by", "10", key=await item(database), window_minutes=60, next_look_at=at(9))
    async with database.transaction() as transaction:
        await look_at_windows(transaction, limit=10, now=at(10), most_wide=2)
        due = select(Rule.id).where(Rule.next_look_at <= at(10))
        assert list(await transaction.connection.scalars(due)) == [wide[2]]


async def test_a_batch_is_held_against_rules_some_series_at_a_time(
    database: Database, prices: Prices, ada: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_prices, "SERIES_AT_A_TIME", 2)
    slugs = ("aurum", "argent", "lantern-new")
    for slug in slugs:
        await rule_of(database, ada, "crosses_above", "100", key=await item(database, slug), is_recurring=False)
    for minute, amount in enumerate(["99", "101"]):
        await prices.come(*(price(amount, minute, item=slug) for slug in slugs))
    assert await alerts(database) == [(1, "101")] * 3


# --- what fails ---------------------------------------------------------------------------------------------------


async def test_a_change_between_absurd_prices_at_absurd_rates_does_not_keep_prices_back(
    database: Database, prices: Prices, ada: UUID
) -> None:
    least, most = "0.000000000000000001", "1000000000000000"
    await saved(database, coin("bitcoin", symbol="BTC"), coin("ether", symbol="ETH"))
    rule_id = await rule_of(
        database, ada, "rises_by", "10", currency="BTC", window_minutes=2 * 1440, key=await item(database)
    )
    for minute, bitcoin, ether, amount in (
        (-8 * 1440, "1", "1", most),
        (-6 * 1440, "1", "1", least),
        (-3 * 1440, most, least, least),
        (0, least, most, most),
    ):
        for slug, rate_price in (("bitcoin", bitcoin), ("ether", ether)):
            await prices.come(price(rate_price, minute - 1440, item=slug, currency="EUR"))
        await prices.come(price(amount, minute, currency="ETH"))
    assert await alerts(database, "rule_id", "observed_price") == [(rule_id, Decimal(most))]
    [[percent]] = await alerts(database, "new_value")
    # From 10^-18 ETH of 10^-33 BTC each to 10^15 ETH of 10^33 BTC each.
    assert percent.adjusted() == 101


async def test_a_rule_that_fails_keeps_neither_prices_nor_other_rules_back(
    database: Database, prices: Prices, ada: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await item(database)
    kept = [await rule_of(database, ada, condition, "100", key=key) for condition in ("crosses_above", "crosses_level")]
    failing = [
        await rule_of(database, ada, "crosses_above", "100.5", key=key),
        await rule_of(database, ada, "rises_by", "1", key=key, window_minutes=60),
    ]
    await prices.come(price("99", -61))

    def stumbling(made: Any) -> Any:
        def watch_of(rule: Any) -> Any:
            if rule.rule_id in failing:
                raise KeyError("of Ada's 1234.56")
            return made(rule)

        return watch_of

    for module in ("watch_prices", "hold_over_changes"):
        path = f"app.alerts.commands.{module}"
        monkeypatch.setattr(f"{path}.watch_of", stumbling(importlib.import_module(path).watch_of))
    with capture_logs() as logs:
        await prices.come(price("101", 0))
    assert sorted(await alerts(database, "rule_id")) == sorted((rule_id,) for rule_id in kept)
    told_of = {(one["event"], one["look"], one["rule"], one["reason"]) for one in logs}
    assert told_of == {("alert_rule_failed", "prices", str(rule_id), "KeyError") for rule_id in failing}
    assert "1234" not in str(logs)
    monkeypatch.undo()
    await prices.come(price("99", 1), price("101", 2))
    assert len(await alerts(database, rule_id=failing[0])) == 1


# --- what became one with another -----------------------------------------------------------------------------------


async def test_alerts_lead_to_the_item_the_variant_the_series_and_the_want_that_took_over(
    database: Database, prices: Prices, ada: UUID
) -> None:
    old, new = await item(database), await item(database, "argent")
    old_variant, new_variant, own_variant = [
        await variant(database, slug, key) for slug, key in (("aurum", None), ("argent", None), ("aurum", "minted"))
    ]
    async with database.transaction() as transaction:
        wanted, other = [
            (
                await transaction.connection.execute(
                    insert(Want)
                    .values(owner_id=ada, variant_id=key, maximum_price=Decimal(50), currency="USD")
                    .returning(Want.id)
                )
            ).scalar_one()
            for key in (old_variant, new_variant)
        ]
    of_item = await rule_of(database, ada, "crosses_above", "100", key=old)
    of_want = await rule_of(database, ada, "want_met", None, target=RuleTarget.WANT, key=wanted, currency=None)
    for minute, amount in enumerate(("99", "101", "50")):
        await prices.come(price(amount, minute), price(amount, minute, variant="minted"))
    await prices.come(price("60", 3, item="argent"))
    assert len(await alerts(database)) == 3

    async with database.transaction() as transaction:
        await merge_items(
            transaction,
            winner_id=new,
            loser_id=old,
            editor_id=None,
            followers=[merge_variants, take_over_variants, merge_wishes, take_over_rules],
        )

    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(text("SELECT variant_id, id FROM prices.price_series"))
        series = {row.variant_id: row.id for row in rows}
    assert series.keys() == {new_variant, own_variant}
    columns = ("rule_id", "item_id", "variant_id", "series_id", "want_id")
    assert sorted(await alerts(database, *columns), key=str) == sorted(
        [
            (of_item, new, new_variant, series[new_variant], None),
            (of_item, new, own_variant, series[own_variant], None),
            (of_want, new, new_variant, series[new_variant], other),
        ],
        key=str,
    )
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Rule).values(watches_from=NOON))
    await prices.come(price("55", 4, item="argent"), price("49", 5, item="argent"))
    assert len(await alerts(database, rule_id=of_want)) == 2
