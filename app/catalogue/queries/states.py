"""What an item is, by the names of the graph: what revisions compare, and what may be given again as it is."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.given import RENAMED, GivenDetails, GivenItem, name_in_graph
from app.catalogue.models import (
    CardSet,
    Character,
    FigureCharacter,
    FigureSculptor,
    FigureSeries,
    ItemKind,
    ItemVariant,
    Manufacturer,
    Sculptor,
    Series,
)
from app.catalogue.new_items import NewExternalId
from app.catalogue.queries.items import ItemRow, details_by_item, external_ids_by_item, items_by_id, releases_by_figure

State = Mapping[str, Any]

_NAMES = {
    "origins": (select(Series.name).join(FigureSeries, FigureSeries.series_id == Series.id), FigureSeries.item_id),
    "characters": (
        select(Character.name).join(FigureCharacter, FigureCharacter.character_id == Character.id),
        FigureCharacter.item_id,
    ),
    "sculptors": (
        select(Sculptor.name).join(FigureSculptor, FigureSculptor.sculptor_id == Sculptor.id),
        FigureSculptor.item_id,
    ),
}
_KEYS = ("item_id", "set_id", "manufacturer_id")


async def state_of(connection: AsyncConnection, item_id: UUID) -> State:
    """Everything that staff can change of an item, as JSON has it; what is null is left out."""
    row = (await items_by_id(connection, [item_id]))[item_id]
    external_ids = (await external_ids_by_item(connection, [item_id])).get(item_id, ())
    state: dict[str, Any] = {
        "kind": row.kind.value,
        "slug": row.slug,
        "name": row.name,
        "imageUrl": row.image_url,
        "isNsfw": row.is_nsfw,
        "externalIds": [f"{name.provider}:{name.external_id}" for name in external_ids],
        "variants": await _variants(connection, item_id),
        **await _details(connection, row.kind, item_id),
    }
    return {name: value for name, value in state.items() if value is not None}


async def stored_item(connection: AsyncConnection, row: ItemRow) -> GivenItem:
    """An item as staff would have to say it, each value as it is kept."""
    external_ids = (await external_ids_by_item(connection, [row.id])).get(row.id, ())
    columns = (await details_by_item(connection, row.kind, [row.id])).get(row.id, {})
    details: dict[str, Any] = {RENAMED.get(name, name): value for name, value in columns.items()}
    if row.kind is ItemKind.FIGURE:
        details |= await _names_of_figure(connection, row.id, columns.get("manufacturer_id"))
        details["releases"] = (await releases_by_figure(connection, [row.id])).get(row.id, ())
    values = {
        "slug": row.slug,
        "name": row.name,
        "image_url": row.image_url,
        "is_nsfw": row.is_nsfw,
        "external_ids": [NewExternalId(name.provider, name.external_id) for name in external_ids],
    }
    return GivenItem(values, GivenDetails(row.kind, details))


def changes_between(before: State, after: State) -> Mapping[str, Any]:
    """By each field that differs what it was before and after; null where there was nothing."""
    return {
        name: {"before": before.get(name), "after": after.get(name)}
        for name in (*before, *(name for name in after if name not in before))
        if before.get(name) != after.get(name)
    }


async def _variants(connection: AsyncConnection, item_id: UUID) -> list[dict[str, Any]]:
    rows = await connection.execute(
        select(ItemVariant.key, ItemVariant.name, ItemVariant.position)
        .where(ItemVariant.item_id == item_id)
        .order_by(ItemVariant.position, ItemVariant.id)
    )
    return [dict(row._mapping) for row in rows]  # SQLAlchemy's public name for it


async def _details(connection: AsyncConnection, kind: ItemKind, item_id: UUID) -> dict[str, Any]:
    row = (await details_by_item(connection, kind, [item_id])).get(item_id, {})
    details = {name_in_graph(RENAMED.get(name, name)): value for name, value in row.items() if name not in _KEYS}
    if kind is ItemKind.CARD:
        details["set"] = await _set(connection, row.get("set_id"))
    if kind is ItemKind.FIGURE:
        details |= await _names_of_figure(connection, item_id, row.get("manufacturer_id"))
        details["releases"] = await _releases(connection, item_id)
    return details


async def _names_of_figure(connection: AsyncConnection, item_id: UUID, manufacturer_id: UUID | None) -> dict[str, Any]:
    named: dict[str, Any] = {
        "manufacturer": await connection.scalar(select(Manufacturer.name).where(Manufacturer.id == manufacturer_id))
    }
    for name, (names, figure_id) in _NAMES.items():
        rows = await connection.execute(names.where(figure_id == item_id))
        named[name] = sorted(row.name for row in rows)
    return named


async def _set(connection: AsyncConnection, set_id: UUID | None) -> dict[str, str] | None:
    row = (await connection.execute(select(CardSet.game, CardSet.code).where(CardSet.id == set_id))).one_or_none()
    return None if row is None else {"game": row.game, "code": row.code}


async def _releases(connection: AsyncConnection, item_id: UUID) -> list[dict[str, str | None]]:
    releases = (await releases_by_figure(connection, [item_id])).get(item_id, ())
    return [
        {
            "releasedOn": None if release.released_on is None else release.released_on.isoformat(),
            "listPrice": None if release.list_price is None else _plain(release.list_price),
            "currency": release.currency,
            "jan": release.jan,
        }
        for release in releases
    ]


def _plain(amount: Decimal) -> str:
    return format(amount, "f")
