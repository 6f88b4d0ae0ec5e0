"""What the prices room says of rows and rates that it does not take in."""

from enum import StrEnum

from app.core.errors import BadUserInput, ReasonedRefusal
from app.ingestion.errors import BatchPostponed


class SeriesGone(BatchPostponed):
    """A series was merged into another after it was found; whoever tries again finds the other one."""


class RatesContradict(BadUserInput):
    """Two exchange rates of one currency for one day differ."""


class WrongRate(BadUserInput):
    """A value that no exchange rate can have."""


class PriceSourceErrorCode(StrEnum):
    """Why a change of a source of prices was refused."""

    NOT_FOUND = "not_found"
    INVALID_NAME = "invalid_name"


class PriceSourceRefused(ReasonedRefusal[PriceSourceErrorCode]):
    """A refusal about a source of prices that the caller can act on."""
