"""Candles as exchanges give them: arrays, whose places each exchange chooses for itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from app.prices.connectors.interface import Answer, AnswerNotUnderstood, FoundCandle, Misread, Subject
from app.prices.connectors.values import amount_of, instant_of, list_of
from app.prices.formats.candles import CandleFile, Label, LabelledCandle, arrange
from app.prices.models import PriceKind

_FAR_FUTURE = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleShape:
    """At which places of an array the values stand; the label is in units of which there are so many a second."""

    label: int
    open: int
    high: int
    low: int
    close: int
    volume: int | None = None
    turnover: int | None = None
    per_second: int = 1
    labelled_by: Label = Label.START

    @property
    def length(self) -> int:
        """The least number of places of an array."""
        places = (self.label, self.open, self.high, self.low, self.close, self.volume or 0, self.turnover or 0)
        return max(places) + 1


def candles_of(
    rows: Sequence[object],
    shape: CandleShape,
    subject: Subject,
    *,
    source: str,
    currency: str,
    resolution: int,
    at: datetime,
) -> Answer:
    """The candles of the rows, each at the start of its bucket; the first row that is none is told with its reason.

    What begins after `at` is left out: it has not happened.
    """
    answer = Answer()
    labelled: list[LabelledCandle] = []
    for number, row in enumerate(rows, start=1):
        try:
            labelled.append(_candle(number, row, shape, at))
        except AnswerNotUnderstood as error:
            if not answer.misread:
                answer.misread.append(Misread(subject, f"candle {number}: {error}"))
    if not labelled:
        return answer
    arranged = arrange(labelled, label=shape.labelled_by, name=None, resolution=resolution, rejected=[])
    # The running candle of those that are labelled by their end has no end yet: its label is the time of asking.
    newest = max(labelled, key=lambda candle: candle.label).number if shape.labelled_by is Label.END else None
    _tell_misfits(answer, subject, arranged, running=newest)
    answer.candles = [
        FoundCandle(
            subject=subject,
            source=source,
            kind=PriceKind.MARKET,
            currency=currency,
            resolution=resolution,
            start=start,
            candle=candle,
        )
        for start, candle in arranged.candles
        if start <= at
    ]
    return answer


def _tell_misfits(answer: Answer, subject: Subject, arranged: CandleFile, *, running: int | None) -> None:
    misfits = [row for row in arranged.rejected if row.number != running]
    if misfits and not answer.misread:
        answer.misread.append(Misread(subject, f"candle {misfits[0].number}: {misfits[0].reason}"))


def _candle(number: int, row: object, shape: CandleShape, at: datetime) -> LabelledCandle:
    values = list_of(row, "A candle")
    if len(values) < shape.length:
        raise AnswerNotUnderstood(f"it has {len(values)} values, and not {shape.length}.")
    label = instant_of(values[shape.label], "time", per_second=shape.per_second, latest=at + _FAR_FUTURE)
    low, high = _price(values[shape.low], "low"), _price(values[shape.high], "high")
    opened, closed = _price(values[shape.open], "open"), _price(values[shape.close], "close")
    if not (low <= opened <= high and low <= closed <= high):
        raise AnswerNotUnderstood("its open and close do not lie between its low and high.")
    return LabelledCandle(
        number=number,
        label=round(label.timestamp() * 1000),
        open=opened,
        high=high,
        low=low,
        close=closed,
        volume=_volume(values, shape.volume, "volume"),
        turnover=_volume(values, shape.turnover, "turnover"),
    )


def _price(value: object, name: str) -> Decimal:
    amount = amount_of(value, name)
    if amount is None:
        raise AnswerNotUnderstood(f"`{name}` is no price.")
    return amount


def _volume(values: Sequence[object], place: int | None, name: str) -> Decimal | None:
    if place is None:
        return None
    return amount_of(values[place], name) or Decimal(0)
