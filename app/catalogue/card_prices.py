"""What a file of cards says of their prices."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class CardPrice:
    """One price of a card: what it says (`market`, `low`…), of which variant, from which shop, in which currency."""

    kind: str
    variant: str
    currency: str
    amount: Decimal
    source: str
