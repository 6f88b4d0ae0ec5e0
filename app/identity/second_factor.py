"""The second factor: a one-time code, a recovery code or a passkey completes a sign-in that one factor began."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import exists, select

from app.core.attempts import AttemptLimit, Attempts
from app.core.database import Database, Transaction
from app.core.secrets import Secrets
from app.identity.commands.challenges import OpenChallenge, count_wrong_answer, end_challenge, find_challenge
from app.identity.commands.passkeys import accept_passkey, ask_for_second_factor
from app.identity.commands.recovery_codes import use_recovery_code
from app.identity.commands.sessions import SignInMethod, begin_session
from app.identity.commands.totp import accept_totp_code, refuse_second_factor
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import Challenge, ChallengeKind, Credential, User
from app.identity.passkeys import PasskeyRefused, RelyingParty
from app.identity.sign_in import SIGN_INS_BY_IP, SignInOutcome, SignInRefused
from app.identity.viewer import Caller

# Of codes of an account, wherever they are asked for. Passkeys cannot be guessed, so these do not keep them away.
CODES_OF_ACCOUNT = AttemptLimit("second-factor-codes", tries=10, seconds=60 * 60)


@dataclass(frozen=True, slots=True)
class TotpCode:
    """What somebody typed as a one-time code."""

    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class RecoveryCodeGiven:
    """What somebody typed as a recovery code."""

    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PasskeyAnswer:
    """What a browser answered for a passkey, and who asked it."""

    party: RelyingParty
    response: Mapping[str, object] = field(repr=False)


SecondFactorAnswer = TotpCode | RecoveryCodeGiven | PasskeyAnswer


class SecondFactor:
    """Completes sign-ins, over the resources of this process."""

    def __init__(self, database: Database, secrets: Secrets, attempts: Attempts) -> None:
        self._database = database
        self._secrets = secrets
        self._attempts = attempts

    async def count_code(self, user_id: UUID) -> None:
        """Count a code that somebody gives for an account; raises TooManyAttempts."""
        await self._attempts.check_and_count(CODES_OF_ACCOUNT, str(user_id))

    async def forget_codes(self, user_id: UUID) -> None:
        """A code was right: begin to count anew."""
        await self._attempts.forget(CODES_OF_ACCOUNT, str(user_id))

    async def ask_for_passkey(self, party: RelyingParty, *, challenge: str) -> Mapping[str, object]:
        """What to ask of a browser for this challenge; raises IdentityRefused where it or a passkey is missing."""
        async with self._database.authentication() as transaction:
            options = await ask_for_second_factor(transaction, self._secrets, party, challenge=challenge)
        if options is None:
            raise IdentityRefused(
                IdentityErrorCode.INVALID_TOKEN,
                "This sign-in cannot be completed by a passkey; use a code, or sign in again.",
                field=["challenge"],
            )
        return options

    async def complete(
        self, *, challenge: str, answer: SecondFactorAnswer, caller: Caller, device: str | None, now: datetime
    ) -> SignInOutcome:
        """Begin the session that the challenge stands for, if the answer holds; raises TooManyAttempts.

        The fifth wrong answer ends the challenge.
        """
        await self._attempts.check_and_count(SIGN_INS_BY_IP, caller.client.limit_key)
        async with self._database.authentication() as transaction:
            begun = await self._find(transaction, challenge)
        # Redis is not asked while rows are held.
        user_id = begun.user_id if begun is not None else None
        if user_id is not None and not isinstance(answer, PasskeyAnswer):
            await self.count_code(user_id)
        async with self._database.authentication() as transaction:
            outcome = await self._complete(
                transaction, await self._find(transaction, challenge), answer, caller=caller, device=device, now=now
            )
        if user_id is not None and not isinstance(outcome, SignInRefused):
            await self.forget_codes(user_id)
        return outcome

    async def _complete(
        self,
        transaction: Transaction,
        begun: OpenChallenge | None,
        answer: SecondFactorAnswer,
        *,
        caller: Caller,
        device: str | None,
        now: datetime,
    ) -> SignInOutcome:
        if begun is None or begun.user_id is None:
            await refuse_second_factor(transaction, caller=caller, subject_id=None, reason="no such challenge")
            return SignInRefused()
        if not await _holds_still(transaction, begun):
            await end_challenge(transaction, begun)
            reason = "the first factor holds no longer"
            await refuse_second_factor(transaction, caller=caller, subject_id=begun.user_id, reason=reason)
            return SignInRefused()
        why_not = await self._why_not(transaction, begun, begun.user_id, answer, caller=caller, now=now)
        if why_not is not None:
            await count_wrong_answer(transaction, begun)
            await refuse_second_factor(transaction, caller=caller, subject_id=begun.user_id, reason=why_not)
            return SignInRefused()
        await end_challenge(transaction, begun)
        return await begin_session(
            transaction,
            user_id=begun.user_id,
            method=SignInMethod(begun.content["method"]),
            caller=caller,
            device=device or begun.content["device"],
        )

    async def _why_not(
        self,
        transaction: Transaction,
        begun: OpenChallenge,
        user_id: UUID,
        answer: SecondFactorAnswer,
        *,
        caller: Caller,
        now: datetime,
    ) -> str | None:
        """Why the answer does not hold, for the audit log; None where it does."""
        match answer:
            case TotpCode(code):
                is_right = await accept_totp_code(transaction, self._secrets, user_id=user_id, code=code, now=now)
                return None if is_right else "wrong one-time code"
            case RecoveryCodeGiven(code):
                is_right = await use_recovery_code(transaction, caller=caller, user_id=user_id, code=code)
                return None if is_right else "wrong recovery code"
            case PasskeyAnswer(party, response):
                try:
                    await accept_passkey(
                        transaction, party, begun=begun, response=response, require_user_verification=False
                    )
                except PasskeyRefused as refused:
                    return refused.reason
                return None

    async def _find(self, transaction: Transaction, challenge: str) -> OpenChallenge | None:
        return await find_challenge(transaction, self._secrets, ChallengeKind.SECOND_FACTOR, challenge)


async def _holds_still(transaction: Transaction, begun: OpenChallenge) -> bool:
    """Whether the person is still there, and has not changed the password since it was the first factor."""
    is_password_newer = exists().where(
        Challenge.id == begun.id, Credential.user_id == begun.user_id, Credential.changed_at > Challenge.created_at
    )
    person = select(User.id).where(User.id == begun.user_id, User.deleted_at.is_(None))
    if begun.content["method"] == SignInMethod.PASSWORD.value:
        person = person.where(~is_password_newer)
    return (await transaction.connection.execute(person)).first() is not None
