"""What a connector is, and what it gives: the prices and candles of items, and which it could not price."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import ClassVar

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from app.prices.formats.candles import LabelledCandle
from app.prices.models import PriceKind
from app.providers.client import ProviderClient

Clock = Callable[[], datetime]


class AnswerNotUnderstood(Exception):
    """An answer, or what it says of one item, is of another shape; the message is ours, and tells the shape."""


@dataclass(frozen=True, slots=True)
class Subject:
    """An item of the catalogue that a provider can price, by the provider's name for it.

    Subjects of one `group` are asked for together. `variants` are the keys of the item's own variants, beside its
    default one.
    """

    slug: str
    name: str
    group: str = ""
    variants: frozenset[str] = frozenset()

    def variant(self, key: str | None) -> str | None:
        """The variant that a price of this finish belongs to: of an item without variants, the default one."""
        return key if self.variants else None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundPrice:
    """A price of a subject as of a moment; `quantity` is what was sold or is offered at it, above zero."""

    subject: Subject
    source: str
    kind: PriceKind
    currency: str
    price: Decimal
    observed_at: datetime
    variant: str | None = None
    quantity: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCandle:
    """A candle of a subject, from its `start`, of so many seconds."""

    subject: Subject
    source: str
    kind: PriceKind
    currency: str
    resolution: int
    start: datetime
    candle: LabelledCandle


@dataclass(frozen=True, slots=True)
class Misread:
    """A subject whose price cannot be read, and why."""

    subject: Subject
    reason: str


@dataclass(slots=True)
class Answer:
    """What a provider says of the subjects that it was asked for. Of those that are in no list it says no price."""

    prices: list[FoundPrice] = field(default_factory=list)
    candles: list[FoundCandle] = field(default_factory=list)
    unknown: list[Subject] = field(default_factory=list)
    misread: list[Misread] = field(default_factory=list)


class Connector(ABC):
    """Asks one provider for prices. `sources` are the codes of the sources that it writes, `name` is what it is run by.

    It asks for `at_a_time` subjects in one question, or for all of a group where that is None.
    """

    name: ClassVar[str]
    provider: ClassVar[str]
    sources: ClassVar[tuple[str, ...]]
    at_a_time: ClassVar[int | None] = None
    needs_key: ClassVar[bool] = False

    def __init__(self, key: SecretStr | None = None) -> None:
        self._key = key

    @abstractmethod
    async def subjects(self, connection: AsyncConnection) -> list[Subject]:
        """What of the catalogue it can price, what was priced longest ago first."""

    async def offered(self, client: ProviderClient, subjects: Sequence[Subject]) -> list[Subject]:
        """Those of the subjects that the provider has, where it can say so before each is asked for."""
        del client
        return list(subjects)

    @abstractmethod
    async def ask(self, client: ProviderClient, subjects: Sequence[Subject], *, clock: Clock) -> Answer:
        """Ask for these subjects; what comes without a time has that of the clock once the answer is there.

        Raises OutsideServiceFailed, ProviderBusy and AnswerNotUnderstood, where nothing of the answer is of use.
        """

    def _headers(self, name: str) -> dict[str, str]:
        """The header that the key goes into, where there is one."""
        return {} if self._key is None else {name: self._key.get_secret_value()}
