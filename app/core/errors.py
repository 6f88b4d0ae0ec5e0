"""Refusals: what Trove says when it will not do something, with a stable code and a sentence that says what to do."""

from collections.abc import Sequence
from enum import Enum, StrEnum
from typing import Generic, TypeVar

Reason = TypeVar("Reason", bound=Enum)


class ErrorCode(StrEnum):
    """The top-level codes a client may meet in `extensions.code`."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    NOT_FOUND = "NOT_FOUND"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    CONFLICT = "CONFLICT"
    RATE_LIMITED = "RATE_LIMITED"
    QUERY_TOO_COMPLEX = "QUERY_TOO_COMPLEX"
    TIMEOUT = "TIMEOUT"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    SERVICE_UNAVAILABLE = "SERVICE_UNAVAILABLE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class Refusal(Exception):
    """Something the caller asked for and Trove refuses; the message is safe to show and says what to do.

    `retry_after_seconds` is set where waiting so long is what to do.
    """

    code = ErrorCode.BAD_USER_INPUT
    retry_after_seconds: int | None = None

    def __init__(self, message: str, *, argument: str | None = None, allowed: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.argument = argument
        self.allowed = list(allowed)


class ReasonedRefusal(Refusal, Generic[Reason]):
    """A refusal of a room, with its own word for why.

    `field` is the path to the input that is at fault, without `input`; empty where it is none in particular.
    """

    def __init__(self, reason: Reason, message: str, *, field: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.field = list(field)


class BadUserInput(Refusal):
    """An argument is outside of what is allowed; `argument` names it and `allowed` lists what is."""


class NotSignedIn(Refusal):
    """The operation needs credentials that the caller did not give."""

    code = ErrorCode.UNAUTHENTICATED


class Forbidden(Refusal):
    """The caller is known and may not do this; the message says what it would take."""

    code = ErrorCode.FORBIDDEN


class NotFound(Refusal):
    """There is no such thing, or it is not the caller's to see."""

    code = ErrorCode.NOT_FOUND


class Conflict(Refusal):
    """The request contradicts what is already stored."""

    code = ErrorCode.CONFLICT


class TooManyAttempts(Refusal):
    """There were more tries than are allowed in a time; after `retry_after_seconds` the next one is."""

    code = ErrorCode.RATE_LIMITED

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueryTooComplex(Refusal):
    """The document is larger than the limits allow."""

    code = ErrorCode.QUERY_TOO_COMPLEX


class OperationTimedOut(Refusal):
    """The operation took longer than its deadline and was cancelled."""

    code = ErrorCode.TIMEOUT


class ServiceUnavailable(Refusal):
    """A service that Trove depends on cannot be reached or is missing; the message says what to do."""

    code = ErrorCode.SERVICE_UNAVAILABLE
