"""Locks the series that a batch changes, and moves their latest prices on."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction, among
from app.core.events import Event, Topic
from app.prices.commands.read_rows import from_microseconds, in_microseconds
from app.prices.commands.roll_up import MICROSECONDS
from app.prices.errors import SeriesGone
from app.prices.models import PriceKind, PriceSeries, Source
from app.prices.resolutions import ROLLED_UP

# Held from the drawing of positions in price_changes to the commit, so that positions become visible in their order.
PRICE_CHANGES_LOCK = 7_209_463_141_901


@dataclass(frozen=True, slots=True)
class SeriesState:
    """What a locked series held before this batch; `latest_at` and `last_seen_at` are in microseconds since 1970.

    Of one that `is_change_only` a point is stored only where the price moved. `source` is the source's code.
    """

    id: int
    latest_at: int | None
    latest_arrival: int | None
    latest_price: Decimal | None
    last_seen_at: int | None
    is_change_only: bool
    has_points: bool
    provided_resolutions: frozenset[int]
    variant_id: UUID
    source_id: int
    source: str
    kind: str
    currency: str

    def is_after_latest(self, microseconds: int) -> bool:
        """Whether nothing of the series is as new as this instant, so that it cannot be stored yet."""
        return self.latest_at is None or microseconds > self.latest_at

    def last_begun_bucket(self, resolution: int) -> int:
        """The number of the last bucket that may have a candle; later ones have none."""
        return -1 if self.latest_at is None else self.latest_at // (resolution * MICROSECONDS)

    def rolls_up_from(self, resolution: int) -> int | None:
        """The finer resolution whose candles hold all that this one needs; None where only the points do."""
        finer = max((candidate for candidate in ROLLED_UP if candidate < resolution), default=None)
        return None if finer in self.provided_resolutions else finer


class LatestPrice(NamedTuple):
    """A price that may be the latest of its series; `observed_at` is in microseconds since 1970."""

    series_id: int
    observed_at: int
    arrival: int
    price: str
    quantity: str | None


async def lock_series(connection: AsyncConnection, ids: Collection[int]) -> dict[int, SeriesState]:
    """Hold these series until the transaction ends, taken in the order of their ids so that writers never deadlock."""
    rows = await connection.execute(
        select(
            PriceSeries.id,
            PriceSeries.latest_observed_at,
            PriceSeries.latest_arrival,
            PriceSeries.latest_price,
            PriceSeries.last_seen_at,
            (Source.is_change_only & (PriceSeries.kind != PriceKind.SALE)).label("is_change_only"),
            PriceSeries.has_points,
            PriceSeries.provided_resolutions,
            PriceSeries.variant_id,
            PriceSeries.source_id,
            Source.code,
            PriceSeries.kind,
            PriceSeries.currency,
        )
        .join(Source, Source.id == PriceSeries.source_id)
        .where(among(PriceSeries.id, ids))
        .order_by(PriceSeries.id)
        .with_for_update(of=PriceSeries, key_share=True)
    )
    return {
        row.id: SeriesState(
            row.id,
            _microseconds(row.latest_observed_at),
            row.latest_arrival,
            row.latest_price,
            _microseconds(row.last_seen_at),
            row.is_change_only,
            row.has_points,
            frozenset(row.provided_resolutions),
            row.variant_id,
            row.source_id,
            row.code,
            row.kind,
            row.currency,
        )
        for row in rows
    }


def _microseconds(instant: datetime | None) -> int | None:
    return None if instant is None else in_microseconds(instant)


def refuse_gone(series: Mapping[int, SeriesState], ids: Collection[int]) -> None:
    """Raise SeriesGone where one of these was merged into another between being found and being locked."""
    if len(series) < len(ids):
        raise SeriesGone("a series was merged into another meanwhile")


def newer_prices(series: Mapping[int, SeriesState], candidates: Iterable[LatestPrice]) -> list[LatestPrice]:
    """Those candidates, at most one per series, that are newer than what their series has."""
    newer: dict[int, LatestPrice] = {}
    for price in candidates:
        best = newer.get(price.series_id)
        state = series[price.series_id]
        held = (state.latest_at or 0, state.latest_arrival or 0) if best is None else best[1:3]
        if price[1:3] > held:
            newer[price.series_id] = price
    return [newer[series_id] for series_id in sorted(newer)]


async def latest_of_points(connection: AsyncConnection, series: Iterable[SeriesState]) -> list[LatestPrice]:
    """The last point to arrive of those at the instant of each series' latest price."""
    wanted = {state.id: state.latest_at for state in series if state.latest_at is not None}
    if not wanted:
        return []
    instants = [from_microseconds(instant) for instant in wanted.values()]
    rows = await connection.execute(_LATEST_OF_POINTS, {"ids": list(wanted), "instants": instants})
    return [LatestPrice(row.series_id, wanted[row.series_id], row.arrival, row.price, row.quantity) for row in rows]


async def mark_points(connection: AsyncConnection, series: Iterable[SeriesState]) -> None:
    """Note that these locked series hold points now."""
    ids = [state.id for state in series if not state.has_points]
    if ids:
        await connection.execute(_MARK_POINTS, {"ids": ids})


async def mark_provided(connection: AsyncConnection, resolutions: Mapping[int, Collection[int]]) -> None:
    """Note which resolutions these locked series are provided in, beside those noted before."""
    pairs = sorted((series_id, resolution) for series_id, given in resolutions.items() for resolution in given)
    if pairs:
        ids, given = zip(*pairs, strict=True)
        await connection.execute(_MARK_PROVIDED, {"ids": list(ids), "resolutions": list(given)})


async def move_latest(connection: AsyncConnection, prices: Iterable[LatestPrice]) -> None:
    """Make these the latest prices of their locked series."""
    columns = _columns(prices)
    if columns["ids"]:
        await connection.execute(_MOVE_LATEST, columns)


async def show_changes(
    transaction: Transaction, prices: Collection[LatestPrice], then: Callable[[Transaction], Awaitable[None]]
) -> None:
    """Show the new latest prices, and then do what others have left to do. The last step before the commit."""
    await record_changes(transaction, prices)
    await then(transaction)


async def record_changes(transaction: Transaction, prices: Collection[LatestPrice]) -> None:
    """Show the new latest prices to those who follow them. The last step before the commit: others queue for it."""
    if not prices:
        return
    await transaction.connection.execute(_LOCK_CHANGES, {"lock": PRICE_CHANGES_LOCK})
    await transaction.connection.execute(_RECORD_CHANGES, _columns(prices))
    transaction.announce(Event(Topic.PRICES_CHANGED))


def _columns(prices: Iterable[LatestPrice]) -> dict[str, list[object]]:
    listed = list(prices)
    return {
        "ids": [price.series_id for price in listed],
        "instants": [from_microseconds(price.observed_at) for price in listed],
        "arrivals": [price.arrival for price in listed],
        "prices": [price.price for price in listed],
        "quantities": [price.quantity for price in listed],
    }


_LATEST_OF_POINTS = text("""
    SELECT DISTINCT ON (series_id)
        series_id, arrival, CAST(price AS text) AS price, CAST(quantity AS text) AS quantity
    FROM prices.price_points
    JOIN unnest(CAST(:ids AS integer[]), CAST(:instants AS timestamptz[])) AS wanted (series_id, observed_at)
        USING (series_id, observed_at)
    ORDER BY series_id, arrival DESC
""")
_MARK_POINTS = text("UPDATE prices.price_series SET has_points = true WHERE id = ANY (CAST(:ids AS integer[]))")
_MARK_PROVIDED = text("""
    UPDATE prices.price_series
    SET provided_resolutions = ARRAY(
        SELECT unnest(provided_resolutions) UNION SELECT unnest(given.resolutions) ORDER BY 1
    )
    FROM (
        SELECT series_id, array_agg(resolution) AS resolutions
        FROM unnest(CAST(:ids AS integer[]), CAST(:resolutions AS integer[])) AS pair (series_id, resolution)
        GROUP BY series_id
    ) AS given
    WHERE id = given.series_id AND NOT provided_resolutions @> given.resolutions
""")
_MOVE_LATEST = text("""
    UPDATE prices.price_series
    SET latest_price = CAST(given.price AS numeric), latest_quantity = CAST(given.quantity AS numeric),
        latest_observed_at = given.observed_at, latest_arrival = given.arrival
    FROM unnest(
        CAST(:ids AS integer[]), CAST(:instants AS timestamptz[]), CAST(:arrivals AS bigint[]),
        CAST(:prices AS text[]), CAST(:quantities AS text[])
    ) AS given (series_id, observed_at, arrival, price, quantity)
    WHERE id = given.series_id
""")
_LOCK_CHANGES = text("SELECT pg_advisory_xact_lock(:lock)")
_RECORD_CHANGES = text("""
    INSERT INTO prices.price_changes (series_id, price, quantity, observed_at)
    SELECT series_id, CAST(price AS numeric), CAST(quantity AS numeric), observed_at
    FROM unnest(
        CAST(:ids AS integer[]), CAST(:instants AS timestamptz[]),
        CAST(:prices AS text[]), CAST(:quantities AS text[])
    ) AS given (series_id, observed_at, price, quantity)
""")
