"""What an outside service could not do is tried again where that may help, and not sooner than it asked."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest

from app.core.outbound import OutsideFailure, OutsideServiceFailed, outside_client
from app.core.retrying import LONGEST_PAUSE_SECONDS, ONCE, Retries, fetch_patiently, retry_after_of, retrying
from tests.providers.builders import answer, open_shop

NOW = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)
AT_ONCE = Retries(attempts=3, first_seconds=0.01)
AWAY = answer(status="503 Away")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("Tue, 10 Mar 2026 12:02:00 GMT", 120.0),
        ("Tue, 10 Mar 2026 13:02:00 +0100", 120.0),
        ("Tue, 10 Mar 2026 12:02:00 -0000", 120.0),
        ("Tue, 10 Mar 2026 11:00:00 GMT", 0.0),
        ("999999999", LONGEST_PAUSE_SECONDS),
        ("Tue, 10 Mar 2099 12:00:00 GMT", LONGEST_PAUSE_SECONDS),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("1e999999999999999999999", None),
        ("12 minutes", None),
        ("Tue, 99 Mar 2026 12:00:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Mon, 01 Jan 2026 00:00:00 +99999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2300", LONGEST_PAUSE_SECONDS),
        ("Mon, 01 Jan 0001 00:00:00 +2300", 0.0),
        ("nan", None),
    ],
)
def test_a_time_to_wait_is_read_as_a_number_or_a_date(text: str, seconds: float | None) -> None:
    assert retry_after_of(httpx.Headers({"Retry-After": text}), now=NOW) == seconds


def test_pauses_double_and_are_never_all_the_same() -> None:
    retries = Retries(first_seconds=1.0, longest_seconds=5.0)
    assert [retries.pause(tried, chance=lambda: 1.0) for tried in (1, 2, 3, 4, 5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert [retries.pause(tried, chance=lambda: 0.0) for tried in (1, 2, 3, 4)] == [0.5, 1.0, 2.0, 2.5]
    assert len({retries.pause(1) for _ in range(10)}) > 1


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (AWAY, 3),
        (answer(status="429 Slow Down"), 3),
        (answer(status="500 Oh No"), 3),
        (b"", 3),
        (answer(status="404 Not Here"), 1),
        (answer(status="302 Found", headers="Location: /\r\n"), 1),
        (answer(status="429 Slow Down", headers="Retry-After: 3600\r\n"), 1),
    ],
    ids=["503", "429", "500", "hangs up", "404", "redirect", "a pause that is too long"],
)
async def test_only_what_passes_is_tried_again_and_not_for_ever(said: bytes, asked: int) -> None:
    async with open_shop(said) as shop, outside_client() as client:
        with pytest.raises(OutsideServiceFailed):
            await fetch_patiently(client, "GET", f"http://127.0.0.1:{shop.port}/", retries=AT_ONCE)
        assert len(shop.asked) == asked


async def test_an_answer_at_the_last_try_is_an_answer() -> None:
    async with open_shop(AWAY, b"", answer(b"[1]")) as shop, outside_client() as client:
        got = await fetch_patiently(client, "GET", f"http://127.0.0.1:{shop.port}/", retries=AT_ONCE)
    assert got.json() == [1]


async def test_what_changes_something_is_sent_once() -> None:
    async with open_shop(AWAY) as shop, outside_client() as client:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            with pytest.raises(OutsideServiceFailed):
                await fetch_patiently(client, method, f"http://127.0.0.1:{shop.port}/", retries=AT_ONCE)
        assert len(shop.asked) == 4


async def test_nobody_at_home_is_tried_again() -> None:
    tries = 0

    async def attempt() -> None:
        nonlocal tries
        tries += 1
        raise OutsideServiceFailed(OutsideFailure.UNREACHABLE, host="shop.test")

    for retries, expected in ((AT_ONCE, 3), (ONCE, 1)):
        tries = 0
        with pytest.raises(OutsideServiceFailed):
            await retrying(attempt, retries)
        assert tries == expected


async def test_a_pause_that_is_asked_for_is_waited_for() -> None:
    asked_for = answer(status="503 Away", headers="Retry-After: 1\r\n")
    async with open_shop(asked_for, answer()) as shop, outside_client() as client:
        begun = asyncio.create_task(fetch_patiently(client, "GET", f"http://127.0.0.1:{shop.port}/", retries=AT_ONCE))
        done, _ = await asyncio.wait({begun}, timeout=0.9)
        assert not done
        assert len(shop.asked) <= 1
        assert (await begun).status_code == 200
