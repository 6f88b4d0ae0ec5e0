"""Which kinds of batches are of prices, and what takes each in."""

from app.ingestion.models import BatchKind
from app.ingestion.processing import BatchHandlers
from app.prices.commands.ingest_candles import ingest_candles
from app.prices.commands.ingest_points import ingest_points

PRICE_BATCHES: BatchHandlers = {
    BatchKind.PRICE_POINTS: ingest_points,
    BatchKind.CANDLES: ingest_candles,
}
