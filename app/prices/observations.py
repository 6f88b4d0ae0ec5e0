"""What a batch of prices says that was not known before, for those who watch prices."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from app.core.database import Transaction
from app.prices.commands.series_state import LatestPrice, SeriesState
from app.prices.connectors.pokemon_tcg import PokemonTcg
from app.prices.connectors.scryfall import Scryfall

# Their prices are made once a day, and asked for as often.
DAILY_SOURCES = frozenset({*PokemonTcg.sources, *Scryfall.sources})

# A price of a series: its time in microseconds since 1970, its arrival, and the price as text. There are many.
ObservedPrice = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class ObservedSeries:
    """A series as it was before a batch, and its new prices in the order of time: the last is its latest by now."""

    series: SeriesState
    prices: Sequence[ObservedPrice]


@dataclass(frozen=True, slots=True)
class Observations:
    """The new prices of a batch, and when it was accepted. All these series are locked."""

    accepted_at: datetime
    series: Sequence[ObservedSeries]


LastStep = Callable[[Transaction], Awaitable[None]]
# Is told in the transaction that stores the prices, once they are; what it gives is the very last step of that.
Watcher = Callable[[Transaction, Observations], Awaitable[LastStep]]


async def do_nothing(transaction: Transaction) -> None:
    """The last step of who has nothing left to do."""
    del transaction


async def nobody(transaction: Transaction, observations: Observations) -> LastStep:
    """Watches nothing."""
    del transaction, observations
    return do_nothing


def observed_series(series: SeriesState, prices: Iterable[ObservedPrice], latest: LatestPrice) -> ObservedSeries:
    """What is new of a series whose latest price has moved, of the prices that a batch tells in the order of time.

    What is not newer than its latest price was is left out. The new latest price is the last of them.
    """
    known = (series.latest_at or 0, series.latest_arrival or 0)
    new = [price for price in prices if price[:2] > known]
    last = (latest.observed_at, latest.arrival, latest.price)
    if not new or new[-1] != last:
        # An earlier batch took a point's place, or a price was seen after all that the batch tells.
        new.append(last)
    return ObservedSeries(series, new)
