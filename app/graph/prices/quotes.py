"""A price as it was last seen, with its kind, source and age."""

from datetime import datetime, timedelta
from decimal import Decimal

import strawberry
from strawberry import Parent

from app.catalogue.queries import VariantRow
from app.core.money import in_minor_units
from app.graph.context import Info
from app.graph.fields import attribute, resolved, show_enum
from app.graph.scalars import BigInt, CurrencyCode
from app.prices.models import PriceKind
from app.prices.queries.quotes import QuoteRow, best_quote_by_variant

show_enum(
    PriceKind,
    "What a price says. Kinds are never pooled: each has its own series.",
    {
        PriceKind.SALE: "What a completed sale brought.",
        PriceKind.MARKET: "The source's own market price, or what an exchange trades at.",
        PriceKind.MID: "The middle between what is asked and what is bid.",
        PriceKind.ASK: "What a seller asks.",
        PriceKind.BID: "What a buyer offers.",
        PriceKind.LOW: "The lowest price that the source saw in its window.",
        PriceKind.HIGH: "The highest price that the source saw in its window.",
        PriceKind.LIST: "The list price (MSRP).",
    },
)


@strawberry.type(description="A price as it was last seen: never without its kind, source and age.")
class Price:
    currency: CurrencyCode = attribute("The currency of the amount.")
    observed_at: datetime = attribute("When the source showed this price.")
    quantity: Decimal | None = attribute("How many units it was for; null where the source does not say.")

    @resolved("The price of one unit, exact.")
    @staticmethod
    def amount(root: Parent[QuoteRow]) -> Decimal:
        return root.price

    @resolved(
        "The amount in the currency's smallest unit (cents); null for a finer price.",
        type=BigInt | None,
    )
    @staticmethod
    def minor_units(root: Parent[QuoteRow]) -> int | None:
        return in_minor_units(root.price, root.currency)

    @resolved("What the price says.")
    @staticmethod
    def kind(root: Parent[QuoteRow]) -> PriceKind:
        return root.kind

    @resolved("The code of the source that showed it.")
    @staticmethod
    def source(root: Parent[QuoteRow]) -> str:
        return root.source_code

    @resolved("How old the observation is, at the time of this operation.")
    @staticmethod
    def staleness(root: Parent[QuoteRow], info: Info) -> timedelta:
        return info.context.now - root.observed_at


async def best_quote(info: Info, variant: VariantRow | None, currency: str | None) -> QuoteRow | None:
    """The best current quote of a variant, in one currency if given."""
    if variant is None:
        return None
    return await info.context.loaders.one(best_quote_by_variant, variant.id, currency=currency, now=info.context.now)
