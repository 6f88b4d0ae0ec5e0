"""What providers keep of a person: their keys, and which calls were made for them."""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, delete, select, update

from app.core.database import Transaction
from app.core.ids import PublicIdTag
from app.core.personal_data import ExportPart, PersonalData, table_of
from app.providers.models import ProviderCall, ProviderCredential


async def erase(transaction: Transaction, user_id: UUID) -> None:
    """Delete a person's keys, and take them out of the calls that were made for them; the calls count on."""
    await transaction.connection.execute(
        update(ProviderCall).where(ProviderCall.user_id == user_id).values(user_id=None, credential_id=None)
    )
    await transaction.connection.execute(delete(ProviderCredential).where(ProviderCredential.user_id == user_id))


def _credentials(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            ProviderCredential.id,
            ProviderCredential.provider,
            ProviderCredential.label,
            ProviderCredential.shown_as,
            ProviderCredential.created_at,
            ProviderCredential.last_used_at,
        )
        .where(ProviderCredential.user_id == user_id)
        .order_by(ProviderCredential.created_at, ProviderCredential.id)
    )


def _calls(user_id: UUID) -> Select[*tuple[Any, ...]]:
    return (
        select(
            ProviderCall.provider,
            ProviderCall.endpoint,
            ProviderCall.started_at,
            ProviderCall.duration_ms,
            ProviderCall.status,
            ProviderCall.error,
        )
        .where(ProviderCall.user_id == user_id)
        .order_by(ProviderCall.started_at, ProviderCall.id)
    )


PERSONAL_DATA = PersonalData(
    "providers",
    erase,
    (
        ExportPart(
            "provider-credentials.json",
            "The keys for outside services that you gave us. The keys themselves are not in here.",
            table_of(ProviderCredential),
            _credentials,
            PublicIdTag.PROVIDER_CREDENTIAL,
        ),
        ExportPart(
            "provider-calls.json",
            "The calls to outside services that were made for you in the last 30 days.",
            table_of(ProviderCall),
            _calls,
        ),
    ),
)
