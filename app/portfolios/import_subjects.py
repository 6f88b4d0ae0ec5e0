"""Which variants the rows of an import are about."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Text, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.commands.coins import COIN_NAMES
from app.catalogue.models import Card, CardSet, Coin, ExternalId, FigureRelease, Item, ItemVariant, Skin
from app.catalogue.queries.redirects import items_of_old_ids, items_of_old_slugs
from app.catalogue.slugs import slug_of
from app.core.database import among
from app.core.ids import PublicIdTag, parse_public_id
from app.portfolios.imports.rows import Subject, SubjectKind

_SHOWN_VARIANTS = 10


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why a subject is no variant of the catalogue, or not one alone."""

    reason: str


_Found = dict[Subject, list[UUID]]
_KeyOf = Callable[[Subject], tuple[str | None, str]]
_Finder = Callable[[AsyncConnection, Sequence[Subject]], Awaitable[_Found]]

_WAYS = {
    SubjectKind.ITEM: "the slug or id",
    SubjectKind.EXTERNAL_ID: "the external id",
    SubjectKind.MARKET_HASH_NAME: "the market hash name",
    SubjectKind.COIN: "the symbol",
    SubjectKind.CARD: "the set and number",
    SubjectKind.JAN: "the JAN code",
}


async def resolve_subjects(
    connection: AsyncConnection, subjects: Collection[Subject]
) -> Mapping[Subject, UUID | Unresolved]:
    """The variant of each subject, or why there is none; one statement or two for each way of naming items."""
    by_kind: dict[SubjectKind, list[Subject]] = defaultdict(list)
    for subject in dict.fromkeys(subjects):
        by_kind[subject.kind].append(subject)
    variants, items = await _named_items(connection, by_kind[SubjectKind.ITEM])
    for kind, find in _FINDERS.items():
        if by_kind[kind]:
            items |= await find(connection, by_kind[kind])
    of_items = await _variants_of(connection, {item_id for found in items.values() for item_id in found})
    return variants | {
        subject: _variant_of(subject, items.get(subject, []), of_items)
        for subject in dict.fromkeys(subjects)
        if subject not in variants
    }


@dataclass(frozen=True, slots=True)
class _Variant:
    id: UUID
    key: str
    is_default: bool


def _variant_of(
    subject: Subject, item_ids: Sequence[UUID], variants: Mapping[UUID, Sequence[_Variant]]
) -> UUID | Unresolved:
    if not item_ids:
        return Unresolved(f"The catalogue has no item by {_WAYS[subject.kind]} “{subject}”.")
    if len(set(item_ids)) > 1:
        return Unresolved(
            f"{len(set(item_ids))} items have {_WAYS[subject.kind]} “{subject}”; name one by its slug in `item`."
        )
    there = variants[item_ids[0]]
    if not subject.variants:
        return next(variant.id for variant in there if variant.is_default)
    by_key = {variant.key: variant.id for variant in there}
    found = [by_key[key] for key in subject.variants if key in by_key]
    if found:
        return found[0]
    known = ", ".join(sorted(by_key)[:_SHOWN_VARIANTS])
    return Unresolved(f"This item has no variant `{subject.variants[0]}`; it has: {known}.")


async def _variants_of(connection: AsyncConnection, item_ids: Collection[UUID]) -> Mapping[UUID, Sequence[_Variant]]:
    found: dict[UUID, list[_Variant]] = defaultdict(list)
    if item_ids:
        rows = await connection.execute(
            select(ItemVariant.item_id, ItemVariant.id, ItemVariant.key, ItemVariant.is_default).where(
                among(ItemVariant.item_id, item_ids)
            )
        )
        for row in rows:
            found[row.item_id].append(_Variant(row.id, row.key, row.is_default))
    return found


async def _named_items(
    connection: AsyncConnection, subjects: Sequence[Subject]
) -> tuple[dict[Subject, UUID | Unresolved], _Found]:
    """Variants that are named by their own ids, and items that are named by slugs or ids, of now or of once."""
    parsed = {subject: parse_public_id(subject.name) for subject in subjects}
    of_variants = {each: key[1] for each, key in parsed.items() if key and key[0] is PublicIdTag.ITEM_VARIANT}
    of_items = {each: key[1] for each, key in parsed.items() if key and key[0] is PublicIdTag.ITEM}
    slugs = {each: each.name.casefold() for each in subjects if each not in of_variants and each not in of_items}
    rows = await connection.execute(select(ItemVariant.id).where(among(ItemVariant.id, of_variants.values())))
    known_variants = set(rows.scalars())
    variants: dict[Subject, UUID | Unresolved] = {
        each: key if key in known_variants else Unresolved("The catalogue has no variant with this id.")
        for each, key in of_variants.items()
        if isinstance(key, UUID)
    }
    rows = await connection.execute(select(Item.id).where(among(Item.id, of_items.values())))
    by_id = {key: key for key in rows.scalars()}
    lost_ids = [key for key in of_items.values() if isinstance(key, UUID) and key not in by_id]
    by_id |= await items_of_old_ids(connection, lost_ids) if lost_ids else {}
    slug_rows = await connection.execute(select(Item.slug, Item.id).where(among(Item.slug, slugs.values())))
    by_slug = {row.slug: row.id for row in slug_rows}
    lost_slugs = [slug for slug in slugs.values() if slug not in by_slug]
    by_slug |= await items_of_old_slugs(connection, lost_slugs) if lost_slugs else {}
    items = {each: [by_id[key]] for each, key in of_items.items() if isinstance(key, UUID) and key in by_id}
    items |= {each: [by_slug[slug]] for each, slug in slugs.items() if slug in by_slug}
    return variants, items


async def _by_external_id(connection: AsyncConnection, subjects: Sequence[Subject]) -> _Found:
    rows = await connection.execute(
        select(ExternalId.provider, ExternalId.external_id, ExternalId.item_id).where(
            among(ExternalId.external_id, {each.name for each in subjects}),
            among(ExternalId.provider, {each.group for each in subjects}),
        )
    )
    return _by_name(subjects, ((row[0], row[1], row[2]) for row in rows), lambda each: (each.group, each.name))


async def _by_market_hash_name(connection: AsyncConnection, subjects: Sequence[Subject]) -> _Found:
    rows = await connection.execute(
        select(Skin.market_hash_name, Skin.item_id).where(
            among(Skin.market_hash_name, {each.name for each in subjects})
        )
    )
    return _by_name(subjects, ((None, row[0], row[1]) for row in rows), lambda each: (None, each.name))


async def _by_symbol(connection: AsyncConnection, subjects: Sequence[Subject]) -> _Found:
    """Of several coins with one symbol, the one that everybody means by it, if there is one."""
    symbol = func.upper(Coin.symbol, type_=Text)
    rows = await connection.execute(
        select(symbol, Coin.item_id, Item.slug)
        .join(Item, Item.id == Coin.item_id)
        .where(among(symbol, {each.name.upper() for each in subjects}))
    )
    found: dict[str, dict[str, UUID]] = defaultdict(dict)
    for name, item_id, slug in rows:
        found[name][slug] = item_id
    coins: _Found = {}
    for subject in subjects:
        name = subject.name.upper()
        meant = found[name].get(slug_of(COIN_NAMES[name])) if name in COIN_NAMES else None
        coins[subject] = list(found[name].values()) if meant is None else [meant]
    return coins


async def _by_jan(connection: AsyncConnection, subjects: Sequence[Subject]) -> _Found:
    rows = await connection.execute(
        select(FigureRelease.jan, FigureRelease.item_id)
        .distinct()
        .where(among(FigureRelease.jan, {each.name for each in subjects}))
    )
    return _by_name(subjects, ((None, row[0], row[1]) for row in rows), lambda each: (None, each.name))


async def _by_set_and_number(connection: AsyncConnection, subjects: Sequence[Subject]) -> _Found:
    """Of prints in several languages, the English ones; `43/102` is number 43."""
    numbers = {each: list(dict.fromkeys([each.name, each.name.partition("/")[0].lstrip("0")])) for each in subjects}
    code = func.lower(CardSet.code, type_=Text)
    rows = await connection.execute(
        select(code, Card.number, Card.item_id, Card.language)
        .join(CardSet, CardSet.id == Card.set_id)
        .where(
            among(code, {(each.group or "").lower() for each in subjects}),
            among(Card.number, {number for each in numbers.values() for number in each}),
        )
    )
    found: dict[tuple[str, str | None], dict[UUID, str | None]] = defaultdict(dict)
    for set_code, number, item_id, language in rows:
        found[set_code, number][item_id] = language
    cards: _Found = {}
    for subject, ways in numbers.items():
        prints = next((found[key] for way in ways if (key := ((subject.group or "").lower(), way)) in found), {})
        english = [item_id for item_id, language in prints.items() if language == "en"]
        cards[subject] = english or list(prints)
    return cards


def _by_name(
    subjects: Iterable[Subject], rows: Iterable[tuple[str | None, str | None, UUID]], key_of: _KeyOf
) -> _Found:
    found: dict[tuple[str | None, str | None], list[UUID]] = defaultdict(list)
    for group, name, item_id in rows:
        found[group, name].append(item_id)
    return {subject: found[key_of(subject)] for subject in subjects}


_FINDERS: Mapping[SubjectKind, _Finder] = {
    SubjectKind.EXTERNAL_ID: _by_external_id,
    SubjectKind.MARKET_HASH_NAME: _by_market_hash_name,
    SubjectKind.COIN: _by_symbol,
    SubjectKind.CARD: _by_set_and_number,
    SubjectKind.JAN: _by_jan,
}
