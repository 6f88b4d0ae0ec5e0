"""Staff make items and change them. Each change is one transaction, by one writer at a time, and leaves a revision."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import delete, exists, func, insert, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.commands.revisions import last_revision, write_revision
from app.catalogue.commands.save_items import only_writer, save_items
from app.catalogue.commands.save_related import LINKS, save_names
from app.catalogue.errors import CatalogueErrorCode, CatalogueRefused
from app.catalogue.given import (
    RENAMED,
    GivenDetails,
    GivenItem,
    Values,
    name_in_graph,
    read_item,
    refuse_reversed_floats,
    refuse_wrong_check_digit,
    require,
)
from app.catalogue.models import (
    DETAILS,
    CardSet,
    CreationKey,
    ExternalId,
    FigureCharacter,
    FigureRelease,
    FigureSculptor,
    FigureSeries,
    Item,
    ItemKind,
    ItemRedirect,
    Manufacturer,
    RevisionAction,
    Skin,
)
from app.catalogue.new_items import (
    CardDetails,
    CoinDetails,
    Details,
    FigureDetails,
    NewCardSet,
    NewExternalId,
    NewItem,
    NewRelease,
    SkinDetails,
)
from app.catalogue.queries.items import ItemRow, details_by_item, items_by_id
from app.catalogue.queries.redirects import items_of_old_ids, items_of_old_slugs
from app.catalogue.queries.states import changes_between, state_of, stored_item
from app.catalogue.slugs import distinct_slug_of, name_key, slug_of
from app.core.database import Base, Transaction, among

KEYS_KEPT_FOR = timedelta(hours=24)
LONGEST_IDEMPOTENCY_KEY = 200

_COLUMNS = {name: column for column, name in RENAMED.items()}
_LINKS: Mapping[str, type[Base]] = {"origins": FigureSeries, "characters": FigureCharacter, "sculptors": FigureSculptor}


async def create_item(
    transaction: Transaction, given: GivenItem, *, editor_id: UUID | None, idempotency_key: str | None = None
) -> UUID:
    """Add an item; gives its key. The same key and item by the same person within 24 hours give the first one again.

    Without a slug it gets one by its name. Raises CatalogueRefused for what it cannot have, and for a slug, market
    name or external id that another item has.
    """
    connection = transaction.connection
    read = read_item(given)
    details = require(read)
    await only_writer(connection)
    if idempotency_key is not None and editor_id is not None:
        repeated = await _made_before(connection, given, editor_id=editor_id, key=idempotency_key)
        if repeated is not None:
            return repeated
    external_ids = read.values.get("external_ids", ())
    await _refuse_taken_external_ids(connection, external_ids)
    item = NewItem(
        slug=await _slug_of_new(connection, read.values),
        name=read.values["name"],
        details=await _new_details(connection, details),
        image_url=read.values.get("image_url"),
        external_ids=external_ids,
        is_nsfw=read.values.get("is_nsfw"),
    )
    await save_items(transaction, [item])
    item_id: UUID = (await connection.execute(select(Item.id).where(Item.slug == item.slug))).scalar_one()
    changes = changes_between({}, await state_of(connection, item_id))
    await write_revision(connection, item_id, RevisionAction.CREATED, changes, editor_id=editor_id)
    if idempotency_key is not None and editor_id is not None:
        await connection.execute(
            insert(CreationKey).values(
                user_id=editor_id, key=idempotency_key, content_hash=_hash_of(given), item_id=item_id
            )
        )
    return item_id


async def edit_item(
    transaction: Transaction,
    item_id: UUID,
    given: GivenItem,
    *,
    editor_id: UUID | None,
    expected_revision: int | None = None,
) -> None:
    """Change what is given of an item, and nothing else; what changes nothing leaves no revision.

    What is stored can be given again as it is. A slug that it had before leads to it for good. Raises CatalogueRefused
    as `create_item` does, for details of another kind, and where its newest revision is not the expected one.
    """
    connection = transaction.connection
    await only_writer(connection)
    row = await hold_item(connection, item_id, field=["id"])
    await _refuse_another_revision(connection, item_id, expected_revision)
    if given.details is not None and given.details.kind is not row.kind:
        raise CatalogueRefused(
            CatalogueErrorCode.WRONG_KIND,
            f"`{row.slug}` is a {row.kind.value}; give the details of one.",
            field=["details", given.details.kind.value],
        )
    read = read_item(given, stored=await stored_item(connection, row))
    before = await state_of(connection, item_id)
    if read.values.get("slug", row.slug) != row.slug:
        await _move_slug(connection, row, read.values["slug"])
    if "external_ids" in read.values:
        await _replace_external_ids(connection, item_id, read.values["external_ids"])
    if read.details is not None:
        await _change_details(connection, row, read.details)
    columns = {name: read.values[name] for name in ("slug", "name", "image_url", "is_nsfw") if name in read.values}
    if columns:
        await connection.execute(update(Item).where(Item.id == item_id).values(columns))
    await finish_edit(connection, item_id, before, editor_id=editor_id)


async def finish_edit(
    connection: AsyncConnection, item_id: UUID, before: Mapping[str, Any], *, editor_id: UUID | None
) -> None:
    """Write a revision of what is different now, if anything is."""
    changes = changes_between(before, await state_of(connection, item_id))
    if changes:
        await connection.execute(update(Item).where(Item.id == item_id).values(updated_at=func.now()))
        await write_revision(connection, item_id, RevisionAction.EDITED, changes, editor_id=editor_id)


async def hold_item(connection: AsyncConnection, item_id: UUID, *, field: Sequence[str]) -> ItemRow:
    """An item, locked until the transaction ends; refuses one that is not there, or not any more."""
    await connection.execute(select(Item.id).where(Item.id == item_id).with_for_update(key_share=True))
    found = (await items_by_id(connection, [item_id])).get(item_id)
    if found is not None:
        return found
    winner_id = (await items_of_old_ids(connection, [item_id])).get(item_id)
    if winner_id is None:
        raise no_such_item(field)
    winner = (await items_by_id(connection, [winner_id]))[winner_id]
    raise CatalogueRefused(
        CatalogueErrorCode.ALREADY_MERGED, f"This item was merged into `{winner.slug}`; change that one.", field=field
    )


def no_such_item(field: Sequence[str]) -> CatalogueRefused:
    """The refusal of an id that is no item's."""
    return CatalogueRefused(CatalogueErrorCode.NOT_FOUND, "There is no such item.", field=field)


async def _refuse_another_revision(connection: AsyncConnection, item_id: UUID, expected: int | None) -> None:
    if expected is None:
        return
    newest = await last_revision(connection, item_id)
    if newest != expected:
        raise CatalogueRefused(
            CatalogueErrorCode.CONFLICT,
            f"Somebody else was faster: its newest revision is {newest}, not {expected}. Look at it and try again.",
            field=["expectedRevision"],
        )


async def _made_before(connection: AsyncConnection, given: GivenItem, *, editor_id: UUID, key: str) -> UUID | None:
    if not 1 <= len(key) <= LONGEST_IDEMPOTENCY_KEY or not key.isprintable():
        raise CatalogueRefused(
            CatalogueErrorCode.INVALID_INPUT,
            f"An idempotency key has from 1 to {LONGEST_IDEMPOTENCY_KEY} characters.",
            field=["idempotencyKey"],
        )
    await connection.execute(
        delete(CreationKey).where(CreationKey.user_id == editor_id, CreationKey.created_at < func.now() - KEYS_KEPT_FOR)
    )
    stored = (
        await connection.execute(
            select(CreationKey.content_hash, CreationKey.item_id).where(
                CreationKey.user_id == editor_id, CreationKey.key == key
            )
        )
    ).one_or_none()
    if stored is None:
        return None
    if stored.content_hash != _hash_of(given):
        raise CatalogueRefused(
            CatalogueErrorCode.IDEMPOTENCY_KEY_REUSED,
            "This idempotency key was used for another item; use a new key for a new item.",
            field=["idempotencyKey"],
        )
    item_id: UUID = stored.item_id
    return item_id


def _hash_of(given: GivenItem) -> str:
    return sha256(orjson.dumps(given, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()


async def _slug_of_new(connection: AsyncConnection, values: Values) -> str:
    if "slug" in values:
        await _refuse_taken_slug(connection, values["slug"])
        slug: str = values["slug"]
        return slug
    for slug in (slug_of(values["name"]), distinct_slug_of(values["name"])):
        if slug and not await _is_taken(connection, slug):
            return slug
    raise CatalogueRefused(
        CatalogueErrorCode.SLUG_TAKEN, "There are items of this name already; give this one a slug.", field=["slug"]
    )


async def _is_taken(connection: AsyncConnection, slug: str) -> bool:
    taken = select(exists().where(Item.slug == slug) | exists().where(ItemRedirect.slug == slug))
    return bool(await connection.scalar(taken))


async def _refuse_taken_slug(connection: AsyncConnection, slug: str, *, of: UUID | None = None) -> None:
    """Refuse a slug that another item has, or had: links to it would lead elsewhere."""
    if await connection.scalar(select(exists().where(Item.slug == slug, Item.id.is_distinct_from(of)))):
        raise CatalogueRefused(CatalogueErrorCode.SLUG_TAKEN, f"Another item has the slug `{slug}`.", field=["slug"])
    holder = (await items_of_old_slugs(connection, [slug])).get(slug)
    if holder is not None and holder != of:
        current = (await items_by_id(connection, [holder]))[holder].slug
        raise CatalogueRefused(
            CatalogueErrorCode.SLUG_TAKEN,
            f"`{slug}` still leads to `{current}`, which had it before; choose another slug.",
            field=["slug"],
        )


async def _move_slug(connection: AsyncConnection, row: ItemRow, slug: str) -> None:
    """Let the old slug lead to the item; one of its own that it takes again is no redirect any more."""
    await _refuse_taken_slug(connection, slug, of=row.id)
    await connection.execute(delete(ItemRedirect).where(ItemRedirect.slug == slug, ItemRedirect.old_id.is_(None)))
    await connection.execute(update(ItemRedirect).where(ItemRedirect.slug == slug).values(slug=None))
    await connection.execute(insert(ItemRedirect).values(item_id=row.id, slug=row.slug))


async def _refuse_taken_external_ids(
    connection: AsyncConnection, names: Collection[NewExternalId], *, of: UUID | None = None
) -> None:
    for place, name in enumerate(names):
        holder = await connection.scalar(
            select(Item.slug)
            .join(ExternalId, ExternalId.item_id == Item.id)
            .where(ExternalId.provider == name.provider, ExternalId.external_id == name.external_id)
            .where(Item.id.is_distinct_from(of))
        )
        if holder is not None:
            raise CatalogueRefused(
                CatalogueErrorCode.EXTERNAL_ID_TAKEN,
                f"{name.provider}:{name.external_id} is `{holder}`; an external id names one item.",
                field=["externalIds", str(place)],
            )


async def _replace_external_ids(connection: AsyncConnection, item_id: UUID, names: Sequence[NewExternalId]) -> None:
    await _refuse_taken_external_ids(connection, names, of=item_id)
    await connection.execute(delete(ExternalId).where(ExternalId.item_id == item_id))
    if names:
        await connection.execute(
            insert(ExternalId),
            [{"provider": name.provider, "external_id": name.external_id, "item_id": item_id} for name in names],
        )


async def _new_details(connection: AsyncConnection, details: GivenDetails) -> Details:
    values = dict(details.values)
    if details.kind is ItemKind.SKIN:
        refuse_reversed_floats(values.get("float_minimum"), values.get("float_maximum"))
        await _refuse_taken_market_name(connection, values["market_hash_name"])
        return SkinDetails(**{_COLUMNS.get(name, name): value for name, value in values.items()})
    if details.kind is ItemKind.COIN:
        return CoinDetails(**values)
    if details.kind is ItemKind.CARD:
        set_id = values.pop("set_id", None)
        card_set = None if set_id is None else await _set_of(connection, set_id, game=values["game"])
        return CardDetails(**values, card_set=card_set)
    await _refuse_wrong_jans(connection, values.get("releases", ()))
    origins = values.pop("origins", None)
    return FigureDetails(**values, series=origins)


async def _set_of(connection: AsyncConnection, set_id: UUID, *, game: str) -> NewCardSet:
    field = ["details", "card", "setId"]
    row = (await connection.execute(select(CardSet.game, CardSet.code).where(CardSet.id == set_id))).one_or_none()
    if row is None:
        raise CatalogueRefused(CatalogueErrorCode.NOT_FOUND, "There is no such set of cards.", field=field)
    if row.game != game:
        raise CatalogueRefused(
            CatalogueErrorCode.INVALID_INPUT, f"{row.code} is a set of {row.game}, not of {game}.", field=field
        )
    return NewCardSet(row.game, row.code)


async def _refuse_taken_market_name(connection: AsyncConnection, name: str, *, of: UUID | None = None) -> None:
    holder = await connection.scalar(
        select(Item.slug)
        .join(Skin, Skin.item_id == Item.id)
        .where(Skin.market_hash_name == name, Skin.item_id.is_distinct_from(of))
    )
    if holder is not None:
        raise CatalogueRefused(
            CatalogueErrorCode.NAME_TAKEN,
            f"“{name}” is in the catalogue as `{holder}`.",
            field=["details", "skin", "marketHashName"],
        )


async def _refuse_wrong_jans(
    connection: AsyncConnection, releases: Sequence[NewRelease], *, of: UUID | None = None
) -> None:
    """Refuse JAN codes with a wrong check digit and those of other figures; what the figure has may be sent back."""
    jans = [release.jan for release in releases if release.jan is not None]
    rows = await connection.execute(
        select(FigureRelease.jan, FigureRelease.item_id, Item.slug)
        .join(Item, Item.id == FigureRelease.item_id)
        .where(among(FigureRelease.jan, jans))
        .order_by(Item.slug)
    )
    stored = list(rows)
    own = {one.jan for one in stored if one.item_id == of}
    holders = {one.jan: one.slug for one in stored if one.item_id != of}
    for place, release in enumerate(releases):
        if release.jan is None or release.jan in own:
            continue
        path = ["details", "figure", "releases", str(place), "jan"]
        refuse_wrong_check_digit(release.jan, *path)
        if release.jan in holders:
            raise CatalogueRefused(
                CatalogueErrorCode.JAN_TAKEN,
                f"JAN {release.jan} is that of `{holders[release.jan]}`; change that one, or look at the code again.",
                field=path,
            )


async def _change_details(connection: AsyncConnection, row: ItemRow, details: GivenDetails) -> None:
    stored = (await details_by_item(connection, row.kind, [row.id])).get(row.id, {})
    columns = {_COLUMNS.get(name, name): value for name, value in details.values.items()}
    after = {**stored, **columns}
    if row.kind is ItemKind.SKIN:
        refuse_reversed_floats(after.get("float_minimum"), after.get("float_maximum"))
        if "market_hash_name" in columns:
            await _refuse_taken_market_name(connection, columns["market_hash_name"], of=row.id)
    if row.kind is ItemKind.CARD and after.get("set_id") is not None:
        await _set_of(connection, after["set_id"], game=after.get("game", ""))
    if row.kind is ItemKind.FIGURE:
        await _refuse_wrong_jans(connection, details.values.get("releases", ()), of=row.id)
        columns = await _figure_columns(connection, columns)
    columns = {name: list(value) if isinstance(value, tuple) else value for name, value in columns.items()}
    await _store_details(connection, row, columns, is_new=not stored)
    if row.kind is ItemKind.FIGURE:
        await _change_figure(connection, row.id, details.values)


async def _figure_columns(connection: AsyncConnection, given: Values) -> dict[str, Any]:
    columns = {"scale": given["scale"]} if "scale" in given else {}
    if "manufacturer" in given:
        maker = given["manufacturer"]
        names = {} if maker is None else await save_names(connection, Manufacturer, [maker])
        columns["manufacturer_id"] = None if maker is None else names[name_key(maker)]
    return columns


async def _store_details(connection: AsyncConnection, row: ItemRow, columns: Values, *, is_new: bool) -> None:
    table = DETAILS[row.kind]
    if not is_new:
        if columns:
            await connection.execute(update(table).where(table.__table__.c.item_id == row.id).values(columns))
        return
    needed = {
        column.name for column in table.__table__.columns if not column.nullable and column.server_default is None
    }
    missing = sorted(needed - {"item_id", *columns})
    if missing:
        raise CatalogueRefused(
            CatalogueErrorCode.INVALID_INPUT,
            "Give it; nothing is known of the item's details yet.",
            field=["details", row.kind.value, name_in_graph(missing[0])],
        )
    await connection.execute(postgresql.insert(table).values(item_id=row.id, **columns))


async def _change_figure(connection: AsyncConnection, item_id: UUID, given: Values) -> None:
    for name, link in _LINKS.items():
        if name in given:
            keys = await save_names(connection, LINKS[link], given[name])
            linked, other = link.__table__.columns
            await connection.execute(delete(link).where(linked == item_id))
            rows = [{linked.name: item_id, other.name: key} for key in set(keys.values())]
            if rows:
                await connection.execute(insert(link), rows)
    if "releases" in given:
        await replace_releases(connection, item_id, given["releases"])


async def replace_releases(connection: AsyncConnection, item_id: UUID, releases: Sequence[NewRelease]) -> None:
    """Make these the releases of a figure, in their order."""
    await connection.execute(delete(FigureRelease).where(among(FigureRelease.item_id, [item_id])))
    rows = [
        {
            "item_id": item_id,
            "position": position,
            "released_on": release.released_on,
            "list_price": release.list_price,
            "currency": release.currency,
            "jan": release.jan,
        }
        for position, release in enumerate(releases)
    ]
    if rows:
        await connection.execute(insert(FigureRelease), rows)
