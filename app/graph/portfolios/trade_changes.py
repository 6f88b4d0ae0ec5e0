"""The mutations by which trades are recorded, edited and deleted."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import strawberry
from strawberry import UNSET

from app.core.ids import PublicIdTag, parse_public_id, public_id
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.portfolios.errors import PORTFOLIOS_WRITE, PortfolioError, portfolio_changes
from app.graph.portfolios.holdings import Holding
from app.graph.portfolios.trades import Trade
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import CurrencyCode
from app.graph.user_errors import USER_ERRORS, Done
from app.portfolios.commands.edit_trade import delete_trade, edit_trade
from app.portfolios.commands.record_trade import record_trade
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.ledger import ZERO, LotChoice
from app.portfolios.models import TradeKind
from app.portfolios.new_trades import MOST_ENTRIES, NewTrade, refused

PRICE = "The price of one unit, without the fee; default: 0. A fee has none."
FEE = "The fee for the whole trade, in the same currency; default: 0."
EXCHANGE_RATE = (
    "What one unit of the currency was in the portfolio's base currency. Without it that of its day, in UTC, is frozen."
)
LOTS = f"Which lots it takes from, in a portfolio by `SPECIFIC`: {MOST_ENTRIES} at most. The rest is of the oldest."
MAY_LACK = "Whether it may dispose of more than is held, for acquisitions are missing: the gain of that is not known."


def _given(description: str) -> Any:
    return strawberry.field(default=UNSET, description=description)


@strawberry.input(description="A lot that a trade names to take from.")
class LotChoiceInput:
    lot_id: strawberry.ID = strawberry.field(description="The lot.")
    quantity: Decimal = strawberry.field(description="How much of it.")


@strawberry.input(description="A trade of a holding, or of a variant in a portfolio.")
class RecordTradeInput:
    holding_id: strawberry.ID | None = strawberry.field(
        default=None, description="The holding; else give `portfolioId` and `variantId`."
    )
    portfolio_id: strawberry.ID | None = strawberry.field(default=None, description="The portfolio.")
    variant_id: strawberry.ID | None = strawberry.field(
        default=None, description="The variant: it is of the only holding of it that is not archived, or of a new one."
    )
    kind: TradeKind = strawberry.field(description="What happened.")
    occurred_at: datetime = strawberry.field(description="When it happened, at most 5 minutes from now.")
    quantity: Decimal = strawberry.field(
        description="How much it moved: more than 0 and at most 10^15, of 18 decimal places; 0 of a fee in money alone."
    )
    price: Decimal | None = strawberry.field(default=None, description=PRICE)
    fee: Decimal | None = strawberry.field(default=None, description=FEE)
    currency: CurrencyCode = strawberry.field(description="The currency of the price and the fee.")
    exchange_rate: Decimal | None = strawberry.field(default=None, description=EXCHANGE_RATE)
    exchange: str | None = strawberry.field(
        default=None, description="Where it happened, such as an exchange or a shop; 100 characters at most."
    )
    tags: list[str] | None = strawberry.field(
        default=None, description=f"Words of your own: {MOST_ENTRIES} at most, each of 50 characters at most."
    )
    notes: str | None = strawberry.field(default=None, description="What to remember; 10,000 characters at most.")
    may_lack_acquisitions: bool = strawberry.field(default=False, description=MAY_LACK)
    lots: list[LotChoiceInput] | None = strawberry.field(default=None, description=LOTS)
    idempotency_key: str | None = strawberry.field(
        default=None, description="A repeat within a day with the same key and trade gives the first trade again."
    )


@strawberry.input(description="What to change of a trade. What is left out stays as it is.")
class EditTradeInput:
    id: strawberry.ID = strawberry.field(description="The trade.")
    kind: TradeKind | None = _given("What happened.")
    occurred_at: datetime | None = _given("When it happened; the frozen rate stays.")
    quantity: Decimal | None = _given("How much it moved.")
    price: Decimal | None = _given("The price of one unit, without the fee.")
    fee: Decimal | None = _given("The fee for the whole trade.")
    currency: CurrencyCode | None = _given("The currency of the price and the fee; another one freezes a rate anew.")
    exchange_rate: Decimal | None = _given(
        "What one unit of the currency was in the portfolio's base currency; null freezes that of its day anew."
    )
    exchange: str | None = _given("Where it happened; null says nothing.")
    tags: list[str] | None = _given("Words of your own, instead of those that it has.")
    notes: str | None = _given("What to remember; null says nothing.")
    may_lack_acquisitions: bool | None = _given(MAY_LACK)
    lots: list[LotChoiceInput] | None = _given("Which lots it takes from, instead of those that it names.")
    expected_version: int | None = strawberry.field(
        default=None, description="Refused with `CONFLICT` unless this is its `version`."
    )


@strawberry.input(description="The trade to delete.")
class DeleteTradeInput:
    id: strawberry.ID = strawberry.field(description="The trade.")
    expected_version: int | None = strawberry.field(
        default=None, description="Refused with `CONFLICT` unless this is its `version`."
    )


@strawberry.type(description="What became of the new trade.")
class RecordTradePayload:
    trade: Trade | None = attribute("The trade; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the trade.")
class EditTradePayload:
    trade: Trade | None = attribute("The trade as it is now; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the trade and its holding.")
class DeleteTradePayload:
    deleted_id: strawberry.ID | None = attribute("The id that the trade had; null when refused.")
    holding: Holding | None = attribute("The holding as it is without it; null when refused.")
    user_errors: list[PortfolioError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class TradeChanged(Done):
    """The payload of a trade that was recorded or edited."""

    trade: Reference


@dataclass(frozen=True, slots=True)
class TradeDeleted(Done):
    """The payload of a trade that was deleted."""

    deleted_id: str
    holding: Reference


@strawberry.type
class TradeMutations:
    @portfolio_changes(
        "Record what happened to a holding. Lots, disposals and gains follow from it, also where it is not the newest.",
        type=RecordTradePayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def record_trade(info: Info, input: RecordTradeInput) -> TradeChanged:
        trade = NewTrade(
            kind=input.kind,
            occurred_at=input.occurred_at,
            quantity=input.quantity,
            currency=input.currency,
            price=ZERO if input.price is None else input.price,
            fee=ZERO if input.fee is None else input.fee,
            holding_id=_optional_key(input.holding_id, PublicIdTag.HOLDING, "holding", "holdingId"),
            variant_id=_optional_key(input.variant_id, PublicIdTag.ITEM_VARIANT, "variant", "variantId"),
            exchange_rate=input.exchange_rate,
            exchange=input.exchange,
            tags=input.tags or (),
            notes=input.notes,
            may_lack_acquisitions=input.may_lack_acquisitions,
            lots=_choices(input.lots or ()),
        )
        portfolio_id = _optional_key(input.portfolio_id, PublicIdTag.PORTFOLIO, "portfolio", "portfolioId")
        async with info.context.transaction() as transaction:
            trade_id = await record_trade(
                transaction,
                trade,
                owner_id=info.context.viewer.own_id,
                portfolio_id=portfolio_id,
                idempotency_key=input.idempotency_key,
            )
        return TradeChanged(refer(Trade, trade_id))

    @portfolio_changes(
        "Change a trade; what comes after it follows anew, and what it was stands in its `revisions`. Refused where a "
        "later disposal would then have nothing left.",
        type=EditTradePayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def edit_trade(info: Info, input: EditTradeInput) -> TradeChanged:
        trade_id = _key(input.id, PublicIdTag.TRADE, "trade", "id")
        changes = {name: value for name, value in vars(input).items() if value is not UNSET}
        for name in ("id", "expected_version"):
            del changes[name]
        if changes.get("lots") is not None:
            changes["lots"] = _choices(changes["lots"])
        async with info.context.transaction() as transaction:
            await edit_trade(
                transaction,
                trade_id,
                changes,
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return TradeChanged(refer(Trade, trade_id))

    @portfolio_changes(
        "Delete a trade, as if it had never been. Refused where a later disposal would then have nothing left.",
        type=DeleteTradePayload,
        access=PORTFOLIOS_WRITE,
    )
    @staticmethod
    async def delete_trade(info: Info, input: DeleteTradeInput) -> TradeDeleted:
        trade_id = _key(input.id, PublicIdTag.TRADE, "trade", "id")
        async with info.context.transaction() as transaction:
            holding_id = await delete_trade(
                transaction,
                trade_id,
                owner_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return TradeDeleted(public_id(PublicIdTag.TRADE, trade_id), refer(Holding, holding_id))


def _key(id: str, tag: PublicIdTag, what: str, *field: str) -> UUID:
    parsed = parse_public_id(id)
    if parsed is None or parsed[0] is not tag or not isinstance(parsed[1], UUID):
        raise PortfolioRefused(PortfolioErrorCode.NOT_FOUND, f"There is no such {what}.", field=field)
    return parsed[1]


def _optional_key(id: str | None, tag: PublicIdTag, what: str, field: str) -> UUID | None:
    return None if id is None else _key(id, tag, what, field)


def _choices(lots: Sequence[LotChoiceInput]) -> list[LotChoice]:
    if len(lots) > MOST_ENTRIES:
        raise refused(f"The list may hold {MOST_ENTRIES} entries, and holds {len(lots):,}.", "lots")
    return [
        LotChoice(_key(lot.lot_id, PublicIdTag.LOT, "lot", "lots", str(place), "lotId"), lot.quantity)
        for place, lot in enumerate(lots)
    ]
