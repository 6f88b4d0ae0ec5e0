"""Asks the operator's gateway for reports of trackers, tracker by tracker, and sends what it says through ingestion.

A tracker is claimed by noting when it is asked for: of several workers one does so. What is lost after that, with the
process or with the answer, is asked for again when the tracker is due again, long before the network forgets it.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, case, exists, or_, select, update

from app.core.clock import utc_now
from app.core.database import Database, Transaction
from app.core.outbound import OutsideServiceFailed
from app.core.public_addresses import PublicAddresses
from app.core.retrying import Retries
from app.ingestion.commands import accept_batch
from app.ingestion.file_rows import CanonicalRow, in_batches
from app.ingestion.models import BatchKind, BatchStatus
from app.ingestion.queries import BatchRow, batches_by_id
from app.providers.client import ProviderClient
from app.providers.commands.save_known import save_provider_at
from app.providers.errors import ProviderBusy, ProviderDisabled
from app.trackers.gateway import (
    KEYS_AT_A_TIME,
    PROVIDER,
    FoundReports,
    Gateway,
    GatewayNotUnderstood,
    ask_gateway,
    read_answer,
)
from app.trackers.models import Tracker, TrackerKey

logger = structlog.get_logger(__name__)

# So many are read at a time, in the order in which they are due; the next round reads anew.
MOST_TRACKERS = 1_000
# Longer than the window of the gateway's pace, so that a full one is waited for; a pause is not.
PATIENCE_SECONDS = 120.0
# A gateway that fails so often in a row is away; one tracker that it cannot answer for is passed over.
FAILURES_IN_A_ROW = 3
QUIET_AFTER = timedelta(days=14)
QUIET_TIMES_AS_LONG = 12
# Far below what the network remembers, so that nothing is missed.
LONGEST_INTERVAL = timedelta(days=1)

OnProgress = Callable[[int, int], None]


@dataclass(slots=True)
class PollOutcome:
    """What became of a round over the trackers that were `due`.

    Of those `asked` some `failed`, the first of them by the reason `first_failure`. `reports` were handed to ingestion,
    in batches that wait now; answers that say what was said before make none. `foreign` and `unreadable` is what
    answers held besides. Where the gateway would not answer any more, `cut_short` says why.
    """

    due: int = 0
    asked: int = 0
    failed: int = 0
    reports: int = 0
    foreign: int = 0
    unreadable: int = 0
    batch_ids: list[UUID] = field(default_factory=list)
    first_failure: str | None = None
    cut_short: str | None = None

    @property
    def result(self) -> dict[str, object]:
        """The same as the counts of a job's run."""
        return {
            "due": self.due,
            "asked": self.asked,
            "failed": self.failed,
            "reports": self.reports,
            "foreign": self.foreign,
            "unreadable": self.unreadable,
            "batches": len(self.batch_ids),
            "cutShort": self.cut_short,
        }

    @property
    def failure(self) -> str | None:
        """Why the round came to nothing, in a sentence; None where a question was answered, or none was to be asked."""
        if self.asked > self.failed:
            return None
        if self.first_failure is not None:
            return f"All {self.failed} questions failed, the first so: {self.first_failure}"
        return None if self.cut_short is None else f"Nothing was asked: {self.cut_short}"


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A tracker to be asked for now, its keys in use, and when it was asked for before."""

    id: UUID
    hashed_keys: Sequence[bytes] = field(repr=False)
    asked_at: datetime
    asked_before_at: datetime | None


async def poll_gateway(
    database: Database,
    gateway: Gateway,
    *,
    addresses: PublicAddresses | None = None,
    retries: Retries | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    clock: Callable[[], datetime] = utc_now,
    on_progress: OnProgress = lambda done, total: None,
) -> PollOutcome:
    """Ask for each tracker that is due, those first that were asked for longest ago; a worker takes in what comes.

    One question that fails stops nothing; three in a row, or a gateway that is to be left alone, end the round.
    `on_progress` is told how many of how many trackers are done. Raises ProviderDisabled where staff turned it off.
    """
    async with database.transaction() as transaction:
        await save_provider_at(transaction, gateway.provider)
        due = await _due_trackers(transaction, gateway, now=clock())
    outcome = PollOutcome(due=len(due))
    async with gateway.http(addresses) as http:
        client = ProviderClient(database, PROVIDER, http, retries=retries, patience_seconds=patience_seconds)
        poller = _Poller(database, client, gateway, outcome, clock)
        for done, tracker_id in enumerate(due, start=1):
            await poller.poll(tracker_id)
            on_progress(done, len(due))
            if outcome.cut_short is not None:
                break
    logger.info(
        "gateway_polled",
        due=outcome.due,
        asked=outcome.asked,
        failed=outcome.failed,
        reports=outcome.reports,
        batches=len(outcome.batch_ids),
        cut_short=outcome.cut_short,
    )
    return outcome


class _Poller:
    """Asks for one tracker after the other, and counts what becomes of them."""

    def __init__(
        self,
        database: Database,
        client: ProviderClient,
        gateway: Gateway,
        outcome: PollOutcome,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._client = client
        self._gateway = gateway
        self._outcome = outcome
        self._clock = clock
        self._failures_in_a_row = 0

    async def poll(self, tracker_id: UUID) -> None:
        """Ask for a tracker, unless somebody else does."""
        async with self._database.transaction() as transaction:
            claimed = await _claim(transaction, self._gateway, tracker_id, now=self._clock())
        if claimed is None:
            return
        rows: set[bytes] = set()
        try:
            for start in range(0, len(claimed.hashed_keys), KEYS_AT_A_TIME):
                rows.update(await self._ask(tracker_id, claimed.hashed_keys[start : start + KEYS_AT_A_TIME]))
        except ProviderBusy as busy:
            self._outcome.cut_short = busy.message
            await self._give_back(claimed)
        except ProviderDisabled:
            await self._give_back(claimed)
            raise
        except (OutsideServiceFailed, GatewayNotUnderstood) as failure:
            self._fail(tracker_id, str(failure))
        else:
            self._outcome.asked += 1
            self._failures_in_a_row = 0
        finally:
            await self._send(tracker_id, sorted(rows))

    async def _ask(self, tracker_id: UUID, hashed_keys: Sequence[bytes]) -> Sequence[bytes]:
        answer = await ask_gateway(self._client, self._gateway, hashed_keys)
        found: FoundReports = await asyncio.to_thread(read_answer, answer, frozenset(hashed_keys), now=self._clock())
        self._outcome.foreign += found.foreign
        self._outcome.unreadable += found.unreadable
        if found.foreign or found.unreadable:
            logger.warning(
                "gateway_answer_odd", tracker=str(tracker_id), foreign=found.foreign, unreadable=found.unreadable
            )
        return found.rows

    def _fail(self, tracker_id: UUID, reason: str) -> None:
        logger.warning("gateway_question_failed", tracker=str(tracker_id), reason=reason)
        self._outcome.asked += 1
        self._outcome.failed += 1
        self._outcome.first_failure = self._outcome.first_failure or reason
        self._failures_in_a_row += 1
        if self._failures_in_a_row == FAILURES_IN_A_ROW:
            self._outcome.cut_short = f"The gateway failed {FAILURES_IN_A_ROW} times in a row; at last: {reason}"

    async def _give_back(self, claimed: _Claimed) -> None:
        """Have the tracker be due again, because it was not asked for to the end."""
        async with self._database.transaction() as transaction:
            await transaction.connection.execute(
                update(Tracker)
                .where(Tracker.id == claimed.id, Tracker.last_report_requested_at == claimed.asked_at)
                .values(last_report_requested_at=claimed.asked_before_at)
            )

    async def _send(self, tracker_id: UUID, rows: Sequence[bytes]) -> None:
        for batch in in_batches(CanonicalRow(number, row) for number, row in enumerate(rows, start=1)):
            key = f"gateway:{tracker_id}:{sha256(batch.payload).hexdigest()}"
            async with self._database.transaction() as transaction:
                accepted = await _hand_on(transaction, batch.payload, key, now=self._clock())
            if accepted.status == BatchStatus.RECEIVED:
                self._outcome.reports += accepted.row_count
                self._outcome.batch_ids.append(accepted.id)


async def _hand_on(transaction: Transaction, payload: bytes, key: str, *, now: datetime) -> BatchRow:
    """Accept a batch of the operator's; the same one as before where it says what was said before.

    Where rows of that were rejected, the batch is tried anew once a day: what was in their way may pass.
    """
    batch = await _accept(transaction, payload, key)
    if batch.rejected_count and batch.received_at.date() != now.date():
        batch = await _accept(transaction, payload, f"{key}:{now.date()}")
    return batch


async def _accept(transaction: Transaction, payload: bytes, key: str) -> BatchRow:
    accepted = await accept_batch(
        transaction, kind=BatchKind.LOCATION_REPORTS, payload=payload, idempotency_key=key, sender_id=None
    )
    return (await batches_by_id(transaction.connection, [accepted.id]))[accepted.id]


async def _due_trackers(transaction: Transaction, gateway: Gateway, *, now: datetime) -> Sequence[UUID]:
    due = await transaction.connection.scalars(
        select(Tracker.id)
        .where(_is_due(gateway, now))
        .order_by(Tracker.last_report_requested_at.asc().nulls_first(), Tracker.id)
        .limit(MOST_TRACKERS)
    )
    return due.all()


async def _claim(transaction: Transaction, gateway: Gateway, tracker_id: UUID, *, now: datetime) -> _Claimed | None:
    """Note that a tracker is asked for now, if it still is to be."""
    # The row is looked at once more after whoever holds it is done.
    claimed = (
        await transaction.connection.execute(
            select(Tracker.last_report_requested_at)
            .where(Tracker.id == tracker_id, _is_due(gateway, now))
            .with_for_update(key_share=True)
        )
    ).one_or_none()
    if claimed is None:
        return None
    await transaction.connection.execute(
        update(Tracker).where(Tracker.id == tracker_id).values(last_report_requested_at=now)
    )
    keys = await transaction.connection.scalars(
        select(TrackerKey.hashed_key)
        .where(TrackerKey.tracker_id == tracker_id, TrackerKey.retired_at.is_(None))
        .order_by(TrackerKey.created_at.desc(), TrackerKey.id)
    )
    return _Claimed(tracker_id, keys.all(), now, claimed.last_report_requested_at)


def _is_due(gateway: Gateway, now: datetime) -> ColumnElement[bool]:
    """Whether a tracker is in use, and was not asked for within its interval."""
    has_key = exists().where(TrackerKey.tracker_id == Tracker.id, TrackerKey.retired_at.is_(None))
    lately = now - QUIET_AFTER
    is_lively = or_(
        Tracker.last_report_received_at > lately,
        Tracker.created_at > lately,
        has_key.where(TrackerKey.created_at > lately),
    )
    quiet_interval = max(gateway.every, min(QUIET_TIMES_AS_LONG * gateway.every, LONGEST_INTERVAL))
    asked_before = case((is_lively, now - gateway.every), else_=now - quiet_interval)
    return (
        Tracker.retired_at.is_(None)
        & has_key
        & or_(Tracker.last_report_requested_at.is_(None), Tracker.last_report_requested_at <= asked_before)
    )
