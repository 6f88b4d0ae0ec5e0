"""Rules over changes that no price comes near are held as if each change had been looked at."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from hypothesis import example, given
from hypothesis import strategies as st

from app.alerts.commands.held_rules import Held
from app.alerts.commands.hold_over_changes import LookAtChanges, PriceAt, hold_over_changes
from app.alerts.crossings import Observation, as_observations, changes_over, largest_change
from app.alerts.models import Condition
from app.alerts.queries.daily_rates import DailyRates
from app.alerts.queries.past_prices import PastPrices
from app.alerts.queries.price_rules import RuleOfSeries
from tests.alerts.price_builders import NOON, at

WINDOW = timedelta(minutes=3)
SERIES = 1
ANYTHING = UUID(int=1)


class EachChange(LookAtChanges):
    """Looks at each change, however far from the threshold all are."""

    def stays_below(self, level: Decimal, past: PastPrices) -> bool:
        """Leaves it open."""
        del level, past
        return False


def held(kind: type[LookAtChanges], rule: RuleOfSeries, prices: Sequence[Decimal], new_count: int) -> Held:
    """What comes of prices of a minute each, of which so many are new."""
    times = [at(minute) for minute in range(len(prices))]
    new = [PriceAt(time, price, time) for time, price in zip(times, prices, strict=True)][-new_count:]
    result = Held()
    look = kind(
        rule=rule,
        variant_id=ANYTHING,
        source_id=1,
        kind="market",
        own_currency="USD",
        prices=new,
        began=None if rule.is_triggered is not None else new[0],
        window=WINDOW,
    )
    hold_over_changes(look, PastPrices([(SERIES, times, list(prices))]), DailyRates(), result)
    return result


_conditions = st.sampled_from([Condition.RISES_BY, Condition.FALLS_BY])
_rules = st.builds(
    RuleOfSeries,
    rule_id=st.just(ANYTHING),
    owner_id=st.just(ANYTHING),
    version=st.just(1),
    condition=_conditions.map(str),
    threshold=st.sampled_from([10, 20, 50]).map(Decimal),
    currency=st.sampled_from([None, "USD"]),
    window_minutes=st.just(3),
    hysteresis=st.sampled_from([0, 10, 20, 60]).map(Decimal),
    cooldown_minutes=st.sampled_from([0, 2]),
    expires_at=st.none(),
    watches_from=st.just(NOON - timedelta(days=1)),
    want_id=st.none(),
    item_id=st.just(ANYTHING),
    series_id=st.just(SERIES),
    is_triggered=st.sampled_from([None, True, False]),
    value=st.integers(-30, 30).map(Decimal),
    known_at=st.just(NOON),
    fired_at=st.sampled_from([None, NOON]),
)
# It was above ten percent, and is not armed again before nothing is left of that.
TRIGGERED = RuleOfSeries(
    rule_id=ANYTHING,
    owner_id=ANYTHING,
    version=1,
    condition="rises_by",
    threshold=Decimal(10),
    currency="USD",
    window_minutes=3,
    hysteresis=Decimal(10),
    cooldown_minutes=0,
    expires_at=None,
    watches_from=NOON - timedelta(days=1),
    want_id=None,
    item_id=ANYTHING,
    series_id=SERIES,
    is_triggered=True,
    value=Decimal(20),
    known_at=NOON,
    fired_at=NOON,
)
_amounts = st.integers(80, 125).map(Decimal) | st.sampled_from([Decimal(0), Decimal(300)])
_prices = st.lists(_amounts, min_size=1, max_size=10)


@example(TRIGGERED, [Decimal(price) for price in (100, 100, 100, 100, 95, 105)], 2)
@example(TRIGGERED, [Decimal(price) for price in (100, 0, 100, 100, 95, 105)], 2)
@given(_rules, _prices, st.integers(1, 10))
def test_what_is_far_from_the_threshold_is_held_as_if_each_change_were_looked_at(
    rule: RuleOfSeries, prices: list[Decimal], new_count: int
) -> None:
    assert held(LookAtChanges, rule, prices, new_count) == held(EachChange, rule, prices, new_count)


@given(_conditions, _prices)
def test_no_change_is_larger_than_the_one_between_the_extremes(condition: Condition, prices: list[Decimal]) -> None:
    observations = [Observation(at(minute), price) for minute, price in enumerate(prices)]
    changes = as_observations(condition, changes_over(WINDOW, observations))

    largest = largest_change(condition, prices, prices)

    assert (largest is None) == (Decimal(0) in prices)
    assert largest is None or all(change.value <= largest for change in changes)
