"""People: who comes to be, and by which ways they come in."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert as insert_or_not

from app.core.database import Transaction
from app.core.ids import new_id
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import Identity, User
from app.identity.names import EmailAddress, parse_username, suggest_username, with_random_digits
from app.identity.viewer import Caller

NAMES_TO_TRY = 20
# The providers of those who prove an address of theirs: by a password that goes with it, or by a link that was sent.
PASSWORD = "password"  # noqa: S105  # the provider's code
MAGIC_LINK = "magic_link"


@dataclass(frozen=True, slots=True)
class WayIn:
    """Somebody as a provider knows them."""

    provider: str
    issuer: str
    subject: str
    email: str | None = None
    display_name: str | None = None


async def create_person(
    transaction: Transaction,
    *,
    caller: Caller,
    username: str,
    way_in: WayIn | None = None,
    email: str | None = None,
    email_verified_at: datetime | None = None,
    display_name: str | None = None,
    avatar_url: str | None = None,
) -> UUID:
    """Make an account, with the way in that proved who it is for.

    Raises IdentityRefused where the username or the verified address belongs to somebody, and UsernameRefused.
    """
    parse_username(username)
    user_id = new_id()
    made = await transaction.connection.execute(
        insert_or_not(User)
        .values(
            id=user_id,
            username=username,
            email=email,
            email_verified_at=email_verified_at,
            display_name=display_name,
            avatar_url=avatar_url,
        )
        .on_conflict_do_nothing()
        .returning(User.id)
    )
    if made.scalar_one_or_none() is None:
        raise await _taken(transaction, username)
    if way_in is not None:
        await add_way_in(transaction, user_id=user_id, way_in=way_in)
    await record(transaction, AuditAction.SIGNED_UP, caller=caller, subject_id=user_id, after={"username": username})
    return user_id


async def holder_of(transaction: Transaction, address: EmailAddress) -> UUID | None:
    """Whose address it is: known to be theirs, or a way in of theirs; None where it is nobody's."""
    by_way_in = select(Identity.user_id).where(
        Identity.provider.in_([PASSWORD, MAGIC_LINK]), Identity.issuer == "", Identity.subject == address.key
    )
    by_address = select(User.id).where(
        func.lower(User.email).in_([address.key, address.shown.lower()]),
        User.email_verified_at.is_not(None),
        User.deleted_at.is_(None),
    )
    found = await transaction.connection.execute(by_way_in.union(by_address).limit(1))
    return found.scalar_one_or_none()


def way_in_by(provider: str, address: EmailAddress) -> WayIn:
    """The way in of who has this address: PASSWORD or MAGIC_LINK."""
    return WayIn(provider=provider, issuer="", subject=address.key, email=address.shown)


async def free_username(transaction: Transaction, words: Iterable[str]) -> str:
    """A username that nobody has, like one of these names."""
    wanted = suggest_username(words)
    candidates = [wanted, *(with_random_digits(wanted) for _ in range(NAMES_TO_TRY))]
    taken = await transaction.connection.execute(
        select(func.lower(User.username)).where(func.lower(User.username).in_([name.lower() for name in candidates]))
    )
    names = set(taken.scalars())
    return next(name for name in candidates if name.lower() not in names)


async def add_way_in(transaction: Transaction, *, user_id: UUID, way_in: WayIn) -> UUID:
    """Link a way in to an account; raises IdentityRefused where it leads to somebody already."""
    identity_id = new_id()
    made = await transaction.connection.execute(
        insert_or_not(Identity)
        .values(
            id=identity_id,
            user_id=user_id,
            provider=way_in.provider,
            issuer=way_in.issuer,
            subject=way_in.subject,
            email=way_in.email,
            display_name=way_in.display_name,
        )
        .on_conflict_do_nothing()
        .returning(Identity.id)
    )
    if made.scalar_one_or_none() is None:
        raise IdentityRefused(
            IdentityErrorCode.IDENTITY_TAKEN, "This way in leads to an account already; unlink it there first."
        )
    return identity_id


async def _taken(transaction: Transaction, username: str) -> IdentityRefused:
    others = await transaction.connection.execute(select(User.id).where(func.lower(User.username) == username.lower()))
    if others.first() is not None:
        return IdentityRefused(
            IdentityErrorCode.USERNAME_TAKEN, "Somebody has this username; choose another one.", field=["username"]
        )
    return IdentityRefused(
        IdentityErrorCode.EMAIL_TAKEN, "This address belongs to another account; sign in to that one.", field=["email"]
    )
