"""The single prices of a series, page by page."""

from datetime import datetime
from decimal import Decimal
from enum import Enum

import strawberry

from app.graph.reads.arguments import Orders
from app.graph.reads.fields import column, shows
from app.prices import models


class PointOrder(Enum):
    """What points are ordered by; those of the same instant in the order of their arrival."""

    TIME = "time"


POINT_ORDERS = Orders("price-points", {PointOrder.TIME: models.PricePoint.observed_at}, tie=models.PricePoint.arrival)


@strawberry.type(description="One observed price of a series.")
@shows(models.PricePoint)
class PricePoint:
    observed_at: datetime = column(models.PricePoint.observed_at, "When the source showed this price.")
    price: Decimal = column(models.PricePoint.price, "The price of one unit, in the currency of the series, exact.")
    quantity: Decimal | None = column(
        models.PricePoint.quantity, "How many units it was for; null where the source does not say."
    )
