"""Rules as their owners make, change, pause, resume and delete them, and what is refused of them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from app.alerts.commands.rules import create_rule, delete_rule, edit_rule, pause_rule, resume_rule
from app.alerts.commands.take_over_rules import take_over_rules
from app.alerts.errors import AlertErrorCode
from app.alerts.given import CONDITIONS_OF, Target, Terms
from app.alerts.models import Alert, Condition, Rule, RuleTarget
from app.alerts.personal_data import erase
from app.catalogue.commands.merge_items import merge_items
from app.core.clock import utc_now
from app.core.database import Database
from app.core.ids import new_id
from app.portfolios.commands.preorders import add_preorder
from app.portfolios.commands.wants import add_want, remove_want
from app.portfolios.commands.watchlists import create_watchlist
from app.prices.commands.merge_variants import merge_variants
from app.prices.models import PriceKind
from app.trackers.models import Place
from tests.alerts.builders import refusal_of, remember_price, remembered, row_of, rule_of
from tests.lock_waits import until_somebody_waits
from tests.portfolios.builders import change
from tests.portfolios.wishes_builders import Scene, rate, scene_of
from tests.prices.builders import ingested, point
from tests.trackers.builders import brand_of, client_of, place_of_client, run_of, tracker_of

INVALID, NOT_FOUND = AlertErrorCode.INVALID_INPUT, AlertErrorCode.NOT_FOUND
HOUR = timedelta(hours=1)
CHANGE_OF_A_DAY = {"threshold": Decimal(5), "window": timedelta(days=1)}


@dataclass(frozen=True, slots=True)
class Targets:
    """Ada and Bob, and one thing of each kind that Ada sees: Bob sees those of the catalogue alone."""

    scene: Scene
    keys: Mapping[RuleTarget, UUID | None]

    def __getitem__(self, kind: RuleTarget) -> Target:
        return Target(kind, self.keys[kind])


@pytest.fixture
async def targets(database: Database) -> Targets:
    """Something of each kind."""
    scene = await scene_of(database)
    async with database.transaction() as transaction:
        connection = transaction.connection
        await rate(connection, "USD", "1.25", date(2024, 1, 1))
        client_id = await client_of(connection, scene.ada)
        run_id = await run_of(connection, client_id, await brand_of(connection, client_id))
        keys: dict[RuleTarget, UUID | None] = {
            RuleTarget.ITEM: scene.items["heron"],
            RuleTarget.VARIANT: scene.variant("heron"),
            RuleTarget.WATCHLIST: await create_watchlist(transaction, owner_id=scene.ada, name="Shelf"),
            RuleTarget.PORTFOLIO: scene.portfolio_id,
            RuleTarget.TRACKER: await tracker_of(connection, client_id),
            RuleTarget.PLACE: await place_of_client(connection, client_id),
            RuleTarget.PRODUCTION_RUN: run_id,
            RuleTarget.PREORDER: await add_preorder(
                transaction, {}, owner_id=scene.ada, variant_id=scene.variant("warden")
            ),
            RuleTarget.WANT: await add_want(transaction, {}, owner_id=scene.ada, item_id=scene.items["keeper"]),
            RuleTarget.WANTS: None,
        }
    return Targets(scene, keys)


def usual(condition: Condition) -> dict[str, Any]:
    """What a rule with a condition says at least."""
    if condition in {Condition.RISES_BY, Condition.FALLS_BY}:
        return {"condition": condition, **CHANGE_OF_A_DAY}
    if condition is Condition.SILENT_FOR:
        return {"condition": condition, "duration": HOUR}
    if condition in CONDITIONS_OF[RuleTarget.ITEM]:
        return {"condition": condition, "threshold": Decimal(100), "currency": "EUR"}
    return {"condition": condition}


async def test_each_condition_is_taken_of_the_targets_that_it_makes_sense_of_and_of_no_others(
    database: Database, targets: Targets
) -> None:
    for kind in targets.keys:
        for condition in Condition:
            made = change(database, create_rule, targets[kind], usual(condition), owner_id=targets.scene.ada)
            if condition in CONDITIONS_OF[kind]:
                assert (await row_of(database, await made))["condition"] == condition
            else:
                assert await refusal_of(made) == (INVALID, ["condition"]), (kind, condition)


ABOVE, CHANGE, SILENCE = Condition.CROSSES_ABOVE, Condition.RISES_BY, Condition.SILENT_FOR


@pytest.mark.parametrize(
    ("kind", "condition", "changes"),
    [
        (RuleTarget.ITEM, ABOVE, {"threshold": None}),
        (RuleTarget.ITEM, ABOVE, {"threshold": Decimal(0)}),
        (RuleTarget.ITEM, ABOVE, {"threshold": Decimal("NaN")}),
        (RuleTarget.ITEM, ABOVE, {"threshold": Decimal("1e15") + 1, "reach_high": Decimal("1e16")}),
        (RuleTarget.ITEM, ABOVE, {"threshold": Decimal("99." + "9" * 19)}),
        (RuleTarget.ITEM, ABOVE, {"hysteresis": Decimal("NaN")}),
        (RuleTarget.ITEM, ABOVE, {"currency": None}),
        (RuleTarget.ITEM, ABOVE, {"window_minutes": 60}),
        (RuleTarget.ITEM, ABOVE, {"duration_minutes": 60}),
        (RuleTarget.ITEM, ABOVE, {"reach_low": None, "reach_high": None}),
        (RuleTarget.ITEM, ABOVE, {"reach_low": Decimal(101), "reach_high": Decimal(102)}),
        (RuleTarget.ITEM, ABOVE, {"price_kind": "guess"}),
        (RuleTarget.ITEM, ABOVE, {"condition": "entered"}),
        (RuleTarget.ITEM, ABOVE, {"target": "variant"}),
        (RuleTarget.ITEM, CHANGE, {"threshold": None}),
        (RuleTarget.ITEM, CHANGE, {"threshold": Decimal(1_000_001)}),
        (RuleTarget.ITEM, CHANGE, {"window_minutes": None}),
        (RuleTarget.ITEM, CHANGE, {"next_look_at": None}),
        (RuleTarget.ITEM, CHANGE, {"reach_low": Decimal(1), "reach_high": Decimal(9)}),
        (RuleTarget.ITEM, Condition.FALLS_BY, {"threshold": Decimal(100)}),
        (RuleTarget.PORTFOLIO, ABOVE, {"currency": None}),
        (RuleTarget.PORTFOLIO, ABOVE, {"price_kind": "ask"}),
        (RuleTarget.PORTFOLIO, ABOVE, {"reach_low": Decimal(1), "reach_high": Decimal(101)}),
        (RuleTarget.PORTFOLIO, CHANGE, {"window_minutes": 1_441}),
        (RuleTarget.PORTFOLIO, CHANGE, {"currency": None}),
        (RuleTarget.TRACKER, SILENCE, {"duration_minutes": None}),
        (RuleTarget.TRACKER, SILENCE, {"threshold": Decimal(1)}),
        (RuleTarget.TRACKER, SILENCE, {"next_look_at": None}),
        (RuleTarget.PLACE, Condition.ENTERED, {"condition": "silent_for", "duration_minutes": 60}),
        (RuleTarget.PLACE, Condition.ENTERED, {"hysteresis": Decimal(1)}),
        (RuleTarget.PREORDER, Condition.DATE_SLIPPED, {"threshold": Decimal("1.5")}),
        (RuleTarget.PREORDER, Condition.DATE_SLIPPED, {"currency": "EUR"}),
        (RuleTarget.WANT, Condition.WANT_MET, {"threshold": Decimal(1)}),
        (RuleTarget.WANTS, Condition.WANT_MET, {"currency": "EUR"}),
    ],
)
async def test_what_the_engine_would_stumble_over_is_not_even_stored_by_those_who_go_past_the_commands(
    database: Database, targets: Targets, kind: RuleTarget, condition: Condition, changes: dict[str, Any]
) -> None:
    rule_id = await change(database, create_rule, targets[kind], usual(condition), owner_id=targets.scene.ada)
    with pytest.raises(IntegrityError, match="rules_"):
        async with database.transaction() as transaction:
            await transaction.connection.execute(update(Rule).where(Rule.id == rule_id).values(**changes))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (RuleTarget.ITEM, {"condition": ABOVE, "threshold": "1000000000000000", "hysteresis": "0.000000000000000001"}),
        (
            RuleTarget.ITEM,
            {"condition": Condition.AT_OR_BELOW, "threshold": "0.000000000000000001", "hysteresis": "1e15"},
        ),
        (RuleTarget.ITEM, {"condition": CHANGE, "threshold": "1000000", "hysteresis": "1000000", "currency": None}),
        (RuleTarget.VARIANT, {"condition": Condition.FALLS_BY, "threshold": "99.999999999999999999", "window": 365}),
        (RuleTarget.PORTFOLIO, {"condition": CHANGE, "threshold": "0.000000000000000001", "currency": None}),
        (RuleTarget.PORTFOLIO, {"condition": Condition.CROSSES_LEVEL, "threshold": "1", "currency": None}),
        (RuleTarget.PREORDER, {"condition": Condition.DATE_SLIPPED, "threshold": "3.65e3"}),
        (RuleTarget.ITEM, {"condition": Condition.CROSSES_BELOW, "threshold": "1e15", "price_kind": PriceKind.LIST}),
    ],
)
async def test_what_the_commands_take_at_its_most_is_stored(
    database: Database, targets: Targets, kind: RuleTarget, given: dict[str, Any]
) -> None:
    said: dict[str, Any] = {} if kind is RuleTarget.PREORDER else {"currency": "EUR"}
    said |= given | {name: Decimal(given[name]) for name in ("threshold", "hysteresis") if name in given}
    if said["condition"] in {CHANGE, Condition.FALLS_BY}:
        said["window"] = timedelta(days=given.get("window", 1))
    rule_id = await change(database, create_rule, targets[kind], said, owner_id=targets.scene.ada)
    assert (await row_of(database, rule_id))["threshold"] == said["threshold"]


async def test_what_is_somebody_elses_or_nobodys_is_not_found(database: Database, targets: Targets) -> None:
    own = {RuleTarget.ITEM, RuleTarget.VARIANT, RuleTarget.WANTS}
    for kind in targets.keys:
        given = usual(next(one for one in Condition if one in CONDITIONS_OF[kind]))
        made = change(database, create_rule, targets[kind], given, owner_id=targets.scene.bob)
        if kind in own:
            assert await made
        else:
            assert (await refusal_of(made))[0] is NOT_FOUND, kind
        if kind is not RuleTarget.WANTS:
            code, field = await refusal_of(
                change(database, create_rule, Target(kind, new_id()), given, owner_id=targets.scene.ada)
            )
            assert code is NOT_FOUND
            assert field[0] == "target"


async def test_what_was_wanted_and_removed_is_not_found(database: Database, targets: Targets) -> None:
    ada, want_id = targets.scene.ada, targets.keys[RuleTarget.WANT]
    await change(database, remove_want, want_id, owner_id=ada)
    made = rule_of(database, ada, RuleTarget.WANT, want_id, Condition.WANT_MET, None)
    assert await refusal_of(made) == (NOT_FOUND, ["target", "wantId"])


async def test_what_was_deleted_is_not_found(database: Database, targets: Targets) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Place).values(deleted_at=utc_now()))
    made = rule_of(
        database, targets.scene.ada, RuleTarget.PLACE, targets.keys[RuleTarget.PLACE], Condition.ENTERED, None
    )
    assert await refusal_of(made) == (NOT_FOUND, ["target", "placeId"])


@pytest.mark.parametrize(
    ("kind", "given", "field"),
    [
        ("item", {"threshold": None}, "threshold"),
        ("item", {"threshold": Decimal(0)}, "threshold"),
        ("item", {"threshold": Decimal(-1)}, "threshold"),
        ("item", {"threshold": Decimal(10**15 + 1)}, "threshold"),
        ("item", {"threshold": Decimal("1e-19")}, "threshold"),
        ("item", {"currency": None}, "currency"),
        ("item", {"currency": "XYZ"}, "currency"),
        # It is known, and has no rate.
        ("item", {"currency": "ISK"}, "currency"),
        ("item", {"currency": "BTC"}, "currency"),
        ("portfolio", {"currency": "ISK"}, "currency"),
        ("item", {"hysteresis": Decimal(-1)}, "hysteresis"),
        ("item", {"hysteresis": Decimal(100)}, "hysteresis"),
        ("item", {"window": HOUR}, "window"),
        ("item", {"duration": HOUR}, "duration"),
        ("item", {"source": "nobody"}, "source"),
        ("item", {"cooldown": timedelta(seconds=90)}, "cooldown"),
        ("item", {"cooldown": timedelta(days=366)}, "cooldown"),
        ("item", {"notes": "x" * 2001}, "notes"),
        ("item", {"notes": "a\0b"}, "notes"),
        ("item", {"channels": ["pigeon"]}, "channels"),
        ("item", {"channels": ["email"] * 251}, "channels"),
        ("portfolio", {"source": "nobody"}, "source"),
        ("portfolio", {"price_kind": PriceKind.ASK}, "priceKind"),
        ("item", {"condition": Condition.RISES_BY, **CHANGE_OF_A_DAY, "window": None}, "window"),
        ("item", {"condition": Condition.RISES_BY, **CHANGE_OF_A_DAY, "window": timedelta(seconds=30)}, "window"),
        ("item", {"condition": Condition.RISES_BY, **CHANGE_OF_A_DAY, "window": timedelta(days=366)}, "window"),
        ("item", {"condition": Condition.RISES_BY, **CHANGE_OF_A_DAY, "threshold": Decimal(0)}, "threshold"),
        ("item", {"condition": Condition.RISES_BY, **CHANGE_OF_A_DAY, "threshold": Decimal(1_000_001)}, "threshold"),
        ("item", {"condition": Condition.RISES_BY, **CHANGE_OF_A_DAY, "hysteresis": Decimal(106)}, "hysteresis"),
        ("item", {"condition": Condition.FALLS_BY, **CHANGE_OF_A_DAY, "threshold": Decimal(100)}, "threshold"),
        ("portfolio", {"condition": Condition.FALLS_BY, **CHANGE_OF_A_DAY, "window": HOUR}, "window"),
    ],
)
async def test_a_value_that_no_rule_can_have_is_refused_with_its_field(
    database: Database, targets: Targets, kind: str, given: dict[str, Any], field: str
) -> None:
    values = {**usual(Condition.CROSSES_ABOVE), **given}
    made = change(database, create_rule, targets[RuleTarget(kind)], values, owner_id=targets.scene.ada)
    assert await refusal_of(made) == (INVALID, [field])


async def test_what_expires_is_to_do_so_in_the_future(database: Database, targets: Targets) -> None:
    item, ada = targets.keys[RuleTarget.ITEM], targets.scene.ada
    past = rule_of(database, ada, RuleTarget.ITEM, item, expires_at=utc_now())
    assert await refusal_of(past) == (INVALID, ["expiresAt"])
    made = await rule_of(database, ada, RuleTarget.ITEM, item, expires_at=utc_now() + HOUR)
    assert (await row_of(database, made))["expires_at"] is not None


@pytest.mark.parametrize("days", ["0", "1.5", "3651"])
async def test_a_release_slips_by_whole_days(database: Database, targets: Targets, days: str) -> None:
    made = rule_of(
        database,
        targets.scene.ada,
        RuleTarget.PREORDER,
        targets.keys[RuleTarget.PREORDER],
        Condition.DATE_SLIPPED,
        days,
    )
    assert await refusal_of(made) == (INVALID, ["threshold"])


@pytest.mark.parametrize(
    "duration", [None, timedelta(minutes=9), timedelta(minutes=10, seconds=1), timedelta(days=366)]
)
async def test_a_silence_lasts_ten_minutes_at_least(
    database: Database, targets: Targets, duration: timedelta | None
) -> None:
    made = rule_of(
        database,
        targets.scene.ada,
        RuleTarget.TRACKER,
        targets.keys[RuleTarget.TRACKER],
        Condition.SILENT_FOR,
        None,
        duration=duration,
    )
    assert await refusal_of(made) == (INVALID, ["duration"])


@pytest.mark.parametrize(
    ("condition", "low", "high"),
    [
        (Condition.CROSSES_ABOVE, 90, 100),
        (Condition.CROSSES_BELOW, 100, 110),
        (Condition.AT_OR_BELOW, 100, 110),
        (Condition.CROSSES_LEVEL, 90, 110),
    ],
)
def test_a_rule_reaches_from_where_it_is_armed_to_where_it_fires(condition: Condition, low: int, high: int) -> None:
    terms = Terms(condition=condition, threshold=Decimal(100), currency="EUR", hysteresis=Decimal(10))
    assert terms.reach == (Decimal(low), Decimal(high))


def test_the_reach_of_a_rule_has_all_decimal_places_of_what_it_comes_from() -> None:
    threshold, hysteresis = Decimal("999999999999999.000000000000000001"), Decimal("0.000000000000000001")
    terms = Terms(condition=Condition.CROSSES_LEVEL, threshold=threshold, currency="EUR", hysteresis=hysteresis)
    assert terms.reach == (Decimal(999999999999999), Decimal("999999999999999.000000000000000002"))


async def test_only_rules_over_prices_have_a_reach_and_only_those_by_the_clock_a_next_look(
    database: Database, targets: Targets
) -> None:
    ada = targets.scene.ada
    looked_at = {
        (RuleTarget.ITEM, Condition.CROSSES_ABOVE): (True, False),
        (RuleTarget.ITEM, Condition.FALLS_BY): (False, True),
        (RuleTarget.PORTFOLIO, Condition.CROSSES_ABOVE): (False, True),
        (RuleTarget.TRACKER, Condition.SILENT_FOR): (False, True),
        (RuleTarget.TRACKER, Condition.ENTERED): (False, False),
        (RuleTarget.WANTS, Condition.WANT_MET): (False, False),
    }
    for (kind, condition), expected in looked_at.items():
        given = usual(condition) | ({"currency": None} if kind is RuleTarget.PORTFOLIO else {})
        row = await row_of(database, await change(database, create_rule, targets[kind], given, owner_id=ada))
        assert (row["reach_low"] is not None, row["next_look_at"] is not None) == expected, (kind, condition)
        assert kind is not RuleTarget.PORTFOLIO or row["currency"] == "EUR"


async def test_a_repeat_with_the_same_key_makes_no_second_rule(database: Database, targets: Targets) -> None:
    ada, item = targets.scene.ada, targets[RuleTarget.ITEM]
    given = {**usual(Condition.CROSSES_ABOVE), "cooldown": HOUR}
    first = await change(database, create_rule, item, given, owner_id=ada, idempotency_key="once")
    assert await change(database, create_rule, item, given, owner_id=ada, idempotency_key="once") == first
    other = change(database, create_rule, item, usual(Condition.AT_OR_BELOW), owner_id=ada, idempotency_key="once")
    assert await refusal_of(other) == (AlertErrorCode.IDEMPOTENCY_KEY_REUSED, ["idempotencyKey"])


async def filled(database: Database, owner_id: UUID, count: int, *, age: timedelta, **target: object) -> None:
    """Rules of somebody's that were made some time ago."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Rule).values(
                [
                    {
                        "id": new_id(),
                        "owner_id": owner_id,
                        "condition": "want_met",
                        "created_at": utc_now() - age,
                        **target,
                    }
                    for _ in range(count)
                ]
            )
        )


def of_item(targets: Targets) -> dict[str, object]:
    over = {"condition": "crosses_above", "currency": "EUR"} | dict.fromkeys(
        ("threshold", "reach_low", "reach_high"), 9
    )
    return {"target": "item", "item_id": targets.keys[RuleTarget.ITEM], **over}


async def test_a_thousand_rules_within_a_minute_come_to_sixty(database: Database, targets: Targets) -> None:
    ada = targets.scene.ada
    await filled(database, ada, 59, age=timedelta(seconds=20), **of_item(targets))
    await rule_of(database, ada, RuleTarget.WANTS, None, Condition.WANT_MET, None)
    refused = rule_of(database, ada, RuleTarget.WANTS, None, Condition.WANT_MET, None)
    assert await refusal_of(refused) == (AlertErrorCode.RATE_LIMITED, [])
    assert await rule_of(database, targets.scene.bob, RuleTarget.WANTS, None, Condition.WANT_MET, None)
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(Rule).values(created_at=Rule.created_at - timedelta(minutes=1)))
    assert await rule_of(database, ada, RuleTarget.WANTS, None, Condition.WANT_MET, None)


async def test_who_makes_many_rules_at_once_makes_no_more_of_them(database: Database, targets: Targets) -> None:
    ada = targets.scene.ada
    await filled(database, ada, 59, age=timedelta(seconds=20), **of_item(targets))
    given = usual(Condition.WANT_MET)
    async with database.transaction() as transaction:
        await create_rule(transaction, targets[RuleTarget.WANTS], given, owner_id=ada)
        second = change(database, create_rule, targets[RuleTarget.WANTS], given, owner_id=ada)
        making = asyncio.create_task(refusal_of(second))
        await until_somebody_waits(database)
    assert await making == (AlertErrorCode.RATE_LIMITED, [])


async def test_nobody_has_more_than_a_thousand_rules(database: Database, targets: Targets) -> None:
    await filled(database, targets.scene.ada, 999, age=HOUR, **of_item(targets))
    await rule_of(database, targets.scene.ada, RuleTarget.WANTS, None, Condition.WANT_MET, None)
    refused = rule_of(database, targets.scene.ada, RuleTarget.WANTS, None, Condition.WANT_MET, None)
    assert await refusal_of(refused) == (AlertErrorCode.TOO_MANY, [])


async def test_nobody_has_more_than_fifty_rules_over_sets_watchlists_and_all_wants(
    database: Database, targets: Targets
) -> None:
    ada = targets.scene.ada
    await filled(database, ada, 49, age=HOUR, target="wants")
    watchlist = targets.keys[RuleTarget.WATCHLIST]
    await rule_of(database, ada, RuleTarget.WATCHLIST, watchlist)
    for kind, condition in ((RuleTarget.WATCHLIST, Condition.RISES_BY), (RuleTarget.WANTS, Condition.WANT_MET)):
        refused = change(database, create_rule, targets[kind], usual(condition), owner_id=ada)
        assert await refusal_of(refused) == (AlertErrorCode.TOO_MANY, [])
    assert await rule_of(database, ada, RuleTarget.ITEM, targets.keys[RuleTarget.ITEM])


@pytest.fixture
async def watched(database: Database, targets: Targets) -> UUID:
    """Ada's rule over a price that there is, which it remembers."""
    await ingested(database, point("heron", "90", currency="EUR"))
    rule_id = await rule_of(database, targets.scene.ada, RuleTarget.ITEM, targets.keys[RuleTarget.ITEM])
    await remember_price(database, targets.scene.ada, rule_id)
    return rule_id


@pytest.mark.parametrize(
    ("given", "begins_anew"),
    [
        ({"condition": Condition.AT_OR_BELOW}, True),
        ({"threshold": Decimal(120)}, True),
        ({"currency": "USD"}, True),
        ({"hysteresis": Decimal(5)}, True),
        ({"price_kind": PriceKind.MARKET}, True),
        ({"source": "test-market"}, True),
        ({"condition": Condition.RISES_BY, "threshold": Decimal(5), "window": HOUR}, True),
        ({"threshold": Decimal("100.0")}, False),
        ({"cooldown": HOUR}, False),
        ({"notes": "Sell"}, False),
        ({"is_recurring": False}, False),
        ({"channels": ["email", "web_push"]}, False),
    ],
)
async def test_a_rule_begins_anew_with_other_terms_and_with_nothing_else(
    database: Database, targets: Targets, watched: UUID, given: dict[str, Any], begins_anew: bool
) -> None:
    before = await row_of(database, watched)
    await change(database, edit_rule, watched, given, owner_id=targets.scene.ada, expected_version=1)
    after = await row_of(database, watched)
    assert (after["watches_from"] > before["watches_from"], await remembered(database, watched)) == (
        begins_anew,
        0 if begins_anew else 1,
    )


async def test_an_edit_that_changes_nothing_leaves_the_version(
    database: Database, targets: Targets, watched: UUID
) -> None:
    await change(database, edit_rule, watched, {"threshold": Decimal(100)}, owner_id=targets.scene.ada)
    assert (await row_of(database, watched))["version"] == 1


async def test_an_amount_is_not_taken_for_a_percentage(database: Database, targets: Targets, watched: UUID) -> None:
    edit = change(
        database, edit_rule, watched, {"condition": Condition.RISES_BY, "window": HOUR}, owner_id=targets.scene.ada
    )
    assert await refusal_of(edit) == (INVALID, ["threshold"])


async def test_what_somebody_else_changed_meanwhile_is_not_changed(
    database: Database, targets: Targets, watched: UUID
) -> None:
    ada = targets.scene.ada
    for command in (pause_rule, resume_rule, delete_rule):
        stale = change(database, command, watched, owner_id=ada, expected_version=7)
        assert await refusal_of(stale) == (AlertErrorCode.CONFLICT, ["expectedVersion"])
        foreign = change(database, command, watched, owner_id=targets.scene.bob)
        assert await refusal_of(foreign) == (NOT_FOUND, ["id"])
    foreign = change(database, edit_rule, watched, {"notes": "mine"}, owner_id=targets.scene.bob)
    assert await refusal_of(foreign) == (NOT_FOUND, ["id"])


async def test_a_rule_that_was_paused_begins_anew(database: Database, targets: Targets, watched: UUID) -> None:
    ada = targets.scene.ada
    before = await row_of(database, watched)
    await change(database, pause_rule, watched, owner_id=ada)
    await change(database, pause_rule, watched, owner_id=ada)
    paused = await row_of(database, watched)
    assert (paused["is_active"], paused["paused_at"] is not None, paused["version"]) == (False, True, 2)
    await change(database, edit_rule, watched, {"threshold": Decimal(120)}, owner_id=ada)
    assert not (await row_of(database, watched))["is_active"]
    await change(database, resume_rule, watched, owner_id=ada)
    resumed = await row_of(database, watched)
    assert (resumed["is_active"], resumed["paused_at"], await remembered(database, watched)) == (True, None, 0)
    assert resumed["watches_from"] > before["watches_from"]
    await change(database, resume_rule, watched, owner_id=ada)
    assert (await row_of(database, watched))["version"] == resumed["version"]


async def test_a_rule_that_fired_once_stays_ended_until_it_is_resumed(
    database: Database, targets: Targets, watched: UUID
) -> None:
    ada = targets.scene.ada
    async with database.transaction() as transaction:
        ended = update(Rule).where(Rule.id == watched)
        await transaction.connection.execute(
            ended.values(is_recurring=False, is_active=False, ended_at=utc_now(), fired_count=1)
        )
    assert await refusal_of(change(database, pause_rule, watched, owner_id=ada)) == (
        AlertErrorCode.ILLEGAL_STATE,
        ["id"],
    )
    await change(database, edit_rule, watched, {"notes": "Sold", "is_recurring": True}, owner_id=ada)
    assert not (await row_of(database, watched))["is_active"]
    await change(database, resume_rule, watched, owner_id=ada)
    assert (await row_of(database, watched))["is_active"]


async def test_a_rule_that_fired_once_and_would_be_over_by_now_is_not_resumed(
    database: Database, targets: Targets, watched: UUID
) -> None:
    ada = targets.scene.ada
    async with database.transaction() as transaction:
        fired = {"is_recurring": False, "is_active": False, "ended_at": utc_now() - 2 * HOUR, "fired_count": 1}
        ended = update(Rule).where(Rule.id == watched).values(expires_at=utc_now() - HOUR, **fired)
        await transaction.connection.execute(ended)
    for refused in (
        change(database, resume_rule, watched, owner_id=ada),
        change(database, edit_rule, watched, {"threshold": Decimal(120)}, owner_id=ada),
    ):
        assert await refusal_of(refused) == (AlertErrorCode.ILLEGAL_STATE, ["id"])
    # It did not end because of its expiry, so a later one alone does not begin it anew.
    await change(database, edit_rule, watched, {"expires_at": utc_now() + HOUR}, owner_id=ada)
    assert not (await row_of(database, watched))["is_active"]
    await change(database, resume_rule, watched, owner_id=ada)
    assert (await row_of(database, watched))["is_active"]


async def test_who_changes_a_rule_waits_for_who_does_so_already(
    database: Database, targets: Targets, watched: UUID
) -> None:
    ada = targets.scene.ada
    async with database.transaction() as transaction:
        await edit_rule(transaction, watched, {"notes": "mine"}, owner_id=ada, expected_version=1)
        second = change(database, edit_rule, watched, {"notes": "no, mine"}, owner_id=ada, expected_version=1)
        editing = asyncio.create_task(refusal_of(second))
        await until_somebody_waits(database)
    assert await editing == (AlertErrorCode.CONFLICT, ["expectedVersion"])


async def test_a_rule_that_expired_begins_anew_with_a_later_expiry(
    database: Database, targets: Targets, watched: UUID
) -> None:
    ada = targets.scene.ada
    async with database.transaction() as transaction:
        expired = update(Rule).where(Rule.id == watched)
        await transaction.connection.execute(
            expired.values(is_active=False, expires_at=utc_now() - HOUR, ended_at=utc_now() - HOUR / 2)
        )
    for refused in (
        change(database, resume_rule, watched, owner_id=ada),
        change(database, pause_rule, watched, owner_id=ada),
        change(database, edit_rule, watched, {"threshold": Decimal(120)}, owner_id=ada),
    ):
        assert await refusal_of(refused) == (AlertErrorCode.ILLEGAL_STATE, ["id"])
    await change(database, edit_rule, watched, {"expires_at": utc_now() + HOUR}, owner_id=ada)
    row = await row_of(database, watched)
    assert (row["is_active"], row["ended_at"], await remembered(database, watched)) == (True, None, 0)


async def test_alerts_outlive_the_rule_that_gave_them(database: Database, targets: Targets, watched: UUID) -> None:
    alert_id = new_id()
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Alert).values(
                id=alert_id,
                owner_id=targets.scene.ada,
                rule_id=watched,
                crossing="1",
                condition="crosses_above",
                severity="info",
                title="It rose.",
                observed_at=utc_now(),
            )
        )
    await change(database, delete_rule, watched, owner_id=targets.scene.ada)
    async with database.transaction() as transaction:
        left = await transaction.connection.execute(select(Alert.id, Alert.rule_id))
        assert left.one() == (alert_id, None)


async def test_rules_over_an_item_that_is_merged_begin_anew_over_the_one_that_stays(
    database: Database, targets: Targets
) -> None:
    scene = targets.scene
    await ingested(database, point("lantern-old", "90", currency="EUR"))
    foil = scene.variant("lantern-old", "foil")
    of_item = await rule_of(database, scene.ada, RuleTarget.ITEM, scene.items["lantern-old"])
    of_default = await rule_of(database, scene.bob, RuleTarget.VARIANT, scene.variant("lantern-old"))
    of_foil = await rule_of(database, scene.bob, RuleTarget.VARIANT, foil)
    await remember_price(database, scene.ada, of_item)
    async with database.transaction() as transaction:
        await merge_items(
            transaction,
            winner_id=scene.items["lantern-new"],
            loser_id=scene.items["lantern-old"],
            editor_id=None,
            followers=[merge_variants, take_over_rules],
        )
    row = await row_of(database, of_item)
    assert (row["item_id"], row["version"], await remembered(database, of_item)) == (scene.items["lantern-new"], 2, 0)
    assert (await row_of(database, of_default))["variant_id"] == scene.variant("lantern-new")
    assert (await row_of(database, of_foil))["variant_id"] == foil


async def test_who_is_erased_while_an_item_of_their_rules_is_merged_goes_without_a_deadlock(
    database: Database, targets: Targets
) -> None:
    scene = targets.scene
    first, second = sorted((new_id(), new_id()))
    for rule_id in (second, first):
        old = of_item(targets) | {"item_id": scene.items["lantern-old"], "id": rule_id}
        await filled(database, scene.ada, 1, age=HOUR, **old)

    async def merge() -> None:
        async with database.transaction() as transaction:
            await merge_items(
                transaction,
                winner_id=scene.items["lantern-new"],
                loser_id=scene.items["lantern-old"],
                editor_id=None,
                followers=[merge_variants, take_over_rules],
            )

    async with database.transaction() as transaction:
        held = select(Rule.id).with_for_update(key_share=True)
        await transaction.connection.execute(held.where(Rule.id == first))
        merging = asyncio.create_task(merge())
        await until_somebody_waits(database)
        await transaction.connection.execute(held.where(Rule.id == second))
    await merging
    assert (await row_of(database, first))["item_id"] == scene.items["lantern-new"]


async def test_who_is_erased_while_their_rules_fire_goes_without_a_deadlock(
    database: Database, targets: Targets
) -> None:
    ada = targets.scene.ada
    first, second = sorted((new_id(), new_id()))
    for rule_id in (second, first):
        await filled(database, ada, 1, age=HOUR, **of_item(targets) | {"id": rule_id})

    async def erase_ada() -> None:
        async with database.transaction() as transaction:
            await erase(transaction, ada)

    async with database.transaction() as transaction:
        held = select(Rule.id).with_for_update(key_share=True)
        await transaction.connection.execute(held.where(Rule.id == first))
        erasing = asyncio.create_task(erase_ada())
        await until_somebody_waits(database)
        await transaction.connection.execute(held.where(Rule.id == second))
    await erasing
