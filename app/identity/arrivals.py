"""Arriving by an outside identity provider: a browser departs to it, and comes back with a proof of who somebody is.

The provider is asked outside of any transaction. What was refused is written into the audit log, which is committed;
the caller learns one sentence, whatever it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, delete, select
from sqlalchemy.dialects.postgresql import insert as insert_or_not

from app.core.attempts import AttemptLimit, Attempts
from app.core.clock import utc_now
from app.core.database import Database, Transaction
from app.core.errors import ErrorCode, NotFound, Refusal, ServiceUnavailable
from app.core.secrets import Secrets
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.commands.challenges import CHALLENGE_TOKEN, begin_challenge, end_challenge, find_challenge
from app.identity.commands.people import WayIn, add_way_in, create_person, free_username, holder_of
from app.identity.commands.post_mail import post_mail
from app.identity.commands.sessions import SignInMethod
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.identity_providers import (
    CANCELLED,
    IdentityProvider,
    ProvenIdentity,
    ProviderAway,
    ProviderRefused,
    read_parameters,
)
from app.identity.mails import identity_linked_mail
from app.identity.models import ChallengeKind, Identity, RefreshToken, Session, UnlinkedIdentity, UsedNonce, User
from app.identity.names import EmailAddress, EmailRefused, normalise_email
from app.identity.sign_in import SecondFactorNeeded, SignInOutcome, SignInRefused, admit, refuse_sign_in
from app.identity.tokens import hash_of_token, new_token
from app.identity.viewer import Caller, Viewer

logger = structlog.get_logger(__name__)

ARRIVALS_BY_IP = AttemptLimit("provider-address", tries=200, seconds=15 * 60)
# Of two who arrive as the same person at once, one finds on the second try what the other has made.
TRIES_TO_LET_IN = 3


class ArrivalCancelled(Refusal):
    """Somebody went back from the provider without signing in."""

    code = ErrorCode.UNAUTHENTICATED

    def __init__(self) -> None:
        super().__init__("You did not sign in there; begin again, or sign in another way.")


@dataclass(frozen=True, slots=True)
class Linked:
    """The way in belongs to the account of who asked for the link; that signs nobody in."""

    user_id: UUID


ArrivalOutcome = SignInOutcome | Linked | ArrivalCancelled | ProviderAway | IdentityRefused


@dataclass(frozen=True, slots=True)
class Arrival:
    """What came of it, and where the browser asked to be sent afterwards, which is still to be checked."""

    outcome: ArrivalOutcome
    return_to: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What was kept at the departure; with a user, it was to link the provider to their account in that session."""

    provider: str
    state: str = field(repr=False)
    kept: Mapping[str, str] = field(repr=False)
    return_to: str | None = field(repr=False)
    user_id: UUID | None
    session_id: UUID | None


class Arrivals:
    """Sends browsers to identity providers, and lets in or links who comes back, over the resources of this process.

    `public_url` is where browsers reach this server: callbacks lead there, whatever host a request names.
    """

    def __init__(
        self,
        database: Database,
        secrets: Secrets,
        attempts: Attempts,
        providers: Mapping[str, IdentityProvider],
        *,
        public_url: str | None,
        sends_mail: bool,
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._attempts = attempts
        self._providers = providers
        self._public_url = public_url
        self._sends_mail = sends_mail

    def provider(self, code: str) -> IdentityProvider:
        """The provider of this code; raises NotFound."""
        provider = self._providers.get(code)
        if provider is None:
            raise NotFound("There is no such identity provider; `identityProviders` lists those there are.")
        return provider

    def callback_url(self, code: str) -> str:
        """Where a provider sends browsers back to; raises ServiceUnavailable where our own address is not known."""
        if self._public_url is None:
            raise ServiceUnavailable("This server does not know its own address; its operator sets TROVE_PUBLIC_URL.")
        return f"{self._public_url}/auth/{code}/callback"

    async def depart(
        self, code: str, *, browser: str, return_to: str | None, caller: Caller, links: bool = False
    ) -> str:
        """The address to send the browser to that has this token; `return_to` is where it goes in the end.

        With `links` the caller's own account gets the way in. Raises NotFound, ProviderAway, ServiceUnavailable and
        TooManyAttempts.
        """
        provider = self.provider(code)
        callback_url = self.callback_url(code)
        await self._count_try(caller)
        state = new_token(CHALLENGE_TOKEN)
        try:
            departure = await provider.depart(state=state.text, callback_url=callback_url)
        except ProviderAway as away:
            logger.warning("identity_provider_away", provider=code, reason=away.reason)
            raise
        viewer = caller.viewer
        content = {
            "provider": code,
            "kept": departure.kept,
            "return_to": return_to,
            "session": str(viewer.credential_id) if links else None,
        }
        async with self._database.authentication() as transaction:
            await begin_challenge(
                transaction,
                self._secrets,
                ChallengeKind.PROVIDER,
                content=content,
                user_id=viewer.user_id if links else None,
                browser=browser,
                token=state,
            )
        return departure.url

    async def arrive(
        self, code: str, *, query: str, browser: str | None, refresh_token: str | None, caller: Caller
    ) -> Arrival:
        """Let in, or link, who comes back with this query string, by the cookies of the browser.

        An attempt ends here, whatever comes of it. Raises NotFound, ServiceUnavailable and TooManyAttempts.
        """
        provider = self.provider(code)
        callback_url = self.callback_url(code)
        await self._count_try(caller)
        attempt: _Attempt | None = None
        try:
            parameters = read_parameters(query)
            attempt = await self._take_up(parameters.get("state", ""), browser)
            if attempt.provider != code:
                raise ProviderRefused("the departure was to another provider")  # noqa: TRY301  # refused as by it
            proven = await provider.arrive(
                parameters=parameters,
                state=attempt.state,
                kept=attempt.kept,
                callback_url=callback_url,
                now=utc_now(),
            )
            outcome = await self._let_in(attempt, proven, refresh_token=refresh_token, caller=caller)
        except ProviderRefused as refused:
            async with self._database.authentication() as transaction:
                outcome = await _refuse(
                    transaction, code, refused.reason, user_id=attempt.user_id if attempt else None, caller=caller
                )
        except ProviderAway as away:
            logger.warning("identity_provider_away", provider=code, reason=away.reason)
            outcome = away
        return Arrival(outcome, attempt.return_to if attempt else None)

    async def _count_try(self, caller: Caller) -> None:
        await self._attempts.check_and_count(ARRIVALS_BY_IP, caller.client.limit_key)

    async def _take_up(self, state: str, browser: str | None) -> _Attempt:
        """The attempt that began with this state in this browser; nobody can take it up again."""
        async with self._database.authentication() as transaction:
            challenge = await find_challenge(transaction, self._secrets, ChallengeKind.PROVIDER, state, browser=browser)
            if challenge is not None:
                await end_challenge(transaction, challenge)
        if challenge is None:
            raise ProviderRefused("no departure from this browser has this state, or not any more")
        content = challenge.content
        return _Attempt(
            provider=content["provider"],
            state=state,
            kept=content["kept"],
            return_to=content["return_to"],
            user_id=challenge.user_id,
            session_id=None if content["session"] is None else UUID(content["session"]),
        )

    async def _let_in(
        self, attempt: _Attempt, proven: ProvenIdentity, *, refresh_token: str | None, caller: Caller
    ) -> ArrivalOutcome:
        """Decide upon somebody who is proven, in one transaction, and anew where another was faster."""
        for _ in range(TRIES_TO_LET_IN - 1):
            try:
                return await self._decide(attempt, proven, refresh_token=refresh_token, caller=caller)
            except IdentityRefused:
                continue
        return await self._decide(attempt, proven, refresh_token=refresh_token, caller=caller)

    async def _decide(
        self, attempt: _Attempt, proven: ProvenIdentity, *, refresh_token: str | None, caller: Caller
    ) -> ArrivalOutcome:
        async with self._database.authentication() as transaction:
            if not await _store_nonce(transaction, proven):
                return await _refuse(
                    transaction, proven.provider, "the nonce was used before", user_id=attempt.user_id, caller=caller
                )
            if attempt.user_id is not None:
                return await self._link(transaction, attempt, proven, refresh_token=refresh_token, caller=caller)
            return await self._sign_in(transaction, proven, caller=caller)

    async def _link(
        self,
        transaction: Transaction,
        attempt: _Attempt,
        proven: ProvenIdentity,
        *,
        refresh_token: str | None,
        caller: Caller,
    ) -> ArrivalOutcome:
        user_id = attempt.user_id
        if user_id is None or not await _is_session_open(transaction, attempt):
            reason = "the session that asked for the link is over"
            return await _refuse(transaction, proven.provider, reason, user_id=user_id, caller=caller)
        if await _signed_in_by(transaction, refresh_token) not in {None, user_id}:
            reason = "somebody else is signed in in this browser by now"
            return await _refuse(transaction, proven.provider, reason, user_id=user_id, caller=caller)
        caller = Caller(Viewer(user_id=user_id, credential_id=attempt.session_id, is_session=True), caller.client)
        known = await _identity_of(transaction, proven)
        if known is None:
            await _forget_unlinked(transaction, user_id, proven)
            await self._add(transaction, user_id, proven, caller=caller)
        elif known.user_id != user_id:
            reason = "the identity leads to another account"
            await _refuse(transaction, proven.provider, reason, user_id=user_id, caller=caller)
            return IdentityRefused(
                IdentityErrorCode.IDENTITY_TAKEN, "This way in leads to another account; unlink it there first."
            )
        return Linked(user_id)

    async def _sign_in(self, transaction: Transaction, proven: ProvenIdentity, *, caller: Caller) -> ArrivalOutcome:
        known = await _identity_of(transaction, proven)
        if known is not None:
            return await self._admit(transaction, known.user_id, known.id, caller=caller)
        email = _verified_email_of(proven)
        owner_id = None if email is None else await holder_of(transaction, email)
        if owner_id is None:
            user_id = await self._create(transaction, proven, email, caller=caller)
            return await self._admit(transaction, user_id, None, caller=caller)
        if await _was_unlinked(transaction, owner_id, proven):
            reason = "its owner has unlinked it"
            return await _refuse(transaction, proven.provider, reason, user_id=owner_id, caller=caller)
        outcome = await self._admit(transaction, owner_id, None, caller=caller)
        # Whoever has a second factor has not given it yet, and gets no new way in before.
        if not isinstance(outcome, SecondFactorNeeded):
            await self._add(transaction, owner_id, proven, caller=caller)
        return outcome

    async def _admit(
        self, transaction: Transaction, user_id: UUID, identity_id: UUID | None, *, caller: Caller
    ) -> SignInOutcome:
        return await admit(
            transaction,
            self._secrets,
            user_id=user_id,
            identity_id=identity_id,
            method=SignInMethod.PROVIDER,
            caller=caller,
            device=None,
        )

    async def _create(
        self, transaction: Transaction, proven: ProvenIdentity, email: EmailAddress | None, *, caller: Caller
    ) -> UUID:
        names = [] if proven.display_name is None else [proven.display_name]
        return await create_person(
            transaction,
            caller=caller,
            username=await free_username(transaction, names),
            way_in=_way_in_of(proven),
            email=None if email is None else email.shown,
            email_verified_at=None if email is None else utc_now(),
            display_name=proven.display_name,
            avatar_url=proven.avatar_url,
        )

    async def _add(self, transaction: Transaction, user_id: UUID, proven: ProvenIdentity, *, caller: Caller) -> None:
        await add_way_in(transaction, user_id=user_id, way_in=_way_in_of(proven))
        await record(
            transaction,
            AuditAction.IDENTITY_LINKED,
            caller=caller,
            subject_id=user_id,
            after={"provider": proven.provider},
        )
        if self._sends_mail:
            await self._tell(transaction, user_id, proven)

    async def _tell(self, transaction: Transaction, user_id: UUID, proven: ProvenIdentity) -> None:
        found = await transaction.connection.execute(
            select(User.email).where(User.id == user_id, User.email_verified_at.is_not(None))
        )
        email = found.scalar_one_or_none()
        if email is not None:
            mail = identity_linked_mail(email, self.provider(proven.provider).name)
            await post_mail(transaction, self._secrets, mail, user_id=user_id)


@dataclass(frozen=True, slots=True)
class _Known:
    """A way in that leads to somebody."""

    id: UUID
    user_id: UUID


async def _identity_of(transaction: Transaction, proven: ProvenIdentity) -> _Known | None:
    row = (
        await transaction.connection.execute(
            select(Identity.id, Identity.user_id).where(
                Identity.provider == proven.provider,
                Identity.issuer == proven.issuer,
                Identity.subject == proven.subject,
            )
        )
    ).one_or_none()
    return None if row is None else _Known(row.id, row.user_id)


def _is_unlinked(user_id: UUID, proven: ProvenIdentity) -> ColumnElement[bool]:
    return and_(
        UnlinkedIdentity.user_id == user_id,
        UnlinkedIdentity.provider == proven.provider,
        UnlinkedIdentity.issuer == proven.issuer,
        UnlinkedIdentity.subject == proven.subject,
    )


async def _was_unlinked(transaction: Transaction, user_id: UUID, proven: ProvenIdentity) -> bool:
    """Whether the account's owner has taken this way in away."""
    found = await transaction.connection.execute(select(UnlinkedIdentity.user_id).where(_is_unlinked(user_id, proven)))
    return found.first() is not None


async def _forget_unlinked(transaction: Transaction, user_id: UUID, proven: ProvenIdentity) -> None:
    """The account's owner links it again."""
    await transaction.connection.execute(delete(UnlinkedIdentity).where(_is_unlinked(user_id, proven)))


async def _is_session_open(transaction: Transaction, attempt: _Attempt) -> bool:
    found = await transaction.connection.execute(
        select(Session.id).where(
            Session.id == attempt.session_id, Session.user_id == attempt.user_id, Session.ended_at.is_(None)
        )
    )
    return found.first() is not None


async def _signed_in_by(transaction: Transaction, refresh_token: str | None) -> UUID | None:
    """Who is signed in by this refresh token, or was."""
    if refresh_token is None:
        return None
    found = await transaction.connection.execute(
        select(Session.user_id)
        .join(RefreshToken, RefreshToken.session_id == Session.id)
        .where(RefreshToken.token_hash == hash_of_token(refresh_token))
    )
    return found.scalar_one_or_none()


async def _store_nonce(transaction: Transaction, proven: ProvenIdentity) -> bool:
    """Keep a nonce as used; False where it was before."""
    if proven.nonce is None:
        return True
    stored = await transaction.connection.execute(
        insert_or_not(UsedNonce)
        .values(issuer=proven.issuer, nonce=proven.nonce)
        .on_conflict_do_nothing()
        .returning(UsedNonce.nonce)
    )
    return stored.first() is not None


async def _refuse(
    transaction: Transaction, provider: str, reason: str, *, user_id: UUID | None, caller: Caller
) -> SignInRefused | ArrivalCancelled:
    refused = await refuse_sign_in(
        transaction,
        caller=caller,
        subject_id=user_id,
        method=SignInMethod.PROVIDER,
        reason=f"{provider}: {reason}",
    )
    return ArrivalCancelled() if reason == CANCELLED else refused


def _verified_email_of(proven: ProvenIdentity) -> EmailAddress | None:
    """The address, if the provider has verified it; no other one may ever lead to an account."""
    if proven.email is None or not proven.is_email_verified:
        return None
    try:
        return normalise_email(proven.email)
    except EmailRefused:
        return None


def _way_in_of(proven: ProvenIdentity) -> WayIn:
    return WayIn(
        provider=proven.provider,
        issuer=proven.issuer,
        subject=proven.subject,
        email=proven.email,
        display_name=proven.display_name,
    )
