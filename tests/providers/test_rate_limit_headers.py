"""What answers say of limits is understood in each of the ways there are, and nonsense says nothing."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.providers.rate_limit_headers import RateLimits, rate_limits_of

NOW = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)
SOON = NOW + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({}, {}),
        (
            {"X-RateLimit-Limit": "30", "X-RateLimit-Remaining": "29", "X-RateLimit-Reset": "30"},
            {"count": 30, "remaining": 29, "resets_at": SOON},
        ),
        ({"X-RateLimit-Reset": str(int(SOON.timestamp()))}, {"resets_at": SOON}),
        ({"X-RateLimit-Reset": str(int(SOON.timestamp() * 1000))}, {"resets_at": SOON}),
        ({"X-Rate-Limit-Limit": "8"}, {"count": 8}),
        (
            {"RateLimit-Limit": "100, 100;w=60", "RateLimit-Remaining": "0", "RateLimit-Reset": "29.5"},
            {"count": 100, "window_seconds": 60, "remaining": 0, "resets_at": SOON},
        ),
        (
            {"RateLimit": "limit=10, remaining=3, reset=30", "RateLimit-Policy": "10;w=1"},
            {"count": 10, "window_seconds": 1, "remaining": 3, "resets_at": SOON},
        ),
        (
            {"RateLimit": '"default";r=0;t=30', "RateLimit-Policy": '"default";q=500;w=3600'},
            {"count": 500, "window_seconds": 3600, "remaining": 0, "resets_at": SOON},
        ),
        ({"RateLimit": '"burst";r=0;t=30, "daily";r=900;t=3600'}, {"remaining": 0, "resets_at": SOON}),
        ({"RateLimit": '"daily";r=900;t=3600, "burst";r=1;t=30'}, {"remaining": 1, "resets_at": SOON}),
        ({"x-mbx-used-weight": "7", "x-mbx-used-weight-1m": "5"}, {"used_weight": 5, "used_weight_seconds": 60}),
        ({"X-MBX-USED-WEIGHT-10S": "5"}, {"used_weight": 5, "used_weight_seconds": 10}),
        ({"X-RateLimit-Reset": "9" * 15}, {"resets_at": NOW + timedelta(days=1)}),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) - 5)}, {"resets_at": NOW}),
    ],
)
def test_what_is_told_is_understood(headers: Mapping[str, str], told: Mapping[str, Any]) -> None:
    assert rate_limits_of(httpx.Headers(headers), now=NOW) == RateLimits(**told)


@pytest.mark.parametrize("nonsense", ["", "-1", "many", "1e9", "0x10", "9" * 16, "٣", "NaN", '"', ";;w=", "1;w=0", "0"])
@pytest.mark.parametrize("name", ["X-RateLimit-Limit", "RateLimit-Policy", "RateLimit-Limit"])
def test_nonsense_says_nothing_of_a_window(name: str, nonsense: str) -> None:
    told = rate_limits_of(httpx.Headers([(name.encode(), nonsense.encode())]), now=NOW)
    assert told.window_seconds is None
    assert told.count in (None, 1)


@pytest.mark.parametrize("nonsense", ["", "-1", "soon", "9" * 16, "1e3"])
def test_nonsense_says_nothing_of_a_time(nonsense: str) -> None:
    assert rate_limits_of(httpx.Headers({"X-RateLimit-Reset": nonsense}), now=NOW) == RateLimits()
