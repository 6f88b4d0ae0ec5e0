"""What people say of lists, wants and preorders, each value read as what it must be, or refused with its field."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from app.core.money import MINOR_UNITS, is_amount
from app.core.secure_urls import is_secure_url
from app.portfolios import texts
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.texts import refused
from app.portfolios.wish_models import DatePrecision

LONGEST_NOTES = 2_000
LONGEST_URL = 2_000
HIGHEST_PRIORITY = 10
MOST_DELIVERY_DAYS = 3_650
MOST_ENTRIES = 250
EARLIEST_RELEASE = date(1900, 1, 1)
LATEST_RELEASE = date(2200, 12, 31)


@dataclass(frozen=True, slots=True)
class ReleaseDate:
    """A day, or the first day of a month where only that is known."""

    on: date
    precision: DatePrecision

    @property
    def text(self) -> str:
        """The date as people write it."""
        return self.on.isoformat() if self.precision is DatePrecision.DAY else f"{self.on:%Y-%m}"


def read_name(value: str) -> str:
    """A name, without spaces around it and one at most between its words."""
    return texts.read_name(" ".join(value.split()), "name")


def read_notes(value: str | None, field: str = "notes") -> str | None:
    """Notes of several lines; what is empty says nothing."""
    return texts.read_text(value, field, longest=LONGEST_NOTES)


def read_amount(value: Decimal, field: str) -> Decimal:
    """An amount of money."""
    if not is_amount(value):
        raise refused("An amount is from 0 to 10^15, with 18 decimal places at most.", field)
    return value


def read_currency(value: str, field: str = "currency") -> str:
    """The code of a currency that Trove knows."""
    if value not in MINOR_UNITS:
        raise refused("It is no currency that is known here; give its code, such as `EUR`.", field)
    return value


def read_priority(value: int, field: str = "priority") -> int:
    """How much something is wanted."""
    if not 0 <= value <= HIGHEST_PRIORITY:
        raise refused(f"A priority is from 0 to {HIGHEST_PRIORITY}.", field)
    return value


def read_url(value: str | None, field: str) -> str | None:
    """An address that may be shown as a link."""
    if value is None:
        return None
    if len(value) > LONGEST_URL or not value.startswith("https://") or not is_secure_url(value):
        raise refused(
            f"A link begins with https:// and has {LONGEST_URL:,} characters at most; send null to have none.", field
        )
    return value


def read_delivery_days(value: int | None, field: str = "estimatedDeliveryDays") -> int | None:
    """How long a parcel is on its way, as its sender says."""
    if value is not None and not 0 <= value <= MOST_DELIVERY_DAYS:
        raise refused(f"A delivery takes 0 to {MOST_DELIVERY_DAYS:,} days.", field)
    return value


def read_past(value: datetime | None, field: str, *, now: datetime) -> datetime | None:
    """A time that is not ahead."""
    if value is not None and value > now:
        raise PortfolioRefused(
            PortfolioErrorCode.IN_THE_FUTURE, "It lies in the future; give the time when it happened.", field=[field]
        )
    if value is not None and value.date() < EARLIEST_RELEASE:
        raise refused(f"It lies before {EARLIEST_RELEASE}.", field)
    return value


def release_day(value: date, *field: str) -> ReleaseDate:
    """A release on a day."""
    if not EARLIEST_RELEASE <= value <= LATEST_RELEASE:
        raise refused(f"A release is from {EARLIEST_RELEASE} to {LATEST_RELEASE}.", *field)
    return ReleaseDate(value, DatePrecision.DAY)


def release_month(value: str, *field: str) -> ReleaseDate:
    """A release within a month, written as `2026-03`."""
    try:
        first = date.fromisoformat(f"{value}-01") if len(value) == len("2026-03") else None
    except ValueError:
        first = None
    if first is None:
        raise refused("A month is written as `2026-03`.", *field)
    return ReleaseDate(release_day(first, *field).on, DatePrecision.MONTH)


def read_few(values: Sequence[object], field: str) -> None:
    """Refuse a list with too many entries."""
    if len(values) > MOST_ENTRIES:
        raise refused(f"The list may hold {MOST_ENTRIES} entries, and holds {len(values)}.", field)
