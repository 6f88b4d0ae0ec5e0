"""GitHub's sign-in and the part of its API that says who somebody is."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from app.core.provider_settings import GithubSettings
from tests.identity.code_grant import CodeGrant
from tests.identity.loopback_server import Traffic, form_of, free_listener, serving, url_of

CLIENT_ID = "Iv1.0123456789abcdef"
AUTHORIZE, TOKEN = "/login/oauth/authorize", "/login/oauth/access_token"
USER, EMAILS = "/api/v3/user", "/api/v3/user/emails"


@dataclass(slots=True)
class FakeGithub:
    """Consents for `user` at once; tokens are good for the scopes that were asked for."""

    url: str
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    user: dict[str, Any] = field(
        default_factory=lambda: {
            "id": 583231,
            "login": "octocat",
            "name": "The Octocat",
            "avatar_url": "https://avatars.example.com/u/583231",
        }
    )
    emails: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"email": "second@example.com", "primary": False, "verified": True, "visibility": None},
            {"email": "octocat@example.com", "primary": True, "verified": True, "visibility": "private"},
        ]
    )
    grant: CodeGrant = field(default_factory=lambda: CodeGrant(CLIENT_ID))
    traffic: Traffic = field(default_factory=Traffic)
    denies_with: str | None = None
    token_answer: dict[str, Any] = field(default_factory=dict)
    hides_emails: bool = False
    _scopes: dict[str, frozenset[str]] = field(default_factory=dict)

    @property
    def entry(self) -> dict[str, object]:
        """The entry of TROVE_IDENTITY_PROVIDERS that is for this GitHub."""
        return {
            "code": "github",
            "kind": "github",
            "client_id": CLIENT_ID,
            "client_secret": self.client_secret,
            "url": self.url,
            "api_url": f"{self.url}/api/v3",
        }

    @property
    def settings(self) -> GithubSettings:
        """The entry, read."""
        return GithubSettings.model_validate(self.entry)

    @property
    def secrets(self) -> list[str]:
        """What must never be shown: the client's secret, and each code and token so far."""
        return [*self.grant.issued, self.client_secret]

    @property
    def app(self) -> Starlette:
        """GitHub as an application."""
        return Starlette(
            routes=[
                Route(AUTHORIZE, self._authorize),
                Route(TOKEN, self._token, methods=["POST"]),
                Route(USER, self._user),
                Route(EMAILS, self._emails),
            ]
        )

    async def _authorize(self, request: Request) -> Response:
        query = request.query_params
        if self.denies_with is not None:
            return RedirectResponse(self.grant.denial(query, self.denies_with), 302)
        return RedirectResponse(self.grant.consent(query), 302)

    async def _token(self, request: Request) -> Response:
        form = await form_of(request)
        assert request.headers["Accept"] == "application/json"
        # GitHub answers 200 to whatever is wrong.
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, self.client_secret):
            return JSONResponse({"error": "incorrect_client_credentials"})
        grant = self.grant.redeem(form)
        if grant is None:
            return JSONResponse({"error": "bad_verification_code", "error_description": f"{form.get('code')}"})
        token = self.grant.secret()
        self._scopes[token] = grant.scopes
        scope = ",".join(sorted(grant.scopes))
        return JSONResponse({"access_token": token, "token_type": "bearer", "scope": scope} | self.token_answer)

    async def _user(self, request: Request) -> Response:
        if self._scopes_of(request) is None:
            return JSONResponse({"message": "Bad credentials"}, 401)
        return JSONResponse(self.user)

    async def _emails(self, request: Request) -> Response:
        scopes = self._scopes_of(request)
        if scopes is None or self.hides_emails or "user:email" not in scopes:
            return JSONResponse({"message": "Resource not accessible by integration"}, 403)
        return JSONResponse(self.emails)

    def _scopes_of(self, request: Request) -> frozenset[str] | None:
        return self._scopes.get(request.headers.get("Authorization", "").removeprefix("Bearer "))


@contextmanager
def running_github() -> Iterator[FakeGithub]:
    """A GitHub on loopback, until the block ends."""
    listener = free_listener()
    github = FakeGithub(url_of(listener))
    with serving(github.traffic.watching(github.app), listener):
        yield github
