"""The items whose price has moved the most."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import strawberry

from app.catalogue.models import ItemKind
from app.core.errors import BadUserInput
from app.graph.catalogue.items import Item
from app.graph.context import Info
from app.graph.fields import attribute, resolved, show_enum
from app.graph.prices.series import PriceSeries
from app.graph.prices.statistics import check_window
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import CurrencyCode
from app.identity.access import ANYBODY
from app.prices.queries.movers import MoverDirection, movers

MAXIMUM_MOVERS = 100
DEFAULT_MOVERS = 10

show_enum(
    MoverDirection,
    "Which way prices moved.",
    {
        MoverDirection.UP: "Only what rose.",
        MoverDirection.DOWN: "Only what fell.",
        MoverDirection.EITHER: "Both, by the size of the change.",
    },
)


@strawberry.type(description="An item whose price moved, by the series that its `price` comes from.")
class Mover:
    item: Item = attribute("The item.")
    series: PriceSeries = attribute("The series whose prices these are.")
    currency: CurrencyCode = attribute("The currency of the prices.")
    price_before: Decimal = attribute(
        "The price at the beginning of the window: the close of the hour or the day that ended last by then.",
        name="from",
    )
    price_after: Decimal = attribute("The newest price.", name="to")
    change: Decimal = attribute("`to` less `from`.")
    percent: Decimal = attribute("The change in percent of `from`, to 6 decimal places.")


@dataclass(frozen=True, slots=True)
class _Mover:
    """A row of `movers`; what it refers to is read with the others'."""

    item: Reference
    series: Reference
    currency: str
    price_before: Decimal
    price_after: Decimal
    change: Decimal
    percent: Decimal


@strawberry.type
class MoverQueries:
    @resolved(
        "The items whose price changed the most, relative to what it was `window` ago: `first` of them (100 at most), "
        "the greatest change first. An item counts if the price that it is shown with was seen in the window, and one "
        "of the same series is known from its beginning or the 30 days before; where the source stores a price only "
        "when it moved, from however long before.",
        type=list[Mover] | None,
        access=ANYBODY,
        by_viewer=True,
    )
    @staticmethod
    async def movers(
        info: Info,
        window: timedelta,
        kind: ItemKind | None = None,
        first: int = DEFAULT_MOVERS,
        direction: MoverDirection = MoverDirection.EITHER,
    ) -> Sequence["_Mover"]:
        if not 1 <= first <= MAXIMUM_MOVERS:
            raise BadUserInput(
                f"`first` must be from 1 to {MAXIMUM_MOVERS}, and is {first}.",
                argument="first",
                allowed=[f"1..{MAXIMUM_MOVERS}"],
            )
        found = await info.context.snapshot.read(
            movers,
            kind=kind,
            window=check_window(window),
            direction=direction,
            limit=first,
            now=info.context.now,
        )
        return [
            _Mover(
                refer(Item, row.item_id),
                refer(PriceSeries, row.series_id),
                row.currency,
                row.price_before,
                row.price_after,
                row.change,
                row.percent,
            )
            for row in found
        ]
