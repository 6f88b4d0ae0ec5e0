"""What identity keeps for the life of a process: keys, threads for passwords, counts of tries, known providers."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from app.core.attempts import Attempts
from app.core.database import Database
from app.core.errors import ServiceUnavailable
from app.core.events import EventBus
from app.core.key_rings import key_ring_of
from app.core.mail import postman_of
from app.core.outbound import outside_client
from app.core.secrets import Secrets
from app.core.settings import Settings
from app.identity.arrivals import Arrivals
from app.identity.authentication import Authentication
from app.identity.breached_passwords import BreachedPasswordRanges
from app.identity.commands.people import MAGIC_LINK
from app.identity.identity_providers import IdentityProvider
from app.identity.identity_providers.configured import identity_providers_of
from app.identity.magic_links import MagicLinks
from app.identity.own_credentials import OwnCredentials
from app.identity.passkey_sign_in import PasskeySignIn
from app.identity.passkeys import RelyingParty
from app.identity.passwords import Passwords
from app.identity.second_factor import SecondFactor
from app.identity.sign_in import SignIn
from app.identity.sign_up import SignUp

DEFAULT_ISSUER = "trove"


@dataclass(frozen=True, slots=True)
class IdentityServices:
    """The services of identity in one process. `public_url` is where browsers reach it; `sends_mail` whether it can."""

    authentication: Authentication
    sign_in: SignIn
    sign_up: SignUp
    magic_links: MagicLinks
    own_credentials: OwnCredentials
    second_factor: SecondFactor
    passkey_sign_in: PasskeySignIn
    arrivals: Arrivals
    secrets: Secrets
    passwords: Passwords
    attempts: Attempts
    providers: Mapping[str, IdentityProvider]
    outside: httpx.AsyncClient
    public_url: str | None
    sends_mail: bool

    def require_public_url(self) -> str:
        """Where browsers reach this server; raises ServiceUnavailable where nobody has said it."""
        if self.public_url is None:
            raise ServiceUnavailable("This server does not know its own address; its operator sets TROVE_PUBLIC_URL.")
        return self.public_url

    @property
    def relying_party(self) -> RelyingParty:
        """What passkeys are registered for: the host of our address."""
        url = self.require_public_url()
        return RelyingParty(id=urlsplit(url).hostname or "", name="Trove", origins=(url,))

    @property
    def providers_that_let_in(self) -> frozenset[str]:
        """The codes of the identities that let somebody in by themselves here: of providers that are configured.

        Links by mail are among them where mail can be sent.
        """
        return frozenset([*self.providers, MAGIC_LINK] if self.sends_mail else self.providers)

    def require_mail(self) -> None:
        """Refuse what cannot be done without sending mail."""
        if not self.sends_mail:
            raise ServiceUnavailable(
                "This server cannot send mail; its operator sets TROVE_SMTP_URL and TROVE_MAIL_FROM."
            )

    async def start(self) -> None:
        """Begin to follow what is revoked."""
        await self.authentication.start()

    async def stop(self) -> None:
        """Let go of threads and connections."""
        await self.authentication.stop()
        self.passwords.close()
        await self.attempts.close()
        await self.outside.aclose()


def identity_services(settings: Settings, database: Database, events: EventBus) -> IdentityServices:
    """The services over these settings; raises ServiceUnavailable without a ring of keys, or without Redis."""
    if settings.redis_url is None:
        raise ServiceUnavailable("Identity needs Redis to count tries: set REDIS_URL.")
    secrets = Secrets(key_ring_of(settings))
    outside = outside_client()
    url = settings.breached_passwords_url
    passwords = Passwords(breached=None if url is None else BreachedPasswordRanges(url, client=outside))
    attempts = Attempts(settings.redis_url, hash_key=secrets.derived_key(b"attempts"))
    sign_in = SignIn(database, secrets, passwords, attempts)
    providers = identity_providers_of(settings)
    sends_mail = postman_of(settings) is not None
    return IdentityServices(
        authentication=Authentication(database, secrets, events, issuer=settings.public_url or DEFAULT_ISSUER),
        sign_in=sign_in,
        sign_up=SignUp(database, secrets, passwords, attempts, sign_in),
        magic_links=MagicLinks(database, secrets, attempts, sign_in),
        own_credentials=OwnCredentials(database, secrets, passwords, attempts, sign_in),
        second_factor=SecondFactor(database, secrets, attempts),
        passkey_sign_in=PasskeySignIn(database, secrets, attempts),
        arrivals=Arrivals(
            database, secrets, attempts, providers, public_url=settings.public_url, sends_mail=sends_mail
        ),
        secrets=secrets,
        passwords=passwords,
        attempts=attempts,
        providers=providers,
        outside=outside,
        public_url=settings.public_url,
        sends_mail=sends_mail,
    )
