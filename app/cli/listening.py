"""The address that the API is to listen on."""

import errno
import socket

from app.core.errors import ServiceUnavailable

BACKLOG = 2048


def listen_on(host: str, port: int) -> socket.socket:
    """A socket that listens on the address; a sentence when that cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        # At once: two sockets may be bound to one address for as long as neither listens.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had ({error.strerror})"
        raise ServiceUnavailable(
            f"Port {port} on {host} {reason}: choose another with --port or TROVE_PORT."
        ) from error
    return listener


def handed_on(fd: int) -> socket.socket:
    """The socket behind a file descriptor, which listens already; a sentence when it does not, or is none."""
    refusal = ServiceUnavailable(
        f"Nothing listens behind --fd {fd}: hand on a socket that does, or choose an address by --host and --port."
    )
    try:
        listener = socket.socket(fileno=fd)
    except OSError as error:
        raise refusal from error
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.close()
        raise refusal
    return listener
