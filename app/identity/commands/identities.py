"""Ways in by a provider, taken away again."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Transaction
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.people import MAGIC_LINK, PASSWORD
from app.identity.commands.ways_in import require_another_way_in
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import Credential, Identity, UnlinkedIdentity, User
from app.identity.viewer import Caller


async def unlink_identity(
    transaction: Transaction, identity_id: UUID, *, caller: Caller, providers: Collection[str]
) -> None:
    """Take one of the caller's own ways in away, and the password with the way in by it.

    Another has to remain, and of identities those of these `providers` count.
    An outside identity lets nobody in from then on, not by its address either, until its owner links it again.
    Raises IdentityRefused for what is not theirs, for the last way in, and for links by mail to a verified address.
    """
    user_id = caller.viewer.user_id
    if user_id is None:
        raise ValueError("somebody who is not signed in has no ways in")
    await require_another_way_in(transaction, user_id, besides=identity_id, providers=providers)
    # Only now: whoever unlinks the same one at once has waited, and finds it gone.
    unlinked = (
        await transaction.connection.execute(
            delete(Identity)
            .where(Identity.id == identity_id, Identity.user_id == user_id)
            .returning(Identity.provider, Identity.issuer, Identity.subject)
        )
    ).one_or_none()
    if unlinked is None:
        raise no_such_identity()
    provider = unlinked.provider
    if provider == MAGIC_LINK:
        await _refuse_to_unlink_links_to_a_verified_address(transaction, user_id)
    elif provider == PASSWORD:
        await transaction.connection.execute(delete(Credential).where(Credential.user_id == user_id))
    else:
        await transaction.connection.execute(
            insert(UnlinkedIdentity)
            .values(user_id=user_id, provider=provider, issuer=unlinked.issuer, subject=unlinked.subject)
            .on_conflict_do_nothing()
        )
    await record(
        transaction, AuditAction.IDENTITY_UNLINKED, caller=caller, subject_id=user_id, before={"provider": provider}
    )


async def _refuse_to_unlink_links_to_a_verified_address(transaction: Transaction, user_id: UUID) -> None:
    """Refuse what would be undone by the next link: it is sent to whoever asks, and leads to who has the address."""
    verified = await transaction.connection.execute(
        select(User.id).where(User.id == user_id, User.email_verified_at.is_not(None))
    )
    if verified.first() is not None:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT,
            "Links by mail go with your verified address and cannot be unlinked; turn on one-time codes, so that a "
            "link alone lets nobody in.",
            field=["id"],
        )


def no_such_identity() -> IdentityRefused:
    """The refusal of a way in that is not the caller's, or not any more."""
    return IdentityRefused(
        IdentityErrorCode.NOT_FOUND, "You have no such way in; `viewer` lists those you have.", field=["id"]
    )
