"""A provider of OpenID Connect that speaks the real protocol, with a switch for all that may be wrong with it."""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.registry import HeaderParameter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from app.core.clock import utc_now
from app.core.provider_settings import OpenIdConnectSettings
from tests.identity.code_grant import CodeGrant, Grant
from tests.identity.loopback_server import Traffic, form_of, free_listener, serving, url_of

CLIENT_ID = "trove-client"
DISCOVERY, JWKS, TOKEN, USERINFO = "/.well-known/openid-configuration", "/jwks", "/token", "/userinfo"
TOKEN_SECONDS = 300


SHORT_KEY = "short"
# A header that has to be understood, which nobody does.
CRITICAL = "made-up"
_REGISTRY = JWSRegistry({CRITICAL: HeaderParameter("Made up", "int")}, ["RS256", "PS256", "ES256"])


@cache
def _rsa_key(name: str) -> RSAKey:
    if name != SHORT_KEY:
        return RSAKey.generate_key(2048, {"kid": name, "use": "sig"})
    short = rsa.generate_private_key(65537, 1024)
    return RSAKey(short, short, {"kid": name})


@cache
def _ec_key(name: str) -> ECKey:
    return ECKey.generate_key("P-256", {"kid": name, "use": "sig"})


def _half_hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return _encoded(digest[: len(digest) // 2])


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _raw_token(header: Mapping[str, str], claims: Mapping[str, object], key: bytes | None) -> str:
    signed = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
    signature = b"" if key is None else hmac.new(key, signed.encode(), "sha256").digest()
    return f"{signed}.{_encoded(signature)}"


@dataclass(slots=True)
class FakeOpenIdProvider:
    """Consents for `person` at once. The fields below `grant` make it wrong: a claim that is None is left out."""

    issuer: str
    client_secret: str | None = field(default_factory=lambda: secrets.token_urlsafe(24))
    authentication: str = "client_secret_basic"
    algorithm: str = "RS256"
    person: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "248289761001",
            "email": "ada@example.com",
            "email_verified": True,
            "name": "Ada Lovelace",
            "picture": "https://pictures.example.com/ada.png",
        }
    )
    traffic: Traffic = field(default_factory=Traffic)
    grant: CodeGrant = field(default_factory=lambda: CodeGrant(CLIENT_ID))

    key_name: str = "first"
    published_keys: tuple[str, ...] = ("first",)
    metadata: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    signs_with_foreign_key: bool = False
    token_answer: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    issuer_parameter: str | None = None
    denies_with: str | None = None

    @property
    def entry(self) -> dict[str, object]:
        """The entry of TROVE_IDENTITY_PROVIDERS that is for this provider."""
        return {
            "code": "example",
            "kind": "openid_connect",
            "name": "Example",
            "issuer": self.issuer,
            "client_id": CLIENT_ID,
            "client_secret": self.client_secret,
        }

    @property
    def settings(self) -> OpenIdConnectSettings:
        """The entry, read."""
        return OpenIdConnectSettings.model_validate(self.entry)

    @property
    def secrets(self) -> list[str]:
        """What must never be shown: the client's secret, and each code and token so far."""
        return [*self.grant.issued, *([self.client_secret] if self.client_secret else [])]

    def rotate_keys(self) -> None:
        """Sign with a new key from now on, and publish only that."""
        self.key_name = f"{self.key_name}-next"
        self.published_keys = (self.key_name,)

    @property
    def app(self) -> Starlette:
        """The provider as an application."""
        return Starlette(
            routes=[
                Route(DISCOVERY, self._discovery),
                Route(JWKS, self._jwks),
                Route("/authorize", self._authorize),
                Route(TOKEN, self._token, methods=["POST"]),
                Route(USERINFO, self._userinfo),
            ]
        )

    async def _discovery(self, _: Request) -> Response:
        document = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}{TOKEN}",
            "jwks_uri": f"{self.issuer}{JWKS}",
            "userinfo_endpoint": f"{self.issuer}{USERINFO}",
            "token_endpoint_auth_methods_supported": [self.authentication],
            "authorization_response_iss_parameter_supported": True,
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.algorithm],
        }
        return JSONResponse(_without_none(document | self.metadata))

    async def _jwks(self, _: Request) -> Response:
        keys = [self._key(name).as_dict(private=False) for name in self.published_keys]
        strangers = [{"kty": "AKP", "alg": "ML-DSA-44", "kid": "later", "pub": "AA"}, {"kty": "EC", "crv": "P-0"}]
        return JSONResponse({"keys": [*strangers, *keys]})

    async def _authorize(self, request: Request) -> Response:
        query = request.query_params
        assert "openid" in query["scope"].split()
        issuer = {} if self.issuer_parameter == "" else {"iss": self.issuer_parameter or self.issuer}
        if self.denies_with is not None:
            return RedirectResponse(self.grant.denial(query, self.denies_with, **issuer), 302)
        return RedirectResponse(self.grant.consent(query, **issuer), 302)

    async def _token(self, request: Request) -> Response:
        form = await form_of(request)
        if not self._is_our_client(request, form):
            return JSONResponse({"error": "invalid_client"}, 401)
        assert form["grant_type"] == "authorization_code"
        grant = self.grant.redeem(form)
        if grant is None:
            return JSONResponse({"error": "invalid_grant", "error_description": f"{form.get('code')}"}, 400)
        access_token = self.grant.secret()
        id_token = self._sign(self._claims(grant, access_token))
        self.grant.issued.append(id_token)
        answer = {"access_token": access_token, "token_type": "Bearer", "id_token": id_token}
        return JSONResponse(_without_none(answer | self.token_answer))

    def _is_our_client(self, request: Request, form: Mapping[str, str]) -> bool:
        if self.authentication == "none":
            return form.get("client_id") == CLIENT_ID and "client_secret" not in form
        if self.authentication == "client_secret_post":
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT_ID, self.client_secret)
        said = base64.b64decode(request.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        client_id, _, secret = said.partition(":")
        return (unquote_plus(client_id), unquote_plus(secret)) == (CLIENT_ID, self.client_secret)

    def _claims(self, grant: Grant, access_token: str) -> dict[str, Any]:
        now = int(utc_now().timestamp())
        claims = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "nonce": grant.nonce,
            "at_hash": _half_hash(access_token),
        }
        return _without_none(claims | self.person | self.claims)

    def _sign(self, claims: dict[str, Any]) -> str:
        header = _without_none({"alg": self.algorithm, "kid": self.key_name} | self.header)
        key = self._key("foreign" if self.signs_with_foreign_key else self.key_name)
        if header["alg"] == "none":
            return _raw_token(header, claims, None)
        if header["alg"] == "HS256":
            return _raw_token(header, claims, key.as_pem(private=False))
        return jwt.encode(header, claims, key, registry=_REGISTRY)

    def _key(self, name: str) -> RSAKey | ECKey:
        return _ec_key(name) if self.algorithm == "ES256" else _rsa_key(name)

    async def _userinfo(self, request: Request) -> Response:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.grant.issued:
            return JSONResponse({"error": "invalid_token"}, 401)
        return JSONResponse(_without_none(self.person | self.userinfo))


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


@contextmanager
def running_openid_provider() -> Iterator[FakeOpenIdProvider]:
    """A provider on loopback, until the block ends."""
    listener = free_listener()
    provider = FakeOpenIdProvider(url_of(listener))
    with serving(provider.traffic.watching(provider.app), listener):
        yield provider
