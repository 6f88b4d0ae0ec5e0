"""What staff say of an item, each field read as what it must be, or refused with the path to it. No tables in here."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.catalogue.errors import CatalogueErrorCode, CatalogueRefused
from app.catalogue.jans import check_digit_of, is_jan_shaped
from app.catalogue.models import ItemKind
from app.catalogue.new_items import NewExternalId, NewRelease
from app.catalogue.slugs import slug_of
from app.core.money import MINOR_UNITS, is_amount
from app.core.secure_urls import LONGEST_PICTURE_URL, is_picture_url

LONGEST_NAME = 200
LONGEST_TEXT = 500
MOST_ENTRIES = 250
MOST_DECIMALS = 255
LARGEST_POSITION = 2**31 - 1

_VARIANT_KEY = re.compile(r"[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?")
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9-]{1,39}")

# They stand in names of some languages, and in emoji; all else that is not printable is refused.
_JOINERS = {ord("\N{ZERO WIDTH JOINER}"): None, ord("\N{ZERO WIDTH NON-JOINER}"): None}

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class GivenDetails:
    """What is said of an item of one kind; what is not given does not stand in `values`, null does."""

    kind: ItemKind
    values: Values


@dataclass(frozen=True, slots=True)
class GivenItem:
    """What is said of an item, in the same way, by the names of the graph in snake case."""

    values: Values
    details: GivenDetails | None = None


class _Wrong(ValueError):
    """A value is not what it must be; `path` leads to it within the field."""

    def __init__(self, message: str, *path: str) -> None:
        super().__init__(message)
        self.path = path


def read_item(given: GivenItem, *, stored: GivenItem | None = None) -> GivenItem:
    """The same, each value as the catalogue keeps it. Raises CatalogueRefused for what an item cannot have.

    A value or an entry of a list that the item has already is taken as it is: importers are less strict. What is there
    once for all items, such as a slug, and what is to be found, such as a set, is not looked at.
    """
    known = {} if stored is None else stored.values
    values = {name: _read(_ITEM, name, value, [], known) for name, value in given.values.items()}
    if given.details is None:
        return GivenItem(values)
    kind = given.details.kind
    known = {} if stored is None or stored.details is None else stored.details.values
    path = ["details", kind.value]
    read = {name: _read(_DETAILS[kind], name, value, path, known) for name, value in given.details.values.items()}
    return GivenItem(values, GivenDetails(kind, read))


def require(given: GivenItem) -> GivenDetails:
    """What a new item must have: a name, and the details of its kind; gives these. The item was read before."""
    if "name" not in given.values:
        raise refused("Give the item a name.", "name")
    if given.details is None:
        raise refused("Give the details of the item's kind.", "details")
    needed = REQUIRED.get(given.details.kind)
    if needed is not None and needed not in given.details.values:
        raise refused("Give it; a new item of this kind must have it.", "details", given.details.kind.value, needed)
    return given.details


def read_variant_key(value: str) -> str:
    """The short name of a variant."""
    if not _VARIANT_KEY.fullmatch(value):
        raise refused("A variant's key has 1 to 60 of the letters a to z, digits and hyphens between them.", "key")
    return value


def read_variant_name(value: str | None) -> str:
    """The name of a variant."""
    try:
        return _name(value)
    except _Wrong as wrong:
        raise refused(str(wrong), "name") from None


def read_position(value: int | None) -> int:
    """The place of a variant among the others of its item."""
    if value is None or not 0 <= value <= LARGEST_POSITION:
        raise refused("A position is a whole number from 0.", "position")
    return value


def refuse_reversed_floats(minimum: float | None, maximum: float | None) -> None:
    """Refuse floats of which the least is greater than the greatest."""
    if minimum is not None and maximum is not None and minimum > maximum:
        raise refused(
            f"The least float, {minimum:g}, is greater than the greatest, {maximum:g}.",
            "details",
            "skin",
            "float_minimum",
        )


def refuse_wrong_check_digit(jan: str, *path: str) -> None:
    """Refuse a JAN code whose last digit does not fit the others; `path` leads to it."""
    if not jan.endswith(check_digit_of(jan)):
        raise refused("Its last digit does not fit the others; look at the code once more.", *path)


def refused(message: str, *path: str) -> CatalogueRefused:
    """The refusal of a value, by the path to it in snake case."""
    return CatalogueRefused(
        CatalogueErrorCode.INVALID_INPUT, message, field=[name_in_graph(name) for name in path if name]
    )


def name_in_graph(name: str) -> str:
    """A name in the graph's camel case."""
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _read(readers: Mapping[str, "_Reader"], name: str, value: Any, path: Sequence[str], known: Values) -> Any:
    reader = readers[name]
    try:
        if isinstance(reader, _Entries):
            return reader.all_of(value, known.get(name) or ())
        return value if name in known and known[name] == value else reader(value)
    except _Wrong as wrong:
        raise refused(str(wrong), *path, name, *wrong.path) from None


def _text(value: str | None, *, longest: int = LONGEST_TEXT) -> str | None:
    if value is None:
        return None
    text = " ".join(value.split())
    shown = text.translate(_JOINERS)
    if not shown.strip():
        raise _Wrong("It is empty; send null to have none.")
    if len(text) > longest:
        raise _Wrong(f"It has {len(text):,} characters, and may have {longest}.")
    if not shown.isprintable() or not _is_unicode(text):
        raise _Wrong("It holds a character that cannot be shown.")
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _required(value: str | None, *, longest: int = LONGEST_TEXT) -> str:
    text = _text(value, longest=longest)
    if text is None:
        raise _Wrong("This cannot be null; leave it out, and it stays as it is.")
    return text


def _name(value: str | None) -> str:
    return _required(value, longest=LONGEST_NAME)


def _slug(value: str | None) -> str:
    slug = _required(value, longest=LONGEST_NAME)
    if slug != slug_of(slug):
        raise _Wrong("A slug is made of lower-case words of a to z and digits, joined by hyphens.")
    return slug


def _picture(value: str | None) -> str | None:
    if value is not None and not is_picture_url(value):
        raise _Wrong(
            f"A picture has an address that begins with https:// and has {LONGEST_PICTURE_URL:,} characters at most; "
            "send null to have none."
        )
    return value


def _flag(value: bool | None) -> bool:
    if value is None:
        raise _Wrong("This cannot be null; leave it out, and it stays as it is.")
    return value


def _share(value: float | None) -> float | None:
    if value is not None and not 0 <= value <= 1:
        raise _Wrong("A float value is from 0 to 1.")
    return value


def _decimals(value: int | None) -> int | None:
    if value is not None and not 0 <= value <= MOST_DECIMALS:
        raise _Wrong(f"A coin has 0 to {MOST_DECIMALS} decimal places.")
    return value


@dataclass(frozen=True, slots=True)
class _Entries:
    """A list: `read` gives an entry as it is kept, `plain` the same without looking at it, and null is `nothing`."""

    read: Callable[[Any], Any]
    plain: Callable[[Any], Any]
    nothing: tuple[()] | None = ()
    has_repeats: bool = False

    def all_of(self, values: Sequence[Any] | None, known: Sequence[Any]) -> tuple[Any, ...] | None:
        """The entries, each once unless it may have repeats; those that are known as they are."""
        if values is None:
            return self.nothing
        plain = [self.plain(value) for value in values]
        if len(values) > MOST_ENTRIES and not all(entry in known for entry in plain):
            raise _Wrong(f"The list may hold {MOST_ENTRIES} entries, and holds {len(values)}.")
        read = []
        for place, value in enumerate(values):
            try:
                read.append(plain[place] if plain[place] in known else self.read(value))
            except _Wrong as wrong:
                raise _Wrong(str(wrong), str(place), *wrong.path) from None
        return tuple(read if self.has_repeats else dict.fromkeys(read))


_Reader = Callable[[Any], Any] | _Entries


def _plain_external_id(value: Values) -> NewExternalId:
    return NewExternalId(value["provider"], value["id"])


def _external_id(value: Values) -> NewExternalId:
    provider = value["provider"]
    if not _PROVIDER.fullmatch(provider):
        raise _Wrong("A service is named by 2 to 40 of the letters a to z, digits and hyphens.", "provider")
    return NewExternalId(provider, _within(value, "id", _required))


def _plain_release(value: Values) -> NewRelease:
    return NewRelease(value.get("released_on"), value.get("list_price"), value.get("currency"), value.get("jan"))


def _release(value: Values) -> NewRelease:
    price, currency = _within(value, "list_price", _amount), _within(value, "currency", _currency)
    if (price is None) != (currency is None):
        raise _Wrong("A list price and its currency go together.", "currency" if currency is None else "list_price")
    release = NewRelease(value.get("released_on"), price, currency, _within(value, "jan", _jan))
    if release == NewRelease():
        raise _Wrong("It says nothing; give a day, a list price or a JAN code.")
    return release


def _within(value: Values, name: str, reader: Callable[[Any], Any]) -> Any:
    try:
        return reader(value.get(name))
    except _Wrong as wrong:
        raise _Wrong(str(wrong), name) from None


def _amount(value: Decimal | None) -> Decimal | None:
    if value is not None and not is_amount(value):
        raise _Wrong("A list price is an amount from 0 to 10^15, with at most 18 decimal places.")
    return value


def _currency(value: str | None) -> str | None:
    if value is not None and value not in MINOR_UNITS:
        raise _Wrong("Give a currency by its code, such as JPY.")
    return value


def _jan(value: str | None) -> str | None:
    if value is None:
        return None
    if not is_jan_shaped(value):
        raise _Wrong("A JAN code has 8 or 13 digits.")
    return value


def _set_id(value: UUID | None) -> UUID | None:
    return value


_TEXTS = _Entries(_required, str, nothing=None)
_NAMES = _Entries(_required, str)
_ITEM: Mapping[str, _Reader] = {
    "slug": _slug,
    "name": _name,
    "image_url": _picture,
    "is_nsfw": _flag,
    "external_ids": _Entries(_external_id, _plain_external_id),
}
_DETAILS: Mapping[ItemKind, Mapping[str, _Reader]] = {
    ItemKind.SKIN: {
        "market_hash_name": _required,
        "category": _text,
        "weapon": _text,
        "skin": _text,
        "wear": _text,
        "rarity": _text,
        "is_stattrak": _flag,
        "is_souvenir": _flag,
        "float_minimum": _share,
        "float_maximum": _share,
        "collection": _text,
        "crates": _TEXTS,
    },
    ItemKind.COIN: {"symbol": _required, "decimals": _decimals, "chain": _text, "contract_address": _text},
    ItemKind.CARD: {
        "game": _required,
        "set_id": _set_id,
        "number": _text,
        "rarity": _text,
        "type_line": _text,
        "artist": _text,
        "language": _text,
        "finishes": _TEXTS,
    },
    ItemKind.FIGURE: {
        "manufacturer": _text,
        "scale": _text,
        "origins": _NAMES,
        "characters": _NAMES,
        "sculptors": _NAMES,
        "releases": _Entries(_release, _plain_release, has_repeats=True),
    },
}
# Columns that have another name in the graph.
RENAMED: Mapping[str, str] = {"stattrak": "is_stattrak", "souvenir": "is_souvenir"}
# What a new item of the kind must have.
REQUIRED: Mapping[ItemKind, str] = {
    ItemKind.SKIN: "market_hash_name",
    ItemKind.COIN: "symbol",
    ItemKind.CARD: "game",
}
