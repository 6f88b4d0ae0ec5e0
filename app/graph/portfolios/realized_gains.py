"""What the disposals of a portfolio brought, by its own method or any other."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import strawberry
from strawberry import Parent

from app.core.errors import BadUserInput
from app.core.paging import decode_cursor, encode_cursor, instant_in_cursor, key_in_cursor, page_request
from app.graph.context import Info
from app.graph.fields import attribute, resolved, show_enum
from app.graph.portfolios.holdings import Holding
from app.graph.portfolios.trades import Lot, Trade
from app.graph.reads.fields import Reference, refer
from app.graph.reads.layout import Row, value_of
from app.graph.relay import PageInfo
from app.graph.scalars import CurrencyCode
from app.portfolios.ledger import plain
from app.portfolios.models import CostBasisMethod
from app.portfolios.models import Portfolio as PortfolioRow
from app.portfolios.queries.realized_gains import RealizedDisposal as Part
from app.portfolios.queries.realized_gains import RealizedGains as Gains
from app.portfolios.queries.realized_gains import position_of, realized_gains

MISSING_SHOWN = 100
ORDER = "realized-disposals"

show_enum(
    CostBasisMethod,
    "Which lots a disposal takes from.",
    {
        CostBasisMethod.FIFO: "The oldest first.",
        CostBasisMethod.LIFO: "The newest first.",
        CostBasisMethod.HIFO: "The dearest by the unit first.",
        CostBasisMethod.AVERAGE: "The oldest first, all at the average cost of what is held.",
        CostBasisMethod.SPECIFIC: "Those that the trade names, then the oldest first.",
    },
)


@strawberry.type(description="A part of a trade that was sold from one lot, or that was never acquired.")
class RealizedDisposal:
    trade: Trade | None = attribute("The trade.")
    holding: Holding | None = attribute("The holding that it is of.")
    lot: Lot | None = attribute("The lot that it was taken from; null of what was never acquired.")
    acquired_at: datetime | None = attribute("When that was acquired; null of what was never acquired.")
    disposed_at: datetime = attribute("When it was disposed of.")
    quantity: Decimal = attribute("How much it was.")
    cost: Decimal | None = attribute("What it had cost; null of what was never acquired.")
    proceeds: Decimal | None = attribute(
        "What it brought, its part of the fee taken off; null of what was carried over or given away."
    )
    gain: Decimal | None = attribute("What it brought less what it had cost; null where one of the two is.")


@strawberry.type(description="A disposal, with the cursor of its position.")
class RealizedDisposalEdge:
    node: RealizedDisposal = attribute("The disposal.")
    cursor: str = attribute("The position of this entry, for `after`.")


@strawberry.type(
    description="What disposals brought from `from` and before `to`, and a page of them in the order of time. Amounts "
    "are in `currency`, at the rates of when the trades were recorded."
)
class RealizedGains:
    method: CostBasisMethod = attribute("By which lots they were taken from.")
    currency: CurrencyCode = attribute("The base currency of the portfolio.")
    proceeds: Decimal = attribute("What sales brought, their fees taken off, of what had been acquired.")
    cost: Decimal = attribute("What that had cost.")
    fees: Decimal = attribute("The fees of trades that sold nothing: for keeping, transfers out and gifts.")
    gain: Decimal = attribute("`proceeds` less `cost` and `fees`.")
    is_complete: bool = attribute(
        "Whether all that was disposed of had been acquired; if not, the sums leave out what had not."
    )
    missing_acquisitions: list[RealizedDisposal] = attribute(
        f"What was disposed of and had never been acquired, the first {MISSING_SHOWN} in the order of time."
    )
    missing_count: int = attribute("How many of these there are.")
    edges: list[RealizedDisposalEdge] = attribute("The disposals of this page with their cursors.")
    nodes: list[RealizedDisposal] = attribute("The disposals of this page.")
    page_info: PageInfo = attribute("Where this page lies in the list.")
    total_count: int = attribute("How many disposals the whole list has.")


@dataclass(frozen=True, slots=True)
class _Disposal:
    """A part with references to what it is of."""

    trade: Reference
    holding: Reference
    lot: Reference | None
    acquired_at: datetime | None
    disposed_at: datetime
    quantity: Decimal
    cost: Decimal | None
    proceeds: Decimal | None
    gain: Decimal | None


@dataclass(frozen=True, slots=True)
class _Edge:
    node: _Disposal
    cursor: str


@dataclass(frozen=True, slots=True)
class _Gains:
    """The gains with one page of what they are made of."""

    method: CostBasisMethod
    currency: str
    found: Gains
    edges: Sequence[_Edge]
    page_info: PageInfo

    proceeds = property(lambda self: self.found.proceeds)
    cost = property(lambda self: self.found.cost)
    fees = property(lambda self: self.found.fees)
    gain = property(lambda self: self.found.gain)
    is_complete = property(lambda self: not self.found.missing)
    missing_acquisitions = property(lambda self: [_disposal(part) for part in self.found.missing[:MISSING_SHOWN]])
    missing_count = property(lambda self: len(self.found.missing))
    nodes = property(lambda self: [edge.node for edge in self.edges])
    total_count = property(lambda self: len(self.found.disposals))


@resolved(
    "What disposals brought from `from` and before `to`, by `method` if one is given and else by the portfolio's own. "
    "It is computed from the trades each time and changes nothing. `first` of the disposals (100 at most) are listed.",
    type=RealizedGains | None,
    by_viewer=True,
)
async def realized_gains_of_portfolio(
    root: Parent[Row],
    info: Info,
    method: CostBasisMethod | None = None,
    from_: Annotated[datetime | None, strawberry.argument(name="from")] = None,
    to: datetime | None = None,
    first: int | None = None,
    after: str | None = None,
) -> _Gains:
    """The field of a portfolio."""
    request = page_request(first=first, after=after, last=None, before=None)
    if from_ is not None and to is not None and from_ > to:
        raise BadUserInput("`from` lies behind `to`.", argument="from", allowed=["a time up to `to`"])
    used = method or CostBasisMethod(value_of(root, PortfolioRow.method))
    portfolio_id = value_of(root, PortfolioRow.id)
    found = await info.context.snapshot.read(realized_gains, portfolio_id, used, since=from_, until=to)
    begin = 0 if request.after is None else bisect_right(found.disposals, _position(request.after), key=position_of)
    shown = found.disposals[begin : begin + request.limit]
    edges = [_Edge(_disposal(part), _cursor(part)) for part in shown]
    return _Gains(
        used,
        value_of(root, PortfolioRow.base_currency),
        found,
        edges,
        PageInfo(
            has_next_page=begin + len(shown) < len(found.disposals),
            has_previous_page=False,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        ),
    )


def _cursor(part: Part) -> str:
    disposed_at, trade_id, number = position_of(part)
    return encode_cursor(ORDER, [disposed_at.isoformat(), str(trade_id), number])


def _position(cursor: str) -> tuple[datetime, UUID, int]:
    disposed_at, trade_id, number = decode_cursor(cursor, order=ORDER, argument="after", types=[str, str, int])
    return (
        instant_in_cursor(disposed_at, argument="after"),
        key_in_cursor(trade_id, argument="after"),
        int(number or 0),
    )


def _disposal(part: Part) -> _Disposal:
    disposal = part.disposal
    amounts: list[Any] = [
        None if amount is None else plain(amount) for amount in (disposal.cost, disposal.proceeds, disposal.gain)
    ]
    return _Disposal(
        refer(Trade, disposal.trade_id),
        refer(Holding, part.holding_id),
        None if disposal.lot_id is None else refer(Lot, disposal.lot_id),
        disposal.acquired_at,
        disposal.disposed_at,
        plain(disposal.quantity),
        *amounts,
    )
