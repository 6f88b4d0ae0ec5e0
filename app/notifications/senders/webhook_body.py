"""What a webhook without a document gets: a notification and its alert, always in the same shape."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from sqlalchemy import Row

from app.core.ids import PublicIdTag, public_id
from app.notifications.sending import Outgoing

_IDS = {
    "rule": ("rule_id", PublicIdTag.ALERT_RULE),
    "item": ("item_id", PublicIdTag.ITEM),
    "variant": ("variant_id", PublicIdTag.ITEM_VARIANT),
    "portfolio": ("portfolio_id", PublicIdTag.PORTFOLIO),
    "tracker": ("tracker_id", PublicIdTag.TRACKER),
    "place": ("place_id", PublicIdTag.PLACE),
    "preorder": ("preorder_id", PublicIdTag.PREORDER),
    "want": ("want_id", PublicIdTag.WANT),
    "priceSeries": ("series_id", PublicIdTag.PRICE_SERIES),
}
_VALUES = {
    "oldValue": "old_value",
    "newValue": "new_value",
    "baseValue": "base_value",
    "threshold": "threshold",
    "observedPrice": "observed_price",
}


def webhook_body(outgoing: Outgoing, alert: Row[*tuple[Any, ...]] | None) -> bytes:
    """The JSON of a notification; `alert` is its row, without which there is none in it."""
    return orjson.dumps(
        {
            "type": f"notification.{outgoing.event_type.value}",
            "timestamp": _time(outgoing.told_at),
            "data": {
                "notification": {
                    "id": public_id(PublicIdTag.NOTIFICATION, outgoing.notification_id),
                    "eventType": outgoing.event_type.name,
                    "severity": outgoing.severity.name,
                    "title": outgoing.title,
                    "body": outgoing.body,
                },
                "alert": None if alert is None else _alert(alert),
            },
        }
    )


def _alert(alert: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    row = alert._mapping
    ids = {f"{name}Id": _id(tag, row[column]) for name, (column, tag) in _IDS.items()}
    return {
        "id": public_id(PublicIdTag.ALERT, alert.id),
        "condition": alert.condition.upper(),
        "severity": alert.severity.upper(),
        "title": alert.title,
        "notes": alert.notes,
        **ids,
        **{name: _number(row[column]) for name, column in _VALUES.items()},
        "currency": alert.currency,
        "observedCurrency": alert.observed_currency,
        "priceKind": alert.price_kind and alert.price_kind.upper(),
        "observedAt": _time(alert.observed_at),
    }


def _id(tag: PublicIdTag, key: Any) -> str | None:
    return None if key is None else public_id(tag, key)


def _number(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
