"""What a file says, row by row, before anything is looked up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from app.portfolios.models import TradeKind

LARGEST_FILE_BYTES = 5 * 1024 * 1024
MOST_ROWS = 10_000


class SubjectKind(StrEnum):
    """By what a row says which item it is about."""

    ITEM = "item"
    EXTERNAL_ID = "external_id"
    MARKET_HASH_NAME = "market_hash_name"
    COIN = "coin"
    CARD = "card"
    JAN = "jan"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a row is about: `name` by the kind, such as `BTC`; `group` is what it is unique in: a provider, a set.

    Of `variants`, keys of variants, the first that the item has is meant; without any its default variant.
    """

    kind: SubjectKind
    name: str
    group: str | None = None
    variants: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The same in words, for whoever looks for the row."""
        name = self.name if self.group is None else f"{self.group}:{self.name}"
        return f"{name} ({self.variants[0]})" if self.variants else name


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTrade:
    """A trade as a file tells it. What the file leaves out is None: its reader decides what is meant.

    `external_id` is the same whenever the file is read again. `holding` tells several holdings of one variant apart.
    `rate_currency` is what `exchange_rate` leads to.
    """

    subject: Subject
    kind: TradeKind
    quantity: Decimal
    external_id: str
    occurred_at: datetime | None = None
    price: Decimal | None = None
    fee: Decimal | None = None
    currency: str | None = None
    exchange_rate: Decimal | None = None
    rate_currency: str | None = None
    holding: str | None = None
    exchange: str | None = None
    tags: Sequence[str] = ()
    notes: str | None = field(default=None, repr=False)
    may_lack_acquisitions: bool = False


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row and the line on which it begins, from 1: a trade, or why it is none.

    One that `is_skipped` is nothing that Trove keeps, such as a deposit of money; any other without a trade is bad.
    """

    line: int
    trade: FileTrade | None = None
    reason: str | None = None
    is_skipped: bool = False
