"""Sweeps: ask one provider for all that it can price, and send what it says through ingestion, batch by batch."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from time import monotonic
from typing import TypeVar
from uuid import UUID

import structlog

from app.core.clock import utc_now
from app.core.database import Database
from app.core.outbound import OutsideServiceFailed
from app.core.texts import showable
from app.ingestion.commands import accept_batch
from app.ingestion.file_rows import CanonicalRow, in_batches
from app.ingestion.models import BatchKind
from app.prices.connectors.interface import Answer, AnswerNotUnderstood, Connector, FoundCandle, FoundPrice, Subject
from app.prices.connectors.rows import row_of_candle, row_of_price
from app.prices.queries.latest import SeriesOfItem, latest_prices
from app.providers.client import ProviderClient
from app.providers.errors import ProviderBusy, ProviderDisabled

logger = structlog.get_logger(__name__)

Found = TypeVar("Found")

FAILURES_TOLD = 20
# What was found is sent after so many rows, or so long: neither a batch for each row, nor hours without a price.
ROWS_BEFORE_SENDING = 5_000
LONGEST_UNSENT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class SweepFailure:
    """What could not be priced, by the provider's name of it or of the first of several, and why."""

    subject: str
    reason: str


@dataclass(slots=True)
class SweepOutcome:
    """What became of the subjects of a sweep, each counted once.

    Of those `asked` for some are `unknown` to the provider, some `failed`, and some are `priced`; the rest has no price
    now. Of those priced, `unchanged` have the prices that are the latest already. `failures` tells the first of the
    failed. Where the provider would not answer any more, `cut_short` says why, and the rest was not asked for.
    """

    source: str
    asked: int = 0
    priced: int = 0
    unchanged: int = 0
    unknown: int = 0
    failed: int = 0
    failures: list[SweepFailure] = field(default_factory=list)
    rows: int = 0
    batch_ids: list[UUID] = field(default_factory=list)
    cut_short: str | None = None

    @property
    def result(self) -> dict[str, object]:
        """The same as the counts of a job's run."""
        return {
            "asked": self.asked,
            "priced": self.priced,
            "unchanged": self.unchanged,
            "unknown": self.unknown,
            "failed": self.failed,
            "failures": [{"subject": failure.subject, "reason": failure.reason} for failure in self.failures],
            "rows": self.rows,
            "cutShort": self.cut_short,
        }

    @property
    def failure(self) -> str | None:
        """Why the sweep came to nothing, in a sentence; None where something was priced, or nothing went wrong."""
        if self.priced:
            return None
        if self.failures:
            first = self.failures[0]
            return f"Nothing was priced; {self.failed} of {self.asked} failed, `{first.subject}` first: {first.reason}"
        return None if self.cut_short is None else f"Nothing was priced: {self.cut_short}"

    def fail(self, subject: Subject, reason: str, *, count: int = 1) -> None:
        """Count subjects that could not be priced for one reason."""
        self.failed += count
        if len(self.failures) < FAILURES_TOLD:
            self.failures.append(SweepFailure(showable(subject.name), showable(reason)))


async def sweep(
    database: Database,
    client: ProviderClient,
    connector: Connector,
    *,
    limit: int | None = None,
    at: datetime | None = None,
) -> SweepOutcome:
    """Ask for what a connector can price, at most `limit` items, those first that were priced longest ago.

    What is found is accepted for ingestion as it comes; a worker takes it in. `at` is the time of prices that come
    without one, by default that of each answer; a sweep that is repeated with the same one adds nothing. One question
    that fails stops nothing. Raises ProviderUnknown and ProviderDisabled.
    """
    started_at = at or utc_now()
    async with database.transaction() as transaction:
        known = await connector.subjects(transaction.connection)
    outcome = SweepOutcome(connector.name)
    sender = _Sender(database, connector, outcome, started_at)
    subjects = await _offered(client, connector, known, outcome)
    try:
        for asked in _questions(subjects if limit is None else subjects[:limit], connector.at_a_time):
            answer = await _ask(client, connector, asked, at, outcome)
            outcome.asked += len(asked)
            if answer is not None:
                await sender.take(answer)
    except ProviderBusy as busy:
        outcome.cut_short = busy.message
    except ProviderDisabled:
        # Turned off in the middle: what was told before goes in all the same.
        await sender.send()
        raise
    await sender.send()
    logger.info(
        "sweep_ended",
        source=outcome.source,
        asked=outcome.asked,
        priced=outcome.priced,
        unchanged=outcome.unchanged,
        unknown=outcome.unknown,
        failed=outcome.failed,
        cut_short=outcome.cut_short,
    )
    return outcome


async def _offered(
    client: ProviderClient, connector: Connector, subjects: Sequence[Subject], outcome: SweepOutcome
) -> Sequence[Subject]:
    """What the provider has of the subjects; none where it does not say, and then the sweep is cut short."""
    try:
        return await connector.offered(client, subjects) if subjects else ()
    except (OutsideServiceFailed, AnswerNotUnderstood) as failure:
        outcome.cut_short = str(failure)
    except ProviderBusy as busy:
        outcome.cut_short = busy.message
    return ()


def _questions(subjects: Sequence[Subject], at_a_time: int | None) -> Iterator[Sequence[Subject]]:
    """The subjects, those of a group together and in the order of the groups' first, cut to what one question takes."""
    groups: dict[str, list[Subject]] = {}
    for subject in subjects:
        groups.setdefault(subject.group, []).append(subject)
    for group in groups.values():
        size = at_a_time or len(group)
        for start in range(0, len(group), size):
            yield group[start : start + size]


async def _ask(
    client: ProviderClient,
    connector: Connector,
    asked: Sequence[Subject],
    at: datetime | None,
    outcome: SweepOutcome,
) -> Answer | None:
    try:
        answer = await connector.ask(client, asked, clock=lambda: at or utc_now().replace(microsecond=0))
    except (OutsideServiceFailed, AnswerNotUnderstood) as failure:
        outcome.fail(asked[0], str(failure), count=len(asked))
        return None
    outcome.unknown += len(answer.unknown)
    for misread in answer.misread:
        outcome.fail(misread.subject, misread.reason)
    return answer


class _Sender:
    """Gathers what was found, and has it accepted as batches."""

    def __init__(self, database: Database, connector: Connector, outcome: SweepOutcome, started_at: datetime) -> None:
        self._database = database
        self._connector = connector
        self._outcome = outcome
        self._key = f"sweep:{connector.name}:{started_at.isoformat()}"
        self._prices: list[FoundPrice] = []
        self._candles: list[FoundCandle] = []
        self._priced: set[Subject] = set()
        self._since = monotonic()

    async def take(self, answer: Answer) -> None:
        """Take what an answer says, and send it where there is enough of it."""
        failed = {misread.subject for misread in answer.misread}
        found: list[FoundPrice | FoundCandle] = [*answer.prices, *answer.candles]
        priced = {one.subject for one in found} - failed
        self._outcome.priced += len(priced)
        self._priced |= priced
        self._prices += answer.prices
        self._candles += answer.candles
        is_long_ago = monotonic() - self._since >= LONGEST_UNSENT.total_seconds()
        if len(self._prices) + len(self._candles) >= ROWS_BEFORE_SENDING or is_long_ago:
            await self.send()

    async def send(self) -> None:
        """Send what was found since the last time."""
        self._outcome.unchanged += await self._count_unchanged()
        await self._accept(BatchKind.PRICE_POINTS, await asyncio.to_thread(_rows, self._prices, row_of_price))
        await self._accept(BatchKind.CANDLES, await asyncio.to_thread(_rows, self._candles, row_of_candle))
        self._prices.clear()
        self._candles.clear()
        self._priced.clear()
        self._since = monotonic()

    async def _accept(self, kind: BatchKind, rows: Sequence[bytes]) -> None:
        for batch in in_batches(CanonicalRow(number, row) for number, row in enumerate(rows, start=1)):
            async with self._database.transaction() as transaction:
                accepted = await accept_batch(
                    transaction,
                    kind=kind,
                    payload=batch.payload,
                    idempotency_key=f"{self._key}:{sha256(batch.payload).hexdigest()}",
                )
            self._outcome.rows += accepted.row_count
            self._outcome.batch_ids.append(accepted.id)

    async def _count_unchanged(self) -> int:
        """How many of the priced subjects have no other prices than the latest that are stored."""
        told = {_series_of(found): found.price for found in self._prices if found.subject in self._priced}
        told |= {_series_of(found): found.candle.close for found in self._candles if found.subject in self._priced}
        if not told:
            return 0
        async with self._database.transaction() as transaction:
            stored = await latest_prices(
                transaction.connection, {series.slug for series in told}, {series.source for series in told}
            )
        changed = {series.slug for series, price in told.items() if stored.get(series) != price}
        return len({series.slug for series in told} - changed)


def _rows(found: Iterable[Found], row_of: Callable[[Found], bytes]) -> list[bytes]:
    """The rows, in an order of their own: subjects take turns, and the same rows are to be the same batch."""
    return sorted(row_of(one) for one in found)


def _series_of(found: FoundPrice | FoundCandle) -> SeriesOfItem:
    variant = found.variant if isinstance(found, FoundPrice) else None
    return SeriesOfItem(found.subject.slug, variant, found.source, found.kind.value, found.currency)
