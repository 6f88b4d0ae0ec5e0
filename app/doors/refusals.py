"""What doors answer to programs when something is refused: a status, and JSON with a code and what to do."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from starlette.responses import JSONResponse

from app.core.database import DATABASE_FAILURES, is_database_away
from app.core.errors import ErrorCode, Refusal, ServiceUnavailable

logger = structlog.get_logger(__name__)

RETRY_AFTER_SECONDS = 5
_STATUS_BY_CODE = {
    ErrorCode.UNAUTHENTICATED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.CONFLICT: HTTPStatus.CONFLICT,
    ErrorCode.SERVICE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}
_HEADERS_BY_STATUS = {
    HTTPStatus.SERVICE_UNAVAILABLE: {"Retry-After": str(RETRY_AFTER_SECONDS)},
    # The rest of a body that is too large is not read, so the connection cannot serve another request.
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: {"Connection": "close"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """How a door answers what it refuses.

    `realm` names what a token is for, where one is asked for, by the `scheme`; `statuses` are of errors that have one
    of their own, and `headers` go with every answer.
    """

    realm: str | None = None
    scheme: str = "Bearer"
    statuses: Mapping[type[Refusal], HTTPStatus] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def answer(self, refusal: Refusal) -> JSONResponse:
        """The answer to what is refused; 400 where nothing says more."""
        status = self.statuses.get(type(refusal)) or _STATUS_BY_CODE.get(refusal.code, HTTPStatus.BAD_REQUEST)
        headers = {**self.headers, **_HEADERS_BY_STATUS.get(status, {})}
        if status is HTTPStatus.UNAUTHORIZED and self.realm is not None:
            headers["WWW-Authenticate"] = f'{self.scheme} realm="{self.realm}"'
        return JSONResponse(
            {"error": {"code": refusal.code.value, "message": refusal.message}}, status_code=status, headers=headers
        )


@contextmanager
def refusing_without_database(event: str, message: str) -> Iterator[None]:
    """Raise ServiceUnavailable with the message where the database is away, and log the event with the reason."""
    try:
        yield
    except DATABASE_FAILURES as error:
        if not is_database_away(error):
            raise
        logger.warning(event, reason=type(error).__name__)
        raise ServiceUnavailable(message) from None
