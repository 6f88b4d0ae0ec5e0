"""What ingestion refuses, and how it says that a batch could not be processed."""

from uuid import UUID

from app.core.errors import BadUserInput, Conflict


class BatchTooLarge(BadUserInput):
    """A batch has more rows or bytes than one batch may; send it as several."""


class BatchIsNotText(BadUserInput):
    """A batch is not UTF-8."""


class BatchIsEmpty(BadUserInput):
    """A batch holds no row."""


class IdempotencyKeyTaken(Conflict):
    """An idempotency key came again with another content."""


class BadRow(Exception):
    """A row of a batch is not taken in; the message says why, and what would be."""


class BatchNotProcessed(Exception):
    """Processing a batch failed and was rolled back, for the reason chained to this; the batch still waits."""

    def __init__(self, batch_id: UUID) -> None:
        super().__init__(f"batch {batch_id} was not processed")
        self.batch_id = batch_id


class BatchPostponed(Exception):
    """Something came between while a batch was processed; whoever tries again finds it settled."""
