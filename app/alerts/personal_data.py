"""What the room keeps of a person: their rules, what these remember, and the alerts that they gave."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import aliased

from app.alerts.models import Alert, PriceState, Rule, SubjectState
from app.catalogue.models import CardSet, Item, ItemVariant
from app.core.database import Transaction
from app.core.ids import PublicIdTag
from app.core.personal_data import ExportPart, PersonalData, table_of
from app.portfolios.models import Portfolio
from app.portfolios.wish_models import Preorder, Want, Watchlist
from app.prices.models import PriceSeries, Source


async def erase(transaction: Transaction, user_id: UUID) -> None:
    """Delete a person's rules and alerts, and with these what they were told of them."""
    # In the order in which those who hold observations against rules take them.
    held = select(Rule.id).where(Rule.owner_id == user_id).order_by(Rule.id)
    await transaction.connection.execute(held.with_for_update())
    for table in (Rule, Alert):
        await transaction.connection.execute(delete(table).where(table.owner_id == user_id))


def _rules(user_id: UUID) -> Select[*tuple[Any, ...]]:
    item_of_variant = aliased(Item)
    return (
        select(
            *(Rule.id, Rule.target, func.coalesce(Item.slug, item_of_variant.slug).label("item")),
            *(ItemVariant.key.label("variant"), CardSet.name.label("card_set"), Watchlist.name.label("watchlist")),
            *(Portfolio.name.label("portfolio"), Rule.condition, Rule.threshold, Rule.currency, Rule.hysteresis),
            *(Rule.cooldown_minutes, Rule.window_minutes, Rule.duration_minutes, Rule.price_kind),
            *(Source.code.label("source"), Rule.is_recurring, Rule.expires_at, Rule.severity, Rule.notes),
            *(Rule.channels, Rule.is_active, Rule.paused_at, Rule.ended_at, Rule.watches_from, Rule.last_fired_at),
            *(Rule.fired_count, Rule.version, Rule.created_at, Rule.updated_at),
        )
        .outerjoin(Preorder, Preorder.id == Rule.preorder_id)
        .outerjoin(Want, Want.id == Rule.want_id)
        .outerjoin(Item, Item.id == Rule.item_id)
        .outerjoin(ItemVariant, ItemVariant.id == func.coalesce(Rule.variant_id, Preorder.variant_id, Want.variant_id))
        .outerjoin(item_of_variant, item_of_variant.id == ItemVariant.item_id)
        .outerjoin(CardSet, CardSet.id == Rule.card_set_id)
        .outerjoin(Watchlist, Watchlist.id == Rule.watchlist_id)
        .outerjoin(Portfolio, Portfolio.id == Rule.portfolio_id)
        .outerjoin(Source, Source.id == Rule.source_id)
        .where(Rule.owner_id == user_id)
        .order_by(Rule.created_at, Rule.id)
    )


def _price_states(user_id: UUID) -> Select[*tuple[Any, ...]]:
    state = PriceState
    return (
        select(
            *(state.rule_id.label("id"), Item.slug.label("item"), ItemVariant.key.label("variant")),
            *(Source.code.label("source"), PriceSeries.kind, PriceSeries.currency, state.is_triggered, state.value),
            *(state.observed_at, state.fired_at),
        )
        .join(PriceSeries, PriceSeries.id == state.series_id)
        .join(Source, Source.id == PriceSeries.source_id)
        .join(ItemVariant, ItemVariant.id == PriceSeries.variant_id)
        .join(Item, Item.id == ItemVariant.item_id)
        .where(state.owner_id == user_id)
        .order_by(state.rule_id, state.series_id, state.subject_id)
    )


def _subject_states(user_id: UUID) -> Select[*tuple[Any, ...]]:
    state = SubjectState
    return (
        select(state.rule_id.label("id"), state.is_triggered, state.value, state.observed_at, state.fired_at)
        .where(state.owner_id == user_id)
        .order_by(state.rule_id, state.subject_id)
    )


def _alerts(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            *(Alert.id, Alert.condition, Alert.severity, Alert.title, Alert.notes, Item.slug.label("item")),
            *(ItemVariant.key.label("variant"), Alert.old_value, Alert.new_value, Alert.base_value, Alert.threshold),
            *(Alert.currency, Alert.price_kind, Source.code.label("source"), Alert.observed_price),
            *(Alert.observed_currency, Alert.observed_at, Alert.channels, Alert.created_at),
        )
        .outerjoin(Item, Item.id == Alert.item_id)
        .outerjoin(ItemVariant, ItemVariant.id == Alert.variant_id)
        .outerjoin(Source, Source.id == Alert.source_id)
        .where(Alert.owner_id == user_id)
        .order_by(Alert.id)
    )


PARTS = (
    ExportPart("alert-rules.json", "What you want to be told of.", table_of(Rule), _rules, PublicIdTag.ALERT_RULE),
    ExportPart(
        "alert-rules-of-prices.json",
        "What your rules remember of prices between two of them; the ids are those of the rules.",
        table_of(PriceState),
        _price_states,
        PublicIdTag.ALERT_RULE,
    ),
    ExportPart(
        "alert-rules-of-others.json",
        "What your rules remember of trackers, portfolios and preorders; the ids are those of the rules.",
        table_of(SubjectState),
        _subject_states,
        PublicIdTag.ALERT_RULE,
    ),
    ExportPart("alerts.json", "The alerts that your rules gave.", table_of(Alert), _alerts, PublicIdTag.ALERT),
)
PERSONAL_DATA = PersonalData("alerts", erase, PARTS)
