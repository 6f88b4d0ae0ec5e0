"""Import rows of figures: known ones are found by JAN, slug, or maker and similar name; doubtful rows stay out."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Integer, Text, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import InstrumentedAttribute

from app.catalogue.commands.save_items import SavedItems, only_writer, save_items
from app.catalogue.figures import DOUBTFUL_SIMILARITY, Candidate, Doubt, FigureRow, choose, merged
from app.catalogue.left_out import LeftOut
from app.catalogue.models import Figure, FigureRelease, Item, ItemKind, ItemRedirect, Manufacturer
from app.catalogue.new_items import FigureDetails, NewItem, NewRelease
from app.catalogue.queries.items import releases_by_figure
from app.catalogue.queries.redirects import items_of_old_slugs, items_of_slugs
from app.catalogue.similar_names import SimilarNames, Spelling
from app.catalogue.slugs import distinct_slug_of, name_key, slug_of
from app.core.database import Transaction, among

T = TypeVar("T")
_FIGURES_AT_A_TIME = 1_000


@dataclass(frozen=True, slots=True)
class NumberedFigure:
    """A row of a file; rows count from 1."""

    number: int
    row: FigureRow


@dataclass(frozen=True, slots=True)
class DoubtfulRow:
    """A row that stayed out for a person to look at: which figure it may be, and how similar the names are (0 to 1)."""

    number: int
    name: str
    candidate: str
    similarity: float


@dataclass(frozen=True, slots=True)
class ImportedFigures:
    """What became of the rows."""

    items: SavedItems = field(default_factory=SavedItems)
    rejected: tuple[LeftOut, ...] = ()
    doubtful: tuple[DoubtfulRow, ...] = ()


@dataclass(slots=True)
class _Told:
    """A figure, and the rows that tell of it. Only a similar name does not replace the stored one."""

    slug: str
    name: str
    rows: list[FigureRow] = field(default_factory=list)


async def import_figures(transaction: Transaction, rows: Sequence[NumberedFigure]) -> ImportedFigures:
    """Save figures; the same rows again change nothing. Several rows may tell of releases of one figure.

    A doubtful row goes in once it has a slug: that of the figure it is, or a new one.
    """
    connection = transaction.connection
    await only_writer(connection)
    by_jan = await _figures_by_jan(connection, [row.row.jan for row in rows if row.row.jan is not None])
    by_slug = await _items_by_slug(connection, [row.row.slug for row in rows if row.row.slug is not None])
    # Names are compared only where nothing surer tells: comparing is what takes long.
    by_name = {
        position: row.row
        for position, row in enumerate(rows)
        if row.row.jan not in by_jan and row.row.slug not in by_slug
    }
    spelled = await _spelled(connection, by_name)
    matching = _Matching(
        by_jan=by_jan,
        by_slug=by_slug,
        stored=await _stored_candidates(connection, spelled, by_name),
        similarities=_similarities(spelled),
    )
    for position, row in enumerate(rows):
        matching.place(position, row)
    await _follow_redirects(connection, matching.told)
    known = [target for target in matching.told if isinstance(target, UUID)]
    await _give_slugs(connection, matching.told, known)
    releases = await releases_by_figure(connection, known)
    items = [
        _new_item(told, releases.get(target, ()) if isinstance(target, UUID) else ())
        for target, told in matching.told.items()
    ]
    saved = await save_items(transaction, items)
    return ImportedFigures(saved, tuple(matching.rejected), tuple(matching.doubtful))


async def _follow_redirects(connection: AsyncConnection, figures: dict[Hashable, _Told]) -> None:
    """Tell of the figure that it became what looks new and has a slug that a figure had once.

    A slug of the name alone may be that of another maker's figure, and is followed where the maker is the same.
    """
    slugs = {
        target: (slug_of(told.name), _distinct_slug(told))
        for target, told in figures.items()
        if not isinstance(target, UUID) and not told.slug
    }
    rows = await connection.execute(
        select(ItemRedirect.slug, Item.id, Item.name, Manufacturer.name_key)
        .join(Item, Item.id == ItemRedirect.item_id)
        .join(Figure, Figure.item_id == Item.id)
        .outerjoin(Manufacturer, Manufacturer.id == Figure.manufacturer_id)
        .where(among(ItemRedirect.slug, {slug for both in slugs.values() for slug in both}))
    )
    redirects = {row.slug: row for row in rows}
    for target, both in slugs.items():
        plain, distinct = both
        for redirect in (redirects[slug] for slug in (distinct, plain) if slug in redirects):
            maker = figures[target].rows[0].manufacturer
            if redirect.slug == distinct or redirect.name_key == (None if maker is None else name_key(maker)):
                told = figures.pop(target)
                figures.setdefault(redirect.id, _Told("", redirect.name)).rows.extend(told.rows)
                break


def _distinct_slug(told: _Told) -> str:
    first = told.rows[0]
    return distinct_slug_of(f"{told.name} {first.manufacturer or ''} {first.scale or ''}")


async def _give_slugs(connection: AsyncConnection, figures: Mapping[Hashable, _Told], known: Sequence[UUID]) -> None:
    """Known figures keep their slugs; a new one gets that of its name, or one of its own where that is taken."""
    stored = await _slugs(connection, known)
    for target in known:
        figures[target].slug = stored[target]
    new = [told for told in figures.values() if not told.slug]
    taken = set(await _items_by_slug(connection, [slug_of(told.name) for told in new]))
    taken |= {told.slug for told in figures.values()}
    for told in new:
        plain = slug_of(told.name)
        told.slug = plain if plain and plain not in taken else _distinct_slug(told)
        taken.add(told.slug)


def _new_item(told: _Told, stored: Sequence[NewRelease]) -> NewItem:
    releases = tuple(stored)
    for row in told.rows:
        if row.release is not None:
            releases = merged(releases, row.release)
    return NewItem(
        slug=told.slug,
        name=told.name,
        details=FigureDetails(
            manufacturer=_last(row.manufacturer for row in told.rows),
            scale=_last(row.scale for row in told.rows),
            series=_last(row.series for row in told.rows),
            characters=_last(row.characters for row in told.rows),
            sculptors=_last(row.sculptors for row in told.rows),
            releases=releases or None,
        ),
        is_nsfw=_last(row.is_nsfw for row in told.rows),
    )


def _last(values: Iterable[T | None]) -> T | None:
    said = [value for value in values if value is not None]
    return said[-1] if said else None


@dataclass(frozen=True, slots=True)
class _Stored:
    id: UUID
    slug: str
    name: str
    kind: str


class _Matching:
    """The rows so far, by the figure that each tells of: a stored one by its key, a new one by what tells it apart."""

    def __init__(
        self,
        *,
        by_jan: Mapping[str, Sequence[_Stored]],
        by_slug: Mapping[str, _Stored],
        stored: Mapping[int, Sequence[Candidate]],
        similarities: Mapping[tuple[int, int], float],
    ) -> None:
        self._by_jan = by_jan
        self._by_slug = by_slug
        self._stored = stored
        self._similarities = similarities
        self._new: dict[int, tuple[Hashable, FigureRow]] = {}
        self._jans: dict[str, Hashable] = {}
        self.told: dict[Hashable, _Told] = {}
        self.rejected: list[LeftOut] = []
        self.doubtful: list[DoubtfulRow] = []

    def place(self, position: int, numbered: NumberedFigure) -> None:
        """Find out which figure a row tells of."""
        number, row = numbered.number, numbered.row
        named = None if row.slug is None else self._by_slug.get(row.slug)
        if named is not None and named.kind != ItemKind.FIGURE:
            self.rejected.append(LeftOut(number, f"`{named.slug}` is a {named.kind}, not a figure"))
            return
        by_jan = self._targets_of_jan(row)
        wanted: Hashable = named.id if named is not None else row.slug
        if wanted is not None and any(target != wanted for target in by_jan):
            self.rejected.append(LeftOut(number, f"jan {row.jan} is that of another figure than `{row.slug}`"))
        elif named is not None and named.slug != row.slug:
            # By a slug that is another's no more: what is merged into a figure does not name it.
            self._tell(position, named.id, row, name=named.name)
        elif wanted is not None:
            self._tell(position, wanted, row, name=row.name)
        elif len(by_jan) == 1:
            self._tell(position, by_jan[0], row, name=row.name)
        elif by_jan:
            self.rejected.append(LeftOut(number, f"jan {row.jan} is that of several figures; give the slug of one"))
        else:
            self._place_by_name(position, number, row)

    def _targets_of_jan(self, row: FigureRow) -> list[Hashable]:
        if row.jan is None:
            return []
        stored: list[Hashable] = [one.id for one in self._by_jan.get(row.jan, ())]
        if not stored and row.jan in self._jans:
            return [self._jans[row.jan]]
        return stored

    def _place_by_name(self, position: int, number: int, row: FigureRow) -> None:
        chosen = choose(row, [*self._stored.get(position, ()), *self._new_candidates(position)])
        if isinstance(chosen, Doubt):
            one = chosen.candidate
            self.doubtful.append(DoubtfulRow(number, row.name, one.present_name, round(one.similarity, 2)))
        elif chosen is not None:
            self._tell(position, chosen.target, row, name=chosen.present_name)
        else:
            maker = None if row.manufacturer is None else name_key(row.manufacturer)
            self._tell(position, (maker, name_key(row.name), row.scale), row, name=row.name)

    def _new_candidates(self, position: int) -> list[Candidate]:
        return [
            Candidate(target, row.name, row.manufacturer, row.scale, row.jan is not None, similarity)
            for earlier, (target, row) in self._new.items()
            if (similarity := self._similarities.get((earlier, position))) is not None
        ]

    def _tell(self, position: int, target: Hashable, row: FigureRow, *, name: str) -> None:
        if target not in self.told:
            self.told[target] = _Told(target if isinstance(target, str) else "", name)
            if not isinstance(target, UUID):
                self._new[position] = (target, row)
        self.told[target].rows.append(row)
        if row.jan is not None:
            self._jans.setdefault(row.jan, target)


async def _figures_by_jan(connection: AsyncConnection, jans: Sequence[str]) -> dict[str, list[_Stored]]:
    rows = await connection.execute(
        select(FigureRelease.jan, Item.id, Item.slug, Item.name, Item.kind)
        .join(Item, Item.id == FigureRelease.item_id)
        .where(among(FigureRelease.jan, jans))
        .distinct()
    )
    figures: dict[str, list[_Stored]] = {}
    for row in rows:
        figures.setdefault(row.jan, []).append(_Stored(row.id, row.slug, row.name, row.kind))
    return figures


async def _items_by_slug(connection: AsyncConnection, slugs: Sequence[str]) -> dict[str, _Stored]:
    """The items by these slugs, those that they have and those that they had once."""
    owners = await items_of_slugs(connection, slugs)
    rows = await connection.execute(
        select(Item.id, Item.slug, Item.name, Item.kind).where(among(Item.id, set(owners.values())))
    )
    by_id = {row.id: _Stored(row.id, row.slug, row.name, row.kind) for row in rows}
    return {slug: by_id[item_id] for slug, item_id in owners.items()}


async def _slugs(connection: AsyncConnection, item_ids: Sequence[UUID]) -> dict[UUID, str]:
    rows = await connection.execute(select(Item.id, Item.slug).where(among(Item.id, item_ids)))
    return {row.id: row.slug for row in rows}


@dataclass(frozen=True, slots=True)
class _Spelled:
    """How the names are spelled of the rows whose figures are looked for so, by their positions, and by their makers.

    Rows without a maker have None for one.
    """

    spellings: Mapping[int, Spelling]
    by_maker: Mapping[str | None, SimilarNames]


async def _spelled(connection: AsyncConnection, rows: Mapping[int, FigureRow]) -> _Spelled:
    given = (
        func.unnest(literal(list(rows), ARRAY(Integer)), literal([row.name for row in rows.values()], ARRAY(Text)))
        .table_valued("position", "name")
        .render_derived(name="given")
    )
    found = await connection.execute(select(given.c.position, *_spelling_of(given.c.name)))
    spellings = {row.position: Spelling(row.lower, tuple(row.trigrams)) for row in found}
    by_maker: dict[str | None, dict[int, Spelling]] = {}
    for position, row in rows.items():
        maker = None if row.manufacturer is None else name_key(row.manufacturer)
        by_maker.setdefault(maker, {})[position] = spellings[position]
    return _Spelled(
        spellings,
        {maker: SimilarNames(names, least=DOUBTFUL_SIMILARITY) for maker, names in by_maker.items()},
    )


def _spelling_of(
    name: ColumnElement[str] | InstrumentedAttribute[str],
) -> tuple[ColumnElement[str], ColumnElement[Sequence[str]]]:
    return func.lower(name).label("lower"), func.show_trgm(name, type_=ARRAY(Text)).label("trigrams")


async def _stored_candidates(
    connection: AsyncConnection, spelled: _Spelled, rows_by_position: Mapping[int, FigureRow]
) -> dict[int, list[Candidate]]:
    """The figures of the same maker with similar names, or that had such a name's slug; without a maker, of any."""
    by_maker = spelled.by_maker
    called_before = await _called_before(connection, rows_by_position)
    has_jan = select(FigureRelease.jan).where(FigureRelease.item_id == Item.id, FigureRelease.jan.is_not(None)).exists()
    figures = (
        select(
            Item.id,
            Item.name,
            Manufacturer.name.label("maker"),
            Manufacturer.name_key.label("maker_key"),
            Figure.scale,
            has_jan.label("has_jan"),
            *_spelling_of(Item.name),
        )
        .join(Figure, Figure.item_id == Item.id)
        .outerjoin(Manufacturer, Manufacturer.id == Figure.manufacturer_id)
        .order_by(Item.id)
    )
    if None not in by_maker:
        figures = figures.where(or_(Figure.manufacturer_id.is_(None), among(Manufacturer.name_key, by_maker)))
    candidates: dict[int, list[Candidate]] = {}
    async with connection.stream(figures) as stored:
        async for rows in stored.partitions(_FIGURES_AT_A_TIME):
            for row in rows:
                spelling = Spelling(row.lower, tuple(row.trigrams))
                makers = by_maker if row.maker is None else {row.maker_key, None} & by_maker.keys()
                for maker in makers:
                    similar = by_maker[maker].similar_to(spelling)
                    for position, share in similar.items():
                        one = Candidate(row.id, row.name, row.maker, row.scale, row.has_jan, share)
                        candidates.setdefault(position, []).append(one)
                    for position in called_before.get(row.id, set()).intersection(by_maker[maker]) - similar.keys():
                        name = rows_by_position[position].name
                        one = Candidate(row.id, name, row.maker, row.scale, row.has_jan, 1.0, called_now=row.name)
                        candidates.setdefault(position, []).append(one)
    return candidates


async def _called_before(connection: AsyncConnection, rows: Mapping[int, FigureRow]) -> dict[UUID, set[int]]:
    """The items that had the slugs of these rows' names once, as what is merged into them had, with the positions."""
    slugs = {position: slug_of(row.name) for position, row in rows.items()}
    owners = await items_of_old_slugs(connection, slugs.values())
    called: dict[UUID, set[int]] = {}
    for position, slug in slugs.items():
        if slug in owners:
            called.setdefault(owners[slug], set()).add(position)
    return called


def _similarities(spelled: _Spelled) -> dict[tuple[int, int], float]:
    """How similar the names of rows of one maker are, by the positions of the earlier and the later."""
    return {
        (earlier, later): share
        for names in spelled.by_maker.values()
        for later in names
        for earlier, share in names.similar_to(spelled.spellings[later]).items()
        if earlier < later
    }
