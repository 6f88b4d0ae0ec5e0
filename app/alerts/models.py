"""Rules, what is known of them between two observations, and the alerts that they gave."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from app.catalogue.models import CardSet, Item, ItemVariant
from app.core.database import Base
from app.core.ids import new_id
from app.identity.models import User
from app.portfolios.wish_models import Preorder, Want
from app.prices.models import PriceSeries, Source
from app.trackers.models import Place, ProductionRun, Tracker

SCHEMA = "alerts"


class RuleTarget(StrEnum):
    """What a rule looks at. Of `wants` it is all wants of its owner, and no other row is named."""

    ITEM = "item"
    VARIANT = "variant"
    CARD_SET = "card_set"
    WATCHLIST = "watchlist"
    PORTFOLIO = "portfolio"
    TRACKER = "tracker"
    PLACE = "place"
    PRODUCTION_RUN = "production_run"
    PREORDER = "preorder"
    WANT = "want"
    WANTS = "wants"


class Condition(StrEnum):
    """What has to become true of the target.

    `crosses_above` fires when a value was at most the threshold and is above it now, `crosses_below` mirrors it,
    `crosses_level` is either, `at_or_below` fires when it was above and is so no longer. `rises_by` and `falls_by` hold
    the change in percent, against the value a window ago, against the threshold in the same way.
    """

    CROSSES_ABOVE = "crosses_above"
    CROSSES_BELOW = "crosses_below"
    CROSSES_LEVEL = "crosses_level"
    AT_OR_BELOW = "at_or_below"
    RISES_BY = "rises_by"
    FALLS_BY = "falls_by"
    ENTERED = "entered"
    LEFT = "left"
    DELIVERED = "delivered"
    SILENT_FOR = "silent_for"
    MOVED_IN_STORAGE = "moved_in_storage"
    DATE_SLIPPED = "date_slipped"
    WANT_MET = "want_met"


class Severity(StrEnum):
    """How much an alert matters to who made the rule, from little to much."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Rule(Base):
    """What somebody wants to be told of: a condition of one target.

    A rule is active until it is paused or has ended: once it fired and was to fire once, or when it expired. The value
    is in `currency`, each price at the exchange rate of its day; `price_kind` and `source_id` narrow the
    prices that count.
    After it fired it is armed again once the value is back by `hysteresis` (of the threshold's unit), and fires again
    after `cooldown_minutes` at the earliest. `reach_low` to `reach_high` are the values between which the state of a
    rule over prices can change, so that of many rules only those are read that a price has come near.
    """

    __tablename__ = "rules"
    __table_args__ = (
        UniqueConstraint("id", "owner_id"),
        CheckConstraint(
            "target IN ('item', 'variant', 'card_set', 'watchlist', 'portfolio', 'tracker', 'place', 'production_run', "
            "'preorder', 'want', 'wants')",
            name="target_is_known",
        ),
        CheckConstraint(
            "num_nonnulls(item_id, variant_id, card_set_id, watchlist_id, portfolio_id, tracker_id, place_id, "
            "production_run_id, preorder_id, want_id) = CASE target WHEN 'wants' THEN 0 ELSE 1 END",
            name="has_one_target",
        ),
        CheckConstraint(
            "condition IN ('crosses_above', 'crosses_below', 'crosses_level', 'at_or_below', 'rises_by', 'falls_by', "
            "'entered', 'left', 'delivered', 'silent_for', 'moved_in_storage', 'date_slipped', 'want_met')",
            name="condition_is_known",
        ),
        CheckConstraint("severity IN ('info', 'warning', 'critical')", name="severity_is_known"),
        CheckConstraint("char_length(notes) BETWEEN 1 AND 2000", name="notes_are_short"),
        CheckConstraint("hysteresis >= 0", name="hysteresis_is_not_negative"),
        CheckConstraint("cooldown_minutes BETWEEN 0 AND 525600", name="cooldown_is_within_a_year"),
        CheckConstraint("window_minutes BETWEEN 1 AND 525600", name="window_is_within_a_year"),
        CheckConstraint("duration_minutes BETWEEN 10 AND 525600", name="duration_is_within_a_year"),
        CheckConstraint("(reach_low IS NULL) = (reach_high IS NULL)", name="reach_is_whole"),
        # A check whose condition is null holds, so each says what may be null.
        CheckConstraint(
            "CASE target WHEN 'item' THEN item_id WHEN 'variant' THEN variant_id WHEN 'card_set' THEN "
            "card_set_id WHEN 'watchlist' THEN watchlist_id WHEN 'portfolio' THEN portfolio_id WHEN "
            "'tracker' THEN tracker_id WHEN 'place' THEN place_id WHEN 'production_run' THEN "
            "production_run_id WHEN 'preorder' THEN preorder_id WHEN 'want' THEN want_id ELSE id END IS "
            "NOT NULL",
            name="target_is_named",
        ),
        CheckConstraint(
            "CASE WHEN target IN ('item', 'variant', 'card_set', 'watchlist', 'portfolio') THEN condition "
            "IN ('crosses_above', 'crosses_below', 'crosses_level', 'at_or_below', 'rises_by', "
            "'falls_by') WHEN target IN ('tracker', 'production_run') THEN condition IN ('entered', "
            "'left', 'delivered', 'moved_in_storage', 'silent_for') WHEN target = 'place' THEN condition "
            "IN ('entered', 'left', 'delivered', 'moved_in_storage') WHEN target = 'preorder' THEN "
            "condition = 'date_slipped' ELSE condition = 'want_met' END",
            name="condition_goes_with_target",
        ),
        CheckConstraint(
            "CASE WHEN condition IN ('crosses_above', 'crosses_below', 'crosses_level', 'at_or_below') "
            "THEN threshold IS NOT NULL AND threshold > 0 AND threshold <= 1000000000000000 AND "
            "scale(threshold) <= 18 WHEN condition IN ('rises_by', 'falls_by') THEN threshold IS NOT NULL "
            "AND threshold > 0 AND threshold <= 1000000 AND scale(threshold) <= 18 AND (condition = "
            "'rises_by' OR threshold < 100) WHEN condition = 'date_slipped' THEN threshold IS NULL OR "
            "threshold BETWEEN 1 AND 3650 AND threshold = trunc(threshold) ELSE threshold IS NULL END",
            name="threshold_goes_with_condition",
        ),
        CheckConstraint(
            "CASE WHEN condition IN ('crosses_above', 'crosses_below', 'crosses_level', 'at_or_below') "
            "THEN hysteresis <= 1000000000000000 AND scale(hysteresis) <= 18 WHEN condition IN "
            "('rises_by', 'falls_by') THEN hysteresis <= 1000000 AND scale(hysteresis) <= 18 ELSE "
            "hysteresis = 0 END",
            name="hysteresis_goes_with_condition",
        ),
        CheckConstraint(
            "CASE WHEN condition IN ('crosses_above', 'crosses_below', 'crosses_level', 'at_or_below') OR "
            "target = 'portfolio' THEN currency IS NOT NULL WHEN condition IN ('rises_by', 'falls_by') "
            "THEN true ELSE currency IS NULL END",
            name="currency_goes_with_condition",
        ),
        CheckConstraint(
            "CASE WHEN condition IN ('rises_by', 'falls_by') THEN window_minutes IS NOT NULL AND (target "
            "<> 'portfolio' OR window_minutes % 1440 = 0) ELSE window_minutes IS NULL END",
            name="window_goes_with_condition",
        ),
        CheckConstraint(
            "(duration_minutes IS NOT NULL) = (condition = 'silent_for')",
            name="duration_goes_with_condition",
        ),
        CheckConstraint(
            "price_kind IN ('sale', 'market', 'mid', 'ask', 'bid', 'low', 'high', 'list')",
            name="price_kind_is_known",
        ),
        CheckConstraint(
            "target IN ('item', 'variant', 'card_set', 'watchlist') OR num_nonnulls(price_kind, source_id) = 0",
            name="prices_alone_are_narrowed",
        ),
        CheckConstraint(
            "CASE WHEN condition IN ('crosses_above', 'crosses_below', 'crosses_level', 'at_or_below') "
            "AND target IN ('item', 'variant', 'card_set', 'watchlist') THEN reach_low IS NOT NULL AND "
            "threshold BETWEEN reach_low AND reach_high ELSE reach_low IS NULL END",
            name="reach_goes_with_condition",
        ),
        CheckConstraint(
            "(next_look_at IS NOT NULL) = (target = 'portfolio' OR condition IN ('rises_by', 'falls_by', "
            "'silent_for'))",
            name="clock_looks_at_what_it_has_to",
        ),
        ForeignKeyConstraint(
            ["watchlist_id", "owner_id"],
            ["portfolios.watchlists.id", "portfolios.watchlists.owner_id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["portfolio_id", "owner_id"],
            ["portfolios.portfolios.id", "portfolios.portfolios.owner_id"],
            ondelete="CASCADE",
        ),
        Index("rules_by_owner", "owner_id", "created_at", "id"),
        *(
            Index(
                f"rules_by_{target}",
                *(f"{target}_id", "reach_low", "reach_high"),
                postgresql_where=text(f"{target}_id IS NOT NULL"),
            )
            for target in ("item", "variant", "card_set", "watchlist")
        ),
        *(
            Index(f"rules_by_{target}", f"{target}_id", postgresql_where=text(f"{target}_id IS NOT NULL"))
            for target in ("portfolio", "tracker", "place", "production_run", "preorder", "want")
        ),
        Index("rules_by_currency", "currency", postgresql_where=text("is_active AND currency IS NOT NULL")),
        Index("rules_of_wants", "owner_id", postgresql_where=text("is_active AND condition = 'want_met'")),
        Index("rules_expiring", "expires_at", postgresql_where=text("is_active")),
        Index("rules_by_clock", "next_look_at", postgresql_where=text("is_active AND next_look_at IS NOT NULL")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    target: Mapped[str]
    item_id: Mapped[UUID | None] = mapped_column(ForeignKey(Item.id, ondelete="CASCADE"))
    variant_id: Mapped[UUID | None] = mapped_column(ForeignKey(ItemVariant.id, ondelete="CASCADE"))
    card_set_id: Mapped[UUID | None] = mapped_column(ForeignKey(CardSet.id, ondelete="CASCADE"))
    watchlist_id: Mapped[UUID | None]
    portfolio_id: Mapped[UUID | None]
    tracker_id: Mapped[UUID | None] = mapped_column(ForeignKey(Tracker.id, ondelete="CASCADE"))
    place_id: Mapped[UUID | None] = mapped_column(ForeignKey(Place.id, ondelete="CASCADE"))
    production_run_id: Mapped[UUID | None] = mapped_column(ForeignKey(ProductionRun.id, ondelete="CASCADE"))
    preorder_id: Mapped[UUID | None] = mapped_column(ForeignKey(Preorder.id, ondelete="CASCADE"))
    want_id: Mapped[UUID | None] = mapped_column(ForeignKey(Want.id, ondelete="CASCADE"))
    condition: Mapped[str]
    threshold: Mapped[Decimal | None]
    currency: Mapped[str | None]
    window_minutes: Mapped[int | None]
    duration_minutes: Mapped[int | None]
    hysteresis: Mapped[Decimal] = mapped_column(server_default=text("0"))
    cooldown_minutes: Mapped[int] = mapped_column(server_default=text("0"))
    price_kind: Mapped[str | None]
    source_id: Mapped[int | None] = mapped_column(SmallInteger, ForeignKey(Source.id))
    is_recurring: Mapped[bool] = mapped_column(server_default=text("true"))
    expires_at: Mapped[datetime | None]
    severity: Mapped[str] = mapped_column(server_default=text("'info'"))
    notes: Mapped[str | None]
    # Kinds of channels; null where the owner's preferences say which.
    channels: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    reach_low: Mapped[Decimal | None]
    reach_high: Mapped[Decimal | None]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    paused_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    # From when on a rule counts: when it was made, resumed, or changed so that it begins anew.
    watches_from: Mapped[datetime] = mapped_column(server_default=func.now())
    # When the clock is to look at it again: silences, windows, values of portfolios.
    next_look_at: Mapped[datetime | None]
    last_fired_at: Mapped[datetime | None]
    fired_count: Mapped[int] = mapped_column(server_default=text("0"))
    version: Mapped[int] = mapped_column(server_default=text("1"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


class PriceState(Base):
    """What a rule has to remember of one series, where it does not follow from the series' latest price.

    It is triggered until the value is back by the hysteresis; `fired_at` is the time of the last observation that
    fired, from which the cooldown counts. Rules over changes keep the last change, in percent, in `value`. `subject_id`
    is the want that the price is held against, and the rule itself where it is not about wants: a rule over all wants
    may hold one series against several.
    """

    __tablename__ = "price_states"
    __table_args__ = (
        ForeignKeyConstraint(
            ["rule_id", "owner_id"], [f"{SCHEMA}.rules.id", f"{SCHEMA}.rules.owner_id"], ondelete="CASCADE"
        ),
        Index("price_states_by_series", "series_id"),
        {"schema": SCHEMA},
    )

    rule_id: Mapped[UUID] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(ForeignKey(PriceSeries.id, ondelete="CASCADE"), primary_key=True)
    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID]
    is_triggered: Mapped[bool]
    value: Mapped[Decimal | None]
    observed_at: Mapped[datetime | None]
    fired_at: Mapped[datetime | None]


class SubjectState(Base):
    """What a rule has to remember of one subject that is no series: a tracker, a portfolio or a preorder.

    Of a portfolio `subject_version` is the version of its trades when it was looked at last.
    """

    __tablename__ = "subject_states"
    __table_args__ = (
        ForeignKeyConstraint(
            ["rule_id", "owner_id"], [f"{SCHEMA}.rules.id", f"{SCHEMA}.rules.owner_id"], ondelete="CASCADE"
        ),
        {"schema": SCHEMA},
    )

    rule_id: Mapped[UUID] = mapped_column(primary_key=True)
    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    owner_id: Mapped[UUID]
    is_triggered: Mapped[bool]
    value: Mapped[Decimal | None]
    observed_at: Mapped[datetime | None]
    fired_at: Mapped[datetime | None]
    subject_version: Mapped[int | None]


class Alert(Base):
    """A rule fired: what was so before, what is so now, and the observation it stands on.

    `crossing` says which one it is of the rule: each is told once. Values are in `currency`, or in percent where the
    condition is about a change: then `base_value`, in `currency`, is what it is a change against. What it was about may
    be gone: an alert is history, and keeps the ids. What became one with another leads to that.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        UniqueConstraint("rule_id", "crossing"),
        UniqueConstraint("id", "owner_id"),
        ForeignKeyConstraint(
            ["rule_id", "owner_id"],
            [f"{SCHEMA}.rules.id", f"{SCHEMA}.rules.owner_id"],
            ondelete="SET NULL (rule_id)",
        ),
        CheckConstraint("severity IN ('info', 'warning', 'critical')", name="severity_is_known"),
        Index("alerts_by_item", "item_id", postgresql_where=text("item_id IS NOT NULL")),
        Index("alerts_by_owner", "owner_id", "id"),
        Index("alerts_by_rule", "rule_id", "id"),
        Index("alerts_by_time", "created_at", postgresql_using="brin"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    rule_id: Mapped[UUID | None]
    crossing: Mapped[str]
    condition: Mapped[str]
    severity: Mapped[str]
    title: Mapped[str]
    notes: Mapped[str | None]
    item_id: Mapped[UUID | None]
    variant_id: Mapped[UUID | None]
    portfolio_id: Mapped[UUID | None]
    tracker_id: Mapped[UUID | None]
    place_id: Mapped[UUID | None]
    preorder_id: Mapped[UUID | None]
    want_id: Mapped[UUID | None]
    old_value: Mapped[Decimal | None]
    new_value: Mapped[Decimal | None]
    base_value: Mapped[Decimal | None]
    threshold: Mapped[Decimal | None]
    currency: Mapped[str | None]
    series_id: Mapped[int | None] = mapped_column(Integer)
    price_kind: Mapped[str | None]
    source_id: Mapped[int | None] = mapped_column(SmallInteger)
    # The observation's time, and of a price its own amount and currency before it was converted.
    observed_at: Mapped[datetime]
    observed_price: Mapped[Decimal | None]
    observed_currency: Mapped[str | None]
    # Kinds of channels, as the rule had them.
    channels: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
