"""Which kinds of batches are of prices, and what takes each in."""

from functools import partial

from app.ingestion.models import BatchKind
from app.ingestion.processing import BatchHandlers
from app.prices.commands.ingest_candles import ingest_candles
from app.prices.commands.ingest_points import ingest_points
from app.prices.observations import Watcher, nobody


def price_batches(watch: Watcher = nobody) -> BatchHandlers:
    """What takes batches of prices in, and tells `watch` of each what is new."""
    return {
        BatchKind.PRICE_POINTS: partial(ingest_points, watch=watch),
        BatchKind.CANDLES: partial(ingest_candles, watch=watch),
    }
