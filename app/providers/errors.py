"""What the room refuses, and how a call to a provider can fail."""

from enum import StrEnum

from app.core.errors import Conflict, NotFound, ReasonedRefusal, ServiceUnavailable


class ProviderErrorCode(StrEnum):
    """Why something about a credential was refused."""

    INVALID_INPUT = "invalid_input"
    NOT_FOUND = "not_found"
    TOO_MANY = "too_many"


class ProviderRefused(ReasonedRefusal[ProviderErrorCode]):
    """A refusal about a credential that the caller can act on."""


class ProviderUnknown(NotFound):
    """There is no provider of this code."""

    def __init__(self, code: str) -> None:
        super().__init__(f"There is no provider {code}: add it to app/providers/known.py, and start a worker once.")


class ProviderDisabled(Conflict):
    """The operator has turned the provider off."""

    def __init__(self, code: str) -> None:
        super().__init__(f"The provider {code} is turned off; set `is_enabled` to ask it again.")


class ProviderBusy(ServiceUnavailable):
    """The provider may not be asked for longer than the caller would wait; `retry_after_seconds` says how long."""

    def __init__(self, code: str, *, retry_after_seconds: int) -> None:
        super().__init__(f"The provider {code} may not be asked for another {retry_after_seconds} s; try again then.")
        self.retry_after_seconds = retry_after_seconds
