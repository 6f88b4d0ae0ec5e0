"""What the people of a world want to be told of: rules over all that there is, what they remember, and alerts."""

from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from app.alerts.given import CHANGES, CHANNELS, CONDITIONS_OF, LEVELS, PRICED
from app.alerts.models import Alert, Condition, PriceState, Rule, RuleTarget, Severity, SubjectState
from app.catalogue.models import CardSet, Item, ItemVariant
from app.core.database import Base
from app.identity.models import User
from app.notifications.models import Notification
from app.portfolios.models import Portfolio
from app.portfolios.wish_models import Preorder, Want, Watchlist
from app.prices.models import PriceKind, PriceSeries, Source
from app.trackers.models import Place, ProductionRun, Tracker
from tests.graph.oracle.possessions import CURRENCIES
from tests.graph.oracle.rows import Row, World, any_instant, any_key, maybe
from tests.graph.oracle.texts import any_text

PERCENTAGES = ("0.5", "12.50", "99.999999")
AMOUNTS = ("0.5", "12.50", "100", "0.000000000000000001", "1000000000000000")
MINUTES = (1, 90, 1_440, 525_600)
TARGETS: dict[RuleTarget, type[Base]] = {
    RuleTarget.ITEM: Item,
    RuleTarget.VARIANT: ItemVariant,
    RuleTarget.CARD_SET: CardSet,
    RuleTarget.WATCHLIST: Watchlist,
    RuleTarget.PORTFOLIO: Portfolio,
    RuleTarget.TRACKER: Tracker,
    RuleTarget.PLACE: Place,
    RuleTarget.PRODUCTION_RUN: ProductionRun,
    RuleTarget.PREORDER: Preorder,
    RuleTarget.WANT: Want,
}
OWN = frozenset({RuleTarget.WATCHLIST, RuleTarget.PORTFOLIO, RuleTarget.PREORDER, RuleTarget.WANT})


def add_alerts(world: World) -> None:
    """Give some people rules and alerts, by chances of their own as possessions are."""
    random = Random(f"alerts {world.now} {world.column(User, 'username')}")
    for owner_id in world.column(User, "id"):
        rules = [_add_rule(world, random, owner_id) for _ in range(random.choice((0, 1, 3, 6)))]
        for rule in rules:
            _add_states(world, random, rule)
        for _ in range(random.choice((0, 1, 4))):
            _add_alert(world, random, owner_id, maybe(random, random.choice(rules)) if rules else None)


def _key_of(world: World, random: Random, kind: RuleTarget, owner_id: UUID) -> UUID | None:
    rows = world.rows[TARGETS[kind]] if kind in TARGETS else []
    keys = [row["id"] for row in rows if kind not in OWN or row["owner_id"] == owner_id]
    return random.choice(keys) if keys else None


def _any_amount(random: Random) -> Decimal:
    return Decimal(random.choice(AMOUNTS))


def _any_value(random: Random) -> Decimal | None:
    value: Decimal | None = maybe(random, random.choice((-1, 1)) * _any_amount(random))
    return value


def _any_channels(random: Random) -> list[str] | None:
    channels: list[str] | None = maybe(random, random.sample(CHANNELS, random.choice((0, 1, 3))))
    return channels


def _any_source(world: World, random: Random) -> int | None:
    source: int | None = maybe(random, random.choice(world.column(Source, "id") or [None]))
    return source


def _any_terms(world: World, random: Random, kind: RuleTarget, condition: Condition) -> Row:
    """What makes a rule fire: what its condition has to have, and nothing else."""
    threshold = hysteresis = None
    if condition in LEVELS:
        threshold, hysteresis = _any_amount(random), random.choice((Decimal(0), _any_amount(random)))
    elif condition in CHANGES:
        threshold, hysteresis = (Decimal(random.choice(PERCENTAGES)) for _ in range(2))
    elif condition is Condition.DATE_SLIPPED:
        threshold = maybe(random, Decimal(random.choice((1, 3_650))))
    has_currency = condition in LEVELS or kind is RuleTarget.PORTFOLIO
    may_have_currency = condition in CHANGES and random.random() < 0.5
    reaches = condition in LEVELS and kind in PRICED
    windows = MINUTES[2:] if kind is RuleTarget.PORTFOLIO else MINUTES
    by_clock = kind is RuleTarget.PORTFOLIO or condition in {*CHANGES, Condition.SILENT_FOR}
    return {
        "threshold": threshold,
        "currency": random.choice(CURRENCIES) if has_currency or may_have_currency else None,
        "window_minutes": random.choice(windows) if condition in CHANGES else None,
        "duration_minutes": random.choice(MINUTES[1:]) if condition is Condition.SILENT_FOR else None,
        "hysteresis": hysteresis or Decimal(0),
        "reach_low": threshold if reaches else None,
        "reach_high": threshold if reaches else None,
        "next_look_at": any_instant(world, random) if by_clock else None,
    }


def _add_rule(world: World, random: Random, owner_id: UUID) -> Row:
    kind = random.choice([*RuleTarget, *sorted(PRICED)])
    key = _key_of(world, random, kind, owner_id)
    kind = RuleTarget.WANTS if key is None else kind
    condition = random.choice(sorted(CONDITIONS_OF[kind]))
    is_active = random.random() < 0.6
    return world.add(
        Rule,
        id=any_key(random),
        owner_id=owner_id,
        target=kind.value,
        **{f"{one.value}_id": key if one is kind else None for one in TARGETS},
        condition=condition.value,
        **_any_terms(world, random, kind, condition),
        cooldown_minutes=random.choice((0, *MINUTES)),
        price_kind=random.choice(list(PriceKind)).value if kind in PRICED and random.random() < 0.2 else None,
        source_id=_any_source(world, random) if kind in PRICED and random.random() < 0.3 else None,
        is_recurring=random.random() < 0.7,
        # Now and then to the microsecond what the operation takes for now.
        expires_at=maybe(random, random.choice((world.now, any_instant(world, random)))),
        severity=random.choice(list(Severity)).value,
        notes=maybe(random, any_text(random)[:2_000] or "A"),
        channels=_any_channels(random),
        is_active=is_active,
        paused_at=None if is_active else maybe(random, any_instant(world, random)),
        ended_at=None if is_active else maybe(random, any_instant(world, random)),
        watches_from=any_instant(world, random),
        last_fired_at=maybe(random, any_instant(world, random)),
        fired_count=random.choice((0, 1, 2**31 - 1)),
        version=random.choice((1, 2, 2**31 - 1)),
        created_at=any_instant(world, random),
        updated_at=any_instant(world, random),
    )


def _remembered(world: World, random: Random, rule: Row) -> dict[str, Any]:
    return {
        "rule_id": rule["id"],
        "owner_id": rule["owner_id"],
        "is_triggered": random.random() < 0.5,
        "value": _any_value(random),
        "observed_at": maybe(random, any_instant(world, random)),
        "fired_at": maybe(random, any_instant(world, random)),
    }


def _add_states(world: World, random: Random, rule: Row) -> None:
    if rule["target"] in PRICED:
        series = world.column(PriceSeries, "id")
        for series_id in random.sample(series, min(len(series), random.choice((0, 1, 4)))):
            world.add(PriceState, series_id=series_id, subject_id=rule["id"], **_remembered(world, random, rule))
    else:
        for _ in range(random.choice((0, 1, 2))):
            world.add(SubjectState, subject_id=any_key(random), **_remembered(world, random, rule))


def _add_alert(world: World, random: Random, owner_id: UUID, rule: Row | None) -> None:
    is_price, told_at = random.random() < 0.5, any_instant(world, random)
    keys = {
        f"{kind.value}_id": maybe(random, _key_of(world, random, kind, owner_id))
        for kind in TARGETS
        if kind not in {RuleTarget.CARD_SET, RuleTarget.WATCHLIST, RuleTarget.PRODUCTION_RUN}
    }
    alert = world.add(
        Alert,
        id=any_key(random),
        owner_id=owner_id,
        rule_id=None if rule is None else rule["id"],
        crossing=f"{len(world.rows[Alert])}",
        condition=random.choice(list(Condition)).value,
        severity=random.choice(list(Severity)).value,
        title=any_text(random),
        notes=maybe(random, any_text(random)),
        **keys,
        **{name: _any_value(random) for name in ("old_value", "new_value", "base_value", "threshold")},
        currency=maybe(random, random.choice(CURRENCIES)),
        series_id=maybe(random, random.choice(world.column(PriceSeries, "id") or [None])),
        price_kind=maybe(random, random.choice(list(PriceKind)).value),
        source_id=_any_source(world, random),
        observed_at=any_instant(world, random),
        observed_price=_any_amount(random) if is_price else None,
        observed_currency=random.choice(CURRENCIES) if is_price else None,
        channels=_any_channels(random),
        created_at=told_at,
    )
    if random.random() < 0.8:
        _add_notification(world, random, alert, told_at)


def _add_notification(world: World, random: Random, alert: Row, told_at: datetime) -> None:
    world.add(
        Notification,
        id=any_key(random),
        position=len(world.rows[Notification]) + 1,
        owner_id=alert["owner_id"],
        key=f"alert:{alert['id']}",
        event_type="price",
        severity=alert["severity"],
        alert_id=alert["id"],
        title=alert["title"],
        body=alert["notes"],
        channels=alert["channels"],
        read_at=maybe(random, any_instant(world, random)),
        dismissed_at=maybe(random, any_instant(world, random)),
        snoozed_until=maybe(random, any_instant(world, random)),
        routed_at=maybe(random, any_instant(world, random)),
        created_at=told_at,
    )
