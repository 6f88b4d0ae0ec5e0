"""Which URLs a webhook may have. Where one really leads is looked at again each time that something is sent."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from app.core.errors import BadUserInput
from app.core.public_addresses import Address, is_public
from app.core.secure_urls import is_secure_url

LONGEST_WEBHOOK_URL = 2_000
# Names that no server of the public network has.
_PRIVATE_ENDINGS = ("local", "localhost", "internal", "intranet", "lan", "home", "corp", "private", "arpa", "onion")


def check_webhook_url(url: str, *, is_development: bool = False) -> str:
    """The URL of a webhook, if it is one that may be called; raises BadUserInput with what it has to be.

    It is `https`, with a host of the public network, and has neither a password nor a fragment. On a developer's own
    server it may also lead to this very machine, by `http` as well.
    """
    if len(url) > LONGEST_WEBHOOK_URL:
        raise _refused(f"The URL has {len(url):,} characters, and may have {LONGEST_WEBHOOK_URL:,}.")
    if not is_secure_url(url):
        raise _refused(
            "Give the URL of a server that speaks HTTPS, such as https://hooks.example.com/trove, "
            "without a user, a password or a fragment; hosts with other letters as xn--…"
        )
    host = urlsplit(url).hostname or ""
    if is_development and _is_this_machine(host):
        return url
    if not url.lower().startswith("https://"):
        raise _refused("The URL has to begin with https://, so that nobody on the way reads what is sent.")
    if not _may_be_public(host):
        raise _refused("The host is not one of the public network; give one that can be reached from everywhere.")
    return url


def _may_be_public(host: str) -> bool:
    """Whether a host can be one of the public network, as far as its name tells."""
    address = _address(host)
    if address is not None:
        return is_public(address)
    labels = host.removesuffix(".").lower().split(".")
    # What ends in a number is an address, in one of the many ways to write these.
    is_name = len(labels) > 1 and all(labels) and not labels[-1][0].isdigit()
    return is_name and labels[-1] not in _PRIVATE_ENDINGS


def _is_this_machine(host: str) -> bool:
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _refused(message: str) -> BadUserInput:
    return BadUserInput(message, argument="url")
