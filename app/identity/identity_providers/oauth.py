"""The authorization code grant with PKCE (RFC 6749, RFC 7636), as OpenID Connect and GitHub share it."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from pydantic import BaseModel, SecretStr

from app.identity.identity_providers import CANCELLED, ProviderAway, ProviderRefused
from app.identity.identity_providers.calls import FORM, Answer, ProviderCalls

# Of RFC 6749, 4.1.2: printable ASCII.
_CODE = re.compile(r"[\x20-\x7e]{1,4096}")
_AWAY = frozenset({"server_error", "temporarily_unavailable"})
# GitHub has a word of its own.
_CODE_REFUSED = frozenset({"invalid_grant", "bad_verification_code"})


class TokenAnswer(BaseModel):
    """What a token endpoint says: tokens, or an error."""

    access_token: SecretStr | None = None
    token_type: str | None = None
    id_token: SecretStr | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """Trove as the provider knows it; without a secret it is a public client."""

    client_id: str
    client_secret: SecretStr | None = field(repr=False)
    calls: ProviderCalls

    def authorization_url(
        self, endpoint: str, *, state: str, callback_url: str, scopes: tuple[str, ...], verifier: str, **more: str
    ) -> str:
        """Where the browser asks for consent."""
        url: str = prepare_grant_uri(
            endpoint,
            client_id=self.client_id,
            response_type="code",
            redirect_uri=callback_url,
            scope=" ".join(scopes),
            state=state,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
            **more,
        )
        return url

    async def exchange(
        self, endpoint: str, *, code: str, callback_url: str, verifier: str, authentication: str
    ) -> TokenAnswer:
        """Give the code for tokens; `authentication` is one of client_secret_basic, client_secret_post and none.

        Raises ProviderRefused where the code or its verifier does not hold, and ProviderAway.
        """
        form = prepare_token_request("authorization_code", code=code, redirect_uri=callback_url, code_verifier=verifier)
        _, headers, body = self._authentication(authentication).prepare("POST", endpoint, {"Content-Type": FORM}, form)
        answer = await self.calls.post(endpoint, body, what="the token endpoint", headers=headers)
        return _tokens_of(answer)

    def _authentication(self, method: str) -> ClientAuth:
        client_id, secret = self.client_id, self.client_secret.get_secret_value() if self.client_secret else None
        if method == "client_secret_basic" and secret is not None:
            # RFC 6749, 2.3.1: both are encoded as in a form before they are joined.
            client_id, secret = quote_plus(client_id), quote_plus(secret)
        return ClientAuth(client_id, secret, method)


def new_verifier() -> str:
    """A fresh PKCE verifier, of 256 bits."""
    return secrets.token_urlsafe(32)


def code_of(parameters: Mapping[str, str]) -> str:
    """The code that the browser brought; raises ProviderRefused and ProviderAway where it brought an error."""
    error = parameters.get("error")
    if error == "access_denied":
        raise ProviderRefused(CANCELLED)
    if error in _AWAY:
        raise ProviderAway("the provider sent the browser back with an error of its own")
    if error is not None:
        raise ProviderRefused("the provider sent the browser back with an error")
    code = parameters.get("code", "")
    if not _CODE.fullmatch(code):
        raise ProviderRefused("there is no code among the parameters")
    return code


def bearer(token: SecretStr) -> dict[str, str]:
    """The header that carries an access token."""
    return {"Authorization": f"Bearer {token.get_secret_value()}"}


def _tokens_of(answer: Answer) -> TokenAnswer:
    tokens = answer.parse(TokenAnswer, what="the token endpoint's answer")
    if tokens.error in _CODE_REFUSED:
        raise ProviderRefused("the provider does not accept the code")
    if tokens.error is not None or answer.status >= 400:
        raise ProviderAway(f"the token endpoint refuses our request with {answer.status}; check the client's settings")
    return tokens


def access_token_of(tokens: TokenAnswer) -> SecretStr:
    """The access token, which has to be a bearer token in printable ASCII."""
    token = tokens.access_token
    if token is None or (tokens.token_type or "").lower() != "bearer" or not _CODE.fullmatch(token.get_secret_value()):
        raise ProviderAway("the token endpoint gave no bearer token")
    return token
