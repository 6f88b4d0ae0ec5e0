"""Passkeys of people: registered, renamed, removed, and held against their answers.

An answer that does not hold is no error here: it is written into the audit log, which is to be committed.
"""

import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, Row, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from app.core.database import Transaction
from app.core.ids import new_id
from app.core.secrets import Secrets
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.challenges import (
    OpenChallenge,
    begin_challenge,
    count_wrong_answer,
    end_challenge,
    find_challenge,
    keep_in_challenge,
)
from app.identity.commands.locks import lock_account
from app.identity.commands.people import MAGIC_LINK, PASSWORD
from app.identity.commands.ways_in import require_another_way_in
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import ChallengeKind, Identity, Passkey, User
from app.identity.names import EmailAddress
from app.identity.passkeys import (
    KnownPasskey,
    NewPasskey,
    PasskeyOptions,
    PasskeyRefused,
    RelyingParty,
    VerifiedPasskey,
    credential_id_of,
    registration_options,
    sign_in_options,
    verify_registration,
    verify_sign_in,
)
from app.identity.viewer import Caller

MAXIMUM_PASSKEYS = 20
LONGEST_NAME = 80
# What passkeys of common makers look like: the length of their ids, and how browsers reach them.
DECOYS = (
    (16, ("hybrid", "internal")),
    (16, ("internal",)),
    (20, ("hybrid", "internal")),
    (20, ("internal", "hybrid")),
    (32, ("hybrid", "internal")),
    (32, ("internal",)),
    (48, ("nfc", "usb")),
    (64, ("usb",)),
)
# How many passkeys people have: most have one.
NUMBERS_OF_DECOYS = (1, 1, 1, 1, 1, 2, 2, 3)
# Of what is kept for the end of a challenge.
ASKED = "asked"
ALLOWED = "allowed"


@dataclass(frozen=True, slots=True)
class BegunPasskey:
    """What a browser hands to `navigator.credentials`, and the token that ends the challenge."""

    challenge: str = field(repr=False)
    options: Mapping[str, object] = field(repr=False)


async def begin_registration(
    transaction: Transaction, secrets: Secrets, party: RelyingParty, *, user_id: UUID
) -> BegunPasskey:
    """Begin to register a passkey; raises IdentityRefused where the person has as many as one may."""
    person = (
        await transaction.connection.execute(select(User.username, User.display_name).where(User.id == user_id))
    ).one()
    existing = await _passkeys_of(transaction, user_id)
    _check_count(len(existing))
    options = registration_options(
        party,
        user_handle=user_id.bytes,
        username=person.username,
        display_name=person.display_name or person.username,
        existing=[passkey.credential_id for passkey in existing],
    )
    token = await begin_challenge(
        transaction, secrets, ChallengeKind.PASSKEY_REGISTRATION, user_id=user_id, content=_kept(options, existing=[])
    )
    return BegunPasskey(token, options.json)


async def register_passkey(
    transaction: Transaction,
    secrets: Secrets,
    party: RelyingParty,
    *,
    caller: Caller,
    user_id: UUID,
    challenge: str,
    response: Mapping[str, object],
    name: str,
) -> UUID | None:
    """Keep the passkey that a browser made for this challenge; None where its answer does not hold.

    Raises IdentityRefused for a name that is none, and for more passkeys than one may have.
    """
    name = _name(name)
    begun = await find_challenge(transaction, secrets, ChallengeKind.PASSKEY_REGISTRATION, challenge)
    if begun is None or begun.user_id != user_id:
        await _refuse_registration(transaction, caller, user_id, "no such challenge of this person")
        return None
    try:
        made = verify_registration(party, challenge=bytes.fromhex(begun.content[ASKED]), response=response)
    except PasskeyRefused as refused:
        await count_wrong_answer(transaction, begun)
        await _refuse_registration(transaction, caller, user_id, refused.reason)
        return None
    await transaction.connection.execute(select(User.id).where(User.id == user_id).with_for_update(key_share=True))
    _check_count(len(await _passkeys_of(transaction, user_id)))
    passkey_id = await _keep(transaction, user_id, made, name)
    if passkey_id is None:
        await count_wrong_answer(transaction, begun)
        await _refuse_registration(transaction, caller, user_id, "registered before")
        return None
    await end_challenge(transaction, begun)
    await record(
        transaction,
        AuditAction.PASSKEY_REGISTERED,
        caller=caller,
        subject_id=user_id,
        after={"passkey": str(passkey_id), "name": name},
    )
    return passkey_id


async def rename_passkey(
    transaction: Transaction, passkey_id: UUID, *, caller: Caller, user_id: UUID, name: str
) -> None:
    """Give a passkey another name; raises IdentityRefused for a name that is none, or a passkey that is not theirs."""
    name = _name(name)
    before = (
        await transaction.connection.execute(
            select(Passkey.name).where(Passkey.id == passkey_id, Passkey.user_id == user_id).with_for_update()
        )
    ).scalar_one_or_none()
    if before is None:
        raise _no_such_passkey()
    await transaction.connection.execute(update(Passkey).where(Passkey.id == passkey_id).values(name=name))
    await record(
        transaction,
        AuditAction.PASSKEY_RENAMED,
        caller=caller,
        subject_id=user_id,
        before={"passkey": str(passkey_id), "name": before},
        after={"passkey": str(passkey_id), "name": name},
    )


async def remove_passkey(
    transaction: Transaction, passkey_id: UUID, *, caller: Caller, user_id: UUID, providers: Collection[str]
) -> None:
    """Remove a passkey; raises IdentityRefused for one that is not theirs, and for the last way in.

    Another way in has to remain, and of identities those of these `providers` count.
    """
    owned = select(Passkey.name).where(Passkey.id == passkey_id, Passkey.user_id == user_id)
    name = (await transaction.connection.execute(owned)).scalar_one_or_none()
    if name is None:
        raise _no_such_passkey()
    await require_another_way_in(transaction, user_id, besides=passkey_id, providers=providers)
    removed: CursorResult[tuple[()]] = await transaction.connection.execute(
        delete(Passkey).where(Passkey.id == passkey_id)
    )
    if not removed.rowcount:
        raise _no_such_passkey()
    await record(
        transaction,
        AuditAction.PASSKEY_REMOVED,
        caller=caller,
        subject_id=user_id,
        before={"passkey": str(passkey_id), "name": name},
    )


async def begin_sign_in(
    transaction: Transaction, secrets: Secrets, party: RelyingParty, *, email: EmailAddress | None, is_named: bool
) -> BegunPasskey:
    """Begin a sign-in by a passkey alone: by one of the person with this address, or where none `is_named` by any.

    For an address that is unknown, has no passkey, or cannot be one, passkeys are named that do not exist: the same
    ones each time, as long as the current key of the ring is the same.
    """
    allowed: Sequence[KnownPasskey] = []
    if is_named:
        key = email.key if email else ""
        decoys = _decoys(secrets, key)
        allowed = await _passkeys_of_address(transaction, email) if email else []
        allowed = allowed or decoys
    options = sign_in_options(party, allowed=allowed, require_user_verification=True)
    token = await begin_challenge(
        transaction, secrets, ChallengeKind.PASSKEY_SIGN_IN, content=_kept(options, existing=allowed)
    )
    return BegunPasskey(token, options.json)


async def ask_for_second_factor(
    transaction: Transaction, secrets: Secrets, party: RelyingParty, *, challenge: str
) -> Mapping[str, object] | None:
    """What to ask of a browser to complete a sign-in by a passkey; None where the challenge does not hold.

    What was asked for this challenge before holds no longer.
    """
    begun = await find_challenge(transaction, secrets, ChallengeKind.SECOND_FACTOR, challenge)
    if begun is None or begun.user_id is None:
        return None
    allowed = await _passkeys_of(transaction, begun.user_id)
    if not allowed:
        return None
    options = sign_in_options(party, allowed=allowed, require_user_verification=False)
    await keep_in_challenge(transaction, secrets, begun, {**begun.content, **_kept(options, existing=allowed)})
    return options.json


async def accept_passkey(
    transaction: Transaction,
    party: RelyingParty,
    *,
    begun: OpenChallenge,
    response: Mapping[str, object],
    require_user_verification: bool,
) -> UUID:
    """Whose passkey answered the challenge; its new count is kept. Raises PasskeyRefused, before anything is written.

    The passkey is held until the end of the transaction, so that of two answers with one count the second is wrong.
    """
    if ASKED not in begun.content:
        raise PasskeyRefused("no passkey was asked for")
    credential_id = credential_id_of(response)
    allowed = begun.content[ALLOWED]
    if allowed and credential_id.hex() not in allowed:
        raise PasskeyRefused("the passkey is not among those asked for")
    passkey = await _hold(transaction, credential_id)
    if passkey is None:
        raise PasskeyRefused("no such passkey")
    if begun.user_id is not None and passkey.user_id != begun.user_id:
        raise PasskeyRefused("the passkey is another person's")
    verified = verify_sign_in(
        party,
        challenge=bytes.fromhex(begun.content[ASKED]),
        response=response,
        credential_id=credential_id,
        public_key=passkey.public_key,
        sign_count=passkey.sign_count,
        require_user_verification=require_user_verification,
        user_handle=passkey.user_id.bytes,
    )
    await _note_use(transaction, passkey.id, verified)
    user_id: UUID = passkey.user_id
    return user_id


async def owner_of_passkey(transaction: Transaction, response: Mapping[str, object]) -> UUID | None:
    """Whose passkey a response claims to be of, for the audit log; None where that is nobody's."""
    try:
        credential_id = credential_id_of(response)
    except PasskeyRefused:
        return None
    owner = await transaction.connection.execute(select(Passkey.user_id).where(Passkey.credential_id == credential_id))
    return owner.scalar_one_or_none()


def _kept(options: PasskeyOptions, *, existing: Sequence[KnownPasskey]) -> dict[str, Any]:
    return {ASKED: options.challenge.hex(), ALLOWED: [passkey.credential_id.hex() for passkey in existing]}


async def _hold(transaction: Transaction, credential_id: bytes) -> Row[UUID, UUID, bytes, int] | None:
    owner_id = await transaction.connection.scalar(
        select(Passkey.user_id).where(Passkey.credential_id == credential_id)
    )
    if owner_id is None:
        return None
    # Before the passkey: its owner, who removes it, holds the account first.
    await lock_account(transaction, owner_id)
    found = await transaction.connection.execute(
        select(Passkey.id, Passkey.user_id, Passkey.public_key, Passkey.sign_count)
        .join(User, User.id == Passkey.user_id)
        .where(Passkey.credential_id == credential_id, User.deleted_at.is_(None))
        .with_for_update(of=Passkey)
    )
    return found.one_or_none()


async def _note_use(transaction: Transaction, passkey_id: UUID, verified: VerifiedPasskey) -> None:
    await transaction.connection.execute(
        update(Passkey)
        .where(Passkey.id == passkey_id)
        .values(
            sign_count=verified.sign_count,
            is_backed_up=verified.is_backed_up,
            verifies_user=Passkey.verifies_user | verified.is_user_verified,
            last_used_at=func.now(),
        )
    )


async def _keep(transaction: Transaction, user_id: UUID, made: NewPasskey, name: str) -> UUID | None:
    """The id of the new row; None where somebody has a passkey of this credential id."""
    kept = await transaction.connection.execute(
        insert(Passkey)
        .values(
            id=new_id(),
            user_id=user_id,
            credential_id=made.credential_id,
            public_key=made.public_key,
            sign_count=made.sign_count,
            name=name,
            transports=list(made.transports),
            is_backed_up=made.is_backed_up,
            verifies_user=made.is_user_verified,
        )
        .on_conflict_do_nothing()
        .returning(Passkey.id)
    )
    return kept.scalar_one_or_none()


async def _passkeys_of(transaction: Transaction, user_id: UUID) -> Sequence[KnownPasskey]:
    rows = await transaction.connection.execute(
        select(Passkey.credential_id, Passkey.transports)
        .where(Passkey.user_id == user_id)
        .order_by(Passkey.created_at, Passkey.id)
    )
    return [KnownPasskey(row.credential_id, row.transports) for row in rows]


async def _passkeys_of_address(transaction: Transaction, email: EmailAddress) -> Sequence[KnownPasskey]:
    """Those of the person whose verified address this is, or who signs in by it."""
    by_identity = select(Identity.user_id).where(
        Identity.provider.in_([PASSWORD, MAGIC_LINK]), Identity.subject == email.key
    )
    by_address = select(User.id).where(
        func.lower(User.email).in_({email.key, email.shown.lower()}), User.email_verified_at.is_not(None)
    )
    rows = await transaction.connection.execute(
        select(Passkey.credential_id, Passkey.transports)
        .join(User, User.id == Passkey.user_id)
        .where(or_(User.id.in_(by_identity), User.id.in_(by_address)), User.deleted_at.is_(None))
        .order_by(Passkey.created_at, Passkey.id)
    )
    return [KnownPasskey(row.credential_id, row.transports) for row in rows]


def _decoys(secrets: Secrets, key: str) -> Sequence[KnownPasskey]:
    """One to three passkeys that nobody has, of common makes; which ones, only who knows the ring of keys can tell."""
    chance = hmac.digest(secrets.derived_key(b"passkey decoys"), key.encode("utf-8", "surrogatepass"), "sha512")
    number = NUMBERS_OF_DECOYS[chance[0] % len(NUMBERS_OF_DECOYS)]
    return [_decoy(hashlib.shake_256(chance + bytes([place])).digest(65)) for place in range(number)]


def _decoy(chance: bytes) -> KnownPasskey:
    length, transports = DECOYS[chance[0] % len(DECOYS)]
    return KnownPasskey(chance[1 : length + 1], transports)


def _name(name: str) -> str:
    name = name.strip()
    if not 1 <= len(name) <= LONGEST_NAME:
        raise IdentityRefused(
            IdentityErrorCode.INVALID_INPUT,
            f"Give the passkey a name of 1 to {LONGEST_NAME} characters, to know it by.",
            field=["name"],
        )
    return name


def _check_count(count: int) -> None:
    if count >= MAXIMUM_PASSKEYS:
        raise IdentityRefused(
            IdentityErrorCode.TOO_MANY, f"You have {MAXIMUM_PASSKEYS} passkeys; remove one that is not used any more."
        )


async def _refuse_registration(transaction: Transaction, caller: Caller, user_id: UUID, reason: str) -> None:
    await record(
        transaction,
        AuditAction.SECOND_FACTOR_REFUSED,
        caller=caller,
        subject_id=user_id,
        after={"reason": f"passkey not registered: {reason}"},
    )


def _no_such_passkey() -> IdentityRefused:
    return IdentityRefused(IdentityErrorCode.NOT_FOUND, "You have no such passkey; `viewer` lists yours.", field=["id"])
