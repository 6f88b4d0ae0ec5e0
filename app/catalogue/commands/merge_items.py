"""Two items that are one become one: what referred to the loser refers to the winner, and the loser's row goes.

A table that refers to items or variants needs a step here or, in a room above, in a follower; a test finds one that has
none.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, literal, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from app.catalogue.commands.edit_items import hold_item, replace_releases
from app.catalogue.commands.photos import MAXIMUM_PHOTOS, hold_photos
from app.catalogue.commands.revisions import join_histories, write_revision
from app.catalogue.commands.save_items import only_writer
from app.catalogue.commands.save_related import LINKS
from app.catalogue.errors import CatalogueErrorCode, CatalogueRefused
from app.catalogue.figures import joined
from app.catalogue.given import LARGEST_POSITION
from app.catalogue.models import (
    DETAILS,
    CreationKey,
    ExternalId,
    Item,
    ItemKind,
    ItemPhoto,
    ItemRedirect,
    ItemVariant,
    RevisionAction,
)
from app.catalogue.queries.items import ItemRow, details_by_item, releases_by_figure
from app.catalogue.queries.states import changes_between, state_of
from app.core.database import Transaction, among
from app.core.ids import PublicIdTag, public_id


@dataclass(frozen=True, slots=True)
class Merge:
    """Two locked items of one kind. `variants` leads from each variant of the loser that goes with it, because the
    winner has one of the same key, to that one; the loser's other variants become the winner's."""

    winner: ItemRow
    loser: ItemRow
    variants: Mapping[UUID, UUID]


Follower = Callable[[Transaction, Merge], Awaitable[None]]
Step = Callable[[AsyncConnection, Merge], Awaitable[None]]


async def merge_items(
    transaction: Transaction,
    *,
    winner_id: UUID,
    loser_id: UUID,
    editor_id: UUID | None,
    followers: Sequence[Follower],
) -> None:
    """Merge an item into another of its kind. The loser's id and slug lead to the winner from then on.

    What the winner says of itself stays; where it says nothing, the loser's word counts. `followers` are the rooms
    above, which take over what hangs on variants before these go. One merge at a time: locks are taken in the order
    writers, photos, items, series, valuation states, variants. Raises CatalogueRefused for an item that is not there,
    was merged before, is of another kind, or is the same one, and for more photos than one item may have.
    """
    connection = transaction.connection
    if winner_id == loser_id:
        raise CatalogueRefused(
            CatalogueErrorCode.INVALID_INPUT, "An item cannot be merged into itself.", field=["loserId"]
        )
    await only_writer(connection)
    for item_id in sorted([winner_id, loser_id]):
        await hold_photos(connection, item_id)
    merge = await _begin(connection, winner_id=winner_id, loser_id=loser_id)
    await _refuse_too_many_photos(connection, merge)
    before, lost = await state_of(connection, winner_id), await state_of(connection, loser_id)
    for follow in followers:
        await follow(transaction, merge)
    for step in STEPS:
        await step(connection, merge)
    gone = {"before": None, "after": {"id": public_id(PublicIdTag.ITEM, loser_id), **lost}}
    changes = {**changes_between(before, await state_of(connection, winner_id)), "merged": gone}
    await write_revision(connection, winner_id, RevisionAction.MERGED, changes, editor_id=editor_id)


async def _begin(connection: AsyncConnection, *, winner_id: UUID, loser_id: UUID) -> Merge:
    both = select(Item.id).where(among(Item.id, [winner_id, loser_id]))
    await connection.execute(both.order_by(Item.id).with_for_update())
    winner = await hold_item(connection, winner_id, field=["winnerId"])
    loser = await hold_item(connection, loser_id, field=["loserId"])
    if winner.kind is not loser.kind:
        raise CatalogueRefused(
            CatalogueErrorCode.WRONG_KIND,
            f"`{loser.slug}` is a {loser.kind.value} and `{winner.slug}` a {winner.kind.value}; only items of one kind "
            "can be one.",
            field=["loserId"],
        )
    return Merge(winner, loser, await _shared_variants(connection, winner_id, loser_id))


async def _refuse_too_many_photos(connection: AsyncConnection, merge: Merge) -> None:
    of_both = select(func.count()).where(among(ItemPhoto.item_id, [merge.winner.id, merge.loser.id]))
    photos = int((await connection.execute(of_both)).scalar_one())
    if photos > MAXIMUM_PHOTOS:
        raise CatalogueRefused(
            CatalogueErrorCode.TOO_MANY_PHOTOS,
            f"The two have {photos} photos together, and an item has at most {MAXIMUM_PHOTOS}; delete some first.",
            field=["loserId"],
        )


async def _shared_variants(connection: AsyncConnection, winner_id: UUID, loser_id: UUID) -> Mapping[UUID, UUID]:
    rows = (
        await connection.execute(
            select(ItemVariant.id, ItemVariant.item_id, ItemVariant.key).where(
                among(ItemVariant.item_id, [winner_id, loser_id])
            )
        )
    ).all()
    of_winner = {row.key: row.id for row in rows if row.item_id == winner_id}
    return {row.id: of_winner[row.key] for row in rows if row.item_id == loser_id and row.key in of_winner}


async def _fill_in_item(connection: AsyncConnection, merge: Merge) -> None:
    winner, loser = merge.winner, merge.loser
    await connection.execute(
        update(Item)
        .where(Item.id == winner.id)
        .values(
            image_url=loser.image_url if winner.image_url is None else winner.image_url,
            is_nsfw=winner.is_nsfw or loser.is_nsfw,
            updated_at=func.now(),
        )
    )


async def _fill_in_details(connection: AsyncConnection, merge: Merge) -> None:
    kind, winner_id, loser_id = merge.winner.kind, merge.winner.id, merge.loser.id
    stored = await details_by_item(connection, kind, [winner_id, loser_id])
    if loser_id not in stored:
        return
    own = stored.get(winner_id, {})
    filled = _filled_in(own, stored[loser_id])
    table = DETAILS[kind]
    if kind is not ItemKind.FIGURE:
        # A market name is there once.
        await connection.execute(delete(table).where(table.__table__.c.item_id == loser_id))
    row = postgresql.insert(table).values(filled | {"item_id": winner_id})
    replaced = {name: row.excluded[name] for name in filled if name != "item_id"}
    await connection.execute(row.on_conflict_do_update(index_elements=["item_id"], set_=replaced))


def _filled_in(own: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """What the winner says of itself, and the loser's word where that can stand beside it."""
    filled = {name: _filled(own.get(name), value) for name, value in others.items()}
    for name, whole in _WITHIN.items():
        if name in filled and filled[whole] != others[whole]:
            filled[name] = own.get(name)
    least, greatest = filled.get("float_minimum"), filled.get("float_maximum")
    if least is not None and greatest is not None and least > greatest:
        filled |= {name: own.get(name) for name in ("float_minimum", "float_maximum")}
    return filled


def _filled(own: Any, others: Any) -> Any:
    if isinstance(own, list) and isinstance(others, list):
        return list(dict.fromkeys([*own, *others]))
    return others if own is None else own


async def _join_links(connection: AsyncConnection, merge: Merge) -> None:
    for link in LINKS:
        linked, other = link.__table__.columns
        of_loser = select(literal(merge.winner.id, linked.type), other).where(linked == merge.loser.id)
        await connection.execute(
            postgresql.insert(link).from_select([linked.name, other.name], of_loser).on_conflict_do_nothing()
        )


async def _join_releases(connection: AsyncConnection, merge: Merge) -> None:
    stored = await releases_by_figure(connection, [merge.winner.id, merge.loser.id])
    own = tuple(stored.get(merge.winner.id, ()))
    of_both = joined(own, stored.get(merge.loser.id, ()))
    if of_both != own:
        await replace_releases(connection, merge.winner.id, of_both)


async def _move_variants(connection: AsyncConnection, merge: Merge) -> None:
    await connection.execute(
        _MOVE_VARIANTS,
        {
            "winner": merge.winner.id,
            "loser": merge.loser.id,
            "shared": list(merge.variants),
            "largest": LARGEST_POSITION,
        },
    )


async def _move_external_ids(connection: AsyncConnection, merge: Merge) -> None:
    moved = update(ExternalId).where(ExternalId.item_id == merge.loser.id)
    await connection.execute(moved.values(item_id=merge.winner.id))


async def _move_photos(connection: AsyncConnection, merge: Merge) -> None:
    """Behind the winner's own, one of which stays the primary photo where it has any."""
    await connection.execute(_MOVE_PHOTOS, {"winner": merge.winner.id, "loser": merge.loser.id})


async def _move_creation_keys(connection: AsyncConnection, merge: Merge) -> None:
    moved = update(CreationKey).where(CreationKey.item_id == merge.loser.id)
    await connection.execute(moved.values(item_id=merge.winner.id))


async def _join_histories(connection: AsyncConnection, merge: Merge) -> None:
    await join_histories(connection, winner_id=merge.winner.id, loser_id=merge.loser.id)


async def _redirect(connection: AsyncConnection, merge: Merge) -> None:
    """What led to the loser leads straight to the winner, and so do its own id and slug."""
    moved = update(ItemRedirect).where(ItemRedirect.item_id == merge.loser.id)
    await connection.execute(moved.values(item_id=merge.winner.id))
    await connection.execute(
        insert(ItemRedirect).values(item_id=merge.winner.id, old_id=merge.loser.id, slug=merge.loser.slug)
    )


async def _remove_loser(connection: AsyncConnection, merge: Merge) -> None:
    await connection.execute(delete(Item).where(Item.id == merge.loser.id))


# A set is one of its game, a number one of its set, and a contract stands on its chain.
_WITHIN: Mapping[str, str] = {"set_id": "game", "number": "set_id", "contract_address": "chain"}

# In this order: what is filled in is there before it is linked, and the loser goes last. Revisions come before keys, as
# they do where a person is erased: neither of the two waits for the other in turn.
STEPS: Sequence[Step] = (
    _fill_in_item,
    _fill_in_details,
    _join_links,
    _join_releases,
    _move_variants,
    _move_external_ids,
    _move_photos,
    _join_histories,
    _move_creation_keys,
    _redirect,
    _remove_loser,
)

_MOVE_PHOTOS = text("""
    UPDATE catalogue.item_photos AS photo
    SET item_id = :winner, updated_at = now(),
        is_primary = photo.is_primary AND NOT EXISTS (
            SELECT FROM catalogue.item_photos AS other WHERE other.item_id = :winner
        ),
        position = photo.position + (
            SELECT count(*) FROM catalogue.item_photos AS other WHERE other.item_id = :winner
        )
    WHERE photo.item_id = :loser
""")
_MOVE_VARIANTS = text("""
    UPDATE catalogue.item_variants AS variant
    SET item_id = :winner,
        is_default = variant.is_default AND NOT EXISTS (
            SELECT FROM catalogue.item_variants AS other WHERE other.item_id = :winner AND other.is_default
        ),
        position = least(:largest, CAST(variant.position AS bigint) + 1 + (
            SELECT coalesce(max(other.position), -1) FROM catalogue.item_variants AS other
            WHERE other.item_id = :winner
        ))
    WHERE variant.item_id = :loser AND NOT variant.id = ANY (CAST(:shared AS uuid[]))
""")
