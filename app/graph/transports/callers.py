"""Who calls: the origin of a browser's page, and the id of a request."""

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from uuid_utils import uuid7

from app.core.settings import Settings

REQUEST_ID = "X-Request-Id"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def request_id(given: str) -> str:
    """The id that the caller, or a proxy before us, gave the request; a new one where that is missing or odd."""
    return given if _SANE_REQUEST_ID.fullmatch(given) else str(uuid7())


def is_welcome(headers: Headers, settings: Settings) -> bool:
    """Whether a socket may be opened from the page that asks: programs, our own pages, and the origins allowed."""
    return "*" in settings.allowed_origins or is_welcome_page(headers, settings)


def is_welcome_page(headers: Headers, settings: Settings) -> bool:
    """The same, for what is done by cookie: a page of any origin is not enough for that."""
    origin = headers.get("origin")
    if origin is None or origin in settings.allowed_origins:
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
