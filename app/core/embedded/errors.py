"""The sentence that gets a person past a missing server."""

import shutil
import sys

from app.core.errors import ServiceUnavailable


def missing(what: str) -> ServiceUnavailable:
    """The refusal for a server that is not installed, with the command that installs it on this platform."""
    command = install_command()
    install = f"install it with `{command}`" if command else "install it with your system's package manager"
    return ServiceUnavailable(
        f"Trove found no {what} on this machine: {install}, or run everything in containers with `docker compose up`."
    )


def install_command() -> str | None:
    """The command that installs every server Trove needs, or None where the platform is not known."""
    if sys.platform == "darwin" or (shutil.which("brew") and not shutil.which("apt-get")):
        return "brew install postgresql@17 postgis redis"
    if shutil.which("apt-get"):
        return "sudo apt-get install postgresql postgresql-postgis redis-server"
    if shutil.which("dnf"):
        return "sudo dnf install postgresql-server postgis valkey"
    return None
