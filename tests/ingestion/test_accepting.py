"""Accepting batches and giving them up."""

import asyncio

import pytest
from sqlalchemy import select, text

from app.core.database import Database
from app.core.errors import BadUserInput, Conflict
from app.ingestion.commands import (
    MAXIMUM_ATTEMPTS,
    MAXIMUM_BYTES,
    MAXIMUM_ROWS,
    AcceptedBatch,
    accept_batch,
    claim_next_batch,
    record_failure,
)
from app.ingestion.errors import BatchIsEmpty, BatchIsNotText, BatchTooLarge, IdempotencyKeyTaken
from app.ingestion.models import BatchKind, BatchStatus, IngestBatch
from tests.identity.builders import PARTNER, PARTNER_ID

pytestmark = pytest.mark.usefixtures("partner")


async def accept(
    database: Database, payload: bytes, key: str | None = None, kind: BatchKind = BatchKind.PRICE_POINTS
) -> AcceptedBatch:
    async with database.transaction(viewer=PARTNER.in_database) as transaction:
        return await accept_batch(transaction, kind=kind, payload=payload, idempotency_key=key, sender_id=PARTNER_ID)


async def stored_batches(database: Database) -> int:
    async with database.transaction(viewer=PARTNER.in_database) as transaction:
        return int(await transaction.connection.scalar(text("SELECT count(*) FROM ingestion.ingest_batches")) or 0)


async def test_a_batch_is_stored_as_the_api_and_asks_for_its_processing(
    api_database: Database, database: Database
) -> None:
    async with api_database.transaction(viewer=PARTNER.in_database) as transaction:
        batch = await accept_batch(
            transaction,
            kind=BatchKind.PRICE_POINTS,
            payload=b'{"a":1}\r\n \r\n\n{"b":2}',
            idempotency_key=None,
            sender_id=PARTNER_ID,
        )
        assert [job.name for job in transaction.jobs] == ["process_ingest_batches"]
    assert (batch.row_count, batch.is_repeat) == (2, False)
    async with database.transaction() as transaction:
        claimed = await claim_next_batch(transaction, kinds=list(BatchKind))
        assert claimed is not None
        assert (claimed.id, claimed.payload) == (batch.id, b'{"a":1}\r\n \r\n\n{"b":2}')


async def test_the_same_key_and_content_is_the_same_batch(api_database: Database) -> None:
    first = await accept(api_database, b"{}", "key")
    again = await accept(api_database, b"{}", "key")
    assert again == AcceptedBatch(first.id, 1, is_repeat=True)
    assert await stored_batches(api_database) == 1


async def test_the_same_batch_sent_at_once_from_many_sides_is_stored_once(api_database: Database) -> None:
    batches = await asyncio.gather(*(accept(api_database, b"{}", "key") for _ in range(5)))
    assert len({batch.id for batch in batches}) == 1
    assert sorted(batch.is_repeat for batch in batches) == [False, True, True, True, True]


async def test_the_same_key_with_another_content_is_refused(api_database: Database) -> None:
    await accept(api_database, b"{}", "key")
    with pytest.raises(IdempotencyKeyTaken) as refused:
        await accept(api_database, b"{ }", "key")
    assert isinstance(refused.value, Conflict)
    assert await stored_batches(api_database) == 1


async def test_kinds_have_keys_of_their_own(api_database: Database) -> None:
    points = await accept(api_database, b"{}", "key")
    candles = await accept(api_database, b"{}", "key", BatchKind.CANDLES)
    assert points.id != candles.id


@pytest.mark.parametrize(
    ("payload", "refusal"),
    [
        (b"{}\n" * (MAXIMUM_ROWS + 1), BatchTooLarge),
        (b" " * (MAXIMUM_BYTES + 1), BatchTooLarge),
        (b'{"a": "\xff"}', BatchIsNotText),
        (b"", BatchIsEmpty),
        (b"\n \r\n", BatchIsEmpty),
    ],
    ids=["rows", "bytes", "text", "nothing", "blank"],
)
async def test_a_batch_outside_of_the_limits_is_refused_and_leaves_no_trace(
    api_database: Database, payload: bytes, refusal: type[BadUserInput]
) -> None:
    with pytest.raises(refusal):
        await accept(api_database, payload)
    assert await stored_batches(api_database) == 0


async def test_a_batch_may_have_as_many_rows_as_the_limit(api_database: Database) -> None:
    assert (await accept(api_database, b"{}\n" * MAXIMUM_ROWS)).row_count == MAXIMUM_ROWS


@pytest.mark.parametrize("key", ["", "k" * 201, "a\x00b"])
async def test_a_key_outside_of_the_limits_is_refused(api_database: Database, key: str) -> None:
    with pytest.raises(BadUserInput):
        await accept(api_database, b"{}", key)


async def test_a_batch_is_given_up_after_five_attempts_with_its_payload_kept(database: Database) -> None:
    batch = await accept(database, b"{}")
    for attempt in range(1, MAXIMUM_ATTEMPTS + 1):
        async with database.transaction() as transaction:
            status = await record_failure(transaction, batch.id, reason=f"attempt {attempt}\x00")
        assert status is (BatchStatus.FAILED if attempt == MAXIMUM_ATTEMPTS else BatchStatus.RECEIVED)
    async with database.transaction() as transaction:
        assert await claim_next_batch(transaction, kinds=list(BatchKind)) is None
        row = (
            await transaction.connection.execute(
                select(IngestBatch.payload, IngestBatch.attempts, IngestBatch.last_error)
            )
        ).one()
    assert tuple(row) == (b"{}", 5, "attempt 5")


async def test_a_claimed_batch_is_passed_over_by_others_and_waits_again_after_a_rollback(database: Database) -> None:
    first = await accept(database, b"1")
    second = await accept(database, b"2")

    async def claim_and_fail() -> None:
        async with database.transaction() as transaction:
            held = await claim_next_batch(transaction, kinds=list(BatchKind))
            assert held is not None
            assert held.id == first.id
            async with database.transaction() as other:
                passed_over = await claim_next_batch(other, kinds=list(BatchKind))
                assert passed_over is not None
                assert passed_over.id == second.id
            raise LookupError

    with pytest.raises(LookupError):
        await claim_and_fail()
    async with database.transaction() as transaction:
        again = await claim_next_batch(transaction, kinds=list(BatchKind), excluding=[second.id])
        assert again is not None
        assert again.id == first.id
