"""What alerts say: one line each, with the names of what they are about."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Context, Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, SmallInteger, Uuid, bindparam, text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.alerts.fired import Fired
from app.alerts.models import Condition, RuleTarget
from app.core.money import CRYPTO_CURRENCIES, MINOR_UNITS
from app.portfolios.wish_models import DatePrecision

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MINUTES_OF = (("day", 1440), ("hour", 60), ("minute", 1))
_MOST_PLACES = 18
# Wide enough for what all of the largest holding is worth, and for its change from next to nothing in percent.
_WIDE = Context(prec=200)
# Of the columns of what fired that name something.
_NAMING = ("item_id", "variant_id", "portfolio_id", "tracker_id", "place_id", "preorder_id", "want_id")


async def titles_of(connection: AsyncConnection, fired: Sequence[Fired]) -> list[str]:
    """What each of these says in one line, such as “Black Lotus (Alpha, Foil) rose above 100.00 USD: 101.50 on
    TCGplayer”. Of a rule that is gone it is empty.
    """
    if not fired:
        return []
    named = {f"{name}s": [getattr(one, name) for one in fired] for name in _NAMING}
    rows = await connection.execute(
        _NAMES,
        {
            "rule_ids": [one.rule_id for one in fired],
            "source_ids": [one.source_id for one in fired],
            "change_ids": [_change_of(one) for one in fired],
            **named,
        },
    )
    names = {row.ordinal: row._asdict() for row in rows}
    return [_title(one, names[ordinal]) if ordinal in names else "" for ordinal, one in enumerate(fired, start=1)]


def _title(fired: Fired, names: Mapping[str, Any]) -> str:
    condition = Condition(names["condition"])
    if names["target"] == RuleTarget.PORTFOLIO:
        return _of_portfolio(fired, names, condition)
    return _TITLES[condition](fired, names)


def _of_portfolio(fired: Fired, names: Mapping[str, Any], condition: Condition) -> str:
    whole = f"Everything in {names['portfolio'] or 'a portfolio'}"
    if condition in {Condition.RISES_BY, Condition.FALLS_BY}:
        verb = "gained" if condition is Condition.RISES_BY else "lost"
        return f"{whole} {verb} {_percent(fired.new_value)} within {_length(names['window_minutes'])}"
    worth = {
        Condition.CROSSES_ABOVE: "more than {}",
        Condition.CROSSES_BELOW: "less than {}",
        Condition.CROSSES_LEVEL: "more than {}" if _is_above(fired, names) else "less than {}",
        Condition.AT_OR_BELOW: "{} or less",
    }[condition].format(_threshold(fired, names))
    return f"{whole} is worth {worth}: {_value(fired, names)}"


def _rose(fired: Fired, names: Mapping[str, Any]) -> str:
    return f"{_thing(names)} rose above {_threshold(fired, names)}: {_value(fired, names)}{_on(names)}"


def _fell(fired: Fired, names: Mapping[str, Any]) -> str:
    return f"{_thing(names)} fell below {_threshold(fired, names)}: {_value(fired, names)}{_on(names)}"


def _crossed(fired: Fired, names: Mapping[str, Any]) -> str:
    return (_rose if _is_above(fired, names) else _fell)(fired, names)


def _came_down(fired: Fired, names: Mapping[str, Any]) -> str:
    return f"{_thing(names)} fell to {_threshold(fired, names)} or less: {_value(fired, names)}{_on(names)}"


def _changed(verb: str) -> Callable[[Fired, Mapping[str, Any]], str]:
    def title(fired: Fired, names: Mapping[str, Any]) -> str:
        said = f"{_thing(names)} {verb} {_percent(fired.new_value)} within {_length(names['window_minutes'])}"
        if fired.base_value is not None and fired.currency is not None:
            said += f", from {_money(fired.base_value, fired.currency)}"
        return f"{said}{_on(names)}"

    return title


def _moved(verb: str) -> Callable[[Fired, Mapping[str, Any]], str]:
    return lambda _, names: f"{names['tracker'] or 'A tracker'} {verb} {names['place'] or 'a place'}"


def _silent(_: Fired, names: Mapping[str, Any]) -> str:
    return f"{names['tracker'] or 'A tracker'} has not been heard of for {_length(names['duration_minutes'])}"


def _slipped(fired: Fired, names: Mapping[str, Any]) -> str:
    release = f"The release of {_thing(names)}"
    if names["previous_date"] is None or names["new_date"] is None:
        days = fired.new_value
        return f"{release} was put off" + ("" if days is None else f" by {_plain(days)} days")
    before = _day(names["previous_date"], names["previous_precision"])
    return f"{release} moved from {before} to {_day(names['new_date'], names['new_precision'])}"


def _met(fired: Fired, names: Mapping[str, Any]) -> str:
    return f"{_thing(names)} can be had for {_money(fired.new_value, fired.currency)}{_on(names)}"


_TITLES: Mapping[Condition, Callable[[Fired, Mapping[str, Any]], str]] = {
    Condition.CROSSES_ABOVE: _rose,
    Condition.CROSSES_BELOW: _fell,
    Condition.CROSSES_LEVEL: _crossed,
    Condition.AT_OR_BELOW: _came_down,
    Condition.RISES_BY: _changed("rose by"),
    Condition.FALLS_BY: _changed("fell by"),
    Condition.ENTERED: _moved("arrived at"),
    Condition.LEFT: _moved("left"),
    Condition.DELIVERED: _moved("was delivered to"),
    Condition.MOVED_IN_STORAGE: _moved("moved while in storage at"),
    Condition.SILENT_FOR: _silent,
    Condition.DATE_SLIPPED: _slipped,
    Condition.WANT_MET: _met,
}


def _thing(names: Mapping[str, Any]) -> str:
    """An item, with its set and its variant unless that is the default one."""
    more = ", ".join(name for name in (names["card_set"], names["variant"]) if name)
    item = names["item"] or "An item"
    return f"{item} ({more})" if more else item


def _on(names: Mapping[str, Any]) -> str:
    return f" on {names['source']}" if names["source"] else ""


def _is_above(fired: Fired, names: Mapping[str, Any]) -> bool:
    return (fired.new_value or 0) > (names["threshold"] or 0)


def _threshold(fired: Fired, names: Mapping[str, Any]) -> str:
    threshold: Decimal | None = names["threshold"]
    places = _places(fired.currency)
    shown = _plain(threshold or Decimal(0), at_least=places)
    return f"{shown} {fired.currency}" if fired.currency else shown


def _value(fired: Fired, names: Mapping[str, Any]) -> str:
    return _rounded(fired.new_value or Decimal(0), _places(fired.currency), unlike=names["threshold"])


def _money(amount: Decimal | None, currency: str | None) -> str:
    return f"{_rounded(amount or Decimal(0), _places(currency))} {currency or ''}".rstrip()


def _percent(value: Decimal | None) -> str:
    return f"{_plain(_to_places((value or Decimal(0)).copy_abs(), 2))} %"


def _places(currency: str | None) -> int:
    """As many decimal places as people write; of coins none that must be there."""
    return 0 if currency is None or currency in CRYPTO_CURRENCIES else MINOR_UNITS.get(currency, 0)


def _rounded(value: Decimal, places: int, *, unlike: Decimal | None = None) -> str:
    """The value with so many decimal places, or with as many more as tell it from 0 and from another one."""
    kept = places
    while kept < _MOST_PLACES and _to_places(value, kept) != value and _to_places(value, kept) in {Decimal(0), unlike}:
        kept += 1
    if places == 0:
        kept = max(kept, _digits_of(value))
    return _plain(_to_places(value, kept), at_least=places)


def _to_places(value: Decimal, places: int) -> Decimal:
    """Rounded to so many decimal places, however long it is."""
    return value.quantize(Decimal(1).scaleb(-places), context=_WIDE)


def _digits_of(value: Decimal) -> int:
    """So many decimal places that six digits tell."""
    return min(_MOST_PLACES, max(0, 5 - value.adjusted())) if value else 0


def _plain(value: Decimal, *, at_least: int = 0) -> str:
    """Digits in groups of three, without zeros at the end behind so many decimal places."""
    whole, _, fraction = f"{value:,f}".partition(".")
    fraction = fraction.rstrip("0").ljust(at_least, "0")
    return f"{whole}.{fraction}" if fraction else whole


def _length(minutes: int | None) -> str:
    for unit, of_unit in _MINUTES_OF:
        if minutes and minutes % of_unit == 0:
            count = minutes // of_unit
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return "a while"


def _day(on: date, precision: str | None) -> str:
    return f"{on:%Y-%m}" if precision == DatePrecision.MONTH else on.isoformat()


def _change_of(fired: Fired) -> UUID | None:
    """The change of a date that a crossing names; None of any other crossing."""
    found = _UUID.search(fired.crossing) if fired.preorder_id is not None else None
    return None if found is None else UUID(found.group())


_NAMES = text("""
    SELECT fired.ordinal, rule.target, rule.condition, rule.threshold, rule.window_minutes, rule.duration_minutes,
        item.name AS item, CASE WHEN NOT variant.is_default THEN variant.name END AS variant,
        card_set.name AS card_set, source.name AS source, portfolio.name AS portfolio, tracker.name AS tracker,
        place.name AS place, change.previous_date, change.previous_precision, change.new_date, change.new_precision
    FROM unnest(:rule_ids, :item_ids, :variant_ids, :portfolio_ids, :tracker_ids, :place_ids, :preorder_ids, :want_ids,
            :change_ids, :source_ids)
        WITH ORDINALITY AS fired (rule_id, item_id, variant_id, portfolio_id, tracker_id, place_id, preorder_id,
            want_id, change_id, source_id, ordinal)
    JOIN alerts.rules AS rule ON rule.id = fired.rule_id
    LEFT JOIN portfolios.preorders AS preorder ON preorder.id = fired.preorder_id
    LEFT JOIN portfolios.preorder_date_changes AS change ON change.id = fired.change_id
    LEFT JOIN portfolios.wants AS want ON want.id = fired.want_id
    LEFT JOIN catalogue.item_variants AS variant
        ON variant.id = coalesce(fired.variant_id, preorder.variant_id, want.variant_id)
    LEFT JOIN catalogue.items AS item ON item.id = coalesce(fired.item_id, variant.item_id)
    LEFT JOIN catalogue.cards AS card ON card.item_id = item.id
    LEFT JOIN catalogue.card_sets AS card_set ON card_set.id = card.set_id
    LEFT JOIN prices.sources AS source ON source.id = fired.source_id
    LEFT JOIN portfolios.portfolios AS portfolio ON portfolio.id = fired.portfolio_id
    LEFT JOIN trackers.trackers AS tracker ON tracker.id = fired.tracker_id
    LEFT JOIN trackers.places AS place ON place.id = fired.place_id
""").bindparams(
    *(bindparam(f"{name}s", type_=ARRAY(Uuid)) for name in ("rule_id", "change_id", *_NAMING)),
    bindparam("source_ids", type_=ARRAY(SmallInteger)),
)
