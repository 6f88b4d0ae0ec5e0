"""Who calls: the viewer behind an `Authorization`, the origin of a browser's page, and the id of a request."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope
from uuid_utils import uuid7

from app.core.errors import NotSignedIn
from app.core.settings import Settings
from app.identity.authentication import Authentication
from app.identity.viewer import ANYONE, Origin, Viewer

REQUEST_ID = "X-Request-Id"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def request_id(given: str) -> str:
    """The id that the caller, or a proxy before us, gave the request; a new one where that is missing or odd."""
    return given if _SANE_REQUEST_ID.fullmatch(given) else str(uuid7())


async def viewer_of(authorizations: Sequence[str], authentication: Authentication, origin: Origin) -> Viewer:
    """Who sends these `Authorization` values: anyone without one; a wrong one is refused, never taken for none."""
    if not authorizations:
        return ANYONE
    scheme, _, token = authorizations[0].strip().partition(" ")
    if len(authorizations) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise NotSignedIn(
            "Send one `Authorization: Bearer <token>`, of an access token or an API token, or none at all to read what "
            "is public."
        )
    return await authentication.viewer_of(token.strip(), origin)


def origin_of(scope: Scope, user_agent: str) -> Origin:
    """Where a request came from: the address of the peer, as the server knows it."""
    client = scope.get("client")
    return Origin(client[0] if client else None, user_agent)


def is_welcome(headers: Headers, settings: Settings) -> bool:
    """Whether a socket may be opened from the page that asks: programs, our own pages, and the origins allowed."""
    origin = headers.get("origin")
    if origin is None or origin in settings.allowed_origins or "*" in settings.allowed_origins:
        return True
    try:
        url = urlsplit(origin)
        is_loopback = url.hostname in _LOOPBACK_NAMES
    except ValueError:
        return False
    default_port = _DEFAULT_PORTS.get(url.scheme, "")
    host = headers.get("host", "").lower()
    is_own = bool(host) and url.netloc.lower().removesuffix(default_port) == host.removesuffix(default_port)
    return is_own or (settings.is_development and is_loopback)
