"""Tasks end when they are told to, those too that do not hear it at once."""

import asyncio

from app.core.tasks import end_tasks


async def hard_of_hearing(times: int) -> None:
    """Swallows that many cancellations."""
    heard = 0
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard += 1
            if heard > times:
                raise


async def failing_at_the_end() -> None:
    """Fails over being cancelled."""
    try:
        await asyncio.sleep(60)
    finally:
        raise RuntimeError("at the end")


async def test_tasks_end_however_many_cancellations_they_swallow_and_however_they_end() -> None:
    tasks = [asyncio.create_task(hard_of_hearing(times)) for times in (0, 1, 3)]
    tasks.append(asyncio.create_task(failing_at_the_end()))
    done = asyncio.create_task(asyncio.sleep(0))
    await asyncio.sleep(0.01)
    await end_tasks([*tasks, done])
    assert [task.done() for task in [*tasks, done]] == [True] * 5
    assert [task.cancelled() for task in tasks] == [True, True, True, False]


async def test_there_may_be_nothing_to_end() -> None:
    await end_tasks([])
