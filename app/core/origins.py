"""Origins of pages: which may act by cookie here, and be sent back to."""

from urllib.parse import urlsplit

from app.core.secure_urls import is_secure_url
from app.core.settings import Settings

LONGEST_RETURN = 2_000
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_allowed_origin(origin: str, settings: Settings, *, own_host: str) -> bool:
    """Whether an origin is one of those allowed, or our own; in development any of this machine is.

    `own_host` is the host, with its port where it has one, that the request was sent to, or that we are known by.
    """
    if origin in settings.allowed_origins:
        return True
    try:
        url = urlsplit(origin)
        is_loopback = url.hostname in _LOOPBACK_NAMES
    except ValueError:
        return False
    default_port = _DEFAULT_PORTS.get(url.scheme, "")
    host = own_host.lower()
    is_own = bool(host) and url.netloc.lower().removesuffix(default_port) == host.removesuffix(default_port)
    return is_own or (settings.is_development and is_loopback)


def allowed_return(settings: Settings, return_to: str | None) -> str | None:
    """The address to send a browser back to, where it is on our own origin or on one of those allowed; else None."""
    if return_to is None or len(return_to) > LONGEST_RETURN or not is_secure_url(return_to):
        return None
    url = urlsplit(return_to)
    own_host = urlsplit(settings.public_url or "").netloc
    return return_to if is_allowed_origin(f"{url.scheme}://{url.netloc}", settings, own_host=own_host) else None
