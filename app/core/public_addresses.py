"""Which network addresses are the public's: where a URL that somebody gave us may lead."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

# What Python, depending on its version, calls global: of protocols (RFC 6890), and the relays of 6to4 (RFC 7526).
_SPECIAL_IPV4 = (IPv4Network("192.0.0.0/24"), IPv4Network("192.88.99.0/24"))
# Of IPv6 nothing else is given out to the public. Site-local addresses and those of protocols to come lie outside.
_GIVEN_OUT_IPV6 = IPv6Network("2000::/3")
_SPECIAL_IPV6 = (
    # Of protocols, with Teredo, which leads to any address of IPv4.
    IPv6Network("2001::/23"),
    # 6to4, which leads to any address of IPv4.
    IPv6Network("2002::/16"),
    # For documentation.
    IPv6Network("2001:db8::/32"),
    IPv6Network("3fff::/20"),
)
# NAT64: leads to the address of IPv4 in the last four bytes, and in networks without IPv4 to all of them.
_NAT64 = IPv6Network("64:ff9b::/96")


LOOK_UPS_AT_ONCE = 32
# Threads of their own: a name that nobody answers for keeps one for many seconds, also when nobody waits any longer.
_LOOK_UPS = ThreadPoolExecutor(LOOK_UPS_AT_ONCE, thread_name_prefix="look-up")


async def resolve(host: str, port: int) -> Sequence[Address]:
    """The addresses of a host, in the order to try them; raises OSError where there are none."""
    look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_LOOK_UPS, look_up)
    # An address of one link has a zone after `%`, which says nothing of whose it is.
    return [ip_address(str(place[0]).partition("%")[0]) for *_, place in found]


def is_public(address: Address) -> bool:
    """Whether an address is of the public network: of no private one, not of this machine, and none within it."""
    if isinstance(address, IPv4Address):
        is_special = any(address in network for network in _SPECIAL_IPV4)
        return address.is_global and not (is_special or address.is_multicast or address.is_reserved)
    within = _ipv4_within(address)
    if within is not None:
        return is_public(within)
    return address in _GIVEN_OUT_IPV6 and not any(address in network for network in _SPECIAL_IPV6)


def _ipv4_within(address: IPv6Address) -> IPv4Address | None:
    """The address of IPv4 that one of IPv6 stands for."""
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


@dataclass(frozen=True, slots=True)
class PublicAddresses:
    """How the hosts of URLs that somebody gave are resolved, and which of their addresses may be called."""

    resolve: Resolve = resolve
    is_allowed: Callable[[Address], bool] = is_public

    async def of(self, host: str, port: int) -> Sequence[Address] | None:
        """The addresses to connect to; None where one may not be called. Raises OSError where there are none."""
        try:
            found: Sequence[Address] = [ip_address(host)]
        except ValueError:
            found = await self.resolve(host, port)
        return found if all(self.is_allowed(address) for address in found) else None
