"""Which network addresses are the public's: where a URL that somebody gave us may lead."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

# Networks of IPv6 that lead to an address of IPv4, which stands in the last four bytes.
_IPV4_AT_THE_END = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))


async def resolve(host: str, port: int) -> Sequence[Address]:
    """The addresses of a host, in the order to try them; raises OSError where there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # An address of one link has a zone after `%`, which says nothing of whose it is.
    return [ip_address(str(place[0]).partition("%")[0]) for *_, place in found]


def is_public(address: Address) -> bool:
    """Whether an address is of the public network: of no private one, not of this machine, and none within it."""
    if isinstance(address, IPv6Address):
        within = _ipv4_within(address)
        if within is not None:
            return is_public(within)
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _ipv4_within(address: IPv6Address) -> IPv4Address | None:
    """The address of IPv4 that one of IPv6 leads to."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _IPV4_AT_THE_END):
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return None


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
