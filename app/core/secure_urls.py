"""Which addresses secrets may be sent to, and pictures shown from."""

from ipaddress import ip_address
from urllib.parse import urlsplit

LONGEST_PICTURE_URL = 2_000


def is_secure_url(url: str) -> bool:
    """Whether a URL is `https`, or `http` to this very machine, and carries no password and no fragment."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None or "#" in url or not _is_plain(url):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def is_picture_url(url: str) -> bool:
    """Whether a URL is one of a picture that may be shown: `https`, and not too long to be kept."""
    return len(url) <= LONGEST_PICTURE_URL and url.startswith("https://") and is_secure_url(url)


def _is_plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url and "\\" not in url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
