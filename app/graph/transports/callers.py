"""Who calls: the origin of a browser's page, and the id of a request."""

import re

from starlette.datastructures import Headers
from uuid_utils import uuid7

from app.core.origins import is_allowed_origin
from app.core.settings import Settings

REQUEST_ID = "X-Request-Id"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def request_id(given: str) -> str:
    """The id that the caller, or a proxy before us, gave the request; a new one where that is missing or odd."""
    return given if _SANE_REQUEST_ID.fullmatch(given) else str(uuid7())


def is_welcome(headers: Headers, settings: Settings) -> bool:
    """Whether a socket may be opened from the page that asks: programs, our own pages, and the origins allowed."""
    return "*" in settings.allowed_origins or is_welcome_page(headers, settings)


def is_welcome_page(headers: Headers, settings: Settings) -> bool:
    """The same, for what is done by cookie: a page of any origin is not enough for that."""
    origin = headers.get("origin")
    return origin is None or is_allowed_origin(origin, settings, own_host=headers.get("host", ""))
