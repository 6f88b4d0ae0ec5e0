"""The single prices of a series, page by page."""

from datetime import datetime
from decimal import Decimal

import strawberry

from app.core.paging import decode_cursor, encode_cursor, instant_in_cursor
from app.graph.context import Info
from app.graph.fields import attribute
from app.prices.queries.points import PointRow, PointWindow, point_count_by_series
from app.prices.queries.series import SeriesRow

POINT_ORDER = "price-points"


@strawberry.type(description="One observed price of a series.")
class PricePoint:
    observed_at: datetime = attribute("When the source showed this price.")
    price: Decimal = attribute("The price of one unit, in the currency of the series, exact.")
    quantity: Decimal | None = attribute("How many units it was for; null where the source does not say.")


def point_cursor(point: PointRow) -> str:
    return encode_cursor(POINT_ORDER, [point.observed_at.isoformat(), point.arrival])


def point_position(cursor: str, argument: str) -> tuple[datetime, int]:
    observed_at, arrival = decode_cursor(cursor, order=POINT_ORDER, argument=argument, types=[str, int])
    return instant_in_cursor(observed_at, argument=argument), int(arrival or 0)


async def count_points(series: SeriesRow, info: Info, since: datetime | None, until: datetime | None) -> int:
    window = PointWindow(since=since, until=until, beyond=None, backward=False, limit=0)
    return await info.context.loaders.one(point_count_by_series, series.id, window=window) or 0
