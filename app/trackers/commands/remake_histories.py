"""Makes histories anew whose places, run or silence changed, and tells of trackers that fall silent."""

from datetime import UTC, datetime

from sqlalchemy import ColumnElement, select, text, update

from app.core.database import Transaction
from app.core.jobs import Job
from app.trackers.commands.recompute_histories import work_out_anew
from app.trackers.commands.tracker_events import WatchEvents, record_events
from app.trackers.models import Tracker

# Enqueued by whoever sets `recompute_from` of a tracker or `is_changed` of a place.
REMAKE_HISTORIES = Job("remake_histories", key="remake_histories")
PLACES_AT_ONCE = 20

# As `recompute_from`: the whole history of a tracker is made anew, since no report is older.
FROM_THE_START = datetime(1970, 1, 1, tzinfo=UTC)


async def ask_for_histories(transaction: Transaction, which: ColumnElement[bool]) -> None:
    """Have a worker make the whole histories of these trackers anew.

    Waits for batches that are being taken in, so that what they write is made anew too.
    """
    # In the order of ids, as everybody takes them, so that nobody waits for the other in a circle.
    held = select(Tracker.id).where(which).order_by(Tracker.id).with_for_update(key_share=True).cte("held")
    await transaction.connection.execute(
        update(Tracker).where(Tracker.id == held.c.id).values(recompute_from=FROM_THE_START)
    )
    transaction.enqueue(REMAKE_HISTORIES)


async def remake_histories(
    transaction: Transaction, *, limit: int, now: datetime, watch: WatchEvents | None = None
) -> int:
    """Make the histories of the next few trackers that wait for it anew; gives how many there were.

    One transaction for this, and nothing after it: others queue for the lock that it ends with.
    """
    await _mark_trackers_of_changed_places(transaction)
    waiting = (await transaction.connection.execute(_WAITING, {"limit": limit})).all()
    since = {row.id: row.recompute_from for row in waiting}
    events = await work_out_anew(transaction, {}, since=since, now=now)
    if since:
        await transaction.connection.execute(_DONE, {"ids": list(since)})
    await record_events(transaction, events, known_at=now, watch=watch)
    return len(since)


async def tell_silent(transaction: Transaction, *, limit: int, now: datetime, watch: WatchEvents | None = None) -> int:
    """Note and tell that trackers have fallen silent, the first few; gives how many there were.

    One transaction for this, and nothing after it, as above.
    """
    waiting = (await transaction.connection.execute(_FALLEN_SILENT, {"limit": limit, "now": now})).all()
    events = await work_out_anew(transaction, {}, since={row.id: row.silent_at for row in waiting}, now=now)
    await record_events(transaction, events, known_at=now, watch=watch)
    return len(waiting)


async def _mark_trackers_of_changed_places(transaction: Transaction) -> None:
    places = (await transaction.connection.scalars(_CHANGED_PLACES, {"limit": PLACES_AT_ONCE})).all()
    if places:
        parameters = {"places": list(places), "since": FROM_THE_START}
        await transaction.connection.execute(_MARK_TRACKERS, parameters)
        await transaction.connection.execute(_PLACES_DONE, {"places": list(places)})


_CHANGED_PLACES = text("""
    SELECT id FROM trackers.places WHERE is_changed ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")
# Those that may be there from now on, and those that were. Taken in the order of ids, as everybody does.
_MARK_TRACKERS = text("""
    WITH touched AS (
        SELECT tracker.id
        FROM trackers.trackers AS tracker
        WHERE tracker.id IN (
            SELECT tracker_id FROM trackers.visits WHERE place_id = ANY (CAST(:places AS uuid[]))
            UNION
            SELECT of_run.id
            FROM trackers.production_run_places AS link
            JOIN trackers.trackers AS of_run ON of_run.production_run_id = link.production_run_id
            WHERE link.place_id = ANY (CAST(:places AS uuid[]))
            UNION
            SELECT of_client.id
            FROM trackers.places AS place
            JOIN trackers.trackers AS of_client ON of_client.client_id = place.client_id
            WHERE place.id = ANY (CAST(:places AS uuid[]))
                AND NOT EXISTS (SELECT FROM trackers.production_run_places WHERE place_id = place.id)
        )
        ORDER BY tracker.id
        FOR NO KEY UPDATE OF tracker
    )
    UPDATE trackers.trackers AS tracker SET recompute_from = CAST(:since AS timestamptz)
    FROM touched WHERE tracker.id = touched.id
""")
_PLACES_DONE = text("UPDATE trackers.places SET is_changed = false WHERE id = ANY (CAST(:places AS uuid[]))")
_WAITING = text("""
    SELECT id, recompute_from FROM trackers.trackers WHERE recompute_from IS NOT NULL
    ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED
""")
_DONE = text("UPDATE trackers.trackers SET recompute_from = NULL WHERE id = ANY (CAST(:ids AS uuid[]))")
# Found by the index on when, and then taken in the order of ids.
_FALLEN_SILENT = text("""
    SELECT id, silent_at FROM trackers.trackers
    WHERE id IN (
        SELECT id FROM trackers.trackers WHERE status <> 'silent' AND silent_at <= CAST(:now AS timestamptz)
        ORDER BY silent_at LIMIT :limit
    ) AND status <> 'silent' AND silent_at <= CAST(:now AS timestamptz)
    ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
""")
