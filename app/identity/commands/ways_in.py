"""Ways in: of what lets a person in without anything else, one has to remain."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import exists, or_, select

from app.core.database import Transaction, among
from app.identity.commands.people import PASSWORD
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import Credential, Identity, Passkey, User


async def require_another_way_in(
    transaction: Transaction, user_id: UUID, *, besides: UUID, providers: Collection[str]
) -> None:
    """Refuse with `last_way_in` unless a person has another way in than this identity or passkey, which is to go.

    Ways in are a password whose address is verified, an identity of one of the `providers` that let in here, and a
    passkey that verifies its holder. The account is held until the end of the transaction, so that of two that go at
    once the second one sees that the first is gone.
    """
    await transaction.connection.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    has_password = exists().where(
        User.id == user_id,
        User.email_verified_at.is_not(None),
        Credential.user_id == User.id,
        Identity.user_id == User.id,
        Identity.provider == PASSWORD,
        Identity.id != besides,
    )
    has_identity = exists().where(
        Identity.user_id == user_id, among(Identity.provider, providers), Identity.id != besides
    )
    has_passkey = exists().where(Passkey.user_id == user_id, Passkey.verifies_user, Passkey.id != besides)
    remains = await transaction.connection.execute(select(or_(has_password, has_identity, has_passkey)))
    if not remains.scalar_one():
        raise IdentityRefused(
            IdentityErrorCode.LAST_WAY_IN,
            "This is the last way into your account; add another one first, such as a passkey.",
            field=["id"],
        )
