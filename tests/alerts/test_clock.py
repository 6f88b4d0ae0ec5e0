"""What time alone brings about: silences, values of portfolios, expiry; and what is kept no longer."""

import asyncio
import importlib
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from app.alerts.commands.due_rules import end_expired_rules
from app.alerts.commands.look_at_portfolios import look_at_portfolios
from app.alerts.commands.look_at_silences import look_at_silences
from app.alerts.commands.look_at_windows import look_at_windows
from app.alerts.commands.rules import edit_rule
from app.alerts.queries.clock import RuleLook
from app.alerts.queries.evaluations import AskedRule, Evaluation, RuleState, evaluations_of
from app.core.clock import utc_now
from app.core.database import Database
from app.core.telemetry import ALERT_CLOCK_LAG_SECONDS, ALERT_CLOCK_ROUNDS, ALERT_RULE_FAILURES
from tests.alerts.watching import alerts, changed, member, person, rule, rule_row
from tests.catalogue.builders import coin, saved
from tests.portfolios.possessing import Deal, Owned, hold, portfolio_of_somebody
from tests.prices.builders import Line, ingested, point
from tests.trackers.history_builders import Told, minutes, save_client, save_run, save_tracker, take_in
from workers.alerts import LOOKS, AlertClock, AlertMeter, Look, look_at_all, prune_old_alerts

# Long before any test runs, so that rules are due whenever it is.
BEFORE = minutes(-10_000)


async def tick(database: Database, now: datetime) -> None:
    """Have the clock look, at a time of its own."""
    clock = AlertClock(database, clock=lambda: now)
    await clock.run()
    await clock.stop()


async def times_of(database: Database, rule_id: UUID) -> list[datetime]:
    return [alert.observed_at for alert in await alerts(database, rule_id)]


# --- silences -----------------------------------------------------------------------------------------------------


async def silence(database: Database, owner_id: UUID, target: str, target_id: UUID, **columns: Any) -> UUID:
    """A rule over silences of an hour, that is due."""
    values: dict[str, Any] = {"duration_minutes": 60, "next_look_at": BEFORE} | columns
    return await rule(database, owner_id, target, target_id, "silent_for", **values)


async def heard(database: Database, tracker_id: UUID, at: float, *, now: float | None = None) -> None:
    await take_in(database, [Told(tracker_id, minutes(at), 50, 10)], now=minutes(at if now is None else now))


async def tracked(database: Database, count: int = 1) -> tuple[UUID, UUID, list[UUID]]:
    """A client with a run of so many trackers."""
    async with database.transaction() as transaction:
        client_id = await save_client(transaction)
        run_id = await save_run(transaction, client_id)
        trackers = [await save_tracker(transaction, client_id, run_id=run_id) for _ in range(count)]
    return client_id, run_id, trackers


async def test_a_silence_fires_once_when_it_is_long_enough_and_again_once_it_was_broken(database: Database) -> None:
    client_id, _, (tracker_id,) = await tracked(database)
    rule_id = await silence(database, await member(database, client_id), "tracker", tracker_id)
    await heard(database, tracker_id, 3)
    # Of the bucket from 0 to 10.
    for now, expected in ((20, []), (69.9, []), (70, [70]), (71, [70]), (500, [70])):
        await tick(database, minutes(now))
        assert await times_of(database, rule_id) == [minutes(at) for at in expected]
    await heard(database, tracker_id, 600)
    for now in (601, 669, 670, 680):
        await tick(database, minutes(now))
    assert await times_of(database, rule_id) == [minutes(70), minutes(670)]
    first, second = await alerts(database, rule_id)
    assert (first.tracker_id, first.condition) == (tracker_id, "silent_for")
    assert first.crossing != second.crossing


async def test_a_silence_that_was_broken_and_came_again_between_two_looks_is_another(database: Database) -> None:
    client_id, _, (tracker_id,) = await tracked(database)
    rule_id = await silence(database, await member(database, client_id), "tracker", tracker_id)
    await heard(database, tracker_id, 0)
    await tick(database, minutes(100))
    await heard(database, tracker_id, 110)
    await tick(database, minutes(400))
    assert await times_of(database, rule_id) == [minutes(70), minutes(180)]


async def test_between_two_looks_at_a_silence_nothing_is_read(database: Database) -> None:
    client_id, _, (tracker_id,) = await tracked(database)
    rule_id = await silence(database, await member(database, client_id), "tracker", tracker_id)
    await heard(database, tracker_id, 0)
    await tick(database, minutes(20))
    assert (await rule_row(database, rule_id))["next_look_at"] == minutes(70)
    await tick(database, minutes(70))
    assert (await rule_row(database, rule_id))["next_look_at"] == minutes(130)


async def test_a_silence_that_was_told_is_told_again_once_it_is_as_long_as_the_rule_says_by_then(
    database: Database,
) -> None:
    client_id, _, (tracker_id,) = await tracked(database)
    owner_id = await member(database, client_id)
    rule_id = await silence(database, owner_id, "tracker", tracker_id)
    await heard(database, tracker_id, 3)
    await tick(database, minutes(71))
    async with database.transaction() as transaction:
        await edit_rule(transaction, rule_id, {"duration": timedelta(hours=3)}, owner_id=owner_id)
    await changed(database, rule_id, watches_from=minutes(75), next_look_at=BEFORE)
    await tick(database, minutes(200))
    assert await times_of(database, rule_id) == [minutes(70), minutes(190)]


async def test_what_was_silent_when_the_rule_was_made_is_told_only_after_it_was_heard_again(
    database: Database,
) -> None:
    client_id, _, (tracker_id,) = await tracked(database)
    await heard(database, tracker_id, 0)
    rule_id = await silence(
        database, await member(database, client_id), "tracker", tracker_id, watches_from=minutes(70)
    )
    for now in (70, 200, 400):
        await tick(database, minutes(now))
    assert await times_of(database, rule_id) == []
    await heard(database, tracker_id, 410)
    for now in (411, 479, 490):
        await tick(database, minutes(now))
    assert await times_of(database, rule_id) == [minutes(480)]


async def test_a_late_report_of_before_a_silence_was_told_does_not_have_it_told_again(database: Database) -> None:
    client_id, _, (tracker_id,) = await tracked(database)
    rule_id = await silence(database, await member(database, client_id), "tracker", tracker_id)
    await heard(database, tracker_id, 3)
    await tick(database, minutes(70))
    # One shortens the silence, one has it last already as long as the rule says: it is the one that was told.
    for at, now in ((25, 80), (45, 200)):
        await heard(database, tracker_id, at, now=now)
        for later in (1, 15):
            await tick(database, minutes(now + later))
    assert await times_of(database, rule_id) == [minutes(70)]
    # Nobody looked between what was heard then and the next silence.
    await heard(database, tracker_id, 300)
    await tick(database, minutes(400))
    assert await times_of(database, rule_id) == [minutes(70), minutes(370)]


async def test_a_rule_of_a_run_fires_for_each_of_its_trackers_that_is_in_use(database: Database) -> None:
    client_id, run_id, trackers = await tracked(database, 5)
    other_client, _, (foreign_id,) = await tracked(database)
    owner_id = await member(database, client_id)
    rules = [
        await silence(database, owner_id, "production_run", run_id),
        await silence(database, await member(database, other_client), "production_run", run_id),
        await silence(database, await person(database), "production_run", run_id),
        await silence(database, owner_id, "tracker", foreign_id),
    ]
    for tracker_id in [*trackers[:4], foreign_id]:
        await heard(database, tracker_id, 0)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            text("UPDATE trackers.trackers SET retired_at = now() WHERE id = :id"), {"id": trackers[3]}
        )
    # Two at a time: the rule stays due for the rest.
    while True:
        async with database.transaction() as transaction:
            looked = await look_at_silences(transaction, now=minutes(30), most_trackers=2)
        if looked.is_finished:
            break
    fired: list[Any] = []

    async def look_at_two(transaction: Any, *, now: datetime, limit: int, only: Any = None) -> Any:
        looked = await look_at_silences(transaction, now=now, limit=limit, most_trackers=2, only=only)
        fired.append([one.tracker_id for one in looked.fired])
        return looked

    assert await look_at_all(database, Look(RuleLook.SILENCES, look_at_two, 20), now=minutes(90)) == 3
    assert [len(found) for found in fired] == [2, 1]
    told = [{alert.tracker_id for alert in await alerts(database, rule_id)} for rule_id in rules]
    assert told == [set(trackers[:3]), set(), set(), set()]


async def test_two_workers_who_look_at_once_tell_of_a_silence_once(database: Database) -> None:
    client_id, _, (tracker_id,) = await tracked(database)
    rule_id = await silence(database, await member(database, client_id), "tracker", tracker_id)
    await heard(database, tracker_id, 0)
    await asyncio.gather(*(tick(database, minutes(100)) for _ in range(4)))
    assert await times_of(database, rule_id) == [minutes(70)]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"is_recurring": False}, [70]),
        ({"cooldown_minutes": 531}, [70]),
        ({"cooldown_minutes": 530}, [70, 600]),
        ({"is_active": False}, []),
        ({"next_look_at": minutes(701)}, []),
    ],
)
async def test_what_a_rule_says_of_itself_holds_of_silences(
    database: Database, columns: dict[str, Any], expected: list[int]
) -> None:
    client_id, _, (tracker_id,) = await tracked(database)
    rule_id = await silence(database, await member(database, client_id), "tracker", tracker_id, **columns)
    for at, looks in ((0, (30, 100)), (530, (540, 700))):
        await heard(database, tracker_id, at)
        for now in looks:
            await tick(database, minutes(now))
    assert await times_of(database, rule_id) == [minutes(at) for at in expected]


# --- expiry -------------------------------------------------------------------------------------------------------


async def test_a_rule_ends_when_it_expires_and_fires_no_more(database: Database) -> None:
    client_id, _, (tracker_id,) = await tracked(database)
    owner_id = await member(database, client_id)
    over = await silence(database, owner_id, "tracker", tracker_id, expires_at=minutes(70))
    lasting = await silence(database, owner_id, "tracker", tracker_id, expires_at=minutes(71))
    await heard(database, tracker_id, 0)
    await tick(database, minutes(69))
    assert [(await rule_row(database, rule_id))["is_active"] for rule_id in (over, lasting)] == [True, True]
    await tick(database, minutes(70))
    assert await times_of(database, over) == []
    assert await times_of(database, lasting) == [minutes(70)]
    row = await rule_row(database, over)
    assert (row["is_active"], row["ended_at"]) == (False, minutes(70))
    async with database.transaction() as transaction:
        assert await end_expired_rules(transaction, now=minutes(80)) == 1
        assert await end_expired_rules(transaction, now=minutes(80)) == 0


# --- portfolios ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def owned(database: Database) -> Owned:
    """A portfolio in euros with two of a coin that costs 10."""
    await saved(database, coin("aurum"), coin("argentum"))
    owned = await portfolio_of_somebody(database)
    await ingested(database, price("10"))
    await hold(database, owned, "aurum", Deal("buy", "2", "1"))
    return owned


def price(amount: str, slug: str = "aurum") -> Line:
    return point(slug, amount, currency="EUR", at=utc_now())


async def watch_value(database: Database, owned: Owned, condition: str, threshold: str, **columns: Any) -> UUID:
    values = {"threshold": Decimal(threshold), "currency": "EUR", "next_look_at": BEFORE} | columns
    return await rule(database, owned.owner_id, "portfolio", owned.id, condition, **values)


async def look(database: Database) -> None:
    """Have the clock look at all rules now, as if the minute had passed."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(text("UPDATE alerts.rules SET next_look_at = :at"), {"at": BEFORE})
    await tick(database, utc_now())


async def state_of(database: Database, rule_id: UUID) -> Evaluation:
    asked = AskedRule(rule_id, utc_now())
    async with database.transaction() as transaction:
        return (await evaluations_of(transaction.connection, [asked]))[asked]


async def values_of(database: Database, rule_id: UUID) -> list[tuple[Decimal | None, Decimal | None]]:
    return [(alert.old_value, alert.new_value) for alert in await alerts(database, rule_id)]


@pytest.mark.parametrize(
    ("condition", "threshold", "hysteresis", "prices", "expected"),
    [
        ("crosses_above", "30", "0", [15, 16, 20, 10, 16], [(30, 32), (20, 32)]),
        ("crosses_above", "30", "12", [16, 10, 16, 9, 16], [(20, 32), (18, 32)]),
        ("crosses_above", "19", "0", [16, 9, 16], [(18, 32)]),
        ("crosses_below", "20", "0", [9, 8, 10, 9], [(20, 18), (20, 18)]),
        ("at_or_below", "18", "0", [9, 8, 10, 9], [(20, 18), (20, 18)]),
        ("crosses_level", "25", "0", [13, 12], [(20, 26), (26, 24)]),
    ],
)
async def test_what_a_portfolio_is_worth_is_held_against_its_rules(
    database: Database,
    owned: Owned,
    condition: str,
    threshold: str,
    hysteresis: str,
    prices: list[int],
    expected: list[tuple[int, int]],
) -> None:
    rule_id = await watch_value(database, owned, condition, threshold, hysteresis=Decimal(hysteresis))
    await look(database)
    for amount in prices:
        await ingested(database, price(str(amount)))
        await look(database)
        await look(database)
    assert await values_of(database, rule_id) == [(Decimal(old), Decimal(new)) for old, new in expected]
    for alert in await alerts(database, rule_id):
        assert (alert.portfolio_id, alert.currency, alert.base_value) == (owned.id, "EUR", None)


@pytest.mark.parametrize(("columns", "count"), [({}, 2), ({"cooldown_minutes": 60}, 1), ({"is_recurring": False}, 1)])
async def test_what_a_rule_says_of_itself_holds_of_portfolios(
    database: Database, owned: Owned, columns: dict[str, Any], count: int
) -> None:
    rule_id = await watch_value(database, owned, "crosses_above", "30", **columns)
    await look(database)
    for amount in (20, 10, 20):
        await ingested(database, price(str(amount)))
        await look(database)
    assert await values_of(database, rule_id) == [(Decimal(20), Decimal(40))] * count


async def test_a_portfolio_is_looked_at_once_a_minute_and_valued_where_something_changed(
    database: Database, owned: Owned
) -> None:
    rule_id = await watch_value(database, owned, "crosses_above", "30")
    now = utc_now() + timedelta(hours=3)

    async def valued_at(after: timedelta) -> timedelta:
        await tick(database, now + after)
        async with database.transaction() as transaction:
            found = await transaction.connection.scalar(
                text("SELECT observed_at FROM alerts.subject_states WHERE rule_id = :rule"), {"rule": rule_id}
            )
        assert isinstance(found, datetime)
        return found - now

    minute = timedelta(minutes=1)
    assert await valued_at(0 * minute) == 0 * minute
    # Nothing has changed for three hours by this clock.
    assert await valued_at(1 * minute) == 0 * minute
    await hold(database, owned, "aurum", Deal("buy", "3", "1"), position=1)
    assert await valued_at(1.5 * minute) == 0 * minute
    assert await valued_at(2 * minute) == 2 * minute
    assert await valued_at(3 * minute) == 2 * minute
    assert await valued_at(62 * minute) == 62 * minute
    assert await values_of(database, rule_id) == [(Decimal(20), Decimal(50))]


async def test_changes_of_a_portfolio_are_none_of_those_of_prices(database: Database, owned: Owned) -> None:
    rule_id = await watch_value(database, owned, "rises_by", "10", window_minutes=7 * 24 * 60)
    async with database.transaction() as transaction:
        assert await look_at_windows(transaction, limit=10, now=utc_now()) == []
    # Else it would be looked at by the hour, and not by the minute.
    assert (await rule_row(database, rule_id))["next_look_at"] == BEFORE


async def test_a_holding_without_a_price_is_left_out_and_without_any_there_is_no_value(
    database: Database, owned: Owned
) -> None:
    empty = await portfolio_of_somebody(database, viewer=owned.viewer)
    await hold(database, empty, "argentum", Deal("buy", "5", "1"))
    unknown = await watch_value(database, empty, "crosses_above", "1")
    partial = await watch_value(database, owned, "crosses_above", "30")
    await look(database)
    assert await state_of(database, unknown) == Evaluation(RuleState.UNKNOWN, None)
    await hold(database, owned, "argentum", Deal("buy", "1", "1"), position=1)
    await look(database)
    assert await values_of(database, partial) == []
    await ingested(database, price("11", "argentum"))
    await look(database)
    # The first value that there is is the first observation.
    assert await values_of(database, unknown) == []
    assert (await state_of(database, unknown)).state is RuleState.TRIGGERED
    assert await values_of(database, partial) == [(Decimal(20), Decimal(31))]


async def snapshot(
    database: Database, owned: Owned, days_ago: int, value: str | None, *, currency: str = "EUR"
) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            text("""
                INSERT INTO portfolios.snapshots (portfolio_id, day, owner_id, currency, value, cost, realized_gain,
                    net_flow, holding_count, unpriced_count, stale_count, parts, computed_at)
                VALUES (:portfolio, CAST(timezone('UTC', now()) AS date) - CAST(:days AS integer), :owner, :currency,
                    :value, 0, 0, 0, 1, CASE WHEN CAST(:value AS numeric) IS NULL THEN 1 ELSE 0 END, 0, '{}', now())
            """),
            {
                "portfolio": owned.id,
                "days": days_ago,
                "owner": owned.owner_id,
                "currency": currency,
                "value": None if value is None else Decimal(value),
            },
        )


@pytest.mark.parametrize(
    ("condition", "prices", "expected"),
    [
        ("rises_by", [10.5, 11, 11.5, 10.5, 12], [(10, 15), (5, 20)]),
        ("falls_by", [9.5, 9, 8.5, 9.5, 8], [(-10, -15), (-5, -20)]),
    ],
)
async def test_a_change_is_held_against_the_snapshot_of_a_window_ago(
    database: Database, owned: Owned, condition: str, prices: list[float], expected: list[tuple[int, int]]
) -> None:
    # A snapshot is of the end of its day: that of eight days ago would be the last one that is a week old.
    # Where it had none, the one before.
    for days_ago, value in ((20, "7"), (9, "20"), (8, None), (7, "100"), (2, "200")):
        await snapshot(database, owned, days_ago, value)
    rule_id = await watch_value(database, owned, condition, "10", window_minutes=7 * 24 * 60)
    await look(database)
    for amount in prices:
        await ingested(database, price(str(amount)))
        await look(database)
    assert await values_of(database, rule_id) == [(Decimal(old), Decimal(new)) for old, new in expected]
    assert {alert.base_value for alert in await alerts(database, rule_id)} == {Decimal(20)}


async def test_from_next_to_nothing_to_more_than_there_is_a_change_is_told_all_the_same(
    database: Database, owned: Owned
) -> None:
    poor = await portfolio_of_somebody(database, viewer=owned.viewer)
    await ingested(database, price("0.000000000001", "argentum"))
    await hold(database, poor, "argentum", Deal("buy", "1", "1"))
    await snapshot(database, poor, 8, "0.000000000001")
    rule_id = await watch_value(database, poor, "rises_by", "10", window_minutes=10_080)
    await look(database)
    await hold(database, poor, "argentum", Deal("buy", "999999999999999", "1"), position=1)
    await ingested(database, price("999999999999", "argentum"))
    await look(database)
    assert len(await values_of(database, rule_id)) == 1


@pytest.mark.parametrize(
    ("snapshots", "expected"),
    [
        ([(5, None, "EUR"), (3, "20", "EUR"), (1, "30", "EUR")], Decimal(20)),
        ([(9, "40", "USD")], Decimal(10)),
        ([], None),
    ],
)
async def test_without_an_old_enough_snapshot_the_first_one_since_then_is_the_base_in_the_currency_of_the_rule(
    database: Database, owned: Owned, snapshots: list[tuple[int, str | None, str]], expected: Decimal | None
) -> None:
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            text("""
                INSERT INTO prices.exchange_rates (currency, rate_date, units_per_eur, source)
                VALUES ('USD', CAST(now() AS date) - 9, 4, 'ECB'), ('USD', CAST(now() AS date), 1, 'ECB')
            """)
        )
    for days_ago, value, currency in snapshots:
        await snapshot(database, owned, days_ago, value, currency=currency)
    rule_id = await watch_value(database, owned, "rises_by", "400", window_minutes=7 * 24 * 60)
    await look(database)
    await ingested(database, price("100"))
    await look(database)
    found = await alerts(database, rule_id)
    assert [alert.base_value for alert in found] == ([] if expected is None else [expected])


async def test_some_portfolios_at_a_time_are_looked_at_in_a_transaction(database: Database, owned: Owned) -> None:
    rules = [await watch_value(database, owned, "crosses_above", "30") for _ in range(5)]
    now = utc_now()
    looks = 0

    async def counted(transaction: Any, *, now: datetime, limit: int, only: Any = None) -> Any:
        nonlocal looks
        looks += 1
        return await look_at_portfolios(transaction, now=now, limit=limit, only=only)

    two_at_a_time = Look(RuleLook.PORTFOLIOS, counted, 2)
    await look_at_all(database, two_at_a_time, now=now)
    assert looks == 3
    await ingested(database, price("20"))
    assert await look_at_all(database, two_at_a_time, now=now + timedelta(minutes=1)) == 5
    assert [len(await alerts(database, rule_id)) for rule_id in rules] == [1] * 5


# --- changes of prices ----------------------------------------------------------------------------------------------


async def test_the_clock_looks_at_changes_of_prices_too(database: Database) -> None:
    items = await saved(database, coin("aurum"))
    began = utc_now() - timedelta(minutes=120)
    for amount, minute in (("100", 0), ("80", 30), ("95", 61)):
        await ingested(database, point("aurum", amount, currency="EUR", at=began + timedelta(minutes=minute)))
    columns = {"threshold": Decimal(10), "currency": "EUR", "window_minutes": 60, "next_look_at": BEFORE}
    rule_id = await rule(database, await person(database), "item", items["aurum"], "rises_by", **columns)
    for minute in (70, 91, 92):
        await tick(database, began + timedelta(minutes=minute))
    assert [(alert.new_value, alert.base_value) for alert in await alerts(database, rule_id)] == [
        (Decimal("18.75"), Decimal(80))
    ]


# --- what fails ---------------------------------------------------------------------------------------------------


def count_of(metric: Any, label: str) -> float:
    return float(metric.labels(label)._value.get())


@pytest.fixture
def stumbles(monkeypatch: pytest.MonkeyPatch) -> set[UUID]:
    """Rules that all looks stumble over, as over a mistake of ours."""
    found: set[UUID] = set()

    def stumbling(made: Any) -> Any:
        def make(rule: Any, *args: Any) -> Any:
            if (rule.rule_id if hasattr(rule, "rule_id") else rule.id) in found:
                raise InvalidOperation("of Ada's 1234.56")
            return made(rule, *args)

        return make

    for place in ("look_at_silences._fires", "look_at_portfolios._watch", "hold_over_changes.watch_of"):
        module, name = place.split(".")
        path = f"app.alerts.commands.{module}"
        monkeypatch.setattr(f"{path}.{name}", stumbling(getattr(importlib.import_module(path), name)))
    return found


async def test_a_rule_that_fails_keeps_no_other_rule_back_and_is_looked_at_again(
    database: Database, owned: Owned, stumbles: set[UUID]
) -> None:
    rules = [await watch_value(database, owned, "crosses_above", "30") for _ in range(5)]
    await look(database)
    await ingested(database, price("20"))
    stumbles |= {rules[1], rules[4]}
    failed, rounds = count_of(ALERT_RULE_FAILURES, "portfolios"), count_of(ALERT_CLOCK_ROUNDS, "done")
    with capture_logs() as logs:
        await look(database)
    assert [len(await alerts(database, rule_id)) for rule_id in rules] == [1, 0, 1, 1, 0]
    told = [(one["event"], one["log_level"], one["look"], one["rule"], one["reason"]) for one in logs]
    assert sorted(told) == sorted(
        ("alert_rule_failed", "error", "portfolios", str(rule_id), "InvalidOperation") for rule_id in stumbles
    )
    assert "1234" not in str(logs)
    assert count_of(ALERT_RULE_FAILURES, "portfolios") == failed + 2
    assert count_of(ALERT_CLOCK_ROUNDS, "done") == rounds + 1
    # It is put off, and then tried again.
    assert (await rule_row(database, rules[1]))["next_look_at"] > utc_now() + timedelta(seconds=30)
    stumbles.clear()
    await look(database)
    assert [len(await alerts(database, rule_id)) for rule_id in rules] == [1] * 5


async def test_rules_of_one_kind_that_all_fail_keep_no_other_kind_back(
    database: Database, owned: Owned, stumbles: set[UUID]
) -> None:
    value = await watch_value(database, owned, "crosses_above", "30")
    await look(database)
    client_id, _, (tracker_id,) = await tracked(database)
    silences = [await silence(database, await member(database, client_id), "tracker", tracker_id) for _ in range(3)]
    await heard(database, tracker_id, 0)
    await ingested(database, price("20"))
    stumbles |= set(silences)
    await look(database)
    assert [len(await alerts(database, rule_id)) for rule_id in (*silences, value)] == [0, 0, 0, 1]
    stumbles.clear()
    await look(database)
    assert [len(await alerts(database, rule_id)) for rule_id in (*silences, value)] == [1] * 4


async def test_a_look_that_fails_keeps_no_other_look_back_and_does_not_end_the_worker(
    database: Database, owned: Owned
) -> None:
    rule_id = await watch_value(database, owned, "crosses_above", "30")
    await look(database)
    await ingested(database, price("20"))
    await changed(database, rule_id, next_look_at=BEFORE)

    async def fail(transaction: Any, **given: Any) -> Any:
        raise KeyError("Ada's")

    failed = count_of(ALERT_CLOCK_ROUNDS, "failed")
    clock = AlertClock(database, looks=[Look(RuleLook.SILENCES, fail, 20), *LOOKS])
    with capture_logs() as logs:
        await clock.run()
    await clock.stop()
    assert len(await alerts(database, rule_id)) == 1
    assert [(one["event"], one["look"], one["reason"]) for one in logs] == [
        ("alert_look_failed", "silences", "KeyError")
    ]
    assert "Ada" not in str(logs)
    assert count_of(ALERT_CLOCK_ROUNDS, "failed") == failed + 1


async def test_how_far_the_clock_is_behind_is_measured_of_each_look(database: Database, owned: Owned) -> None:
    client_id, _, (tracker_id,) = await tracked(database)
    now = utc_now()
    await silence(
        database, await member(database, client_id), "tracker", tracker_id, next_look_at=now - timedelta(minutes=5)
    )
    await watch_value(database, owned, "crosses_above", "30", next_look_at=now + timedelta(seconds=1))
    over = {"is_active": False, "ended_at": now, "next_look_at": BEFORE}
    await watch_value(database, owned, "crosses_above", "30", **over)
    await AlertMeter(database, clock=lambda: now).run()
    assert [count_of(ALERT_CLOCK_LAG_SECONDS, one.value) for one in RuleLook] == [300, 0, 0]
    await tick(database, now)
    await AlertMeter(database, clock=lambda: now).run()
    assert [count_of(ALERT_CLOCK_LAG_SECONDS, one.value) for one in RuleLook] == [0, 0, 0]


# --- what is kept -------------------------------------------------------------------------------------------------


async def test_alerts_and_notifications_go_after_a_year_read_or_not(database: Database, owned: Owned) -> None:
    rule_id = await watch_value(database, owned, "crosses_level", "30")
    await look(database)
    for amount in (20, 10, 20):
        await ingested(database, price(str(amount)))
        await look(database)
    old, unread, kept = await alerts(database, rule_id)
    now = utc_now()
    async with database.transaction() as transaction:
        connection = transaction.connection
        year = {"old": now - timedelta(days=366), "fresh": now - timedelta(days=364)}
        await connection.execute(text("UPDATE alerts.alerts SET created_at = :fresh"), {"fresh": year["fresh"]})
        await connection.execute(
            text("UPDATE alerts.alerts SET created_at = :at WHERE id = :id"), {"at": year["old"], "id": old.id}
        )
        await connection.execute(
            text("UPDATE notifications.notifications SET created_at = :at WHERE alert_id = :unread"),
            {"at": year["old"], "unread": unread.id},
        )
    await prune_old_alerts(database)
    async with database.transaction() as transaction:
        left = await transaction.connection.scalars(text("SELECT alert_id FROM notifications.notifications"))
        assert left.all() == [kept.id]
        stay = await transaction.connection.scalars(text("SELECT id FROM alerts.alerts ORDER BY observed_at"))
        assert stay.all() == [unread.id, kept.id]
