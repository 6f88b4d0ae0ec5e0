"""What is done with preorders."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import strawberry
from strawberry import UNSET

from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.portfolios.errors import PORTFOLIOS_WRITE, PortfolioError, portfolio_changes
from app.graph.portfolios.inputs import EXPECTED_VERSION, given, key_if_given, own_key, sent
from app.graph.portfolios.trades import Trade
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import URL, CurrencyCode
from app.graph.user_errors import USER_ERRORS, Done
from app.graph.wishes.preorders import Preorder
from app.notifications.commands.preorder_alerts import tell_of_release
from app.portfolios.commands.preorders import (
    add_preorder,
    delete_preorder,
    edit_preorder,
    move_preorder,
    reschedule_preorder,
)
from app.portfolios.commands.receive_preorder import receive_preorder
from app.portfolios.given_wishes import ReleaseDate, release_day, release_month
from app.portfolios.texts import refused
from app.portfolios.wish_models import PreorderStatus

NOW = "The preorder as it is now; null when refused."


def _expected() -> Any:
    return strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(one_of=True, description="When something comes out, as far as it is known.")
class ReleaseDateInput:
    day: date | None = given("The day.")
    month: str | None = given("The month alone, as `2026-03`.")


@strawberry.input(description="One copy of something that one has ordered, or means to order, before it comes out.")
class AddPreorderInput:
    item_id: strawberry.ID | None = strawberry.field(
        default=None, description="The item; its default variant is meant unless one is named."
    )
    variant_id: strawberry.ID | None = strawberry.field(default=None, description="The variant.")
    status: PreorderStatus = strawberry.field(
        default=PreorderStatus.PREORDERED, description="How far it has come; neither received nor cancelled."
    )
    portfolio_id: strawberry.ID | None = given(
        "The portfolio that it is meant for: the rate to its base currency is frozen now."
    )
    store_id: strawberry.ID | None = given("Where it is ordered, one of one's stores.")
    price: Decimal | None = given("What it costs, without shipping.")
    currency: CurrencyCode | None = given("The currency of all its amounts; it goes with the price.")
    shipping: Decimal | None = given("What its shipping costs; default: 0.")
    deposit: Decimal | None = given("The part of the price that is paid; default: 0.")
    release: ReleaseDateInput | None = given("When it comes out.")
    original_release: ReleaseDateInput | None = given("When it was first said to come out; default: the same.")
    tracking_url: URL | None = given("Where its parcel is followed, an address that begins with `https://`.")
    shipped_at: datetime | None = given("When it was sent.")
    estimated_delivery_days: int | None = given("How many days its parcel takes.")
    notes: str | None = given("Notes, of 2,000 characters at most.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="A repeat with the same key and preorder within 24 hours gives the first one again.",
    )


@strawberry.input(
    description="What to change of a preorder. What is left out stays; null clears it. Its state is changed by "
    "`movePreorder`, its date by `reschedulePreorder`."
)
class EditPreorderInput:
    id: strawberry.ID = strawberry.field(description="The preorder.")
    expected_version: int | None = _expected()
    portfolio_id: strawberry.ID | None = given(
        "The portfolio that it is meant for; in another base currency the rate is frozen anew."
    )
    store_id: strawberry.ID | None = given("Where it is ordered.")
    price: Decimal | None = given("What it costs, without shipping.")
    currency: CurrencyCode | None = given("The currency of all its amounts; the rate is frozen anew.")
    shipping: Decimal | None = given("What its shipping costs.")
    deposit: Decimal | None = given("The part of the price that is paid.")
    refund: Decimal | None = given("The part of the deposit that was given back, of a cancelled one.")
    original_release: ReleaseDateInput | None = given("When it was first said to come out, to put it right.")
    tracking_url: URL | None = given("Where its parcel is followed.")
    shipped_at: datetime | None = given("When it was sent.")
    estimated_delivery_days: int | None = given("How many days its parcel takes.")
    notes: str | None = given("Notes, of 2,000 characters at most.")


@strawberry.input(description="A preorder, and the state that it comes to.")
class MovePreorderInput:
    id: strawberry.ID = strawberry.field(description="The preorder.")
    status: PreorderStatus = strawberry.field(description="One of its `nextStates`.")
    expected_version: int | None = _expected()
    note: str | None = strawberry.field(default=None, description="A note for its log.")
    refund: Decimal | None = given("When it is cancelled: the part of the deposit that was given back.")
    tracking_url: URL | None = given("When it is shipped: where its parcel is followed.")
    shipped_at: datetime | None = given("When it is shipped: since when; default: now.")
    estimated_delivery_days: int | None = given("When it is shipped: how many days its parcel takes.")


@strawberry.input(description="A preorder whose date was moved.")
class ReschedulePreorderInput:
    id: strawberry.ID = strawberry.field(description="The preorder.")
    release: ReleaseDateInput | None = strawberry.field(
        default=None, description="When it comes out now; null where that is not known any more."
    )
    source: str | None = strawberry.field(default=None, description="Who says so.")
    note: str | None = strawberry.field(default=None, description="A note for its log.")
    expected_version: int | None = _expected()


@strawberry.input(description="A preorder that has arrived.")
class ReceivePreorderInput:
    id: strawberry.ID = strawberry.field(description="The preorder.")
    portfolio_id: strawberry.ID | None = strawberry.field(
        default=None, description="Where it goes; default: where it was meant to, or else the default portfolio."
    )
    holding_id: strawberry.ID | None = strawberry.field(
        default=None, description="The holding that it adds to; default: the only one of its variant, or a new one."
    )
    received_at: datetime | None = strawberry.field(default=None, description="When it arrived; default: now.")
    note: str | None = strawberry.field(default=None, description="A note for its log.")
    expected_version: int | None = _expected()


@strawberry.input(description="A preorder to forget, with its log.")
class DeletePreorderInput:
    id: strawberry.ID = strawberry.field(description="The preorder.")
    expected_version: int | None = _expected()


@dataclass(frozen=True, slots=True)
class PreorderChanged(Done):
    """The payload of a change to a preorder."""

    preorder: Reference


@dataclass(frozen=True, slots=True)
class PreorderReceived(Done):
    """The payload of a preorder that arrived."""

    preorder: Reference
    trade: Reference


@dataclass(frozen=True, slots=True)
class PreorderDeleted(Done):
    """The payload of a preorder that is gone."""

    deleted_id: str


@strawberry.type(description="What became of the new preorder.")
class AddPreorderPayload:
    preorder: Preorder | None = attribute("The preorder; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the preorder.")
class EditPreorderPayload:
    preorder: Preorder | None = attribute(NOW)
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the preorder.")
class MovePreorderPayload:
    preorder: Preorder | None = attribute(NOW)
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the preorder.")
class ReschedulePreorderPayload:
    preorder: Preorder | None = attribute(NOW)
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the preorder that arrived.")
class ReceivePreorderPayload:
    preorder: Preorder | None = attribute(NOW)
    trade: Trade | None = attribute("The purchase that it became; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="The preorder that was deleted.")
class DeletePreorderPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type
class PreorderMutations:
    @portfolio_changes("Write down a preorder.", type=AddPreorderPayload, access=PORTFOLIOS_WRITE)
    @staticmethod
    async def add_preorder(info: Info, input: AddPreorderInput) -> PreorderChanged:
        item_id = key_if_given(input.item_id, PublicIdTag.ITEM, "item", "itemId")
        variant_id = key_if_given(input.variant_id, PublicIdTag.ITEM_VARIANT, "variant", "variantId")
        said = _read(sent(input, "item_id", "variant_id", "idempotency_key"))
        async with info.context.transaction() as transaction:
            preorder_id = await add_preorder(
                transaction,
                said,
                owner_id=info.context.viewer.own_id,
                item_id=item_id,
                variant_id=variant_id,
                idempotency_key=input.idempotency_key,
            )
        return PreorderChanged(refer(Preorder, preorder_id))

    @portfolio_changes("Change what is known of a preorder.", type=EditPreorderPayload, access=PORTFOLIOS_WRITE)
    @staticmethod
    async def edit_preorder(info: Info, input: EditPreorderInput) -> PreorderChanged:
        preorder_id = preorder_key(input.id)
        changes = _read(sent(input, "id", "expected_version"))
        async with info.context.transaction() as transaction:
            await edit_preorder(
                transaction,
                preorder_id,
                changes,
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return PreorderChanged(refer(Preorder, preorder_id))

    @portfolio_changes(
        "Move a preorder to one of its next states; the step is logged.",
        type=MovePreorderPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def move_preorder(info: Info, input: MovePreorderInput) -> PreorderChanged:
        preorder_id = preorder_key(input.id)
        details = sent(input, "id", "status", "note", "expected_version")
        async with info.context.transaction() as transaction:
            await move_preorder(
                transaction,
                preorder_id,
                input.status,
                owner_id=info.context.viewer.own_id,
                note=input.note,
                details=details,
                expected_version=input.expected_version,
            )
        return PreorderChanged(refer(Preorder, preorder_id))

    @portfolio_changes(
        "Note that the release of a preorder was moved; the slip is logged.",
        type=ReschedulePreorderPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def reschedule_preorder(info: Info, input: ReschedulePreorderInput) -> PreorderChanged:
        preorder_id = preorder_key(input.id)
        release = None if input.release is None else _release_date(input.release, "release")
        async with info.context.transaction() as transaction:
            change = await reschedule_preorder(
                transaction,
                preorder_id,
                release,
                owner_id=info.context.viewer.own_id,
                source=input.source,
                note=input.note,
                expected_version=input.expected_version,
            )
            await tell_of_release(transaction, change)
        return PreorderChanged(refer(Preorder, preorder_id))

    @portfolio_changes(
        "Put a preorder that has arrived into a portfolio: a purchase of one at its price, with the shipping as the "
        "fee and at the rate that was frozen.",
        type=ReceivePreorderPayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def receive_preorder(info: Info, input: ReceivePreorderInput) -> PreorderReceived:
        preorder_id = preorder_key(input.id)
        portfolio_id = key_if_given(input.portfolio_id, PublicIdTag.PORTFOLIO, "portfolio", "portfolioId")
        holding_id = key_if_given(input.holding_id, PublicIdTag.HOLDING, "holding", "holdingId")
        async with info.context.transaction() as transaction:
            trade_id = await receive_preorder(
                transaction,
                preorder_id,
                owner_id=info.context.viewer.own_id,
                portfolio_id=portfolio_id,
                holding_id=holding_id,
                received_at=input.received_at,
                note=input.note,
                expected_version=input.expected_version,
            )
        return PreorderReceived(refer(Preorder, preorder_id), refer(Trade, trade_id))

    @portfolio_changes(
        "Forget a preorder; what came of it in a portfolio stays.", type=DeletePreorderPayload, access=PORTFOLIOS_WRITE
    )
    @staticmethod
    async def delete_preorder(info: Info, input: DeletePreorderInput) -> PreorderDeleted:
        preorder_id = preorder_key(input.id)
        async with info.context.transaction() as transaction:
            await delete_preorder(
                transaction,
                preorder_id,
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return PreorderDeleted(input.id)


def preorder_key(id: str) -> UUID:
    """The key of a preorder; raises PortfolioRefused for an id of something else."""
    return own_key(id, PublicIdTag.PREORDER, "preorder", "id")


def _read(values: dict[str, Any]) -> dict[str, Any]:
    """The same with keys in place of ids, and dates as they are kept."""
    for name, tag, what, field in (
        ("portfolio_id", PublicIdTag.PORTFOLIO, "portfolio", "portfolioId"),
        ("store_id", PublicIdTag.STORE, "store", "storeId"),
    ):
        if values.get(name) is not None:
            values[name] = own_key(values[name], tag, what, field)
    for name, field in (("release", "release"), ("original_release", "originalRelease")):
        if values.get(name) is not None:
            values[name] = _release_date(values[name], field)
    return values


def _release_date(input: ReleaseDateInput, field: str) -> ReleaseDate:
    if input.day is not UNSET and input.day is not None:
        return release_day(input.day, field, "day")
    if input.month is UNSET or input.month is None:
        raise refused("Give a day or a month.", field)
    return release_month(input.month, field, "month")
