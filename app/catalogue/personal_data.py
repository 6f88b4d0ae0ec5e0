"""What the catalogue keeps of a person: the photos that they sent within the last day."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, select

from app.catalogue.models import PhotoUpload
from app.core.database import Transaction
from app.core.personal_data import ExportPart, PersonalData, table_of


async def erase(transaction: Transaction, user_id: UUID) -> None:
    """Forget what a person sent; photos that became an item's are the catalogue's, and do not say who sent them."""
    await transaction.connection.execute(delete(PhotoUpload).where(PhotoUpload.uploaded_by == user_id))


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


PERSONAL_DATA = PersonalData(
    "catalogue",
    erase,
    (
        ExportPart(
            "photo-uploads.json",
            "The photos of items that you sent within the last day.",
            table_of(PhotoUpload),
            _uploads,
        ),
    ),
)
