"""What was found, as the rows that ingestion takes."""

from datetime import UTC, datetime

import orjson

from app.prices.connectors.interface import FoundCandle, FoundPrice
from app.prices.formats.candles import candle_fields


def row_of_price(found: FoundPrice, *, external_id: str | None = None) -> bytes:
    """The row of a price, as a line of a batch without its end; it names the item by its slug, or by `provider:id`."""
    row = {
        "item": found.subject.slug if external_id is None else None,
        "externalId": external_id,
        "variant": found.variant,
        "source": found.source,
        "kind": found.kind.value,
        "currency": found.currency,
        "price": format(found.price, "f"),
        "quantity": None if found.quantity is None else format(found.quantity, "f"),
        "observedAt": _time(found.observed_at),
    }
    return orjson.dumps({name: value for name, value in row.items() if value is not None})


def row_of_candle(found: FoundCandle) -> bytes:
    """The row of a candle, as a line of a batch without its end."""
    return orjson.dumps(
        {
            "item": found.subject.slug,
            "source": found.source,
            "kind": found.kind.value,
            "currency": found.currency,
            "resolution": found.resolution,
            **candle_fields(found.start, found.candle),
        }
    )


def _time(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
