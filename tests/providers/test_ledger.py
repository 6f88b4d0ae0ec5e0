"""The ledger books calls so that no window sees more than it allows, whatever becomes of the calls."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text, update

from app.core.database import Database
from app.providers.commands.ledger import LONGEST_CALL, Booked, CallOutcome, NotYet, book_call, finish_call
from app.providers.errors import ProviderDisabled, ProviderUnknown
from app.providers.models import Provider, ProviderCall
from app.providers.rate_limit_headers import RateLimits
from tests.providers.builders import CODE, add_provider, calls, provider_row


async def book(database: Database) -> Booked | NotYet:
    """Book a call in a transaction of its own."""
    async with database.transaction() as transaction:
        return await book_call(transaction, CODE, endpoint="prices")


async def booked(database: Database) -> Booked:
    """A call that may be made."""
    made = await book(database)
    assert isinstance(made, Booked)
    return made


async def refused(database: Database) -> NotYet:
    """That none may be made."""
    made = await book(database)
    assert isinstance(made, NotYet)
    return made


async def finish(database: Database, call: Booked, **outcome: Any) -> None:
    """Write down the end of a call, a success unless told otherwise."""
    async with database.transaction() as transaction:
        await finish_call(transaction, call, CallOutcome(**{"status": 200} | outcome))


async def pass_time(database: Database, seconds: float) -> None:
    """Have everything in the ledger, and every block, be so much longer ago."""
    ago = timedelta(seconds=seconds)
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            update(ProviderCall).values(started_at=ProviderCall.started_at - ago, ended_at=ProviderCall.ended_at - ago)
        )
        await transaction.connection.execute(update(Provider).values(blocked_until=Provider.blocked_until - ago))


async def blocked_for(database: Database) -> float:
    """How many seconds the provider is to be left alone."""
    async with database.transaction() as transaction:
        left = await transaction.connection.scalar(
            text("SELECT extract(epoch FROM blocked_until - now()) FROM providers.providers")
        )
    return float(left or 0)


async def test_as_many_calls_are_booked_as_the_window_holds(database: Database) -> None:
    await add_provider(database, request_count=3, window_seconds=60)
    for _ in range(3):
        await finish(database, await booked(database))
    full = await refused(database)
    assert 59 < full.seconds <= 60
    assert not full.may_be_sooner
    assert len(await calls(database)) == 3


async def test_a_place_is_free_a_window_after_its_call_has_ended_and_not_after_it_began(database: Database) -> None:
    await add_provider(database, request_count=1, window_seconds=60)
    call = await booked(database)
    await pass_time(database, 50)
    await finish(database, call)
    await pass_time(database, 15)
    assert 44 < (await refused(database)).seconds <= 45
    await pass_time(database, 45)
    await booked(database)


async def test_a_call_whose_process_died_counts_until_it_cannot_be_under_way(database: Database) -> None:
    await add_provider(database, request_count=1, window_seconds=60)
    await booked(database)
    await pass_time(database, 60 + LONGEST_CALL.total_seconds() - 5)
    full = await refused(database)
    assert 0 < full.seconds <= 5
    assert full.may_be_sooner
    await pass_time(database, 5)
    await booked(database)


async def test_what_a_transaction_that_fails_booked_is_not_booked(database: Database) -> None:
    await add_provider(database, request_count=1)

    async def fail() -> None:
        async with database.transaction() as transaction:
            assert isinstance(await book_call(transaction, CODE, endpoint="prices"), Booked)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    await booked(database)


async def test_of_many_who_book_at_once_only_as_many_as_fit_are_let_through(database: Database) -> None:
    await add_provider(database, request_count=4)
    made = await asyncio.gather(*(book(database) for _ in range(12)))
    assert sum(isinstance(one, Booked) for one in made) == 4
    assert len(await calls(database)) == 4


async def test_other_providers_are_not_held_up(database: Database) -> None:
    await add_provider(database, request_count=1)
    await add_provider(database, code="other")
    await booked(database)
    async with database.transaction() as transaction:
        assert isinstance(await book_call(transaction, "other", endpoint="prices"), Booked)


async def test_what_came_of_a_call_stands_in_the_ledger(database: Database) -> None:
    await add_provider(database)
    await finish(database, await booked(database), status=500, error="x" * 1000)
    (call,) = await calls(database)
    assert (call.provider, call.endpoint, call.status, call.error) == (CODE, "prices", 500, "x" * 200)
    assert call.ended_at >= call.started_at
    assert call.duration_ms >= 0


@pytest.mark.parametrize("status", [429, 418])
async def test_after_a_refusal_without_a_time_the_pause_is_our_own_and_grows(database: Database, status: int) -> None:
    await add_provider(database, pause_seconds=3600)
    for hours in (1, 2, 4, 8, 16, 24, 24):
        await finish(database, await booked(database), status=status)
        assert abs(await blocked_for(database) - hours * 3600) < 5
        assert abs((await refused(database)).seconds - hours * 3600) < 5
        await pass_time(database, hours * 3600)
    await finish(database, await booked(database))
    assert (await provider_row(database)).refusals == 0
    await finish(database, await booked(database), status=status)
    assert abs(await blocked_for(database) - 3600) < 5


async def test_calls_that_are_refused_together_are_one_refusal(database: Database) -> None:
    await add_provider(database, pause_seconds=60)
    together = [await booked(database) for _ in range(5)]
    for call in together:
        await finish(database, call, status=429)
    assert (await provider_row(database)).refusals == 1
    assert 50 < await blocked_for(database) <= 60


async def test_a_pause_that_is_asked_for_is_kept(database: Database) -> None:
    await add_provider(database, pause_seconds=60)
    first, second = await booked(database), await booked(database)
    await finish(database, first, status=429, retry_after_seconds=900.0)
    await finish(database, second, status=503, retry_after_seconds=5.0)
    assert 890 < await blocked_for(database) <= 900


async def test_a_service_that_is_away_without_a_time_is_not_blocked(database: Database) -> None:
    await add_provider(database)
    await finish(database, await booked(database), status=503)
    await finish(database, await booked(database), status=None, error="did not answer in time")
    assert await blocked_for(database) == 0


async def test_a_limit_that_answers_tell_holds_beside_the_documented_one(database: Database) -> None:
    await add_provider(database, request_count=50, window_seconds=60)
    await finish(database, await booked(database), limits=RateLimits(count=2))
    row = await provider_row(database)
    assert (row.learned_count, row.learned_window_seconds, row.request_count) == (2, 60, 50)
    await finish(database, await booked(database), limits=RateLimits(count=500, window_seconds=3600))
    for _ in range(48):
        await booked(database)
    await refused(database)


async def test_an_answer_that_says_nothing_is_left_blocks_until_there_is_more(database: Database) -> None:
    await add_provider(database)
    resets_at = datetime.now(UTC) + timedelta(seconds=40)
    await finish(database, await booked(database), limits=RateLimits(remaining=0, resets_at=resets_at))
    assert 30 < await blocked_for(database) <= 40


async def test_weight_that_is_almost_used_up_blocks_until_the_minute_is_over(database: Database) -> None:
    await add_provider(database, request_count=1000, window_seconds=60)
    await finish(database, await booked(database), limits=RateLimits(used_weight=899, used_weight_seconds=60))
    assert await blocked_for(database) == 0
    await finish(database, await booked(database), limits=RateLimits(used_weight=900, used_weight_seconds=60))
    until = (await provider_row(database)).blocked_until
    assert (until.second, until.microsecond // 1000) in {(0, 0), (59, 999)}


async def test_a_provider_that_is_turned_off_or_not_there_is_not_asked(database: Database) -> None:
    with pytest.raises(ProviderUnknown, match="no provider shop"):
        await book(database)
    await add_provider(database, is_enabled=False)
    with pytest.raises(ProviderDisabled, match="turned off"):
        await book(database)
    assert await calls(database) == []
