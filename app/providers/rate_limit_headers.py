"""What the headers of an answer say of a provider's limits, in the several ways that there are to say it.

Understood are `X-RateLimit-*` and `X-Rate-Limit-*`, `RateLimit-*` and `RateLimit` of the drafts of the IETF, and
Binance's `X-MBX-USED-WEIGHT-*`. What is nonsense says nothing.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx

from app.core.retrying import LONGEST_PAUSE_SECONDS

# Larger numbers are instants (seconds since 1970, or thousandths of them), smaller ones are seconds from now.
FIRST_INSTANT = 1_000_000_000
FIRST_INSTANT_IN_MILLISECONDS = 1_000_000_000_000
LARGEST_COUNT = 1_000_000
LONGEST_WINDOW_SECONDS = 24 * 3600
_LIMIT = ("X-RateLimit-Limit", "X-Rate-Limit-Limit", "RateLimit-Limit")
_REMAINING = ("X-RateLimit-Remaining", "X-Rate-Limit-Remaining", "RateLimit-Remaining")
_RESET = ("X-RateLimit-Reset", "X-Rate-Limit-Reset", "RateLimit-Reset")
# `100;w=60`, or `"default";q=100;w=60` with the count as a parameter.
_POLICY = re.compile(r'^\s*(?:"[^"]*"|(?P<count>\d+)|[A-Za-z][\w-]*)\s*(?P<parameters>(?:;\s*\w+=[^;,]*)*)', re.ASCII)
_NEXT_POLICY = re.compile(r',\s*(?=")')
_USED_WEIGHT = re.compile(r"^x-mbx-used-weight-(?P<number>\d+)(?P<unit>[smhd])$", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What an answer says: how many calls in how many seconds, how many are left, and when there will be more.

    Each is None where nothing is said of it. `used_weight` is what was used of the running window, whose length
    `used_weight_seconds` says.
    """

    count: int | None = None
    window_seconds: int | None = None
    remaining: int | None = None
    resets_at: datetime | None = None
    used_weight: int | None = None
    used_weight_seconds: int | None = None


def rate_limits_of(headers: httpx.Headers, *, now: datetime) -> RateLimits:
    """What the headers of an answer say, `now` being when it came."""
    count, window = _policy(headers)
    parts = _tightest(headers.get("RateLimit", ""))
    remaining = _first_number(headers, _REMAINING)
    reset = _first_number(headers, _RESET)
    weight, weight_seconds = _used_weight(headers)
    return RateLimits(
        count=_within(count or _number(parts.get("limit")), LARGEST_COUNT),
        window_seconds=_within(window, LONGEST_WINDOW_SECONDS),
        remaining=_remaining(parts) if remaining is None else remaining,
        resets_at=_instant(reset if reset is not None else _number(parts.get("reset") or parts.get("t")), now),
        used_weight=weight,
        used_weight_seconds=weight_seconds,
    )


def _policy(headers: httpx.Headers) -> tuple[int | None, int | None]:
    """The count and the window of the first policy that is told."""
    count, window = None, None
    for name in (*_LIMIT, "RateLimit-Policy"):
        told = _POLICY.match(headers.get(name, "").rpartition(", ")[2] if name in _LIMIT else headers.get(name, ""))
        if told is None:
            continue
        parameters = _parameters(told["parameters"])
        count = count or _number(told["count"]) or _number(parameters.get("q"))
        window = window or _number(parameters.get("w"))
    return count, window


def _tightest(text: str) -> dict[str, str]:
    """What is told of the policy of which least is left, of several that each begin with a name in quotes."""
    policies = [_parameters(policy) for policy in _NEXT_POLICY.split(text)]
    return min(policies, key=lambda policy: math.inf if (left := _remaining(policy)) is None else left)


def _remaining(parameters: Mapping[str, str]) -> int | None:
    return _number(parameters.get("remaining") or parameters.get("r"))


def _parameters(text: str) -> dict[str, str]:
    """`limit=100, remaining=5` and `;q=100;w=60` alike."""
    pairs = (part.partition("=") for part in re.split(r"[;,]", text) if "=" in part)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _used_weight(headers: httpx.Headers) -> tuple[int | None, int | None]:
    for name, value in headers.items():
        told = _USED_WEIGHT.match(name.lower())
        if told is not None:
            seconds = _within(int(told["number"][:6]) * _UNITS[told["unit"]], LONGEST_WINDOW_SECONDS)
            return _number(value), seconds
    return None, None


def _first_number(headers: httpx.Headers, names: tuple[str, ...]) -> int | None:
    return next((number for name in names if (number := _number(headers.get(name))) is not None), None)


def _number(text: str | None) -> int | None:
    """A whole number that is not negative; fractions of a second are rounded up."""
    told = re.fullmatch(r"\s*(\d{1,15})(\.\d{1,9})?\s*", text or "", re.ASCII)
    return None if told is None else int(told[1]) + bool(told[2])


def _within(number: int | None, most: int) -> int | None:
    return number if number is not None and 0 < number <= most else None


def _instant(number: int | None, now: datetime) -> datetime | None:
    if number is None:
        return None
    seconds = float(number)
    if number >= FIRST_INSTANT_IN_MILLISECONDS:
        seconds = number / 1000 - now.timestamp()
    elif number >= FIRST_INSTANT:
        seconds = number - now.timestamp()
    return now + timedelta(seconds=min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS))
