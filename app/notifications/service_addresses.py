"""Which addresses of services may be given: Apprise connects by itself, so what it may reach is decided beforehand.

The first look at an address in a process takes a second, since Apprise then reads all that it knows: look in a thread.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from apprise import Apprise, AppriseAsset
from apprise.common import PersistentStoreMode
from apprise.plugins import url_to_dict
from apprise.plugins.base import NotifyBase

from app.core.errors import BadUserInput

LONGEST_SERVICE_ADDRESS = 2_000
# All others could read files, add headers, load attachments or do without certificates.
ALLOWED_PARAMETERS = frozenset({"from", "priority", "region", "silent", "sound", "thread", "to", "topic"})
# Hosts that may be named without anybody having listed them: the services' own.
OWN_HOSTS = frozenset({("ntfys", "ntfy.sh")})
# How long a service may take to let us in, and then to say each next thing, in seconds.
CONNECT_SECONDS = 4.0
READ_SECONDS = 8.0

# It writes nothing to disk, follows no redirects, fills in no templates, and tells nobody by whom it was made.
_ASSET = AppriseAsset(
    app_id="Trove",
    app_desc="Trove",
    app_url="",
    image_url_mask="",
    image_url_logo="",
    http_redirects=False,
    async_mode=False,
    pgp_autogen=False,
    pem_autogen=False,
    language="en",
    storage_mode=PersistentStoreMode.MEMORY,
    # The plugin's own bounds hold, and whoever calls waits no longer than they like.
    service_timeout=0,
    allow_templates=False,
)
# Both log addresses, which hold secrets.
for _name in ("apprise", "urllib3"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


class AllowedServices(Protocol):
    """What operators allow: the schemes of addresses, and the hosts that these may name. Settings say it."""

    @property
    def notification_services(self) -> tuple[str, ...]:
        """The schemes."""
        ...

    @property
    def notification_hosts(self) -> tuple[str, ...]:
        """The hosts, with their ports where they have some."""
        ...


def check_service_address(address: str, settings: AllowedServices) -> str:
    """The kind of a service, by its address: the scheme. Raises BadUserInput with what an address has to be."""
    service_of(address, settings)
    return _kind_of(address)


def service_of(address: str, settings: AllowedServices) -> NotifyBase:
    """The service of an address, if it is one that may be told; raises BadUserInput, which tells nothing of it."""
    if len(address) > LONGEST_SERVICE_ADDRESS or not address.isascii() or not address.isprintable() or " " in address:
        raise _refused(f"An address has at most {LONGEST_SERVICE_ADDRESS:,} characters, without spaces, and of ASCII.")
    kind = _kind_of(address)
    if kind not in settings.notification_services:
        raise _refused(
            "Give an address as Apprise writes it, of one of the services that this server tells: "
            f"{', '.join(f'{kind}://' for kind in settings.notification_services)}.",
            allowed=settings.notification_services,
        )
    read = _read(address)
    service = None if read is None or read.get("schema") != kind else _made(read)
    if read is None or service is None:
        raise _refused(f"This is no address that {kind}:// knows; see https://appriseit.com/services/.")
    unknown = set(read["qsd"]) - ALLOWED_PARAMETERS
    if unknown:
        raise _refused(
            f"Leave out what stands after the question mark, but for {', '.join(sorted(ALLOWED_PARAMETERS))}.",
            allowed=sorted(ALLOWED_PARAMETERS),
        )
    if len(service) != 1:
        raise _refused("Name one receiver; add another service for each of the others.")
    if _names_a_host(kind, service) and not _may_be_called(kind, service, settings):
        raise _refused(
            "This server tells no service at that host; its operator lists hosts in TROVE_NOTIFICATION_HOSTS."
        )
    service.socket_connect_timeout = CONNECT_SECONDS
    service.socket_read_timeout = READ_SECONDS
    return service


def _kind_of(address: str) -> str:
    return address.partition("://")[0].lower()


def _read(address: str) -> Mapping[str, Any] | None:
    try:
        read: Mapping[str, Any] | None = url_to_dict(address)  # type: ignore[no-untyped-call]  # Apprise leaves it untyped
    except Exception:  # noqa: BLE001  # a hundred parsers, of which each may stumble over what somebody made up
        return None
    return read


def _made(read: Mapping[str, Any]) -> NotifyBase | None:
    try:
        return Apprise.instantiate(dict(read), asset=_ASSET)
    except Exception:  # noqa: BLE001  # as above
        return None


def _names_a_host(kind: str, service: NotifyBase) -> bool:
    """Whether what it connects to is said by its address."""
    # A topic alone is one of ntfy.sh, by HTTPS.
    if getattr(service, "mode", None) == "cloud" and kind in {"ntfy", "ntfys"}:
        return False
    templates: Sequence[object] = type(service).templates
    return any("{host}" in str(template) for template in templates)


def _may_be_called(kind: str, service: NotifyBase, settings: AllowedServices) -> bool:
    host = str(service.host or "").lower()
    place = f"{host}:{service.port}" if service.port else host
    return place in settings.notification_hosts or (kind, place) in OWN_HOSTS


def _refused(message: str, *, allowed: tuple[str, ...] | list[str] = ()) -> BadUserInput:
    return BadUserInput(message, argument="address", allowed=allowed)
