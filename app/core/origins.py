"""Origins of pages: which may act by cookie here, and be sent back to."""

from urllib.parse import urlsplit

from app.core.settings import Settings

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
