"""The API under uvicorn, as `trove api` serves it."""

import asyncio
import gc
import signal
import socket
import warnings
from collections.abc import Sequence
from ipaddress import IPv6Network, ip_network
from types import FrameType

import uvicorn

from app.core.settings import Settings
from app.graph.transports.connections import Connections, connections_of
from app.main import application

LARGEST_SOCKET_MESSAGE = 2 * 1024 * 1024
SHUTDOWN_SECONDS = 5
# What still runs so long before that is given up, so that its caller hears of it.
FAREWELL_SECONDS = 1
# Of the garbage collector: rows and responses come and go by thousands, and nearly none of them is part of a circle.
COLLECTOR_THRESHOLDS = (50_000, 20, 100)
# Where IPv4 addresses stand among those of IPv6: a server that listens on both sees its IPv4 peers so.
MAPPED_BITS = 96


def peers_of(proxies: Sequence[str]) -> list[str]:
    """The networks that these addresses and networks come from, as a listening socket of either family sees them."""
    networks = [ip_network(proxy) for proxy in proxies]
    mapped = [
        f"::ffff:{network.network_address}/{MAPPED_BITS + network.prefixlen}"
        for network in networks
        if not isinstance(network, IPv6Network)
    ]
    return [*map(str, networks), *mapped]


def serve_api(settings: Settings, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    # A client that hangs up leaves resolvers behind that had not begun; that is no mistake of anyone's.
    warnings.filterwarnings("ignore", message="coroutine .* was never awaited", category=RuntimeWarning)
    served = application()
    config = uvicorn.Config(
        served,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=LARGEST_SOCKET_MESSAGE,
        ws_per_message_deflate=False,
        # The graph's own protocol pings, and closes with a code that clients understand.
        ws_ping_interval=None,
        log_config=None,
        access_log=False,
        server_header=False,
        # Given, and not left to uvicorn, which would believe whoever comes from this machine.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=peers_of(settings.trusted_proxies),
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    # What was made at the start stays for good: the collector need not look at it again with every few requests.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTOR_THRESHOLDS)
    Server(config, connections_of(served)).run(sockets=[listener])


class Server(uvicorn.Server):
    """Takes leave of sockets and event streams before it shuts down, so that clients know to come back."""

    def __init__(self, config: uvicorn.Config, connections: Connections) -> None:
        super().__init__(config)
        self._connections = connections

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop when told to; unlike uvicorn, do not raise the signal again at the end: having stopped is no failure."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the long connections, then the short ones, then the process."""
        await self._connections.close()
        asyncio.get_running_loop().call_later(SHUTDOWN_SECONDS - FAREWELL_SECONDS, self._connections.give_up)
        await super().shutdown(sockets)
