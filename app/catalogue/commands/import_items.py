"""Import rows of a catalogue's file, a chunk in a transaction: a row that contradicts stays out by itself."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from uuid import UUID

from sqlalchemy import and_, delete, exists, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.commands.save_items import SavedItems, only_writer, save_items
from app.catalogue.commands.save_related import SavedSets, save_card_sets
from app.catalogue.commands.save_rulings import SavedRulings, save_rulings
from app.catalogue.left_out import LeftOut
from app.catalogue.models import CardSet, Coin, ExternalId, Item, ItemKind
from app.catalogue.new_items import CardDetails, CardName, CoinDetails, NewCardSet, NewExternalId, NewItem, NewRuling
from app.catalogue.queries.items import known_card_names
from app.catalogue.queries.redirects import items_of_slugs
from app.catalogue.slugs import distinct_slug_of
from app.core.database import Transaction, among

ITEMS_IN_A_CHUNK = 2_000


@dataclass(frozen=True, slots=True)
class GivenRow:
    """What a row tells of: an item, known by the first of its external ids, or one of the others. Rows count from 1.

    The item's slug is the one that is wished for.
    """

    number: int
    given: NewItem | NewCardSet | NewRuling | CardName


@dataclass(frozen=True, slots=True)
class ImportedRows:
    """What became of the rows. `shared_ids` counts external ids that another item has; they stay with that one.

    Of `names` that were only looked up, `missing` are those that no card has.
    """

    items: SavedItems = field(default_factory=SavedItems)
    sets: SavedSets = field(default_factory=SavedSets)
    rejected: tuple[LeftOut, ...] = ()
    shared_ids: int = 0
    rulings: SavedRulings = field(default_factory=SavedRulings)
    names: int = 0
    missing: tuple[str, ...] = ()


async def import_rows(transaction: Transaction, rows: Sequence[GivenRow]) -> ImportedRows:
    """Save items, sets and rulings of cards; the same rows again change nothing. Mere names of cards are looked up.

    An item is recognised by the first of its external ids and keeps its slug for good; a new one whose slug is taken
    gets one that ends in a hash. A coin without such an id is recognised by its slug and symbol. An outside service's
    other ids follow the file.
    """
    connection = transaction.connection
    await only_writer(connection)
    sets = {(given.game, given.code): given for row in rows if isinstance(given := row.given, NewCardSet)}
    _, saved_sets = await save_card_sets(connection, list(sets.values()))
    firsts, rejected = _without_repeats(rows)
    known = await _known_items(connection, list(firsts))
    rejected += _take_out_merged(
        firsts,
        known,
        {row.given.external_ids[0]: row.number for row in reversed(rows) if isinstance(row.given, NewItem)},
    )
    items = await _with_slugs(connection, list(firsts.values()), known)
    items = await _with_dated_sets(connection, items)
    await _forget_outdated_ids(connection, items, known)
    items, shared_ids = await _without_shared_ids(connection, items, known)
    saved_items = await save_items(transaction, items)
    names = [row.given for row in rows if isinstance(row.given, CardName)]
    return ImportedRows(
        saved_items,
        saved_sets,
        tuple(rejected),
        shared_ids,
        rulings=await save_rulings(connection, [row.given for row in rows if isinstance(row.given, NewRuling)]),
        names=len(names),
        missing=await _missing(connection, names),
    )


async def _missing(connection: AsyncConnection, names: Sequence[CardName]) -> tuple[str, ...]:
    by_game: dict[str, list[str]] = {}
    for one in names:
        by_game.setdefault(one.game, []).append(one.name)
    missing: list[str] = []
    for game, wanted in by_game.items():
        known = await known_card_names(connection, game, wanted)
        missing += [name for name in dict.fromkeys(wanted) if name not in known]
    return tuple(missing)


def _without_repeats(rows: Sequence[GivenRow]) -> tuple[dict[NewExternalId, NewItem], list[LeftOut]]:
    items: dict[NewExternalId, NewItem] = {}
    numbers: dict[NewExternalId, int] = {}
    rejected = []
    for row in rows:
        if isinstance(row.given, NewItem):
            key = row.given.external_ids[0]
            if key in items:
                reason = f"it is {key.provider}:{key.external_id}, as row {numbers[key]:,} is"
                rejected.append(LeftOut(row.number, reason))
            else:
                items[key], numbers[key] = row.given, row.number
    return items, rejected


@dataclass(frozen=True, slots=True)
class _KnownItem:
    id: UUID
    slug: str


async def _known_items(connection: AsyncConnection, ids: Collection[NewExternalId]) -> dict[NewExternalId, _KnownItem]:
    """The items of the catalogue that have these external ids."""
    by_provider: dict[str, list[str]] = {}
    for one in ids:
        by_provider.setdefault(one.provider, []).append(one.external_id)
    if not by_provider:
        return {}
    wanted = [
        and_(ExternalId.provider == provider, among(ExternalId.external_id, names))
        for provider, names in by_provider.items()
    ]
    rows = await connection.execute(
        select(ExternalId.provider, ExternalId.external_id, Item.id, Item.slug)
        .join(Item, Item.id == ExternalId.item_id)
        .where(or_(*wanted))
    )
    return {NewExternalId(row.provider, row.external_id): _KnownItem(row.id, row.slug) for row in rows}


def _take_out_merged(
    items: dict[NewExternalId, NewItem], known: Mapping[NewExternalId, _KnownItem], numbers: Mapping[NewExternalId, int]
) -> list[LeftOut]:
    """What staff have merged is one item: the first row that tells of it counts, and the others are taken out."""
    firsts: dict[UUID, NewExternalId] = {}
    rejected = []
    for key in list(items):
        if key in known and (first := firsts.setdefault(known[key].id, key)) != key:
            del items[key]
            rejected.append(LeftOut(numbers[key], f"it was merged into the item that row {numbers[first]:,} tells of"))
    return rejected


async def _with_slugs(
    connection: AsyncConnection, items: Sequence[NewItem], known: Mapping[NewExternalId, _KnownItem]
) -> list[NewItem]:
    """The items with the slugs that they have, or get."""
    new = [item for item in items if item.external_ids[0] not in known]
    holders = await _holders_of_slugs(connection, new)
    taken = {item.slug for item in known.values()}
    placed = []
    for item in items:
        key = item.external_ids[0]
        if key in known:
            slug = known[key].slug
        elif item.slug and item.slug not in taken and holders.get(item.slug, item) is item:
            slug = item.slug
        else:
            slug = distinct_slug_of(f"{item.slug} {key.external_id}")
        taken.add(slug)
        placed.append(replace(item, slug=slug))
    return placed


async def _holders_of_slugs(connection: AsyncConnection, items: Sequence[NewItem]) -> dict[str, NewItem | None]:
    """By each slug that is or was taken: the given item that the holder is, or None where the holder is another."""
    wanted = {item.slug: item for item in reversed(items)}
    providers = {item.external_ids[0].provider for item in items}
    named = exists().where(ExternalId.item_id == Item.id, among(ExternalId.provider, providers))
    owners = await items_of_slugs(connection, wanted)
    rows = await connection.execute(
        select(Item.id, Item.kind, Coin.symbol, named.label("named"))
        .outerjoin(Coin, Coin.item_id == Item.id)
        .where(among(Item.id, set(owners.values())))
    )
    by_id = {row.id: row for row in rows}
    holders: dict[str, NewItem | None] = {}
    for slug, item_id in owners.items():
        row, details = by_id[item_id], wanted[slug].details
        is_it = (
            row.kind == ItemKind.COIN
            and isinstance(details, CoinDetails)
            and details.symbol.upper() == row.symbol.upper()
            and not row.named
        )
        holders[slug] = wanted[slug] if is_it else None
    return holders


async def _with_dated_sets(connection: AsyncConnection, items: Sequence[NewItem]) -> list[NewItem]:
    """The items with one set by each code. A card's own day dates a set only as long as nothing else has."""
    earliest: dict[tuple[str, str], NewCardSet] = {}
    for item in items:
        card_set = _set_of(item)
        if card_set is not None:
            key = (card_set.game, card_set.code)
            other = earliest.setdefault(key, card_set)
            if card_set.released_on is not None and card_set.released_on < (other.released_on or date.max):
                earliest[key] = replace(other, released_on=card_set.released_on)
    if not earliest:
        return list(items)
    dated = await connection.execute(
        select(CardSet.game, CardSet.code)
        .where(CardSet.released_on.is_not(None))
        .where(tuple_(CardSet.game, CardSet.code).in_(list(earliest)))
    )
    for row in dated:
        key = (row.game, row.code)
        earliest[key] = replace(earliest[key], released_on=None)
    return [_in_set(item, earliest) for item in items]


def _set_of(item: NewItem) -> NewCardSet | None:
    return item.details.card_set if isinstance(item.details, CardDetails) else None


def _in_set(item: NewItem, sets: Mapping[tuple[str, str], NewCardSet]) -> NewItem:
    card_set = _set_of(item)
    if card_set is None or not isinstance(item.details, CardDetails):
        return item
    return replace(item, details=replace(item.details, card_set=sets[card_set.game, card_set.code]))


async def _forget_outdated_ids(
    connection: AsyncConnection, items: Sequence[NewItem], known: Mapping[NewExternalId, _KnownItem]
) -> None:
    """A shop gives a card another number now and then; the file's is the one that counts."""
    given = {
        (known[item.external_ids[0]].id, one.provider): one.external_id
        for item in items
        if item.external_ids[0] in known
        for one in item.external_ids[1:]
    }
    if not given:
        return
    stored = await connection.execute(
        select(ExternalId.item_id, ExternalId.provider, ExternalId.external_id).where(
            among(ExternalId.item_id, {item_id for item_id, _ in given}),
            among(ExternalId.provider, {provider for _, provider in given}),
        )
    )
    outdated: dict[str, list[str]] = {}
    for row in stored:
        if given.get((row.item_id, row.provider), row.external_id) != row.external_id:
            outdated.setdefault(row.provider, []).append(row.external_id)
    for provider, names in outdated.items():
        await connection.execute(
            delete(ExternalId).where(ExternalId.provider == provider, among(ExternalId.external_id, names))
        )


async def _without_shared_ids(
    connection: AsyncConnection, items: Sequence[NewItem], known: Mapping[NewExternalId, _KnownItem]
) -> tuple[list[NewItem], int]:
    """An external id names one item: it stays with the item that has it, else with the first that is given."""
    others = {one for item in items for one in item.external_ids[1:]}
    holders = {one: item.slug for one, item in (await _known_items(connection, others)).items()}
    shared = 0
    kept = []
    for item in items:
        own = tuple(one for one in item.external_ids[1:] if holders.setdefault(one, item.slug) == item.slug)
        shared += len(item.external_ids) - 1 - len(own)
        kept.append(replace(item, external_ids=(item.external_ids[0], *own)))
    return kept, shared
