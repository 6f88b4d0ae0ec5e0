"""What the catalogue keeps of a person: photos that they just sent, and which items they made and changed as staff."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, select, update

from app.catalogue.models import CreationKey, Item, ItemRevision, PhotoUpload
from app.core.database import Transaction
from app.core.personal_data import ExportPart, PersonalData, table_of


async def erase(transaction: Transaction, user_id: UUID) -> None:
    """Take a person out of the history of items, which goes on telling what was changed; delete what else is theirs.

    Photos that became an item's are the catalogue's, and do not say who sent them.
    """
    await transaction.connection.execute(delete(PhotoUpload).where(PhotoUpload.uploaded_by == user_id))
    await transaction.connection.execute(
        update(ItemRevision).where(ItemRevision.user_id == user_id).values(user_id=None)
    )
    await transaction.connection.execute(delete(CreationKey).where(CreationKey.user_id == user_id))


def _uploads(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            PhotoUpload.content_type,
            PhotoUpload.width,
            PhotoUpload.height,
            PhotoUpload.bytes,
            PhotoUpload.sha256,
            PhotoUpload.idempotency_key,
            PhotoUpload.created_at,
            PhotoUpload.claimed_at,
        )
        .where(PhotoUpload.uploaded_by == user_id)
        .order_by(PhotoUpload.created_at, PhotoUpload.id)
    )


def _revisions(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            Item.slug.label("item"),
            ItemRevision.number,
            ItemRevision.action,
            ItemRevision.changes,
            ItemRevision.created_at,
        )
        .join(Item, Item.id == ItemRevision.item_id)
        .where(ItemRevision.user_id == user_id)
        .order_by(ItemRevision.created_at, ItemRevision.id)
    )


def _keys(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(CreationKey.key, Item.slug.label("item"), CreationKey.created_at)
        .join(Item, Item.id == CreationKey.item_id)
        .where(CreationKey.user_id == user_id)
        .order_by(CreationKey.created_at, CreationKey.key)
    )


PERSONAL_DATA = PersonalData(
    "catalogue",
    erase,
    (
        ExportPart(
            "photo-uploads.json",
            "The photos that you sent, or added to an item or a holding, within the last day.",
            table_of(PhotoUpload),
            _uploads,
        ),
        ExportPart(
            "catalogue-changes.json",
            "What you changed of the catalogue as staff, by the slug of the item.",
            table_of(ItemRevision),
            _revisions,
        ),
        ExportPart(
            "catalogue-keys.json",
            "The idempotency keys under which you made items lately.",
            table_of(CreationKey),
            _keys,
        ),
    ),
)
