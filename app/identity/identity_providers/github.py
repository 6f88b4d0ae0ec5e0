"""GitHub: OAuth 2 with PKCE, and who somebody is from its API, since it has no ID tokens."""

from collections.abc import Mapping
from datetime import datetime

import httpx
from pydantic import BaseModel, RootModel, SecretStr

from app.core.provider_settings import GithubSettings
from app.identity.identity_providers import Departure, ProvenIdentity, ProviderAway, check_state
from app.identity.identity_providers.calls import ProviderCalls
from app.identity.identity_providers.oauth import OAuthClient, access_token_of, bearer, code_of, new_verifier
from app.identity.identity_providers.profile import email_of, name_of, picture_of

SCOPES = ("read:user", "user:email")
_API = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}


class GithubUser(BaseModel):
    """Who the token is of; `id` stays when the login changes."""

    id: int
    login: str
    name: str | None = None
    avatar_url: str | None = None


class GithubEmail(BaseModel):
    """One of the addresses of an account."""

    email: str
    primary: bool
    verified: bool


class _GithubEmails(RootModel[list[GithubEmail]]):
    pass


class Github:
    """GitHub, or a GitHub Enterprise Server."""

    def __init__(self, settings: GithubSettings, *, calls: ProviderCalls | None = None) -> None:
        self.code = settings.code
        self.name = settings.name
        self._url = settings.url.rstrip("/")
        self._api_url = settings.api_url.rstrip("/")
        self._calls = calls or ProviderCalls()
        self._client = OAuthClient(settings.client_id, settings.client_secret, self._calls)

    async def depart(self, *, state: str, callback_url: str) -> Departure:
        """Send the browser to GitHub's consent; keeps the PKCE verifier."""
        verifier = new_verifier()
        url = self._client.authorization_url(
            f"{self._url}/login/oauth/authorize",
            state=state,
            callback_url=callback_url,
            scopes=SCOPES,
            verifier=verifier,
        )
        return Departure(url, {"code_verifier": verifier})

    async def arrive(
        self,
        *,
        parameters: Mapping[str, str],
        state: str,
        kept: Mapping[str, str],
        callback_url: str,
        now: datetime,
    ) -> ProvenIdentity:
        """Exchange the code, and ask the API whose token came for it; the address is the primary one, if verified."""
        check_state(parameters, state)
        tokens = await self._client.exchange(
            f"{self._url}/login/oauth/access_token",
            code=code_of(parameters),
            callback_url=callback_url,
            verifier=kept["code_verifier"],
            authentication="client_secret_post",
        )
        token = access_token_of(tokens)
        user = await self._user(token)
        email = email_of(await self._verified_email(token))
        return ProvenIdentity(
            provider=self.code,
            issuer=self._url,
            subject=str(user.id),
            email=email,
            is_email_verified=email is not None,
            display_name=name_of(user.name, user.login),
            avatar_url=picture_of(user.avatar_url),
            nonce=None,
        )

    async def _user(self, token: SecretStr) -> GithubUser:
        answer = await self._calls.get(f"{self._api_url}/user", what="GitHub's API", headers=_API | bearer(token))
        if answer.status != httpx.codes.OK:
            raise ProviderAway(f"GitHub's API answered {answer.status}")
        user = answer.parse(GithubUser, what="GitHub's answer on the user")
        if user.id <= 0:
            raise ProviderAway("GitHub's answer on the user is not understood")
        return user

    async def _verified_email(self, token: SecretStr) -> str | None:
        url = f"{self._api_url}/user/emails"
        answer = await self._calls.get(url, what="GitHub's API", headers=_API | bearer(token))
        # A GitHub App without the permission for addresses is told so.
        if answer.status in {httpx.codes.FORBIDDEN, httpx.codes.NOT_FOUND}:
            return None
        if answer.status != httpx.codes.OK:
            raise ProviderAway(f"GitHub's API answered {answer.status}")
        emails = answer.parse(_GithubEmails, what="GitHub's answer on addresses").root
        return next((email.email for email in emails if email.primary and email.verified), None)
