"""Access tokens: JWTs of fifteen minutes, signed with Ed25519 by keys that change."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwa import EdDSAAlgorithm
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry

from app.core.ids import PublicIdTag, parse_public_id, public_id
from app.identity.scopes import Scope
from app.identity.viewer import Viewer

LIFETIME = timedelta(minutes=15)
ALGORITHM = "EdDSA"
AUDIENCE = "trove"
TYPE = "at+jwt"
# Of clocks: tokens are dated by the database's, and to a process whose own is late they come from the future.
LEEWAY_SECONDS = 60
LONGEST_TOKEN = 4_096


class _EdDSA(EdDSAAlgorithm):
    # The name of RFC 9864, Ed25519, is the one that verifiers in the field do not know yet.
    security_warning = None  # type: ignore[assignment]  # the registry asks whether it is empty


class _OnlyEdDSA(JWSRegistry):
    algorithms = {ALGORITHM: _EdDSA()}  # noqa: RUF012  # declared so by the library


_REGISTRY = _OnlyEdDSA(algorithms=[ALGORITHM])


class InvalidAccessToken(Exception):
    """A text is no access token that we signed and that holds now; `unknown_key` when its key is not one of ours."""

    def __init__(self, *, unknown_key: bool = False) -> None:
        super().__init__("not an access token of ours that holds now")
        self.unknown_key = unknown_key


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A signed token and when it ends."""

    text: str = field(repr=False)
    expires_at: datetime


def sign_access_token(key: OKPKey, viewer: Viewer, *, issuer: str) -> AccessToken:
    """The access token of a session's viewer; its times have to be set."""
    if viewer.user_id is None or viewer.credential_id is None:
        raise ValueError("an access token is somebody's")
    if viewer.issued_at is None or viewer.expires_at is None or viewer.authenticated_at is None:
        raise ValueError("an access token has its times")
    claims = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": public_id(PublicIdTag.USER, viewer.user_id),
        "sid": public_id(PublicIdTag.SESSION, viewer.credential_id),
        "scope": " ".join(sorted(scope.value for scope in viewer.scopes)),
        "iat": viewer.issued_at.timestamp(),
        "exp": viewer.expires_at.timestamp(),
        "auth_time": viewer.authenticated_at.timestamp(),
    }
    header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}
    return AccessToken(jwt.encode(header, claims, key, registry=_REGISTRY), viewer.expires_at)


def read_access_token(text: str, keys: Mapping[str, OKPKey], *, issuer: str, now: datetime) -> Viewer:
    """The viewer that a token names; raises InvalidAccessToken."""
    if len(text) > LONGEST_TOKEN:
        raise InvalidAccessToken
    try:
        token = jwt.decode(text, lambda signed: _key_of(signed.headers(), keys), registry=_REGISTRY)
    except (JoseError, ValueError, TypeError, RecursionError):
        raise InvalidAccessToken from None
    if token.header.get("typ") != TYPE:
        raise InvalidAccessToken
    return _viewer_of(token.claims, issuer=issuer, now=now)


def _key_of(header: Mapping[str, Any], keys: Mapping[str, OKPKey]) -> OKPKey:
    key = keys.get(header["kid"]) if isinstance(header.get("kid"), str) else None
    if key is None:
        raise InvalidAccessToken(unknown_key=True)
    return key


def _viewer_of(claims: Mapping[str, Any], *, issuer: str, now: datetime) -> Viewer:
    if claims.get("iss") != issuer or claims.get("aud") != AUDIENCE:
        raise InvalidAccessToken
    issued_at, expires_at = _instant(claims, "iat"), _instant(claims, "exp")
    if expires_at <= now or issued_at > now + timedelta(seconds=LEEWAY_SECONDS):
        raise InvalidAccessToken
    return Viewer(
        user_id=_key(claims, "sub", PublicIdTag.USER),
        credential_id=_key(claims, "sid", PublicIdTag.SESSION),
        scopes=_scopes(claims),
        is_session=True,
        issued_at=issued_at,
        expires_at=expires_at,
        authenticated_at=_instant(claims, "auth_time"),
    )


def _instant(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidAccessToken
    try:
        return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidAccessToken from None


def _key(claims: Mapping[str, Any], name: str, tag: PublicIdTag) -> UUID:
    value = claims.get(name)
    parsed = parse_public_id(value) if isinstance(value, str) else None
    if parsed is None or parsed[0] is not tag or not isinstance(parsed[1], UUID):
        raise InvalidAccessToken
    return parsed[1]


def _scopes(claims: Mapping[str, Any]) -> frozenset[Scope]:
    value = claims.get("scope")
    if not isinstance(value, str):
        raise InvalidAccessToken
    known = {scope.value: scope for scope in Scope}
    # A word that this release does not know gives nothing.
    return frozenset(known[word] for word in value.split() if word in known)


def public_key_set(keys: Mapping[str, OKPKey]) -> dict[str, Any]:
    """The keys as a JSON Web Key Set, without their private halves."""
    public = [key.as_dict(private=False) | {"use": "sig", "alg": ALGORITHM, "kid": kid} for kid, key in keys.items()]
    return {"keys": public}
