"""What portfolios were day by day, and how they did."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson
import strawberry
from strawberry import Parent

from app.core.errors import BadUserInput
from app.graph.access import private
from app.graph.fields import attribute, resolved, show_enum
from app.graph.portfolios import values  # noqa: F401  # shows AllocationBy
from app.graph.portfolios.errors import OWNER_ALONE
from app.graph.prices.money import Money
from app.graph.reads.arguments import OperationContext, graphql_argument
from app.graph.reads.fields import column, embedded, keyed_rows, shows
from app.graph.reads.layout import Row, value_of
from app.graph.scalars import CurrencyCode
from app.portfolios.models import Portfolio
from app.portfolios.queries.history import (
    HISTORY,
    MOST_SNAPSHOTS,
    SNAPSHOT_GAIN,
    SNAPSHOT_IS_PARTIAL,
    SNAPSHOT_IS_PROVISIONAL,
    HistoryResolution,
)
from app.portfolios.queries.values import PORTFOLIO_IDS, AllocationBy
from app.portfolios.returns import ReturnMethod, ReturnUnavailable
from app.prices.queries.quotes import MONEY

show_enum(
    HistoryResolution,
    "How far apart the entries of a history are.",
    {
        HistoryResolution.DAY: "One for each day (UTC).",
        HistoryResolution.WEEK: "The last one of each week, which begins on Monday.",
        HistoryResolution.MONTH: "The last one of each month.",
    },
    name="HistoryResolution",
)
show_enum(
    ReturnMethod,
    "How a return is reckoned.",
    {
        ReturnMethod.TWR: "Time-weighted: when money was put in or taken out has no part in it. Where nothing was held "
        "before, what is put in counts from the beginning of its day.",
        ReturnMethod.MODIFIED_DIETZ: "(V1 − V0 − ΣF) / (V0 + Σ wF), each flow by how long it was there.",
        ReturnMethod.XIRR: "Money-weighted: the rate at which what was put in becomes what came out.",
    },
    name="ReturnMethod",
)
show_enum(
    ReturnUnavailable,
    "Why there is no return.",
    {
        ReturnUnavailable.NO_SNAPSHOTS: "There are no snapshots of that time: none of its days has passed, it ends "
        "before the first trade, or they are yet to be made, within a quarter of an hour.",
        ReturnUnavailable.NO_VALUE_AT_START: "No value is known at the end of the first day.",
        ReturnUnavailable.NO_VALUE_AT_END: "No value is known at the end of the last day, or that has not been yet.",
        ReturnUnavailable.NO_VALUE_AT_FLOW: "No value is known of a day on which something was put in or taken out.",
        ReturnUnavailable.NOTHING_INVESTED: "There was nothing that could have grown or shrunk.",
        ReturnUnavailable.NO_RATE_FITS: "No rate makes of what was put in what came out.",
        ReturnUnavailable.SEVERAL_RATES_FIT: "Several rates do.",
        ReturnUnavailable.RATE_TOO_GREAT: "The rate is beyond 10¹⁵: what grew was there too briefly to tell.",
    },
    name="ReturnUnavailable",
)

_ENTRY = HISTORY.c


def _money(amount: Any, description: str, *, maybe: bool = False) -> Any:
    return embedded(
        description,
        when=amount.is_not(None) if maybe else None,
        instead={MONEY.c.amount: amount, MONEY.c.currency: _ENTRY.currency},
    )


@strawberry.type(description="A part of what a portfolio was: holdings that belong together.")
class SnapshotPart:
    key: str | None = attribute(
        "What they have in common, as in `AllocationGroup`; null of those that have nothing of the sort."
    )
    value: Decimal | None = attribute("The sum of the values that are known, in the currency of the snapshot.")
    cost: Decimal = attribute("What they cost.")
    holding_count: int = attribute("How many holdings they are.")
    unpriced_count: int = attribute("How many of them have no value that is known.")


@strawberry.type(description="What a portfolio was at the end of a day, at the prices and rates of that day.")
@private(OWNER_ALONE)
@shows(HISTORY, carries=[_ENTRY.parts])
class PortfolioSnapshot:
    day: date = column(_ENTRY.day, "The day, in UTC.")
    currency: CurrencyCode = column(_ENTRY.currency, "The base currency when it was made, of every amount in it.")
    value: Money | None = _money(
        _ENTRY.value,
        "The sum of the values that are known; null where something was held and no value of it is known.",
        maybe=True,
    )
    cost: Money = _money(_ENTRY.cost, "What all that was held had cost.")
    unrealized_gain: Money | None = _money(
        SNAPSHOT_GAIN, "The value less the cost; null where a part of the value is not known.", maybe=True
    )
    realized_gain: Money = _money(_ENTRY.realized_gain, "What had been gained by disposals until then, less fees.")
    net_flow: Money = _money(
        _ENTRY.net_flow,
        "What was put in less what was taken out on this day; with a coarser resolution, since the entry before. What "
        "was given or carried over counts at what it was worth that day, else at what it cost; a fee as put in.",
    )
    holding_count: int = column(_ENTRY.holding_count, "How many holdings something was held of.")
    unpriced_count: int = column(_ENTRY.unpriced_count, "How many of them had no value that is known.")
    is_partial: bool = column(SNAPSHOT_IS_PARTIAL, "Whether something is left out of the value.")
    stale_count: int = column(_ENTRY.stale_count, "How many values rest on prices that were 30 days old or older.")
    oldest_observed_at: datetime | None = column(
        _ENTRY.oldest_observed_at, "When the oldest price that it rests on was seen; null where there is none."
    )
    is_provisional: bool = column(
        SNAPSHOT_IS_PROVISIONAL,
        "Whether trades of that day or before have changed since; it is made anew within a quarter of an hour.",
    )

    @resolved("What its value was made of, by `KIND`, `SET` or `PLACE`; the sets and places are those of now.")
    @staticmethod
    def parts(root: Parent[Row], by: AllocationBy) -> list[SnapshotPart]:
        known = orjson.loads(value_of(root, _ENTRY.parts))
        if by.value not in known:
            allowed = [part.name for part in AllocationBy if part.value in known]
            raise BadUserInput(
                f"A snapshot knows its parts by {', '.join(allowed)}; `allocation` knows those of now by others, too.",
                argument="by",
                allowed=allowed,
            )
        return [_part(key, part) for key, part in sorted(known[by.value].items())]


def _part(key: str, part: Mapping[str, Any]) -> SnapshotPart:
    return SnapshotPart(
        key=key or None,
        value=None if part["value"] is None else Decimal(part["value"]),
        cost=Decimal(part["cost"]),
        holding_count=part["holdings"],
        unpriced_count=part["unpriced"],
    )


@strawberry.type(
    description="How a portfolio did from the end of one day to the end of another, by its snapshots. What flows on a "
    "day counts at its end; by `TWR` at its beginning where nothing was held before."
)
class PortfolioPerformance:
    method: ReturnMethod = attribute("How it was reckoned.")
    first: date | None = attribute("The day at whose end it begins; null where there are no snapshots.", name="from")
    last: date | None = attribute("The day at whose end it ends; null where there are no snapshots.", name="to")
    rate: Decimal | None = attribute(
        "The return as a share, to 12 decimal places: `0.05` is 5 %. Of the whole period, unless it is a year's. Null "
        "where there is a `reason`."
    )
    is_annual: bool = attribute("Whether it is a year's: of `XIRR` from 365 days on.")
    reason: ReturnUnavailable | None = attribute("Why there is no return; null where there is one.")
    currency: CurrencyCode = attribute("The base currency, in which it was reckoned.")
    start_value: Decimal | None = attribute("The value at the end of the first day; null where it is not known.")
    end_value: Decimal | None = attribute("The value at the end of the last day; null where it is not known.")
    net_flow: Decimal = attribute("What was put in less what was taken out after the first day.")
    is_partial: bool = attribute(
        "Whether something is left out of the value at the beginning or at the end; of `TWR`, which rests on it, also "
        "on a day on which something was put in or taken out."
    )
    is_provisional: bool = attribute("Whether trades have changed since, so that snapshots of it are made anew.")


def check_days(first: date | None, last: date | None) -> None:
    """Refuse days of which the later one comes first."""
    if first is not None and last is not None and last < first:
        raise BadUserInput("`to` lies before `from`.", argument="to", allowed=["a day not before `from`"])


def _history_values(arguments: Mapping[str, Any], _: OperationContext) -> dict[str, Any]:
    since, until = arguments.get("from"), arguments.get("to")
    check_days(since, until)
    return {"since": since, "until": until, "resolution": HistoryResolution(arguments["resolution"]).value}


def history_of_portfolio(description: str) -> Any:
    """The field of a portfolio that says what it was."""
    return keyed_rows(
        f"{description} The newest {MOST_SNAPSHOTS:,} entries of those from `from` to `to`, both included.",
        on=Portfolio.id,
        to=_ENTRY.portfolio_id,
        keys=PORTFOLIO_IDS,
        order=[_ENTRY.day],
        is_list=True,
        values=_history_values,
        arguments=[
            graphql_argument("from", date | None),
            graphql_argument("to", date | None),
            graphql_argument("resolution", HistoryResolution, "How far apart.", default=HistoryResolution.DAY),
        ],
    )
