"""What follows from the trades of one holding: its lots, what was taken from each, and its totals.

Trades come in the order of `(occurred_at, id)`. All amounts are in the portfolio's base currency, exact: what must be
rounded is rounded half to even at `DECIMAL_PLACES`, and so that parts always add up to their whole. The state can be
taken up again: with the stored totals and the lots that still hold something, later trades give what a replay gives.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from heapq import heappop, heappush
from typing import Protocol
from uuid import UUID

from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.models import CostBasisMethod, TradeKind

DECIMAL_PLACES = 36
# More digits than any product of a price, a quantity and a rate has, and enough of a quotient that what is rounded from
# it is rounded as the true one, and that two unit costs are equal only if they are.
EXACT = Context(prec=200, rounding=ROUND_HALF_EVEN)
ZERO = Decimal(0)
_LAST_PLACE = Decimal(1).scaleb(-DECIMAL_PLACES)

ACQUIRING = frozenset({TradeKind.BUY, TradeKind.TRANSFER_IN, TradeKind.GIFT_IN})
# What goes out without being sold: its cost leaves with it, and there is no gain.
LEAVING = frozenset({TradeKind.TRANSFER_OUT, TradeKind.GIFT_OUT})
_NOUNS = {
    TradeKind.SELL: "sale",
    TradeKind.TRANSFER_OUT: "transfer out",
    TradeKind.GIFT_OUT: "gift",
    TradeKind.FEE: "fee",
}


@dataclass(frozen=True, slots=True)
class LotChoice:
    """A lot that a trade names to take from, and how much of it; a lot has the id of the trade that opened it."""

    lot_id: UUID
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class LedgerTrade:
    """What the ledger has to know of a trade; `price` is of one unit, `fee` of the whole, in the trade's currency."""

    id: UUID
    kind: TradeKind
    occurred_at: datetime
    quantity: Decimal
    price: Decimal
    fee: Decimal
    exchange_rate: Decimal
    may_lack_acquisitions: bool = False
    choices: tuple[LotChoice, ...] = ()


@dataclass(slots=True)
class LedgerLot:
    """What a trade acquired and what is left of it; with the average method lots share one cost, so it is None here."""

    id: UUID
    acquired_at: datetime
    quantity: Decimal
    cost: Decimal
    remaining_quantity: Decimal
    remaining_cost: Decimal | None


@dataclass(frozen=True, slots=True)
class Disposal:
    """What a trade took from one lot, or without one what was never acquired; its parts are numbered from 1."""

    trade_id: UUID
    number: int
    lot_id: UUID | None
    acquired_at: datetime | None
    disposed_at: datetime
    quantity: Decimal
    cost: Decimal | None
    proceeds: Decimal | None
    gain: Decimal | None


@dataclass(frozen=True, slots=True)
class Totals:
    """What is held, what that cost, what was gained by all disposals less fees, and what was never acquired."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized_gain: Decimal = ZERO
    missing_quantity: Decimal = ZERO


class TradeImpossible(PortfolioRefused):
    """The ledger does not hold what a trade takes; `trade_id` says which trade, `lot_id` which of the lots it names."""

    def __init__(self, reason: PortfolioErrorCode, message: str, *, trade_id: UUID, lot_id: UUID | None = None) -> None:
        super().__init__(reason, message)
        self.trade_id = trade_id
        self.lot_id = lot_id


class Ledger:
    """The lots and totals of one holding, as trades are applied one after another.

    Once a trade was refused, the sums are of no use any more; one that takes more than is held has taken nothing.
    `lots` are all that it knows, by id: those it began with and those that were opened since, in the order of being
    acquired.
    """

    def __init__(
        self, method: CostBasisMethod, *, totals: Totals | None = None, lots: Iterable[LedgerLot] = ()
    ) -> None:
        began = totals or Totals()
        self.method = method
        self.lots: dict[UUID, LedgerLot] = {}
        self._is_pooled = method is CostBasisMethod.AVERAGE
        self._order = _ORDERS.get(method, _Oldest)()
        self._quantity = began.quantity
        self._cost = began.cost
        self._realized_gain = began.realized_gain
        self._missing_quantity = began.missing_quantity
        with localcontext(EXACT):
            for lot in lots:
                self._add(lot)

    @property
    def totals(self) -> Totals:
        """What the trades so far come to."""
        return Totals(
            plain(self._quantity), plain(self._cost), plain(self._realized_gain), plain(self._missing_quantity)
        )

    def apply(self, trade: LedgerTrade) -> Sequence[Disposal]:
        """Apply the next trade; gives its disposals. Raises `TradeImpossible` where it takes what is not held."""
        with localcontext(EXACT):
            if trade.kind in ACQUIRING:
                self._open(trade)
                return ()
            if trade.kind in LEAVING or not trade.quantity:
                self._realized_gain -= fee_of(trade)
            if not trade.quantity:
                return ()
            return self._dispose(trade)

    def _open(self, trade: LedgerTrade) -> None:
        cost = rounded((trade.price * trade.quantity + trade.fee) * trade.exchange_rate)
        remaining_cost = None if self._is_pooled else cost
        self._add(LedgerLot(trade.id, trade.occurred_at, trade.quantity, cost, trade.quantity, remaining_cost))
        self._quantity += trade.quantity
        self._cost += cost

    def _add(self, lot: LedgerLot) -> None:
        self.lots[lot.id] = lot
        self._order.add(lot)

    def _dispose(self, trade: LedgerTrade) -> Sequence[Disposal]:
        missing = max(trade.quantity - self._quantity, ZERO)
        if missing and not trade.may_lack_acquisitions:
            raise self._too_little_held(trade)
        parts = self._take(trade, trade.quantity - missing)
        quantities = [quantity for _, quantity in parts]
        costs = self._costs_from_pool(quantities) if self._is_pooled else self._costs_from_lots(lot for lot, _ in parts)
        self._quantity -= trade.quantity - missing
        if missing:
            self._missing_quantity += missing
            quantities.append(missing)
        proceeds = _proceeds_of(trade, quantities)
        disposals = [
            _disposal(trade, number, lot, quantity, cost, brought)
            for number, ((lot, quantity), cost, brought) in enumerate(zip(parts, costs, proceeds, strict=False), 1)
        ]
        if missing:
            disposals.append(_disposal(trade, len(quantities), None, missing, None, proceeds[-1]))
        self._realized_gain += sum((part.gain for part in disposals if part.gain is not None), ZERO)
        return disposals

    def _take(self, trade: LedgerTrade, quantity: Decimal) -> list[tuple[LedgerLot, Decimal]]:
        """Take so much from the lots; gives how much from which, each lot once."""
        taken: dict[UUID, Decimal] = {}
        left = quantity
        if self.method is CostBasisMethod.SPECIFIC:
            for choice in trade.choices:
                lot = self._chosen(trade, choice)
                lot.remaining_quantity -= choice.quantity
                taken[lot.id] = choice.quantity
                left -= choice.quantity
        while left > 0 and (first := self._order.first()) is not None:
            part = min(left, first.remaining_quantity)
            first.remaining_quantity -= part
            taken[first.id] = taken.get(first.id, ZERO) + part
            left -= part
        if left:
            raise RuntimeError("the lots of a holding do not add up to its quantity")
        return [(self.lots[lot_id], part) for lot_id, part in taken.items()]

    def _costs_from_lots(self, lots: Iterable[LedgerLot]) -> list[Decimal]:
        costs = []
        for lot in lots:
            before = ZERO if lot.remaining_cost is None else lot.remaining_cost
            if not lot.remaining_quantity:
                lot.remaining_cost = ZERO
                costs.append(before)
                continue
            # Of all that is left, not of this part: so rounding never loses more than one last place.
            lot.remaining_cost = lot.cost - rounded(lot.cost * (lot.quantity - lot.remaining_quantity) / lot.quantity)
            costs.append(before - lot.remaining_cost)
        self._cost -= sum(costs, ZERO)
        return costs

    def _costs_from_pool(self, quantities: Sequence[Decimal]) -> list[Decimal]:
        taken = sum(quantities, ZERO)
        cost = self._cost if taken == self._quantity else rounded(self._cost * taken / self._quantity)
        self._cost -= cost
        return split(cost, quantities)

    def _chosen(self, trade: LedgerTrade, choice: LotChoice) -> LedgerLot:
        lot = self.lots.get(choice.lot_id)
        if lot is None:
            raise TradeImpossible(
                PortfolioErrorCode.UNKNOWN_LOT,
                f"The {_NOUNS[trade.kind]} of {_written(trade.quantity)} on {trade.occurred_at:%Y-%m-%d} takes from a "
                "lot that is not there, or not yet; name lots that this holding had then.",
                trade_id=trade.id,
                lot_id=choice.lot_id,
            )
        if choice.quantity > lot.remaining_quantity:
            raise TradeImpossible(
                PortfolioErrorCode.INSUFFICIENT_QUANTITY,
                f"The {_NOUNS[trade.kind]} of {_written(trade.quantity)} on {trade.occurred_at:%Y-%m-%d} takes "
                f"{_written(choice.quantity)} from the lot of {lot.acquired_at:%Y-%m-%d}, and "
                f"{_written(lot.remaining_quantity)} is left of it then.",
                trade_id=trade.id,
                lot_id=choice.lot_id,
            )
        return lot

    def _too_little_held(self, trade: LedgerTrade) -> TradeImpossible:
        return TradeImpossible(
            PortfolioErrorCode.INSUFFICIENT_QUANTITY,
            f"The {_NOUNS[trade.kind]} of {_written(trade.quantity)} on {trade.occurred_at:%Y-%m-%d} takes more than "
            f"is held then, which is {_written(self._quantity)}.",
            trade_id=trade.id,
        )


def fee_of(trade: LedgerTrade) -> Decimal:
    """The fee of a trade in the base currency."""
    with localcontext(EXACT):
        return rounded(trade.fee * trade.exchange_rate)


def split(amount: Decimal, quantities: Sequence[Decimal]) -> list[Decimal]:
    """Parts of an amount in the ratio of the quantities; together they are exactly the amount."""
    with localcontext(EXACT):
        whole = sum(quantities, ZERO)
        reached, given, parts = ZERO, ZERO, []
        for quantity in quantities:
            reached += quantity
            until = amount if reached == whole else rounded(amount * reached / whole)
            parts.append(until - given)
            given = until
        return parts


def rounded(amount: Decimal) -> Decimal:
    """An amount with at most `DECIMAL_PLACES`, half to even; for use within `EXACT`."""
    return amount.quantize(_LAST_PLACE).normalize()


def plain(amount: Decimal) -> Decimal:
    """The same number without zeros at its end."""
    return amount.normalize(EXACT)


def _proceeds_of(trade: LedgerTrade, quantities: Sequence[Decimal]) -> Sequence[Decimal | None]:
    if trade.kind in LEAVING:
        return [None] * len(quantities)
    price = ZERO if trade.kind is TradeKind.FEE else trade.price
    proceeds = rounded((price * trade.quantity - trade.fee) * trade.exchange_rate)
    return [proceeds] if len(quantities) == 1 else split(proceeds, quantities)


def _disposal(
    trade: LedgerTrade,
    number: int,
    lot: LedgerLot | None,
    quantity: Decimal,
    cost: Decimal | None,
    proceeds: Decimal | None,
) -> Disposal:
    return Disposal(
        trade_id=trade.id,
        number=number,
        lot_id=None if lot is None else lot.id,
        acquired_at=None if lot is None else lot.acquired_at,
        disposed_at=trade.occurred_at,
        quantity=quantity,
        cost=cost,
        proceeds=proceeds,
        gain=None if cost is None or proceeds is None else proceeds - cost,
    )


def _written(quantity: Decimal) -> str:
    return format(plain(quantity), "f")


class _Order(Protocol):
    """Which lot is taken from next."""

    def add(self, lot: LedgerLot) -> None:
        """Put in a lot that was acquired after all others."""

    def first(self) -> LedgerLot | None:
        """The next lot that something is left of."""


class _Oldest:
    def __init__(self) -> None:
        self._lots: deque[LedgerLot] = deque()

    def add(self, lot: LedgerLot) -> None:
        self._lots.append(lot)

    def first(self) -> LedgerLot | None:
        while self._lots and not self._lots[0].remaining_quantity:
            self._lots.popleft()
        return self._lots[0] if self._lots else None


class _Newest:
    def __init__(self) -> None:
        self._lots: list[LedgerLot] = []

    def add(self, lot: LedgerLot) -> None:
        self._lots.append(lot)

    def first(self) -> LedgerLot | None:
        while self._lots and not self._lots[-1].remaining_quantity:
            self._lots.pop()
        return self._lots[-1] if self._lots else None


class _Dearest:
    """Highest unit cost first, of equal ones the oldest."""

    def __init__(self) -> None:
        self._lots: list[tuple[Decimal, int, LedgerLot]] = []
        self._added = 0

    def add(self, lot: LedgerLot) -> None:
        self._added += 1
        heappush(self._lots, (-EXACT.divide(lot.cost, lot.quantity), self._added, lot))

    def first(self) -> LedgerLot | None:
        while self._lots and not self._lots[0][2].remaining_quantity:
            heappop(self._lots)
        return self._lots[0][2] if self._lots else None


_ORDERS: dict[CostBasisMethod, type[_Oldest] | type[_Newest] | type[_Dearest]] = {
    CostBasisMethod.LIFO: _Newest,
    CostBasisMethod.HIFO: _Dearest,
}
