"""Who calls: the viewer behind an `Authorization`, the origin of a browser's page, and the id of a request."""

import hmac
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from uuid_utils import uuid7

from app.core.errors import NotSignedIn
from app.core.settings import Settings
from app.graph.context import ANYONE, Viewer

REQUEST_ID = "X-Request-Id"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def request_id(given: str) -> str:
    """The id that the caller, or a proxy before us, gave the request; a new one where that is missing or odd."""
    return given if _SANE_REQUEST_ID.fullmatch(given) else str(uuid7())


def viewer_of(authorizations: Sequence[str], settings: Settings) -> Viewer:
    """Who sends these `Authorization` values: anyone without one; a wrong one is refused, never taken for none."""
    if not authorizations:
        return ANYONE
    scheme, _, token = authorizations[0].strip().partition(" ")
    if len(authorizations) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise NotSignedIn("Send one `Authorization: Bearer <ingest token>`, or none at all to read what is public.")
    expected = settings.ingest_token.get_secret_value() if settings.ingest_token else ""
    if not expected or not hmac.compare_digest(token.strip().encode(), expected.encode()):
        raise NotSignedIn("This token is not the ingest token of this server; send the right one, or none at all.")
    return Viewer(may_ingest=True)


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
