"""The ledger: every call to a provider is booked before it is made, by whichever process, so that all keep one pace.

A booking is made under the lock of the provider's row, by the clock of the database. A call holds its place from then
until a whole window after its answer was there: it reached the provider at some moment in between, so however long it
was on its way, no window at the provider sees more calls than it allows. A call whose end nobody wrote down, because
its process died, holds its place as if it had ended after `LONGEST_CALL`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, cast, extract, func, insert, literal, select, update

from app.core.database import Transaction
from app.core.ids import new_id
from app.core.retrying import LONGEST_PAUSE_SECONDS
from app.providers.errors import ProviderDisabled, ProviderUnknown
from app.providers.models import Provider, ProviderCall
from app.providers.rate_limit_headers import RateLimits

# Longer than any call may take, with what it takes to write down its end.
LONGEST_CALL = timedelta(seconds=120)
LONGEST_ERROR = 200
TOO_MANY_REQUESTS = 429
# Binance's word for who did not heed the one above.
BANNED = 418
UNAVAILABLE = 503
# Of what a provider counts by weight so much is left for others who share our address.
USED_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class Booked:
    """A call that may be made now."""

    id: UUID
    provider: str
    base_url: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """No call may be made for so many seconds; where calls are under way it may be sooner."""

    seconds: float
    may_be_sooner: bool = False


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What came of a call: a status where there was an answer, an error in our own words where it was no good."""

    status: int | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    limits: RateLimits = field(default_factory=RateLimits)

    @property
    def is_refused_for_pace(self) -> bool:
        """Whether the provider wants to be left alone for a while."""
        is_told_when = self.status == UNAVAILABLE and self.retry_after_seconds is not None
        return self.status in (TOO_MANY_REQUESTS, BANNED) or is_told_when


@dataclass(frozen=True, slots=True)
class _Pace:
    """What a provider's row says of when it may be asked."""

    code: str
    base_url: str
    window_seconds: int
    request_count: int
    learned_window_seconds: int | None
    learned_count: int | None
    pause_seconds: int
    refusals: int
    blocked_until: datetime | None
    is_enabled: bool

    @property
    def limits(self) -> Sequence[tuple[int, timedelta]]:
        """How many calls in which window; all of them hold."""
        limits = [(self.request_count, timedelta(seconds=self.window_seconds))]
        if self.learned_count is not None and self.learned_window_seconds is not None:
            limits.append((self.learned_count, timedelta(seconds=self.learned_window_seconds)))
        return limits


async def book_call(
    transaction: Transaction,
    code: str,
    *,
    endpoint: str,
    user_id: UUID | None = None,
    credential_id: UUID | None = None,
) -> Booked | NotYet:
    """Book a call to be made at once, or say how long none may be made; it counts from the commit on.

    Raises ProviderUnknown, and ProviderDisabled where the operator has turned the provider off.
    """
    pace, now = await _hold(transaction, code)
    if not pace.is_enabled:
        raise ProviderDisabled(code)
    if pace.blocked_until is not None and pace.blocked_until > now:
        return NotYet((pace.blocked_until - now).total_seconds())
    for count, window in pace.limits:
        full = await _full(transaction, code, count, window, now)
        if full is not None:
            return full
    booked = Booked(new_id(), code, pace.base_url)
    await transaction.connection.execute(
        insert(ProviderCall).values(
            id=booked.id,
            provider=code,
            endpoint=endpoint,
            user_id=user_id,
            credential_id=credential_id,
            started_at=now,
        )
    )
    return booked


async def finish_call(transaction: Transaction, booked: Booked, outcome: CallOutcome) -> None:
    """Write down what came of a call, and what its answer says of the provider's limits."""
    pace, now = await _hold(transaction, booked.provider)
    taken = cast(extract("epoch", literal(now) - ProviderCall.started_at) * 1000, Integer)
    await transaction.connection.execute(
        update(ProviderCall)
        .where(ProviderCall.id == booked.id)
        .values(
            ended_at=now,
            duration_ms=func.greatest(taken, 0),
            status=outcome.status,
            error=None if outcome.error is None else outcome.error[:LONGEST_ERROR],
        )
    )
    changes = _learned_limit(pace, outcome.limits) | _changed_block(pace, outcome, now)
    if changes:
        await transaction.connection.execute(update(Provider).where(Provider.code == pace.code).values(**changes))


async def _hold(transaction: Transaction, code: str) -> tuple[_Pace, datetime]:
    """The provider's row, held until the end of the transaction, and what time it was once it was held."""
    # Weaker than FOR UPDATE, which would shut out whoever refers to the row.
    row = (
        await transaction.connection.execute(
            select(
                Provider.code,
                Provider.base_url,
                Provider.window_seconds,
                Provider.request_count,
                Provider.learned_window_seconds,
                Provider.learned_count,
                Provider.pause_seconds,
                Provider.refusals,
                Provider.blocked_until,
                Provider.is_enabled,
            )
            .where(Provider.code == code)
            .with_for_update(key_share=True)
        )
    ).one_or_none()
    if row is None:
        raise ProviderUnknown(code)
    now = (await transaction.connection.execute(select(func.clock_timestamp()))).scalar_one()
    return _Pace(**row._mapping), now


async def _full(transaction: Transaction, code: str, count: int, window: timedelta, now: datetime) -> NotYet | None:
    """How long a window is full of calls; None where there is room for one more."""
    ends_at: ColumnElement[datetime] = func.coalesce(ProviderCall.ended_at, ProviderCall.started_at + LONGEST_CALL)
    held = (
        await transaction.connection.execute(
            select(ends_at.label("ends_at"), ProviderCall.ended_at.is_(None).label("is_under_way"))
            .where(
                ProviderCall.provider == code,
                # The same once more, in the words of the index.
                ProviderCall.started_at > now - window - LONGEST_CALL,
                ends_at > now - window,
            )
            .order_by(ends_at.desc())
            .limit(count)
        )
    ).all()
    if len(held) < count:
        return None
    seconds = (held[-1].ends_at + window - now).total_seconds()
    return NotYet(seconds, may_be_sooner=any(row.is_under_way for row in held))


def _learned_limit(pace: _Pace, limits: RateLimits) -> dict[str, object]:
    """What to remember of a limit that an answer told; one without a window is taken for that of ours."""
    if limits.count is None:
        return {}
    window = limits.window_seconds or pace.window_seconds
    if (pace.learned_count, pace.learned_window_seconds) == (limits.count, window):
        return {}
    return {"learned_count": limits.count, "learned_window_seconds": window}


def _changed_block(pace: _Pace, outcome: CallOutcome, now: datetime) -> dict[str, object]:
    """Until when the provider is to be left alone; a block is never made shorter."""
    is_blocked = pace.blocked_until is not None and pace.blocked_until > now
    until: datetime | None = None
    changes: dict[str, object] = {}
    if outcome.is_refused_for_pace:
        until = _told_end_of_pause(outcome, now)
        # Of calls that were under way together, each is refused, and that is one refusal.
        if not is_blocked:
            changes = {"refusals": pace.refusals + 1}
            until = until or _own_end_of_pause(pace, now)
    else:
        until = _end_of_window(pace, outcome.limits, now)
        is_answered = outcome.status is not None and outcome.status < UNAVAILABLE
        changes = {"refusals": 0} if is_answered and pace.refusals and not is_blocked else {}
    if until is not None and (pace.blocked_until is None or until > pace.blocked_until):
        changes["blocked_until"] = until
    return changes


def _told_end_of_pause(outcome: CallOutcome, now: datetime) -> datetime | None:
    """When the pause ends that the provider asks for; None where it does not say."""
    if outcome.retry_after_seconds:
        return now + timedelta(seconds=outcome.retry_after_seconds)
    resets_at = outcome.limits.resets_at
    return resets_at if resets_at is not None and resets_at > now else None


def _own_end_of_pause(pace: _Pace, now: datetime) -> datetime:
    """When our own pause ends, which is twice as long after each refusal."""
    own = pace.pause_seconds * 2.0 ** min(pace.refusals, 20)
    return now + timedelta(seconds=min(own, LONGEST_PAUSE_SECONDS))


def _end_of_window(pace: _Pace, limits: RateLimits, now: datetime) -> datetime | None:
    """When a window ends that an answer says is used up, whoever used it."""
    if limits.remaining == 0 and limits.resets_at is not None:
        return limits.resets_at
    if limits.used_weight is not None and limits.used_weight_seconds is not None:
        allowed = pace.request_count * limits.used_weight_seconds / pace.window_seconds
        if limits.used_weight >= allowed * USED_SHARE:
            # Such windows are those of the clock.
            return now + timedelta(seconds=limits.used_weight_seconds - now.timestamp() % limits.used_weight_seconds)
    return None
