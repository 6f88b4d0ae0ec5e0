"""New latest prices, in the order in which they became visible."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.models import ItemVariant
from app.core.database import among
from app.prices.models import PriceChange, PriceKind, PriceSeries, Source
from app.prices.queries.quotes import QuoteRow


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A new latest price of a series, at its position in the order of commits."""

    position: int
    series_id: int
    variant_id: UUID
    item_id: UUID
    price: Decimal
    quantity: Decimal | None
    observed_at: datetime
    recorded_at: datetime
    kind: PriceKind
    currency: str
    source_code: str

    @property
    def quote(self) -> QuoteRow:
        """The new price as a quote."""
        return QuoteRow(
            self.series_id, self.price, self.quantity, self.observed_at, self.kind, self.currency, self.source_code
        )


_CHANGES = (
    select(
        PriceChange.position,
        PriceChange.series_id,
        PriceSeries.variant_id,
        ItemVariant.item_id,
        PriceChange.price,
        PriceChange.quantity,
        PriceChange.observed_at,
        PriceChange.recorded_at,
        PriceSeries.kind,
        PriceSeries.currency,
        Source.code,
    )
    .join(PriceSeries, PriceSeries.id == PriceChange.series_id)
    .join(ItemVariant, ItemVariant.id == PriceSeries.variant_id)
    .join(Source, Source.id == PriceSeries.source_id)
    .order_by(PriceChange.position)
)


def _change(row: Any) -> ChangeRow:
    return ChangeRow(
        position=row.position,
        series_id=row.series_id,
        variant_id=row.variant_id,
        item_id=row.item_id,
        price=row.price,
        quantity=row.quantity,
        observed_at=row.observed_at,
        recorded_at=row.recorded_at,
        kind=PriceKind(row.kind),
        currency=row.currency,
        source_code=row.code,
    )


async def last_change_position(connection: AsyncConnection) -> int:
    """The position of the newest change that is visible, 0 before the first."""
    return (await connection.execute(select(func.coalesce(func.max(PriceChange.position), 0)))).scalar_one()


async def changes_after(connection: AsyncConnection, *, position: int, limit: int) -> list[ChangeRow]:
    """Up to `limit` changes beyond a position, in order."""
    rows = await connection.execute(_CHANGES.where(PriceChange.position > position).limit(limit))
    return [_change(row) for row in rows]


async def changes_of_items(
    connection: AsyncConnection, *, item_ids: Sequence[UUID], after: int, up_to: int, limit: int
) -> list[ChangeRow]:
    """Up to `limit` changes of the items with `after < position <= up_to`, in order."""
    rows = await connection.execute(
        _CHANGES.where(
            among(ItemVariant.item_id, item_ids), PriceChange.position > after, PriceChange.position <= up_to
        ).limit(limit)
    )
    return [_change(row) for row in rows]
