"""What a file of cards says of their prices."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class CardPrice:
    """One price of a card: what it says (`market`, `low`…), of which variant, from which shop, in which currency.

    Without a variant it is of the card as such; `day` is the day that the file gives it.
    """

    kind: str
    variant: str | None
    currency: str
    amount: Decimal
    source: str
    day: date | None = None
