"""What the room refuses, each with the word that a client acts upon."""

from enum import StrEnum

from app.core.errors import Conflict, ReasonedRefusal, Refusal


class OperationsErrorCode(StrEnum):
    """Why something about jobs was refused."""

    INVALID_INPUT = "invalid_input"
    NOT_FOUND = "not_found"
    NOT_GRANTED = "not_granted"
    ALREADY_DONE = "already_done"


class OperationsRefused(ReasonedRefusal[OperationsErrorCode]):
    """A refusal about jobs that the caller can act on."""


class InvalidSchedule(Refusal):
    """A schedule cannot be; `part` is `cron` or `timeZone`."""

    def __init__(self, message: str, *, part: str) -> None:
        super().__init__(message)
        self.part = part


class RunCancelled(Conflict):
    """The run was told to stop, or was given up because it had fallen silent."""
