"""Takes a batch of reports in: reads the rows, stores what is new, and makes the histories anew that it bears on."""

import asyncio
from functools import partial
from uuid import UUID

from app.core.clock import utc_now
from app.core.database import Transaction
from app.core.secrets import Secrets
from app.ingestion.commands import ClaimedBatch
from app.ingestion.processing import IngestedRows
from app.trackers.commands.orphans import keep_orphans
from app.trackers.commands.read_rows import read_rows, subjects_of
from app.trackers.commands.recompute_histories import recompute_histories
from app.trackers.commands.reported_trackers import lock_reported_trackers
from app.trackers.commands.sort_out import sort_out
from app.trackers.commands.store_reports import store_reports
from app.trackers.commands.tracker_events import WatchEvents, record_events


async def ingest_locations(
    transaction: Transaction, batch: ClaimedBatch, *, secrets: Secrets, watch: WatchEvents | None = None
) -> IngestedRows:
    """Store the batch's new reports, and what follows from them.

    A report that is stored already changes nothing. One of a key that no tracker of the sender's has is kept as an
    orphan, and counts as accepted. The trackers stay locked until the transaction ends, so that batches with the same
    ones follow one another.
    """
    connection = transaction.connection
    read = await asyncio.to_thread(read_rows, batch.payload, accepted_at=batch.received_at)
    trackers = await lock_reported_trackers(
        connection,
        sender_id=batch.sender_id,
        tracker_ids={UUID(bytes=subject) for subject in subjects_of(read.rows, of_keys=False)},
        hashed_keys=subjects_of(read.rows, of_keys=True),
    )
    rows = await asyncio.to_thread(sort_out, read.rows, trackers, secrets)
    # In the order in which whoever takes orphans in locks as well: trackers, orphans, partitions.
    kept, without_room = await keep_orphans(connection, rows.orphans, sender_id=batch.sender_id)
    stored = await store_reports(connection, rows.reports)
    events = await recompute_histories(
        transaction, stored.touched, now=utc_now(), received_at=batch.received_at, fixes=stored.fixes
    )
    rejects = [*read.rejects, *rows.rejects, *without_room]
    accepted = stored.count + kept
    return IngestedRows(
        accepted=accepted,
        duplicate=batch.row_count - len(rejects) - accepted,
        rejects=rejects,
        last_step=partial(record_events, events=events, known_at=batch.received_at, watch=watch),
    )
