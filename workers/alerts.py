"""Makes alerts of what only time brings about, and deletes those that are kept no longer."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar, Protocol
from uuid import UUID

import structlog

from app.alerts.commands.due_rules import EXPIRED_AT_A_TIME, Looked, end_expired_rules, look_again_at
from app.alerts.commands.look_at_portfolios import RULES_AT_A_TIME as PORTFOLIOS_AT_A_TIME
from app.alerts.commands.look_at_portfolios import look_at_portfolios
from app.alerts.commands.look_at_silences import RULES_AT_A_TIME as SILENCES_AT_A_TIME
from app.alerts.commands.look_at_silences import look_at_silences
from app.alerts.commands.look_at_windows import look_at_windows
from app.alerts.commands.prune_alerts import prune_alerts
from app.alerts.commands.record_alerts import record_alerts
from app.alerts.fired import Fired
from app.alerts.queries.clock import RuleLook, due_rule_ids, overdue_seconds
from app.core.clock import utc_now
from app.core.database import Database, Transaction, is_database_away
from app.core.telemetry import (
    ALERT_CLOCK_LAG_SECONDS,
    ALERT_CLOCK_LAST_ROUND,
    ALERT_CLOCK_ROUNDS,
    ALERT_RULE_FAILURES,
)
from app.notifications.commands.notify import notify_of_alerts
from app.notifications.commands.prune_notifications import (
    owners_of_too_many,
    prune_notifications,
    prune_notifications_of,
)
from workers.runner import Runner

logger = structlog.get_logger(__name__)

WINDOWS_AT_A_TIME = 500
FAILED_RULES_REST_FOR = timedelta(minutes=1)
SECONDS_BETWEEN_MEASURES = 15.0


class LookAtRules(Protocol):
    """Looks at rules of a kind that are due, of these alone where any are named, and has them look again later."""

    async def __call__(
        self, transaction: Transaction, *, now: datetime, limit: int, only: Collection[UUID] | None = None
    ) -> Looked:
        """Hold up to `limit` of them against what is so now; gives what fired."""
        ...


@dataclass(frozen=True, slots=True)
class Look:
    """One of the looks of a round, and how many rules it takes within a transaction at most."""

    name: RuleLook
    look_at: LookAtRules
    at_a_time: int


class AlertClock(Runner):
    """Ends rules that expired, and looks at those to which time alone may bring something.

    A look that fails is tried again in the next round, and keeps no other back; nor does a rule that fails.
    """

    def __init__(
        self, database: Database, *, looks: Sequence[Look] | None = None, clock: Callable[[], datetime] = utc_now
    ) -> None:
        super().__init__()
        self._database = database
        self._looks = LOOKS if looks is None else looks
        self._clock = clock

    async def work(self, stopping: asyncio.Event) -> None:
        """Look at what is due now. Raises what the database driver raises when it is away, once all have tried."""
        now = self._clock
        steps: Sequence[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("expiry", lambda: end_all_expired(self._database, now=now(), stopping=stopping)),
            *((look.name.value, partial(self._look_at_all, look, stopping)) for look in self._looks),
        ]
        failures = [failure for name, step in steps if (failure := await _failure_of(name, step)) is not None]
        ALERT_CLOCK_ROUNDS.labels("failed" if failures else "done").inc()
        if not failures:
            ALERT_CLOCK_LAST_ROUND.set_to_current_time()
        for failure in failures:
            if is_database_away(failure):
                raise failure

    async def _look_at_all(self, look: Look, stopping: asyncio.Event) -> None:
        await look_at_all(self._database, look, now=self._clock(), stopping=stopping)


async def _failure_of(name: str, step: Callable[[], Awaitable[object]]) -> Exception | None:
    """What a step of a round stumbled over, which must not keep the other steps back."""
    try:
        await step()
    except Exception as failure:  # noqa: BLE001  # whatever it is, the next round tries again
        if not is_database_away(failure):
            # Without what the failure says, which may be somebody's.
            logger.error("alert_look_failed", look=name, reason=type(failure).__name__)  # noqa: TRY400
        return failure
    return None


class AlertMeter(Runner):
    """Keeps the gauges of how far the clock is behind up to date, however the clock does."""

    seconds_between_looks: ClassVar[float] = SECONDS_BETWEEN_MEASURES

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        super().__init__()
        self._database = database
        self._clock = clock

    async def work(self, stopping: asyncio.Event) -> None:
        """Measure once."""
        snapshot = self._database.snapshot()
        try:
            overdue = await snapshot.read(overdue_seconds, now=self._clock())
        finally:
            await snapshot.close()
        for look, seconds in overdue.items():
            ALERT_CLOCK_LAG_SECONDS.labels(look.value).set(seconds)


async def end_all_expired(database: Database, *, now: datetime, stopping: asyncio.Event | None = None) -> int:
    """End all rules that have expired, some in each transaction; gives how many there were."""
    ended = 0
    while stopping is None or not stopping.is_set():
        async with database.transaction() as transaction:
            count = await end_expired_rules(transaction, now=now)
        ended += count
        if count < EXPIRED_AT_A_TIME:
            break
    if ended:
        logger.info("alert_rules_expired", count=ended)
    return ended


async def look_at_all(database: Database, look: Look, *, now: datetime, stopping: asyncio.Event | None = None) -> int:
    """Look at all rules that are due, some in each transaction, and make their alerts; gives how many fired.

    Where that fails, those that were due are looked at in ever smaller parts, until the rule is found that fails: it is
    put off for a minute. Raises what the database driver raises when it is away, and what fails with no rule at all.
    """
    fired = 0
    while stopping is None or not stopping.is_set():
        try:
            looked = await _look(database, look, now)
            is_finished = looked.is_finished
            fired += len(looked.fired)
        except Exception as error:  # of one rule, which must not keep the others back
            if is_database_away(error):
                raise
            async with database.transaction() as transaction:
                due = await due_rule_ids(transaction.connection, look.name, now=now, limit=look.at_a_time)
            if not due:
                raise
            found, failed = await _look_in_parts(database, look, due, now)
            fired += found
            # Another try may fail as this one did, with none of them to blame.
            is_finished = not failed
        if is_finished:
            break
    return fired


async def _look(database: Database, look: Look, now: datetime, only: Collection[UUID] | None = None) -> Looked:
    async with database.transaction() as transaction:
        looked = await look.look_at(transaction, now=now, limit=look.at_a_time, only=only)
        await _alert(transaction, looked.fired)
    return looked


async def _look_in_parts(database: Database, look: Look, rule_ids: Sequence[UUID], now: datetime) -> tuple[int, int]:
    """Look at these rules, those that fail by themselves; gives how many fired, and how many failed."""
    try:
        return len((await _look(database, look, now, rule_ids)).fired), 0
    except Exception as error:  # as above
        if is_database_away(error):
            raise
        failure = error
    if len(rule_ids) == 1:
        await _put_off(database, look, rule_ids[0], failure, now)
        return 0, 1
    middle = len(rule_ids) // 2
    parts = [await _look_in_parts(database, look, part, now) for part in (rule_ids[:middle], rule_ids[middle:])]
    return sum(fired for fired, _ in parts), sum(failed for _, failed in parts)


async def _put_off(database: Database, look: Look, rule_id: UUID, failure: Exception, now: datetime) -> None:
    logger.error("alert_rule_failed", look=look.name.value, rule=str(rule_id), reason=type(failure).__name__)
    ALERT_RULE_FAILURES.labels(look.name.value).inc()
    async with database.transaction() as transaction:
        await look_again_at(transaction, [rule_id], now + FAILED_RULES_REST_FOR)


async def prune_old_alerts(database: Database) -> None:
    """Delete alerts and notifications that are kept no longer: some in each transaction."""
    now = utc_now()
    alerts = await _prune_all(database, lambda transaction: prune_alerts(transaction, now=now))
    notifications = await _prune_all(database, lambda transaction: prune_notifications(transaction, now=now))
    async with database.transaction() as transaction:
        crowded = await owners_of_too_many(transaction)
    for owner_id in crowded:
        notifications += await _prune_all(database, partial(prune_notifications_of, owner_id=owner_id))
    if alerts or notifications:
        logger.info("alerts_pruned", alerts=alerts, notifications=notifications)


async def _prune_all(database: Database, prune: Callable[[Transaction], Awaitable[int]]) -> int:
    deleted = 0
    while True:
        async with database.transaction() as transaction:
            count = await prune(transaction)
        if not count:
            return deleted
        deleted += count


async def _alert(transaction: Transaction, fired: Sequence[Fired]) -> None:
    await notify_of_alerts(transaction, await record_alerts(transaction, fired))


async def _look_at_windows(
    transaction: Transaction, *, now: datetime, limit: int, only: Collection[UUID] | None = None
) -> Looked:
    # What is left over is looked at the next time.
    return Looked(await look_at_windows(transaction, limit=limit, now=now, only=only))


# Each looks at some rules of a kind that are due, and has them look again later.
LOOKS = (
    Look(RuleLook.SILENCES, look_at_silences, SILENCES_AT_A_TIME),
    Look(RuleLook.PORTFOLIOS, look_at_portfolios, PORTFOLIOS_AT_A_TIME),
    Look(RuleLook.CHANGES, _look_at_windows, WINDOWS_AT_A_TIME),
)
