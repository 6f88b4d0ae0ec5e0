"""What each kind of rule says of itself once something was held against it."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, text, update

from app.alerts.given import CHANGES, CONDITIONS_OF, PRICED
from app.alerts.models import Condition, RuleTarget
from app.alerts.queries.evaluations import AskedRule, Evaluated, Evaluation, RuleState, evaluations_of
from app.catalogue.new_items import CardDetails, NewCardSet, NewItem, NewVariant
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import new_id
from app.notifications.commands.preorder_alerts import tell_of_release
from app.notifications.commands.tracker_alerts import tell_of_trackers
from app.portfolios.commands.preorders import add_preorder, reschedule_preorder
from app.portfolios.given_wishes import release_day
from app.portfolios.models import Holding, Snapshot
from app.portfolios.wish_models import Want, Watchlist, WatchlistItem
from tests.alerts.price_builders import NOON, Prices, alerts, at, each, price, rule_of
from tests.alerts.watching import rule
from tests.catalogue.builders import saved
from tests.identity.builders import add_person
from tests.portfolios.builders import portfolio_of
from tests.trackers.history_builders import (
    MONDAY,
    TestPlace,
    Told,
    minutes,
    north,
    save_client,
    save_place,
    save_run,
    save_tracker,
    take_in,
)
from workers.alerts import AlertClock

DAY = timedelta(days=1)


@pytest.fixture
async def lantern(database: Database) -> NewItem:
    """A card of a set."""
    details = CardDetails(game="Tidewatch", card_set=NewCardSet("TW1", "TW1"), number="1")
    card = NewItem(slug="lantern", name="Lantern", details=details, variants=(NewVariant("foil", "Foil"),))
    await saved(database, card)
    return card


@pytest.fixture
async def ada(lantern: NewItem, database: Database) -> UUID:
    """Somebody."""
    async with database.transaction() as transaction:
        return await add_person(transaction.connection, username="ada")


async def scalar(database: Database, statement: str) -> Any:
    async with database.transaction() as transaction:
        return await transaction.connection.scalar(text(statement))


async def default_variant(database: Database) -> UUID:
    return UUID(str(await scalar(database, "SELECT id FROM catalogue.item_variants WHERE is_default")))


async def state_of(database: Database, rule_id: UUID) -> Evaluation:
    asked = AskedRule(rule_id, utc_now())
    async with database.transaction() as transaction:
        return (await evaluations_of(transaction.connection, [asked]))[asked]


async def wanted(database: Database, owner_id: UUID, **columns: Any) -> UUID:
    want_id = new_id()
    values = {"maximum_price": Decimal(5), "currency": "USD", "variant_id": await default_variant(database)} | columns
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(Want).values(id=want_id, owner_id=owner_id, **values))
    return want_id


async def held(database: Database, owner_id: UUID, *, quantity: int = 1) -> UUID:
    """A holding of the card, in a portfolio of its own."""
    holding_id = new_id()
    async with database.transaction() as transaction:
        portfolio_id = await portfolio_of(transaction.connection, owner_id)
        await transaction.connection.execute(
            insert(Holding).values(
                id=holding_id,
                owner_id=owner_id,
                portfolio_id=portfolio_id,
                variant_id=await default_variant(database),
                position=0,
                quantity=quantity,
            )
        )
    return holding_id


async def test_once_a_value_came_every_kind_of_rule_knows_what_it_is(database: Database, ada: UUID) -> None:
    variant_id = await default_variant(database)
    watchlist_id = new_id()
    await held(database, ada)
    async with database.transaction() as transaction:
        connection = transaction.connection
        await transaction.connection.execute(text("SET LOCAL ROLE trove_migrator"))
        item_id = await connection.scalar(text("SELECT id FROM catalogue.items"))
        await connection.execute(insert(Watchlist).values(id=watchlist_id, owner_id=ada, name="Shelf", position=0))
        entry = {"watchlist_id": watchlist_id, "owner_id": ada, "item_id": item_id, "position": 0}
        await connection.execute(insert(WatchlistItem).values(id=new_id(), **entry))
        client_id = await save_client(transaction)
        await connection.execute(
            text(
                "INSERT INTO trackers.memberships (id, client_id, user_id, role) VALUES (:id, :client, :user, 'viewer')"
            ),
            {"id": new_id(), "client": client_id, "user": ada},
        )
        run_id = await save_run(transaction, client_id)
        tracker_id = await save_tracker(transaction, client_id, run_id=run_id, created_at=minutes(-60))
        shop = await save_place(transaction, client_id, TestPlace(50, 10, kind="delivery"))
        await save_place(transaction, client_id, TestPlace(51, 10))
        portfolio_id = await connection.scalar(text("SELECT id FROM portfolios.portfolios"))
        today = utc_now().date()
        values = {"portfolio_id": portfolio_id, "owner_id": ada, "currency": "USD", "value": Decimal(50)}
        counts = {"cost": 0, "realized_gain": 0, "net_flow": 0, "holding_count": 1, "unpriced_count": 0}
        await connection.execute(
            insert(Snapshot).values(
                day=today - 3 * DAY, stale_count=0, parts=[], computed_at=utc_now(), **values, **counts
            )
        )
        preorder_id = await add_preorder(
            transaction, {"release": release_day(MONDAY.date())}, owner_id=ada, variant_id=variant_id
        )
    keys: dict[RuleTarget, UUID | None] = {
        RuleTarget.ITEM: item_id,
        RuleTarget.VARIANT: variant_id,
        RuleTarget.CARD_SET: await scalar(database, "SELECT id FROM catalogue.card_sets"),
        RuleTarget.WATCHLIST: watchlist_id,
        RuleTarget.PORTFOLIO: portfolio_id,
        RuleTarget.TRACKER: tracker_id,
        RuleTarget.PLACE: shop,
        RuleTarget.PRODUCTION_RUN: run_id,
        RuleTarget.PREORDER: preorder_id,
        RuleTarget.WANT: await wanted(database, ada, variant_id=await scalar(database, FOIL)),
        RuleTarget.WANTS: None,
    }
    rules: dict[tuple[RuleTarget, Condition], UUID] = {}
    for target, conditions in CONDITIONS_OF.items():
        for condition in conditions:
            columns: dict[str, Any] = {}
            if condition in CHANGES:
                columns["window_minutes"] = 1440 if target is RuleTarget.PORTFOLIO else 60
            if condition is Condition.SILENT_FOR:
                columns |= {"duration_minutes": 60, "next_look_at": NOON}
            if target is RuleTarget.PORTFOLIO:
                columns |= {"threshold": Decimal(60), "currency": "USD", "next_look_at": NOON}
                rules[target, condition] = await rule(database, ada, "portfolio", portfolio_id, condition, **columns)
                continue
            threshold = "60" if target in PRICED else None
            rules[target, condition] = await rule_of(
                database,
                ada,
                condition.value,
                threshold,
                target=target,
                key=keys[target],
                currency=threshold and "USD",
                **columns,
            )
    assert {condition for _, condition in rules} == set(Condition)

    prices = Prices(database)
    for line in (*each(["61", "59"], item="lantern"), price("59", 90, item="lantern")):
        await prices.come(line)
    await prices.come(price("6", 1, item="lantern", variant="foil"), price("6", 90, item="lantern", variant="foil"))
    way = [51, 50, 50, 50 + north(5000), 50 + north(5000)]
    reports = [Told(tracker_id, minutes(10 * number), latitude, 10) for number, latitude in enumerate(way)]
    await take_in(database, reports, now=minutes(50), watch=tell_of_trackers)
    async with database.transaction() as transaction:
        change = await reschedule_preorder(transaction, preorder_id, release_day((MONDAY + DAY).date()), owner_id=ada)
        await tell_of_release(transaction, change)
    clock = AlertClock(database, clock=utc_now)
    await clock.run()
    await clock.stop()

    found = {key: await state_of(database, rule_id) for key, rule_id in rules.items()}
    # Nothing moved in storage.
    never = {key for key in rules if key[1] is Condition.MOVED_IN_STORAGE}
    assert {key for key, now in found.items() if now.state is RuleState.UNKNOWN} == set()
    assert {key for key, now in found.items() if now.last is None} == never


FOIL = "SELECT id FROM catalogue.item_variants WHERE key = 'foil'"


async def test_a_rule_over_wants_says_what_the_newest_price_has_it_be(database: Database, ada: UUID) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            text(
                "INSERT INTO prices.exchange_rates (currency, rate_date, units_per_eur, source) "
                "VALUES ('USD', :day, 2, 'ECB')"
            ),
            {"day": (NOON - DAY).date()},
        )
    want_id = await wanted(database, ada, currency="EUR")
    one = await rule_of(database, ada, "want_met", None, target=RuleTarget.WANT, key=want_id, currency=None)
    every = await rule_of(database, ada, "want_met", None, target=RuleTarget.WANTS, currency=None)
    prices = Prices(database)
    assert await state_of(database, one) == Evaluation(RuleState.UNKNOWN, None)
    for minute, (amount, state) in enumerate([("12", RuleState.ARMED), ("10", RuleState.TRIGGERED)]):
        await prices.come(price(amount, minute, item="lantern"), price("1", minute, item="lantern", kind="bid"))
        for rule_id in (one, every):
            assert await state_of(database, rule_id) == Evaluation(state, Evaluated(at(minute), Decimal(amount) / 2))
    assert len(await alerts(database)) == 2


async def test_a_want_that_is_fulfilled_tells_nothing_until_what_is_held_is_sold(database: Database, ada: UUID) -> None:
    want_id = await wanted(database, ada)
    one = await rule_of(database, ada, "want_met", None, target=RuleTarget.WANT, key=want_id, currency=None)
    every = await rule_of(database, ada, "want_met", None, target=RuleTarget.WANTS, currency=None)
    prices = Prices(database)
    holding_id = await held(database, ada)
    for line in each(["6", "4", "6"], item="lantern"):
        await prices.come(line)
    assert await alerts(database) == []
    # It is met; nothing else is watched by the other.
    assert await state_of(database, one) == Evaluation(RuleState.TRIGGERED, None)
    assert await state_of(database, every) == Evaluation(RuleState.ARMED, None)

    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Holding).where(Holding.id == holding_id).values(quantity=0))
    for line in each(["5", "6", "4"], begin=10, item="lantern"):
        await prices.come(line)
    assert sorted(await alerts(database)) == [(10, "5"), (10, "5"), (12, "4"), (12, "4")]
    assert (await state_of(database, one)).state is RuleState.TRIGGERED
