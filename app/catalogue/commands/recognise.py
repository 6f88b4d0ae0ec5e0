"""Which of the given items the catalogue has already, and in what they differ from what is stored."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.commands.save_related import LINKS, Related
from app.catalogue.errors import ItemsContradict
from app.catalogue.models import DEFAULT_VARIANT_KEY, ExternalId, ItemKind
from app.catalogue.new_items import FigureDetails, NewExternalId, NewItem, NewRelease
from app.catalogue.queries.items import (
    ItemRow,
    VariantRow,
    details_by_item,
    external_ids_by_item,
    items_by_id,
    items_by_slug,
    links_by_figure,
    releases_by_figure,
    variants_by_item,
)
from app.catalogue.queries.redirects import items_of_old_slugs
from app.core.database import Base


@dataclass(frozen=True, slots=True)
class Known:
    """A given item that is stored already, beside everything that hangs on the stored one.

    `given_details` and `given_links` are what is said of the row of its kind and of what it is linked to.
    """

    given: NewItem
    given_details: Mapping[str, Any]
    given_links: Mapping[type[Base], Set[UUID]]
    row: ItemRow
    details: Mapping[str, Any]
    external_ids: Set[NewExternalId]
    variants: Sequence[VariantRow]
    links: Mapping[type[Base], Set[UUID]] = field(default_factory=dict)
    releases: Sequence[NewRelease] = ()

    def differs(self) -> bool:
        """Whether there is anything to update."""
        return (
            self.row.name != self.given.name
            or self.row.image_url != self.new_image_url()
            or self.row.is_nsfw != self.new_is_nsfw()
            or self.details_differ()
            or bool(self.new_links())
            or self.new_releases() is not None
            or bool(self.new_external_ids() or self._missing_variant_keys() or self.renamed_variants())
        )

    def new_image_url(self) -> str | None:
        """The given address, else the stored one."""
        return self.row.image_url if self.given.image_url is None else self.given.image_url

    def new_is_nsfw(self) -> bool:
        """What is said, else what is stored."""
        return self.row.is_nsfw if self.given.is_nsfw is None else self.given.is_nsfw

    def new_details(self) -> dict[str, Any]:
        """The row of details: the given ones, and where those say nothing the stored ones."""
        given = self.given_details
        merged = {name: self.details.get(name) if value is None else value for name, value in given.items()}
        return {"item_id": self.row.id, **merged}

    def details_differ(self) -> bool:
        """Whether the row of details has to change."""
        return self.new_details() != self.details

    def new_links(self) -> dict[type[Base], Set[UUID]]:
        """What it is to be linked to, by those tables where that is not what is stored."""
        return {link: keys for link, keys in self.given_links.items() if keys != self.links.get(link, set())}

    def new_releases(self) -> Sequence[NewRelease] | None:
        """The given releases; None where nothing is said or they are those that are stored."""
        details = self.given.details
        given = details.releases if isinstance(details, FigureDetails) else None
        return None if given is None or list(given) == list(self.releases) else given

    def new_external_ids(self) -> list[NewExternalId]:
        """The given external ids that are not stored yet."""
        return [name for name in dict.fromkeys(self.given.external_ids) if name not in self.external_ids]

    def missing_variants(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Those of the item's variant rows that are not stored yet."""
        missing = self._missing_variant_keys()
        return [row for row in rows if row["key"] in missing]

    def renamed_variants(self) -> list[tuple[UUID, str]]:
        """The stored variants whose given name is another, with that name."""
        names = {variant.key: variant.name for variant in self.given.variants}
        return [
            (variant.id, names[variant.key])
            for variant in self.variants
            if names.get(variant.key, variant.name) != variant.name
        ]

    def _missing_variant_keys(self) -> set[str]:
        wanted = {variant.key for variant in self.given.variants}
        if not any(variant.is_default for variant in self.variants):
            wanted.add(DEFAULT_VARIANT_KEY)
        return wanted - {variant.key for variant in self.variants}


async def recognise(connection: AsyncConnection, items: Sequence[NewItem], related: Related) -> dict[str, Known]:
    """The items that are stored already, by their given slug; refuses those that cannot be what is stored."""
    rows = await _rows(connection, items)
    ids = [row.id for row in rows.values()]
    details: dict[UUID, Mapping[str, Any]] = {}
    for kind in {row.kind for row in rows.values()}:
        details |= await details_by_item(connection, kind, [row.id for row in rows.values() if row.kind is kind])
    figures = [row.id for row in rows.values() if row.kind is ItemKind.FIGURE]
    links = {link: await links_by_figure(connection, link, figures) for link in LINKS} if figures else {}
    releases = await releases_by_figure(connection, figures) if figures else {}
    external_ids = await external_ids_by_item(connection, ids)
    variants = await variants_by_item(connection, ids)
    known = {}
    for item in items:
        row = rows.get(item.slug)
        if row is None:
            continue
        known[item.slug] = Known(
            given=item,
            given_details=related.details(item),
            given_links=related.links(item),
            row=row,
            details=details.get(row.id, {}),
            external_ids={NewExternalId(name.provider, name.external_id) for name in external_ids.get(row.id, ())},
            variants=variants.get(row.id, ()),
            links={link: by_figure.get(row.id, set()) for link, by_figure in links.items()},
            releases=releases.get(row.id, ()),
        )
        _refuse_mistaken(known[item.slug])
    return known


async def _rows(connection: AsyncConnection, items: Sequence[NewItem]) -> dict[str, ItemRow]:
    owners = await _owners(connection, [name for item in items for name in item.external_ids])
    by_id = await items_by_id(connection, list(set(owners.values())))
    by_slug = dict(await items_by_slug(connection, [item.slug for item in items]))
    moved = await items_of_old_slugs(connection, [item.slug for item in items if item.slug not in by_slug])
    by_new_id = await items_by_id(connection, list(moved.values()))
    by_slug |= {slug: by_new_id[item_id] for slug, item_id in moved.items()}
    rows: dict[str, ItemRow] = {}
    for item in items:
        found = {owners[name] for name in item.external_ids if name in owners}
        if len(found) > 1:
            slugs = " and ".join(sorted(f"`{by_id[item_id].slug}`" for item_id in found))
            raise ItemsContradict(f"The external ids of `{item.slug}` name different items: {slugs}.")
        if found:
            rows[item.slug] = by_id[found.pop()]
        elif item.slug in by_slug:
            rows[item.slug] = by_slug[item.slug]
    return rows


async def _owners(connection: AsyncConnection, names: Sequence[NewExternalId]) -> dict[NewExternalId, UUID]:
    given = (
        func.unnest(
            literal([name.provider for name in names], ARRAY(Text)),
            literal([name.external_id for name in names], ARRAY(Text)),
        )
        .table_valued("provider", "external_id")
        .render_derived()
    )
    rows = await connection.execute(
        select(ExternalId.provider, ExternalId.external_id, ExternalId.item_id).join(
            given, (ExternalId.provider == given.c.provider) & (ExternalId.external_id == given.c.external_id)
        )
    )
    return {NewExternalId(row.provider, row.external_id): row.item_id for row in rows}


def _refuse_mistaken(known: Known) -> None:
    row, item = known.row, known.given
    if row.kind is not item.kind:
        raise ItemsContradict(f"`{row.slug}` is a {row.kind.value} and cannot become a {item.kind.value}.")
    if not known.external_ids.isdisjoint(item.external_ids):
        return
    for name in item.external_ids:
        for other in known.external_ids:
            if other.provider == name.provider:
                raise ItemsContradict(
                    f"`{row.slug}` is {other.provider}:{other.external_id}, not {name.provider}:{name.external_id}; "
                    "give the other item a slug of its own."
                )
