"""What is made of the columns of a series."""

from typing import Any

from sqlalchemy import ARRAY, Interval, func, literal_column, select
from sqlalchemy.sql.elements import ColumnElement

from app.prices.models import PriceSeries


def _as_intervals(seconds: Any) -> ColumnElement[Any]:
    each = func.unnest(seconds).table_valued("seconds", with_ordinality="place").render_derived("resolution")
    interval = each.c.seconds * literal_column("interval '1 second'", Interval())
    return func.array(select(interval).order_by(each.c.place).scalar_subquery(), type_=ARRAY(Interval))


# The lengths of the candles that the source provides, shortest first.
PROVIDED_RESOLUTIONS: ColumnElement[Any] = _as_intervals(PriceSeries.provided_resolutions)
