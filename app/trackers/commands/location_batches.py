"""Which kind of batch is of reports of trackers, and what takes it in."""

from functools import partial

from app.core.secrets import Secrets
from app.ingestion.models import BatchKind
from app.ingestion.processing import BatchHandlers
from app.trackers.commands.ingest_locations import ingest_locations


def location_batches(secrets: Secrets) -> BatchHandlers:
    """The handlers of batches of reports; the private keys of trackers are encrypted under these secrets."""
    return {BatchKind.LOCATION_REPORTS: partial(ingest_locations, secrets=secrets)}
