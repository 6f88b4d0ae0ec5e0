"""Import series with the names that lists of anime have for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.anime import PROVIDERS, NewSeries
from app.catalogue.commands.save_items import only_writer
from app.catalogue.commands.save_related import save_names
from app.catalogue.left_out import LeftOut
from app.catalogue.models import Series, SeriesExternalId
from app.catalogue.slugs import name_key
from app.core.database import Transaction, among


@dataclass(frozen=True, slots=True)
class ImportedSeries:
    """How many series were new, learned an id, and known as they are; and the lines that stayed out."""

    inserted: int
    updated: int
    unchanged: int
    rejected: tuple[LeftOut, ...]


ExternalName = tuple[str, str]


async def import_series(transaction: Transaction, given: Sequence[NewSeries]) -> ImportedSeries:
    """Save series, known by any of their ids, else by their title; the same again changes nothing.

    A stored title stays. A line whose ids are those of two series, or whose title has other ids already, stays out.
    """
    connection = transaction.connection
    await only_writer(connection)
    names: dict[ExternalName, UUID] = {}
    ids: dict[UUID, dict[str, str]] = {}
    for row in await connection.execute(
        select(SeriesExternalId.provider, SeriesExternalId.external_id, SeriesExternalId.series_id)
    ):
        names[row.provider, row.external_id] = row.series_id
        ids.setdefault(row.series_id, {})[row.provider] = row.external_id
    by_title = await _series_by_title(connection, given)
    before = set(by_title.values()) | set(ids)
    added: list[tuple[ExternalName, UUID]] = []
    touched: set[UUID] = set()
    rejected = []
    for one in given:
        told = {provider: name for provider, name in zip(PROVIDERS, one.ids, strict=True) if name is not None}
        owners = {names[name] for name in told.items() if name in names}
        key = name_key(one.title)
        if len(owners) > 1:
            rejected.append(LeftOut(one.number, f"the ids of “{one.title}” are those of {len(owners)} series"))
            continue
        series_id = owners.pop() if owners else by_title.get(key)
        if series_id is None:
            by_title |= await save_names(connection, Series, [one.title])
            series_id = by_title[key]
        known = ids.setdefault(series_id, {})
        if any(known.get(provider, name) != name for provider, name in told.items()):
            rejected.append(LeftOut(one.number, f"“{one.title}” is known by other ids"))
            continue
        touched.add(series_id)
        for name in told.items():
            if name not in names:
                names[name] = series_id
                known[name[0]] = name[1]
                added.append((name, series_id))
    await _add(connection, added)
    changed = {series_id for _, series_id in added}
    return ImportedSeries(
        inserted=len(touched - before),
        updated=len(changed & before),
        unchanged=len((touched & before) - changed),
        rejected=tuple(rejected),
    )


async def _series_by_title(connection: AsyncConnection, given: Sequence[NewSeries]) -> dict[str, UUID]:
    keys = {name_key(one.title) for one in given}
    rows = await connection.execute(select(Series.name_key, Series.id).where(among(Series.name_key, keys)))
    return {row.name_key: row.id for row in rows}


async def _add(connection: AsyncConnection, names: Sequence[tuple[ExternalName, UUID]]) -> None:
    if not names:
        return
    rows = [
        {"provider": provider, "external_id": external_id, "series_id": series_id}
        for (provider, external_id), series_id in names
    ]
    await connection.execute(insert(SeriesExternalId), rows)
