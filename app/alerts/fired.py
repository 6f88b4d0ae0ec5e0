"""What an engine hands over when a rule fired, before it is an alert."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """A rule fired at an observation.

    `crossing` says which crossing of the rule it is, the same however often the observation comes: such as
    `<series id>@<time>#<arrival>`. Values are as `Alert` has them.
    """

    rule_id: UUID
    crossing: str
    observed_at: datetime
    item_id: UUID | None = None
    variant_id: UUID | None = None
    portfolio_id: UUID | None = None
    tracker_id: UUID | None = None
    place_id: UUID | None = None
    preorder_id: UUID | None = None
    want_id: UUID | None = None
    old_value: Decimal | None = None
    new_value: Decimal | None = None
    base_value: Decimal | None = None
    currency: str | None = None
    series_id: int | None = None
    price_kind: str | None = None
    source_id: int | None = None
    observed_price: Decimal | None = None
    observed_currency: str | None = None
