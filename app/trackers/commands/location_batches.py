"""Which kind of batch is of reports of trackers, and what takes it in."""

from functools import partial

from app.core.secrets import Secrets
from app.ingestion.models import BatchKind
from app.ingestion.processing import BatchHandlers
from app.trackers.commands.ingest_locations import ingest_locations
from app.trackers.commands.tracker_events import WatchEvents


def location_batches(secrets: Secrets, watch: WatchEvents | None = None) -> BatchHandlers:
    """The handlers of batches of reports; the private keys of trackers are encrypted under these secrets.

    `watch` is given what becomes of trackers, within the transaction that stores it.
    """
    return {BatchKind.LOCATION_REPORTS: partial(ingest_locations, secrets=secrets, watch=watch)}
