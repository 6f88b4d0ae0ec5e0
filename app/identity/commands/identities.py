"""Ways in by a provider, taken away again."""

from uuid import UUID

from sqlalchemy import delete, select

from app.core.database import Transaction
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.ways_in import require_another_way_in
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import Credential, Identity
from app.identity.sign_in import PASSWORD
from app.identity.viewer import Caller


async def unlink_identity(transaction: Transaction, identity_id: UUID, *, caller: Caller) -> None:
    """Take one of the caller's own ways in away, and the password with the way in by it.

    Raises IdentityRefused for what is not theirs, and for the last way in.
    """
    user_id = caller.viewer.user_id
    if user_id is None:
        raise ValueError("somebody who is not signed in has no ways in")
    await require_another_way_in(transaction, user_id, besides=identity_id)
    # Only now: whoever unlinks the same one at once has waited, and finds it gone.
    provider = (
        await transaction.connection.execute(
            select(Identity.provider).where(Identity.id == identity_id, Identity.user_id == user_id)
        )
    ).scalar_one_or_none()
    if provider is None:
        raise no_such_identity()
    await transaction.connection.execute(delete(Identity).where(Identity.id == identity_id))
    if provider == PASSWORD:
        await transaction.connection.execute(delete(Credential).where(Credential.user_id == user_id))
    await record(
        transaction, AuditAction.IDENTITY_UNLINKED, caller=caller, subject_id=user_id, before={"provider": provider}
    )


def no_such_identity() -> IdentityRefused:
    """The refusal of a way in that is not the caller's, or not any more."""
    return IdentityRefused(
        IdentityErrorCode.NOT_FOUND, "You have no such way in; `viewer` lists those you have.", field=["id"]
    )
