"""Trying again what an outside service could not do: a few times, ever later, and never at one moment with others."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx

from app.core.clock import utc_now
from app.core.outbound import OutsideFailure, OutsideServiceFailed, fetch

Answer = TypeVar("Answer")

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PASSING_FAILURES = frozenset({OutsideFailure.UNREACHABLE, OutsideFailure.TIMED_OUT, OutsideFailure.NOT_HTTP})
PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
# What is longer than that is no advice but a mistake.
LONGEST_PAUSE_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Retries:
    """How often to try in all, how long to wait before the second try, and how long at most before any."""

    attempts: int = 3
    first_seconds: float = 0.5
    longest_seconds: float = 30.0

    def pause(self, tried: int, *, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait after so many tries: doubled each time, and anything between half of that and all of it."""
        whole = min(self.first_seconds * 2.0 ** (tried - 1), self.longest_seconds)
        return whole * (0.5 + chance() / 2)


ONCE = Retries(attempts=1)


def is_idempotent(method: str) -> bool:
    """Whether asking twice does no more than asking once."""
    return method.upper() in IDEMPOTENT_METHODS


def is_passing(failure: OutsideServiceFailed) -> bool:
    """Whether it may go well a little later."""
    if failure.failure is OutsideFailure.REFUSED:
        return failure.answer is not None and failure.answer.status_code in PASSING_STATUSES
    return failure.failure in PASSING_FAILURES


def retry_after_of(headers: httpx.Headers, *, now: datetime) -> float | None:
    """The seconds that `Retry-After` asks for, as a number or as a date; None where it says nothing of use."""
    text = headers.get("Retry-After", "").strip()
    seconds = _seconds(text) if text[:1].isdigit() else _seconds_until(text, now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS)


def _seconds(text: str) -> float | None:
    try:
        return float(text) if len(text) <= 20 else None
    except ValueError:
        return None


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # A date that says `-0000` is in UTC as the others are.
    return (instant.replace(tzinfo=instant.tzinfo or UTC) - now).total_seconds()


async def retrying(attempt: Callable[[], Awaitable[Answer]], retries: Retries) -> Answer:
    """What an attempt gives, tried again while it fails in a way that passes.

    Raises the OutsideServiceFailed of the last try; at once where the service asks for a pause that is longer than
    the longest of `retries`.
    """
    tried = 1
    while True:
        try:
            return await attempt()
        except OutsideServiceFailed as failure:
            asked = None if failure.answer is None else retry_after_of(failure.answer.headers, now=utc_now())
            if tried >= retries.attempts or not is_passing(failure) or (asked or 0.0) > retries.longest_seconds:
                raise
        # Never earlier than asked, and not all at that moment.
        await asyncio.sleep((asked or 0.0) + retries.pause(tried))
        tried += 1


async def fetch_patiently(
    client: httpx.AsyncClient, method: str, url: str, *, retries: Retries | None = None, **options: Any
) -> httpx.Response:
    """The answer to a request, tried again where the method is idempotent; otherwise as `fetch`."""
    chosen = (retries or Retries()) if is_idempotent(method) else ONCE
    return await retrying(lambda: fetch(client, method, url, **options), chosen)
