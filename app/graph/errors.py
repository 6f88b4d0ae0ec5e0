"""Errors as the public sees them: refusals with their code, everything unexpected masked and logged under an id."""

from collections.abc import Sequence
from typing import Any

import structlog
from graphql import GraphQLError, GraphQLSyntaxError

from app.core.database import is_database_away
from app.core.errors import BadUserInput, ErrorCode, Refusal
from app.core.ids import new_id

logger = structlog.get_logger(__name__)

CHARACTER_NOT_IN_REPERTOIRE = "22021"


def _with_code(error: GraphQLError, code: ErrorCode) -> dict[str, Any]:
    return {**error.formatted, "extensions": {**(error.extensions or {}), "code": code.value}}


def _refused(error: GraphQLError, refusal: Refusal) -> dict[str, Any]:
    shown = _with_code(error, refusal.code)
    shown["message"] = refusal.message
    if refusal.argument is not None:
        shown["extensions"]["argument"] = refusal.argument
    if refusal.allowed:
        shown["extensions"]["allowed"] = refusal.allowed
    if refusal.retry_after_seconds is not None:
        shown["extensions"]["retryAfter"] = refusal.retry_after_seconds
    return shown


def _masked(error: GraphQLError, cause: BaseException) -> dict[str, Any]:
    error_id = str(new_id())
    away = is_database_away(cause)
    logger.error("operation_failed", error_id=error_id, path=error.path, exc_info=None if away else cause)
    shown = _with_code(error, ErrorCode.SERVICE_UNAVAILABLE if away else ErrorCode.INTERNAL_SERVER_ERROR)
    shown["message"] = (
        "The database cannot be reached right now; try again in a moment."
        if away
        else "Something went wrong on our side; quote the errorId when you report it."
    )
    shown["extensions"]["errorId"] = error_id
    return shown


def show_error(error: GraphQLError) -> dict[str, Any]:
    """One error of a response."""
    cause = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    if isinstance(cause, Refusal):
        return _refused(error, cause)
    # Of the driver itself, or of SQLAlchemy around it.
    if getattr(getattr(cause, "orig", cause), "sqlstate", None) == CHARACTER_NOT_IN_REPERTOIRE:
        return _refused(error, BadUserInput("A text in this request holds U+0000, which PostgreSQL cannot hold."))
    if cause is not None and not isinstance(cause, GraphQLError):
        return _masked(error, cause)
    if isinstance(error, GraphQLSyntaxError):
        return _with_code(error, ErrorCode.GRAPHQL_PARSE_FAILED)
    if error.path is not None and error.message.startswith("Expected value of type"):
        # A resolver gave something that its field's type does not show: our mistake, not the caller's.
        return _masked(error, error)
    # What graphql-core itself refuses while executing: variables and arguments that do not fit their types.
    return _with_code(error, ErrorCode((error.extensions or {}).get("code", ErrorCode.BAD_USER_INPUT)))


def show_unexpected(error: BaseException) -> dict[str, Any]:
    """An exception that came from outside of any field, as an error of the whole response."""
    return show_error(GraphQLError(str(error), original_error=error if isinstance(error, Exception) else None))


def show_validation_error(error: GraphQLError) -> dict[str, Any]:
    """One error of a document that does not fit the schema, or is larger than the limits."""
    if isinstance(error.original_error, Refusal):
        return _refused(error, error.original_error)
    return _with_code(error, ErrorCode.GRAPHQL_VALIDATION_FAILED)


def show_errors(errors: Sequence[GraphQLError] | None) -> list[dict[str, Any]]:
    """The errors of a response."""
    return [show_error(error) for error in errors or ()]


def refusal_error(refusal: Refusal) -> GraphQLError:
    """A refusal that concerns the whole request."""
    return GraphQLError(refusal.message, original_error=refusal)
