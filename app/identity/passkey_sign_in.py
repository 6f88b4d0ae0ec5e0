"""Signing in by a passkey alone, which counts as two factors: what one has, and who it verifies."""

from collections.abc import Mapping

from app.core.attempts import AttemptLimit, Attempts
from app.core.database import Database, Transaction
from app.core.secrets import Secrets
from app.identity.commands.challenges import count_wrong_answer, end_challenge, find_challenge
from app.identity.commands.passkeys import BegunPasskey, accept_passkey, begin_sign_in, owner_of_passkey
from app.identity.commands.sessions import SignInMethod
from app.identity.models import ChallengeKind
from app.identity.names import EmailRefused, normalise_email
from app.identity.passkeys import PasskeyRefused, RelyingParty
from app.identity.sign_in import SIGN_INS_BY_IP, SignInOutcome, SignInRefused, admit, refuse_sign_in
from app.identity.viewer import Caller

BEGUN_BY_IP = AttemptLimit("passkey-sign-in-begun", tries=100, seconds=15 * 60)


class PasskeySignIn:
    """Lets people in who have a passkey, over the resources of this process."""

    def __init__(self, database: Database, secrets: Secrets, attempts: Attempts) -> None:
        self._database = database
        self._secrets = secrets
        self._attempts = attempts

    async def begin(self, party: RelyingParty, *, email: str | None, caller: Caller) -> BegunPasskey:
        """Ask for a passkey of who has this address, or for any without; raises TooManyAttempts.

        The answer does not tell whether anybody has the address.
        """
        await self._attempts.check_and_count(BEGUN_BY_IP, caller.client.limit_key)
        try:
            address = None if email is None else normalise_email(email)
        except EmailRefused:
            address = None
        async with self._database.authentication() as transaction:
            return await begin_sign_in(transaction, self._secrets, party, email=address, is_named=email is not None)

    async def finish(
        self,
        party: RelyingParty,
        *,
        challenge: str,
        response: Mapping[str, object],
        caller: Caller,
        device: str | None,
    ) -> SignInOutcome:
        """Let in whose passkey answered the challenge, if it verified its holder; raises TooManyAttempts."""
        await self._attempts.check_and_count(SIGN_INS_BY_IP, caller.client.limit_key)
        async with self._database.authentication() as transaction:
            begun = await find_challenge(transaction, self._secrets, ChallengeKind.PASSKEY_SIGN_IN, challenge)
            if begun is None:
                return await _refuse(transaction, caller, response, reason="no such challenge")
            try:
                user_id = await accept_passkey(
                    transaction, party, begun=begun, response=response, require_user_verification=True
                )
            except PasskeyRefused as refused:
                await count_wrong_answer(transaction, begun)
                return await _refuse(transaction, caller, response, reason=refused.reason)
            await end_challenge(transaction, begun)
            return await admit(
                transaction,
                self._secrets,
                user_id=user_id,
                identity_id=None,
                method=SignInMethod.PASSKEY,
                caller=caller,
                device=device,
                proves_two_factors=True,
            )


async def _refuse(
    transaction: Transaction, caller: Caller, response: Mapping[str, object], *, reason: str
) -> SignInRefused:
    return await refuse_sign_in(
        transaction,
        caller=caller,
        subject_id=await owner_of_passkey(transaction, response),
        method=SignInMethod.PASSKEY,
        reason=reason,
    )
