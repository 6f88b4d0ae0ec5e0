"""Challenges: what is begun here and ends once, by whoever has the token, within minutes."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import func, insert, select, update

from app.core.database import Transaction
from app.core.ids import new_id
from app.core.secrets import Secrets, place_of
from app.identity.commands.locks import lock_person_shared
from app.identity.models import Challenge, ChallengeKind
from app.identity.tokens import NewToken, hash_of_token, is_token, new_token

CHALLENGE_TOKEN = "trove_challenge"  # noqa: S105  # what such tokens begin with
LIFETIMES: Mapping[ChallengeKind, timedelta] = {
    ChallengeKind.SIGN_UP: timedelta(hours=24),
    ChallengeKind.MAGIC_LINK: timedelta(minutes=15),
    ChallengeKind.CHANGE_EMAIL: timedelta(hours=24),
    ChallengeKind.PROVIDER: timedelta(minutes=15),
    ChallengeKind.SECOND_FACTOR: timedelta(minutes=10),
    ChallengeKind.PASSKEY_REGISTRATION: timedelta(minutes=10),
    ChallengeKind.PASSKEY_SIGN_IN: timedelta(minutes=10),
    ChallengeKind.EXPORT_DOWNLOAD: timedelta(minutes=15),
}
# Wrong answers to one challenge; then it is over.
MAXIMUM_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class OpenChallenge:
    """A challenge that still holds, with what was kept for its end."""

    id: UUID
    user_id: UUID | None
    content: Mapping[str, Any] = field(repr=False)


async def begin_challenge(
    transaction: Transaction,
    secrets: Secrets,
    kind: ChallengeKind,
    *,
    content: Mapping[str, Any],
    user_id: UUID | None = None,
    browser: str | None = None,
    token: NewToken | None = None,
) -> str:
    """Begin something; gives the token that ends it. With `browser`, only who has that token too can end it.

    `token` is for who had to know it beforehand.
    """
    challenge_id = new_id()
    token = token or new_token(CHALLENGE_TOKEN)
    await transaction.connection.execute(
        insert(Challenge).values(
            id=challenge_id,
            kind=kind.value,
            token_hash=token.hash,
            browser_hash=None if browser is None else hash_of_token(browser),
            user_id=user_id,
            content=secrets.encrypt(orjson.dumps(content), place_of(Challenge.content, challenge_id)),
            expires_at=func.now() + LIFETIMES[kind],
        )
    )
    return token.text


async def find_challenge(
    transaction: Transaction, secrets: Secrets, kind: ChallengeKind, token: str, *, browser: str | None = None
) -> OpenChallenge | None:
    """The challenge behind a token, held until the end of the transaction with what its person may do.

    None where there is none of this kind, it is over, or it was begun in another browser.
    """
    if not is_token(token, CHALLENGE_TOKEN):
        return None
    token_hash = hash_of_token(token)
    # Before the challenge: whoever erases a person holds that first, and takes the challenge then.
    user_id = await transaction.connection.scalar(select(Challenge.user_id).where(Challenge.token_hash == token_hash))
    if user_id is not None:
        await lock_person_shared(transaction, user_id)
    row = (
        await transaction.connection.execute(
            select(Challenge.id, Challenge.user_id, Challenge.content, Challenge.browser_hash)
            .where(
                Challenge.token_hash == token_hash,
                Challenge.kind == kind.value,
                Challenge.used_at.is_(None),
                Challenge.expires_at > func.now(),
                Challenge.attempts < MAXIMUM_ATTEMPTS,
            )
            .with_for_update()
        )
    ).one_or_none()
    if row is None or row.content is None:
        return None
    if row.browser_hash is not None and (browser is None or hash_of_token(browser) != row.browser_hash):
        return None
    content: Mapping[str, Any] = orjson.loads(secrets.decrypt(row.content, place_of(Challenge.content, row.id)))
    return OpenChallenge(row.id, row.user_id, content)


def was_begun_in(challenge: OpenChallenge, browser: str | None) -> bool:
    """Whether a challenge whose content names its browser was begun in this one."""
    begun_in = challenge.content["browser"]
    if begun_in is None or browser is None:
        return False
    return hmac.compare_digest(begun_in, hash_of_token(browser).hex())


async def keep_in_challenge(
    transaction: Transaction, secrets: Secrets, challenge: OpenChallenge, content: Mapping[str, Any]
) -> None:
    """Keep this for the end of the challenge, in place of what was kept before."""
    sealed = secrets.encrypt(orjson.dumps(content), place_of(Challenge.content, challenge.id))
    await transaction.connection.execute(update(Challenge).where(Challenge.id == challenge.id).values(content=sealed))


async def end_challenge(transaction: Transaction, challenge: OpenChallenge) -> None:
    """The challenge is met: it holds no longer, and what was kept for it is gone."""
    await transaction.connection.execute(
        update(Challenge).where(Challenge.id == challenge.id).values(used_at=func.now(), content=None)
    )


async def count_wrong_answer(transaction: Transaction, challenge: OpenChallenge) -> None:
    """Somebody answered wrongly; the fifth time it is over. This is to be committed."""
    await transaction.connection.execute(
        update(Challenge).where(Challenge.id == challenge.id).values(attempts=Challenge.attempts + 1)
    )
