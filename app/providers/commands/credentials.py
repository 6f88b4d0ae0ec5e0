"""People's own keys for providers: given once, kept encrypted, shown to nobody again."""

from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update

from app.core.database import Transaction
from app.core.ids import new_id
from app.core.secrets import Secrets, place_of
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.models import User
from app.identity.viewer import Caller
from app.providers.errors import ProviderErrorCode, ProviderRefused
from app.providers.models import Provider, ProviderCredential

MAXIMUM_CREDENTIALS = 20
LONGEST_LABEL = 80
LONGEST_SECRET = 4096
SHOWN_CHARACTERS = 4
# Of a shorter one the last characters would be too much of it.
SHORTEST_SHOWN = 16


@dataclass(frozen=True, slots=True)
class UsableCredential:
    """A person's key, to be sent to its provider and nowhere else."""

    id: UUID
    user_id: UUID
    provider: str
    secret: str = field(repr=False)


async def add_credential(
    transaction: Transaction,
    secrets: Secrets,
    *,
    caller: Caller,
    provider: str,
    label: str,
    secret: str,
) -> UUID:
    """Keep a key of the caller's for a provider; gives its id.

    Raises ProviderRefused for an unknown provider, for a label or a key that is wrong, and for more than 20.
    """
    user_id = caller.viewer.own_id
    label, secret = label.strip(), secret.strip()
    _check(label, secret)
    is_known = await transaction.connection.scalar(select(Provider.code).where(Provider.code == provider))
    if is_known is None:
        raise ProviderRefused(
            ProviderErrorCode.NOT_FOUND, "There is no such provider; `providers` lists them.", field=["provider"]
        )
    await _refuse_too_many(transaction, user_id)
    credential_id = new_id()
    await transaction.connection.execute(
        insert(ProviderCredential).values(
            id=credential_id,
            user_id=user_id,
            provider=provider,
            label=label,
            secret=secrets.encrypt(secret.encode(), place_of(ProviderCredential.secret, credential_id)),
            shown_as=_shown(secret),
        )
    )
    await record(
        transaction,
        AuditAction.PROVIDER_CREDENTIAL_ADDED,
        caller=caller,
        subject_id=user_id,
        after={"credential": str(credential_id), "provider": provider, "label": label},
    )
    return credential_id


async def remove_credential(transaction: Transaction, credential_id: UUID, *, caller: Caller) -> None:
    """Forget a key of the caller's; raises ProviderRefused where they have no such key."""
    user_id = caller.viewer.own_id
    removed = (
        await transaction.connection.execute(
            delete(ProviderCredential)
            .where(ProviderCredential.id == credential_id, ProviderCredential.user_id == user_id)
            .returning(ProviderCredential.provider)
        )
    ).scalar_one_or_none()
    if removed is None:
        raise no_such_credential()
    await record(
        transaction,
        AuditAction.PROVIDER_CREDENTIAL_REMOVED,
        caller=caller,
        subject_id=user_id,
        before={"credential": str(credential_id), "provider": removed},
    )


async def use_credential(
    transaction: Transaction, secrets: Secrets, *, user_id: UUID, provider: str
) -> UsableCredential | None:
    """The key that a person gave last for a provider, as a worker sends it; None where they gave none."""
    row = (
        await transaction.connection.execute(
            select(ProviderCredential.id, ProviderCredential.secret)
            .where(ProviderCredential.user_id == user_id, ProviderCredential.provider == provider)
            .order_by(ProviderCredential.created_at.desc(), ProviderCredential.id.desc())
            .limit(1)
        )
    ).one_or_none()
    if row is None:
        return None
    await transaction.connection.execute(
        update(ProviderCredential).where(ProviderCredential.id == row.id).values(last_used_at=func.now())
    )
    secret = secrets.decrypt(row.secret, place_of(ProviderCredential.secret, row.id))
    return UsableCredential(row.id, user_id, provider, secret.decode())


def no_such_credential() -> ProviderRefused:
    """The refusal for a key that is none of the person's."""
    return ProviderRefused(
        ProviderErrorCode.NOT_FOUND, "You have no such credential; `viewer` lists yours.", field=["id"]
    )


def _check(label: str, secret: str) -> None:
    if not 1 <= len(label) <= LONGEST_LABEL or not label.isprintable():
        raise ProviderRefused(
            ProviderErrorCode.INVALID_INPUT,
            f"Give the credential a label of 1 to {LONGEST_LABEL} characters that can be shown, to know it by.",
            field=["label"],
        )
    if not 1 <= len(secret) <= LONGEST_SECRET or not secret.isascii() or not secret.isprintable():
        raise ProviderRefused(
            ProviderErrorCode.INVALID_INPUT,
            f"A key has 1 to {LONGEST_SECRET} printable ASCII characters, on one line; copy it from the provider.",
            field=["secret"],
        )


async def _refuse_too_many(transaction: Transaction, user_id: UUID) -> None:
    # Held, so that nobody adds another one for this person meanwhile.
    await transaction.connection.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    count = await transaction.connection.execute(
        select(func.count()).select_from(ProviderCredential).where(ProviderCredential.user_id == user_id)
    )
    if count.scalar_one() >= MAXIMUM_CREDENTIALS:
        raise ProviderRefused(
            ProviderErrorCode.TOO_MANY, f"You have {MAXIMUM_CREDENTIALS} credentials; remove one that you do not need."
        )


def _shown(secret: str) -> str:
    return f"…{secret[-SHOWN_CHARACTERS:]}" if len(secret) >= SHORTEST_SHOWN else "…"
