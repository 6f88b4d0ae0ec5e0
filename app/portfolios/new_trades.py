"""What is said of a trade, and whether a trade can be so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from uuid import UUID

from app.core.money import MAXIMUM_DECIMAL_PLACES, MINOR_UNITS, is_amount
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.ledger import ACQUIRING, EXACT, ZERO, LotChoice, plain
from app.portfolios.models import TradeKind
from app.portfolios.texts import can_be_shown, is_blank

# Clocks of clients differ from ours.
AHEAD_AT_MOST = timedelta(minutes=5)
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LARGEST_RATE = Decimal(10**15)
SMALLEST_RATE = Decimal(1).scaleb(-30)
MOST_DIGITS_OF_A_RATE = 28
LONGEST_EXCHANGE = 100
LONGEST_TAG = 50
LONGEST_NOTES = 10_000
LONGEST_EXTERNAL_NAME = 200
MOST_ENTRIES = 250
_WITHOUT_LINE_BREAKS = str.maketrans("", "", "\n\r\t")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTrade:
    """A trade as it is said to be.

    It names a holding, or a variant: then it is of the only holding of it, or of a new one. `price` is of one unit and
    `fee` of the whole, both in `currency`; a fee has its amount in `fee`, and in `quantity` what it takes in kind.
    Without an `exchange_rate` (units of the base currency for one of `currency`) the rate of its day is frozen.
    """

    kind: TradeKind
    occurred_at: datetime
    quantity: Decimal
    currency: str
    price: Decimal = ZERO
    fee: Decimal = ZERO
    holding_id: UUID | None = None
    variant_id: UUID | None = None
    exchange_rate: Decimal | None = None
    exchange: str | None = None
    tags: Sequence[str] = ()
    notes: str | None = field(default=None, repr=False)
    may_lack_acquisitions: bool = False
    lots: Sequence[LotChoice] = ()
    external_source: str | None = None
    external_id: str | None = None


def refuse_impossible(trade: NewTrade, *, now: datetime) -> None:
    """Refuse what no trade can be; raises `PortfolioRefused` that names the field."""
    _refuse_time(trade.occurred_at, now)
    _refuse_quantity(trade)
    _refuse_amounts(trade)
    _refuse_words(trade)
    _refuse_lots(trade)


def has_known_currency(currency: str) -> bool:
    """Whether Trove knows the currency or coin."""
    return currency in MINOR_UNITS


def is_rate(rate: Decimal) -> bool:
    """Whether a decimal can be a rate of exchange: from 10⁻³⁰ to 10¹⁵, of 28 digits at most."""
    return (
        rate.is_finite()
        and SMALLEST_RATE <= rate <= LARGEST_RATE
        and len(plain(rate).as_tuple().digits) <= MOST_DIGITS_OF_A_RATE
        and len(rate.as_tuple().digits) <= MOST_DIGITS_OF_A_RATE + MAXIMUM_DECIMAL_PLACES
    )


def refused(message: str, *path: str) -> PortfolioRefused:
    """The refusal of a value, by the path to it."""
    return PortfolioRefused(PortfolioErrorCode.INVALID_INPUT, message, field=path)


def _refuse_time(occurred_at: datetime, now: datetime) -> None:
    if occurred_at.tzinfo is None:
        raise refused("Give the time with its offset from UTC.", "occurredAt")
    if occurred_at > now + AHEAD_AT_MOST:
        raise PortfolioRefused(
            PortfolioErrorCode.IN_THE_FUTURE,
            "This time has not come yet; record a trade once it has happened.",
            field=["occurredAt"],
        )
    if occurred_at < EARLIEST:
        raise refused("Trades are of the year 1900 or later.", "occurredAt")


def _refuse_quantity(trade: NewTrade) -> None:
    if not is_amount(trade.quantity):
        raise refused("A quantity is more than 0 and at most 10^15, with at most 18 decimal places.", "quantity")
    if trade.kind is not TradeKind.FEE and not trade.quantity:
        raise refused("A quantity is more than 0; of a fee in money alone it is 0.", "quantity")


def _refuse_amounts(trade: NewTrade) -> None:
    for name in ("price", "fee"):
        if not is_amount(getattr(trade, name)):
            raise refused(f"A {name} is an amount from 0 to 10^15, with at most 18 decimal places.", name)
    if trade.kind is TradeKind.FEE:
        if trade.price:
            raise refused("A fee has no price; give its amount in `fee`.", "price")
        if not trade.quantity and not trade.fee:
            raise refused("Give the amount of the fee, or a quantity of what was taken in kind.", "fee")
    if not has_known_currency(trade.currency):
        raise refused("Give a currency by its code, such as EUR.", "currency")
    if trade.exchange_rate is not None and not is_rate(trade.exchange_rate):
        raise refused(
            f"A rate is more than 0 and at most 10^15, with at most {MOST_DIGITS_OF_A_RATE} digits.", "exchangeRate"
        )


def _refuse_words(trade: NewTrade) -> None:
    _refuse_text(trade.exchange, LONGEST_EXCHANGE, "exchange")
    if len(trade.tags) > MOST_ENTRIES:
        raise refused(f"The list may hold {MOST_ENTRIES} entries, and holds {len(trade.tags):,}.", "tags")
    for place, tag in enumerate(trade.tags):
        _refuse_text(tag, LONGEST_TAG, "tags", str(place))
    if trade.notes is not None:
        _refuse_text(trade.notes.translate(_WITHOUT_LINE_BREAKS) or None, LONGEST_NOTES, "notes")
        if len(trade.notes) > LONGEST_NOTES:
            raise refused(f"It has {len(trade.notes):,} characters, and may have {LONGEST_NOTES:,}.", "notes")
    if (trade.external_source is None) != (trade.external_id is None):
        raise refused("Where it was imported from and its name there go together.", "externalId")
    _refuse_text(trade.external_source, LONGEST_EXTERNAL_NAME, "externalSource")
    _refuse_text(trade.external_id, LONGEST_EXTERNAL_NAME, "externalId")


def _refuse_text(text: str | None, longest: int, *path: str) -> None:
    if text is None:
        return
    if is_blank(text):
        raise refused("It is empty; leave it out to have none.", *path)
    if len(text) > longest:
        raise refused(f"It has {len(text):,} characters, and may have {longest:,}.", *path)
    if not can_be_shown(text):
        raise refused("It holds a character that cannot be shown.", *path)


def _refuse_lots(trade: NewTrade) -> None:
    if not trade.lots:
        return
    if trade.kind in ACQUIRING or not trade.quantity:
        raise refused("It takes nothing from lots; leave them out.", "lots")
    if len(trade.lots) > MOST_ENTRIES:
        raise refused(f"The list may hold {MOST_ENTRIES} entries, and holds {len(trade.lots):,}.", "lots")
    seen: Mapping[UUID, int] = {choice.lot_id: place for place, choice in enumerate(trade.lots)}
    for place, choice in enumerate(trade.lots):
        if not is_amount(choice.quantity) or not choice.quantity:
            raise refused(
                "A quantity is more than 0 and at most 10^15, with at most 18 decimal places.",
                *("lots", str(place), "quantity"),
            )
        if seen[choice.lot_id] != place:
            raise refused("This lot is named twice; name it once with the sum.", "lots", str(place), "lotId")
    with localcontext(EXACT):
        named = sum(choice.quantity for choice in trade.lots)
    if named > trade.quantity:
        raise refused("The lots named come to more than the quantity of the trade.", "lots")
