"""Who shows a token: checked by this process, for as long as nobody has revoked it anywhere."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

import structlog
from joserfc.jwk import OKPKey

from app.core.clock import utc_now
from app.core.database import DATABASE_FAILURES, Database, is_database_away
from app.core.errors import NotSignedIn, ServiceUnavailable
from app.core.events import EventBus, Topic
from app.core.secrets import Secrets
from app.core.tasks import end_tasks
from app.identity.access_tokens import (
    LIFETIME,
    AccessToken,
    InvalidAccessToken,
    public_key_set,
    read_access_token,
    sign_access_token,
)
from app.identity.commands.api_tokens import API_TOKEN, is_allowed_from, viewer_of_api_token
from app.identity.commands.roles import earliest_end
from app.identity.commands.sessions import OpenSession
from app.identity.commands.signing_keys import KeyPeriod, ensure_signing_keys, signing_keys
from app.identity.models import Network
from app.identity.queries.revocations import RevocationRow, revocations_since
from app.identity.tokens import is_token
from app.identity.viewer import ANYONE, Caller, ClientInfo, Viewer

logger = structlog.get_logger(__name__)

CHECKED_TOKENS = 20_000
# A lost hint costs no more than this until a revocation takes effect.
LOOK_AT_LEAST_EVERY_SECONDS = 2.0
# A transaction that revokes may commit so much later than it looked at the clock.
REVOCATIONS_OVERLAP = timedelta(seconds=60)
REVOCATIONS_MATTER_FOR = LIFETIME + REVOCATIONS_OVERLAP
# How long an API token counts as checked; its revocation is heard of sooner.
API_TOKENS_CHECKED_FOR = timedelta(seconds=60)
KEYS_LOADED_AT_MOST_EVERY_SECONDS = 1.0
# So that a key is published well before it signs, also by a process that signs nothing itself.
KEYS_PUBLISHED_WITHIN_SECONDS = 60.0
LOOK_TAKES_AT_MOST_SECONDS = 10.0
# Who has not looked for so long does not know what holds, and says so; it is waited for a little.
LOOK_IS_GOOD_FOR_SECONDS = 30.0
LOOKED_WITHIN_SECONDS = 5.0
FOLLOWED_AGAIN_AFTER_SECONDS = 1.0

INVALID = (
    "This token does not hold: it is not one of ours, or it has ended. "
    "Refresh it with `refreshSession`, sign in again, or send none to read what is public."
)
AWAY = "Tokens cannot be checked right now; try again in a moment."


@dataclass(frozen=True, slots=True)
class _Checked:
    """What checking a token came to, and until when that is good."""

    viewer: Viewer
    good_until: datetime
    networks: Sequence[Network] = ()


@dataclass(slots=True, eq=False)
class _Watch:
    """A connection that ends with what its viewer showed."""

    viewer: Viewer
    end: Callable[[], None]
    is_over: bool = False

    def finish(self) -> None:
        """End it, once; what goes wrong with one connection keeps no other one open."""
        if self.is_over:
            return
        self.is_over = True
        try:
            self.end()
        except Exception:  # of whoever watches, who is not here to hear of it
            logger.exception("connection_not_ended")


class Authentication:
    """Checks tokens and signs access tokens; follows what is revoked, here or by another process.

    `issuer` is the `iss` of access tokens, which last `access_tokens_last`, and never longer than LIFETIME: so long
    are revocations remembered.
    """

    def __init__(
        self,
        database: Database,
        secrets: Secrets,
        events: EventBus,
        *,
        issuer: str,
        access_tokens_last: timedelta = LIFETIME,
    ) -> None:
        self._database = database
        self._secrets = secrets
        self._events = events
        self._issuer = issuer
        self._access_tokens_last = access_tokens_last
        self._checked: OrderedDict[str, _Checked] = OrderedDict()
        self._keys: Mapping[str, OKPKey] = {}
        self._periods: Sequence[KeyPeriod] = ()
        self._keys_loaded_at = float("-inf")
        self._loading_keys = asyncio.Lock()
        self._revoked: dict[UUID, datetime] = {}
        self._looked_at: datetime | None = None
        self._watches: dict[UUID, set[_Watch]] = {}
        self._follower: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()
        self._look_is_good_until = float("-inf")

    async def start(self) -> None:
        """Begin to follow what is revoked. A database that is away is waited for, and tokens are refused meanwhile."""
        self._follower = asyncio.create_task(self._follow(), name="revocations")

    async def stop(self) -> None:
        """Stop following."""
        if self._follower is not None:
            await end_tasks([self._follower])

    async def caller_of(self, authorizations: Sequence[str], client: ClientInfo) -> Caller:
        """Who sends these values of `Authorization`: anybody without one; a wrong one is refused, never taken for none.

        Raises NotSignedIn, and ServiceUnavailable while tokens cannot be checked.
        """
        if not authorizations:
            return Caller(ANYONE, client)
        scheme, _, token = authorizations[0].strip().partition(" ")
        if len(authorizations) > 1 or scheme.lower() != "bearer" or not token.strip():
            raise NotSignedIn(
                "Send one `Authorization: Bearer <token>`, of an access token or an API token, or none at all to read "
                "what is public."
            )
        return Caller(await self.viewer_of(token.strip(), client), client)

    async def viewer_of(self, token: str, client: ClientInfo) -> Viewer:
        """Who shows this token; raises NotSignedIn, with one sentence for all that can be wrong about it."""
        if monotonic() > self._look_is_good_until:
            await self._wait_for_look()
        now = utc_now()
        checked = self._checked.get(token)
        if checked is None or checked.good_until <= now or self.is_void(checked.viewer):
            self._checked.pop(token, None)
            try:
                checked = await self._check(token, client, now)
            except DATABASE_FAILURES as error:
                if not is_database_away(error):
                    raise
                raise ServiceUnavailable(AWAY) from None
            self._checked[token] = checked
            if len(self._checked) > CHECKED_TOKENS:
                self._checked.popitem(last=False)
        else:
            self._checked.move_to_end(token)
        if checked.networks and not is_allowed_from(client, checked.networks):
            raise NotSignedIn(INVALID)
        return checked.viewer

    def is_void(self, viewer: Viewer) -> bool:
        """Whether what the viewer showed has been revoked since it was issued."""
        return any(
            subject in self._revoked and (viewer.issued_at is None or self._revoked[subject] >= viewer.issued_at)
            for subject in (viewer.credential_id, viewer.user_id)
            if subject is not None
        )

    @contextmanager
    def watching(self, viewer: Viewer, end: Callable[[], None]) -> Iterator[None]:
        """Have `end` called once if what the viewer showed is revoked, or has ended, while the block goes on."""
        watch = _Watch(viewer, end)
        subjects = [subject for subject in (viewer.credential_id, viewer.user_id) if subject is not None]
        for subject in subjects:
            self._watches.setdefault(subject, set()).add(watch)
        timer = None
        if viewer.expires_at is not None:
            # The loop's clock may run ahead of the wall's by a little.
            seconds = max((viewer.expires_at - utc_now()).total_seconds(), 0.0)
            timer = asyncio.get_running_loop().call_later(seconds, watch.finish)
        if self.is_void(viewer):
            watch.finish()
        try:
            yield
        finally:
            watch.is_over = True
            if timer is not None:
                timer.cancel()
            for subject in subjects:
                watches = self._watches[subject]
                watches.discard(watch)
                if not watches:
                    del self._watches[subject]

    async def require_signing_key(self) -> None:
        """Have the key at hand that signs, so that nothing has to be asked for it once a session is open.

        Raises ServiceUnavailable where no key signs, and what the database raises.
        """
        await self._signing_key()

    async def access_token(self, session: OpenSession) -> AccessToken:
        """A fresh access token of a session, for what its holder may do now."""
        return sign_access_token(await self._signing_key(), self.viewer_with(session), issuer=self._issuer)

    def viewer_with(self, session: OpenSession) -> Viewer:
        """Who has this session, as its access token will say: no longer than all of its scopes hold."""
        return Viewer(
            user_id=session.user_id,
            credential_id=session.id,
            scopes=session.scopes,
            is_session=True,
            issued_at=session.issued_at,
            expires_at=earliest_end([session.issued_at + self._access_tokens_last, session.scopes_end_at]),
            authenticated_at=session.authenticated_at,
        )

    async def key_set(self) -> dict[str, Any]:
        """The public keys that verify our access tokens, as a JSON Web Key Set."""
        await self._signing_key()
        if monotonic() - self._keys_loaded_at > KEYS_PUBLISHED_WITHIN_SECONDS:
            await self._load_keys()
        return public_key_set(self._keys)

    async def _wait_for_look(self) -> None:
        """Wait until the process knows what has been revoked: at its start, and after it could not look for long."""
        self._looked.clear()
        try:
            async with asyncio.timeout(LOOKED_WITHIN_SECONDS):
                await self._looked.wait()
        except TimeoutError:
            raise ServiceUnavailable(AWAY) from None

    async def _check(self, token: str, client: ClientInfo, now: datetime) -> _Checked:
        if is_token(token, API_TOKEN):
            return await self._check_api_token(token, client)
        if token.count(".") != 2:
            raise NotSignedIn(INVALID)
        try:
            viewer = await self._read_access_token(token, now)
        except InvalidAccessToken:
            raise NotSignedIn(INVALID) from None
        if viewer.expires_at is None or self.is_void(viewer):
            raise NotSignedIn(INVALID)
        return _Checked(viewer, viewer.expires_at)

    async def _read_access_token(self, token: str, now: datetime) -> Viewer:
        try:
            return read_access_token(token, self._keys, issuer=self._issuer, now=now)
        except InvalidAccessToken as error:
            if not error.unknown_key:
                raise
        await self._load_keys()
        return read_access_token(token, self._keys, issuer=self._issuer, now=now)

    async def _check_api_token(self, token: str, client: ClientInfo) -> _Checked:
        async with self._database.authentication() as transaction:
            held = await viewer_of_api_token(transaction, token, client=client)
        if held is None:
            raise NotSignedIn(INVALID)
        viewer, networks = held
        good_until = utc_now() + API_TOKENS_CHECKED_FOR
        if viewer.expires_at is not None:
            good_until = min(good_until, viewer.expires_at)
        return _Checked(viewer, good_until, networks)

    async def _signing_key(self) -> OKPKey:
        now = utc_now()
        period = self._period_at(now)
        if period is None:
            async with self._database.authentication() as transaction:
                await ensure_signing_keys(transaction, self._secrets, now=now)
            self._keys_loaded_at = float("-inf")
            await self._load_keys()
            period = self._period_at(now)
        if period is None:
            raise ServiceUnavailable("No key signs access tokens at this moment; try again in a moment.")
        return period.key

    def _period_at(self, now: datetime) -> KeyPeriod | None:
        return next((period for period in self._periods if period.signs_from <= now < period.signs_until), None)

    async def _load_keys(self) -> None:
        """Load the keys, unless that was done just now: strangers can name keys that nobody has."""
        async with self._loading_keys:
            if monotonic() - self._keys_loaded_at < KEYS_LOADED_AT_MOST_EVERY_SECONDS:
                return
            async with self._database.authentication() as transaction:
                self._periods = await signing_keys(transaction, self._secrets)
            self._keys = {str(period.key.kid): period.key for period in self._periods}
            self._keys_loaded_at = monotonic()

    async def _follow(self) -> None:
        while True:
            try:
                async for _ in self._events.listen(Topic.REVOKED, at_least_every=LOOK_AT_LEAST_EVERY_SECONDS):
                    await self._look_or_warn()
            except Exception:  # nobody awaits this task: it must neither end nor fail unheard
                logger.exception("revocations_not_followed")
            await asyncio.sleep(FOLLOWED_AGAIN_AFTER_SECONDS)

    async def _look_or_warn(self) -> None:
        try:
            async with asyncio.timeout(LOOK_TAKES_AT_MOST_SECONDS):
                await self.look()
        except DATABASE_FAILURES as error:
            logger.warning("revocations_wait_for_database", reason=type(error).__name__)

    async def look(self) -> None:
        """Read what has been revoked since the last look, and end what rests on it."""
        begun = monotonic()
        async with self._database.authentication() as transaction:
            looked_at, rows = await revocations_since(
                transaction.connection, since=self._looked_at, overlap=REVOCATIONS_OVERLAP, kept=REVOCATIONS_MATTER_FOR
            )
        for row in rows:
            self._note(row)
        for subject in [subject for subject, at in self._revoked.items() if at < looked_at - REVOCATIONS_MATTER_FOR]:
            del self._revoked[subject]
        self._looked_at = looked_at
        self._look_is_good_until = begun + LOOK_IS_GOOD_FOR_SECONDS
        self._looked.set()

    def _note(self, row: RevocationRow) -> None:
        known = self._revoked.get(row.subject_id)
        if known is not None and known >= row.revoked_at:
            return
        self._revoked[row.subject_id] = row.revoked_at
        for watch in list(self._watches.get(row.subject_id, ())):
            if self.is_void(watch.viewer):
                watch.finish()
