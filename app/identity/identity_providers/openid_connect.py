"""OpenID Connect: the authorization code flow with PKCE, and an ID token that is checked in every part."""

import hmac
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import ECKey, JWKRegistry, Key, KeySet, RSAKey
from joserfc.jws import JWSRegistry
from pydantic import BaseModel, Field, SecretStr, ValidationError, field_validator

from app.core.provider_settings import OpenIdConnectSettings
from app.core.secure_urls import is_secure_url
from app.identity.identity_providers import Departure, ProvenIdentity, ProviderAway, ProviderRefused, check_state
from app.identity.identity_providers.calls import ProviderCalls
from app.identity.identity_providers.oauth import OAuthClient, access_token_of, bearer, code_of, new_verifier
from app.identity.identity_providers.profile import email_of, name_of, picture_of
from app.identity.identity_providers.published import Published

# Asymmetric ones only: of HMAC the key would be known to both sides, and `none` proves nothing.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
LEEWAY_SECONDS = 60
LEAST_RSA_BITS = 2048
LONGEST_SUBJECT = 255
UNSIGNED = "the signature of the ID token does not hold"


class ProviderMetadata(BaseModel):
    """The part of a discovery document that is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False

    @field_validator("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")
    @classmethod
    def _is_secure(cls, url: str | None) -> str | None:
        if url is not None and not is_secure_url(url):
            raise ValueError("is not https")
        return url


class Profile(BaseModel):
    """What a provider says of the person, in an ID token or at its userinfo endpoint."""

    sub: str = Field(min_length=1, max_length=LONGEST_SUBJECT)
    email: str | None = None
    # Taken as it is: that of all things only `true` and "true" count is ours to say.
    email_verified: Any = None
    name: str | None = None
    preferred_username: str | None = None
    picture: str | None = None

    @field_validator("email", "name", "preferred_username", "picture", mode="before")
    @classmethod
    def _text_or_nothing(cls, value: object) -> str | None:
        # None of these is worth refusing somebody for.
        return value if isinstance(value, str) else None

    @field_validator("sub")
    @classmethod
    def _is_printable(cls, subject: str) -> str:
        if not subject.isprintable():
            raise ValueError("is not printable")
        return subject

    @property
    def is_email_verified(self) -> bool:
        """Whether the provider says so in so many words."""
        return self.email_verified is True or self.email_verified == "true"


class _RawKeys(BaseModel):
    keys: list[dict[str, Any]]


class OpenIdConnect:
    """A provider of OpenID Connect; what it publishes is kept for an hour, and its keys are reloaded as they change."""

    def __init__(
        self,
        settings: OpenIdConnectSettings,
        *,
        calls: ProviderCalls | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.code = settings.code
        self.name = settings.name
        self._issuer = settings.issuer
        self._scopes = settings.scopes
        self._calls = calls or ProviderCalls()
        self._client = OAuthClient(settings.client_id, settings.client_secret, self._calls)
        self._metadata = Published(self._load_metadata, clock)
        self._keys = Published(self._load_keys, clock)

    async def depart(self, *, state: str, callback_url: str) -> Departure:
        """Send the browser to the provider's consent; keeps the nonce and the PKCE verifier."""
        metadata = await self._metadata.current()
        nonce, verifier = secrets.token_urlsafe(32), new_verifier()
        url = self._client.authorization_url(
            metadata.authorization_endpoint,
            state=state,
            callback_url=callback_url,
            scopes=self._scopes,
            verifier=verifier,
            nonce=nonce,
        )
        return Departure(url, {"nonce": nonce, "code_verifier": verifier})

    async def arrive(
        self, *, parameters: Mapping[str, str], state: str, kept: Mapping[str, str], callback_url: str, now: datetime
    ) -> ProvenIdentity:
        """Exchange the code, and check the ID token that comes for it."""
        check_state(parameters, state)
        metadata = await self._metadata.current()
        self._check_issuer(parameters.get("iss"), metadata)
        tokens = await self._client.exchange(
            metadata.token_endpoint,
            code=code_of(parameters),
            callback_url=callback_url,
            verifier=kept["code_verifier"],
            authentication=self._authentication(metadata),
        )
        if tokens.id_token is None:
            raise ProviderAway("the token endpoint gave no ID token")
        access_token = access_token_of(tokens)
        profile = await self._check_id_token(tokens.id_token, access_token, nonce=kept["nonce"], now=now)
        if profile.email is None and metadata.userinfo_endpoint is not None and "email" in self._scopes:
            profile = await self._userinfo(metadata.userinfo_endpoint, access_token, profile)
        return self._proven(profile)

    def _check_issuer(self, said: str | None, metadata: ProviderMetadata) -> None:
        # RFC 9207: an answer of another provider must not be taken for one of this.
        if said is None and metadata.authorization_response_iss_parameter_supported:
            raise ProviderRefused("the answer does not say its issuer")
        if said is not None and said != self._issuer:
            raise ProviderRefused("the answer is of another issuer")

    def _authentication(self, metadata: ProviderMetadata) -> str:
        if self._client.client_secret is None:
            return "none"
        for method in ("client_secret_basic", "client_secret_post", "none"):
            if method in metadata.token_endpoint_auth_methods_supported:
                return method
        raise ProviderAway("the token endpoint offers no way of authentication that is spoken here")

    async def _check_id_token(
        self, id_token: SecretStr, access_token: SecretStr, *, nonce: str, now: datetime
    ) -> Profile:
        token = await self._verified(id_token.get_secret_value())
        claims = CodeIDToken(
            token.claims,
            token.header,
            {
                "iss": {"essential": True, "value": self._issuer},
                "aud": {"essential": True, "value": self._client.client_id},
            },
            {"client_id": self._client.client_id, "access_token": access_token.get_secret_value()},
        )
        try:
            claims.validate(now=int(now.timestamp()), leeway=LEEWAY_SECONDS)
        except JoseError as error:
            raise ProviderRefused(_claim_reason(error)) from None
        except (TypeError, ValueError):
            raise ProviderRefused("a claim of the ID token is of the wrong type") from None
        said = claims.get("nonce")
        if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
            raise ProviderRefused("the nonce of the ID token is not the one of the departure")
        try:
            return Profile.model_validate(dict(claims))
        except ValidationError:
            raise ProviderRefused("a claim of the ID token is of the wrong type") from None

    async def _verified(self, id_token: str) -> jwt.Token:
        keys = await self._keys.current()
        try:
            return _decode(id_token, keys)
        except (InvalidKeyIdError, BadSignatureError):
            fresh = await self._keys.fresh()
        try:
            return _decode(id_token, fresh)
        except (InvalidKeyIdError, BadSignatureError):
            raise ProviderRefused(UNSIGNED) from None

    async def _userinfo(self, endpoint: str, access_token: SecretStr, profile: Profile) -> Profile:
        answer = await self._calls.get(endpoint, what="the userinfo endpoint", headers=bearer(access_token))
        if answer.status != httpx.codes.OK:
            raise ProviderAway(f"the userinfo endpoint answered {answer.status}")
        userinfo = answer.parse(Profile, what="the userinfo endpoint's answer")
        if userinfo.sub != profile.sub:
            raise ProviderRefused("the userinfo endpoint speaks of another subject")
        return userinfo

    async def _load_metadata(self) -> ProviderMetadata:
        url = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        answer = await self._calls.get(url, what="the discovery document")
        if answer.status != httpx.codes.OK:
            raise ProviderAway(f"the discovery document answered {answer.status}")
        metadata = answer.parse(ProviderMetadata, what="the discovery document")
        _check_metadata(metadata, self._issuer)
        return metadata

    async def _load_keys(self) -> KeySet:
        metadata = await self._metadata.current()
        answer = await self._calls.get(metadata.jwks_uri, what="the key set")
        if answer.status != httpx.codes.OK:
            raise ProviderAway(f"the key set answered {answer.status}")
        return _key_set(answer.parse(_RawKeys, what="the key set"))

    def _proven(self, profile: Profile) -> ProvenIdentity:
        email = email_of(profile.email)
        return ProvenIdentity(
            provider=self.code,
            issuer=self._issuer,
            subject=profile.sub,
            email=email,
            is_email_verified=email is not None and profile.is_email_verified,
            display_name=name_of(profile.name, profile.preferred_username),
            avatar_url=picture_of(profile.picture),
            nonce=None,
        )


def _check_metadata(metadata: ProviderMetadata, issuer: str) -> None:
    if metadata.issuer != issuer:
        raise ProviderAway("the discovery document is of another issuer")
    endpoints = (
        metadata.authorization_endpoint,
        metadata.token_endpoint,
        metadata.jwks_uri,
        metadata.userinfo_endpoint or issuer,
    )
    # Only a provider on this machine may send us to this machine.
    if issuer.startswith("https:") and not all(endpoint.startswith("https:") for endpoint in endpoints):
        raise ProviderAway("the discovery document names an address that is not https")


def _decode(id_token: str, keys: KeySet) -> jwt.Token:
    registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    try:
        return jwt.decode(id_token, keys, registry=registry)
    except (InvalidKeyIdError, BadSignatureError):
        raise
    except (JoseError, ValueError, TypeError):
        raise ProviderRefused(UNSIGNED) from None


def _key_set(raw: _RawKeys) -> KeySet:
    """The keys that can verify; RFC 7517 wants those not understood to be passed over."""
    keys: list[Key] = []
    for entry in raw.keys:
        try:
            key = JWKRegistry.import_key(entry)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        is_strong = isinstance(key, ECKey) or (isinstance(key, RSAKey) and key.raw_value.key_size >= LEAST_RSA_BITS)
        if is_strong and entry.get("use") in {None, "sig"}:
            keys.append(key)
    if not keys:
        raise ProviderAway("the key set has no key that can verify")
    return KeySet(keys)


def _claim_reason(error: JoseError) -> str:
    claim = getattr(error, "claim", None)
    known = claim if claim in {"iss", "sub", "aud", "exp", "nbf", "iat", "azp", "at_hash"} else "a claim"
    return f"{known} of the ID token does not hold"
