"""API tokens: for programs, with scopes; shown once and kept as hashes."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from uuid import UUID

from sqlalchemy import ColumnElement, CursorResult, func, insert, select, update

from app.core.database import Transaction
from app.core.ids import new_id
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.locks import lock_person_exclusive, lock_person_shared
from app.identity.commands.revocations import revoke
from app.identity.commands.roles import earliest_end, ends_of_scopes, scopes_of
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import ApiToken, Network, User
from app.identity.scopes import Scope
from app.identity.tokens import hash_of_token, new_token
from app.identity.viewer import Caller, ClientInfo, Viewer

API_TOKEN = "trove_api"  # noqa: S105  # what such tokens begin with
MAXIMUM_TOKENS = 50
MAXIMUM_ADDRESSES = 20
LONGEST_NAME = 80
IPV4_IN_IPV6 = IPv6Network("::ffff:0:0/96")
LONGEST_OVERLAP = timedelta(days=30)
LONGEST_LIFETIME = timedelta(days=3_653)
# How exact `last used` is; each look into the database may move it.
LAST_USED_WITHIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class IssuedApiToken:
    """A new token, with the text that nobody sees again."""

    id: UUID
    text: str = field(repr=False)


async def create_api_token(
    transaction: Transaction,
    *,
    caller: Caller,
    user_id: UUID,
    name: str,
    scopes: Collection[Scope],
    expires_at: datetime | None = None,
    allowed_addresses: Sequence[str] = (),
) -> IssuedApiToken:
    """Make a token for a person; it can have no scope that they do not have themselves.

    Raises IdentityRefused for a name or addresses that are wrong, for scopes that were not granted, for an expiry that
    has passed or is more than ten years away, and for more than 50 tokens.
    """
    now = await lock_person_exclusive(transaction, user_id)
    networks = _networks(allowed_addresses)
    _check(name, scopes, expires_at, now)
    missing = sorted(set(scopes) - await scopes_of(transaction, user_id))
    if missing:
        who, by = ("You may", "yourself") if caller.viewer.user_id == user_id else ("They may", "themselves")
        raise IdentityRefused(
            IdentityErrorCode.NOT_GRANTED,
            f"{who} not do {', '.join(missing)} {by}; an administrator has to grant it first.",
            field=["scopes"],
        )
    await _refuse_too_many(transaction, user_id, now)
    return await _issue(
        transaction,
        AuditAction.API_TOKEN_CREATED,
        caller=caller,
        user_id=user_id,
        name=name.strip(),
        scopes=sorted(set(scopes)),
        expires_at=expires_at,
        networks=networks,
    )


async def rotate_api_token(
    transaction: Transaction, token_id: UUID, *, caller: Caller, user_id: UUID, overlap: timedelta
) -> IssuedApiToken:
    """Make a token like this one, which itself holds for `overlap` longer and then no more.

    Raises IdentityRefused where there is no such token, for an overlap of more than 30 days, and where both together
    are more than 50 tokens.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT,
            f"The old token may hold for 0 to {LONGEST_OVERLAP.days} days longer.",
            field=["overlap"],
        )
    # Whoever checks a token holds its owner's scopes: then what they see of it is what we leave of it.
    now = await lock_person_exclusive(transaction, user_id)
    old = (
        await transaction.connection.execute(
            select(ApiToken.name, ApiToken.scopes, ApiToken.expires_at, ApiToken.created_at, ApiToken.allowed_addresses)
            .where(
                ApiToken.id == token_id, ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None), _is_not_over(now)
            )
            .with_for_update()
        )
    ).one_or_none()
    if old is None:
        raise no_such_token()
    ends_at = now + overlap if old.expires_at is None else min(now + overlap, old.expires_at)
    await transaction.connection.execute(update(ApiToken).where(ApiToken.id == token_id).values(expires_at=ends_at))
    await _refuse_too_many(transaction, user_id, now)
    # Who checked it before learns of its new end.
    await revoke(transaction, token_id, now=now)
    return await _issue(
        transaction,
        AuditAction.API_TOKEN_ROTATED,
        caller=caller,
        user_id=user_id,
        name=old.name,
        scopes=old.scopes,
        expires_at=None if old.expires_at is None else now + (old.expires_at - old.created_at),
        networks=old.allowed_addresses,
        instead_of=token_id,
    )


async def revoke_api_token(transaction: Transaction, token_id: UUID, *, caller: Caller, user_id: UUID) -> None:
    """End a token at once; raises IdentityRefused where the person has no such token that still holds."""
    now = await lock_person_exclusive(transaction, user_id)
    result: CursorResult[tuple[()]] = await transaction.connection.execute(
        update(ApiToken)
        .where(ApiToken.id == token_id, ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None))
        .values(revoked_at=now)
    )
    if not result.rowcount:
        raise no_such_token()
    await revoke(transaction, token_id, now=now)
    await record(
        transaction,
        AuditAction.API_TOKEN_REVOKED,
        caller=caller,
        subject_id=user_id,
        before={"token": str(token_id)},
    )


async def viewer_of_api_token(
    transaction: Transaction, text: str, *, client: ClientInfo
) -> tuple[Viewer, Sequence[Network]] | None:
    """Whose token this is, what it allows now, and from where; None where it does not hold, or not from here."""
    token_hash = hash_of_token(text)
    user_id = await transaction.connection.scalar(select(ApiToken.user_id).where(ApiToken.token_hash == token_hash))
    if user_id is None:
        return None
    # Only then is it read: a revocation that was under way is either seen here, or comes after this `now`.
    now = await lock_person_shared(transaction, user_id)
    found = (
        await transaction.connection.execute(
            select(ApiToken, User.deleted_at)
            .join(User, User.id == ApiToken.user_id)
            .where(ApiToken.token_hash == token_hash)
        )
    ).one_or_none()
    if found is None:
        # Its owner was erased while we waited.
        return None
    if found.revoked_at is not None or found.deleted_at is not None:
        return None
    if found.expires_at is not None and found.expires_at <= now:
        return None
    if not is_allowed_from(client, found.allowed_addresses):
        return None
    if found.last_used_at is None or found.last_used_at < now - LAST_USED_WITHIN:
        await transaction.connection.execute(
            update(ApiToken).where(ApiToken.id == found.id).values(last_used_at=now, last_used_address=client.address)
        )
    owned = await ends_of_scopes(transaction, found.user_id)
    scopes = {scope: ends_at for scope, ends_at in owned.items() if scope in found.scopes}
    viewer = Viewer(
        user_id=found.user_id,
        credential_id=found.id,
        scopes=frozenset(scopes),
        issued_at=now,
        # What a grant gave for a time must not go on over a socket that was open at its end.
        expires_at=earliest_end([found.expires_at, *scopes.values()]),
    )
    return viewer, found.allowed_addresses


def is_allowed_from(client: ClientInfo, networks: Collection[Network]) -> bool:
    """Whether a token may be used from here; a token without addresses may be used from anywhere."""
    if not networks:
        return True
    if client.address is None:
        return False
    address = ip_address(client.address)
    return any(address in network for network in networks)


async def _refuse_too_many(transaction: Transaction, user_id: UUID, now: datetime) -> None:
    """Refuse one token more than there may be; nobody else makes one for this person while we hold their scopes."""
    count = await transaction.connection.execute(
        select(func.count())
        .select_from(ApiToken)
        .where(ApiToken.user_id == user_id, ApiToken.revoked_at.is_(None), _is_not_over(now))
    )
    if count.scalar_one() >= MAXIMUM_TOKENS:
        raise IdentityRefused(
            IdentityErrorCode.TOO_MANY, f"You have {MAXIMUM_TOKENS} tokens; revoke one that is not used any more."
        )


async def _issue(
    transaction: Transaction,
    action: AuditAction,
    *,
    caller: Caller,
    user_id: UUID,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None,
    networks: Sequence[Network],
    instead_of: UUID | None = None,
) -> IssuedApiToken:
    token = new_token(API_TOKEN)
    token_id = new_id()
    await transaction.connection.execute(
        insert(ApiToken).values(
            id=token_id,
            user_id=user_id,
            name=name,
            prefix=token.shown_prefix,
            token_hash=token.hash,
            scopes=list(scopes),
            expires_at=expires_at,
            allowed_addresses=list(networks),
        )
    )
    await record(
        transaction,
        action,
        caller=caller,
        subject_id=user_id,
        before=None if instead_of is None else {"token": str(instead_of)},
        after={"token": str(token_id), "name": name, "scopes": list(scopes)},
    )
    return IssuedApiToken(token_id, token.text)


def _check(name: str, scopes: Collection[Scope], expires_at: datetime | None, now: datetime) -> None:
    if not 1 <= len(name.strip()) <= LONGEST_NAME:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT,
            f"Give the token a name of 1 to {LONGEST_NAME} characters, to know it by.",
            field=["name"],
        )
    if not scopes:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT, "A token needs at least one scope, or it may do nothing.", field=["scopes"]
        )
    if expires_at is not None and expires_at <= now:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT, "`expiresAt` has passed; choose a later time.", field=["expiresAt"]
        )
    if expires_at is not None and expires_at > now + LONGEST_LIFETIME:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT,
            "`expiresAt` is more than ten years away; leave it out for a token that does not end.",
            field=["expiresAt"],
        )


def _networks(texts: Sequence[str]) -> list[Network]:
    if len(texts) > MAXIMUM_ADDRESSES:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT,
            f"A token may name {MAXIMUM_ADDRESSES} addresses; join some into networks.",
            field=["allowedAddresses"],
        )
    try:
        return [_network(text) for text in texts]
    except ValueError:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT,
            "An address is such as 192.0.2.7 or 2001:db8::/32, a network with no bits beyond its length.",
            field=["allowedAddresses"],
        ) from None


def _network(text: str) -> Network:
    network = ip_network(text)
    if isinstance(network, IPv4Network):
        return network
    if "%" in text:
        raise ValueError("an address of one link means something else on every machine")
    if network.subnet_of(IPV4_IN_IPV6):
        # Callers are known by their IPv4 addresses, however the socket writes those.
        mapped = int(network.network_address) & 0xFFFF_FFFF
        return IPv4Network((mapped, network.prefixlen - IPV4_IN_IPV6.prefixlen))
    return network


def _is_not_over(now: datetime) -> ColumnElement[bool]:
    return ApiToken.expires_at.is_(None) | (ApiToken.expires_at > now)


def no_such_token() -> IdentityRefused:
    """The refusal for a token that is none of the person's, or holds no longer."""
    return IdentityRefused(
        IdentityErrorCode.NOT_FOUND, "You have no such token that still holds; `viewer` lists yours.", field=["id"]
    )
