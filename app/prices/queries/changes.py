"""New latest prices, in the order in which they became visible."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import BigInteger, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ColumnElement

from app.catalogue.models import ItemVariant
from app.core.changes import ChangeTable
from app.core.database import among
from app.core.events import Topic
from app.prices.models import PriceChange, PriceSeries


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """A new latest price of a series, at its position in the order of commits."""

    position: int
    series_id: int
    item_id: UUID

    @property
    def watched_by(self) -> tuple[UUID]:
        """The item."""
        return (self.item_id,)

    @property
    def subject(self) -> int:
        """The series."""
        return self.series_id


# When a change was recorded, in whole seconds since 1970.
RECORDED_SECOND: ColumnElement[int] = cast(func.floor(func.extract("epoch", PriceChange.recorded_at)), BigInteger)


_CHANGES = (
    select(PriceChange.position, PriceChange.series_id, ItemVariant.item_id)
    .join(PriceSeries, PriceSeries.id == PriceChange.series_id)
    .join(ItemVariant, ItemVariant.id == PriceSeries.variant_id)
    .order_by(PriceChange.position)
)


async def last_change_position(connection: AsyncConnection) -> int:
    """The position of the newest change that is visible, 0 before the first."""
    return (await connection.execute(select(func.coalesce(func.max(PriceChange.position), 0)))).scalar_one()


async def changes_after(connection: AsyncConnection, *, position: int, limit: int) -> list[ChangeRow]:
    """Up to `limit` changes beyond a position, in order."""
    rows = await connection.execute(_CHANGES.where(PriceChange.position > position).limit(limit))
    return [ChangeRow(*row) for row in rows]


async def changes_of_items(
    connection: AsyncConnection, *, item_ids: Sequence[UUID], after: int, up_to: int, limit: int
) -> list[ChangeRow]:
    """Up to `limit` changes of the items with `after < position <= up_to`, in order."""
    rows = await connection.execute(
        _CHANGES.where(
            among(ItemVariant.item_id, item_ids), PriceChange.position > after, PriceChange.position <= up_to
        ).limit(limit)
    )
    return [ChangeRow(*row) for row in rows]


PRICE_CHANGES: ChangeTable[ChangeRow] = ChangeTable(
    "prices", Topic.PRICES_CHANGED, last_position=last_change_position, changes_after=changes_after
)
