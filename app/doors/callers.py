"""Who comes through a door."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request

from app.core.clock import utc_now
from app.core.errors import NotSignedIn
from app.identity.access import Access
from app.identity.services import IdentityServices
from app.identity.viewer import ClientInfo, Viewer


def client_of(request: Request) -> ClientInfo:
    """From where a request comes, and by which program."""
    peer = request.client.host if request.client else None
    return ClientInfo.of_peer(peer, request.headers.get("user-agent", ""))


@dataclass(frozen=True, slots=True)
class Device:
    """A phone or receiver that sends something in: whose token it shows, and the user name that it gives itself."""

    viewer: Viewer
    name: str | None


async def sender_of(request: Request, access: Access) -> Viewer:
    """Who sends something in, by their token alone; raises NotSignedIn and Forbidden where `access` lets them not.

    A cookie, which a page elsewhere could send along, says nothing here.
    """
    identity: IdentityServices = request.app.state.identity
    caller = await identity.authentication.caller_of(request.headers.getlist("authorization"), client_of(request))
    access.check(caller.viewer, utc_now())
    return caller.viewer


async def device_of(request: Request, access: Access) -> Device:
    """As `sender_of`, for programs that know passwords and no tokens.

    The token is the password of Basic, or where a program can send no header the parameter `key` of the address, which
    Trove writes down nowhere.
    """
    identity: IdentityServices = request.app.state.identity
    authorizations: Sequence[str] = request.headers.getlist("authorization")
    name: str | None = None
    if not authorizations and request.query_params.get("key"):
        authorizations = [f"Bearer {request.query_params['key']}"]
    elif len(authorizations) == 1 and authorizations[0].strip().lower().startswith("basic"):
        name, authorizations = _of_basic(authorizations[0])
    caller = await identity.authentication.caller_of(authorizations, client_of(request))
    access.check(caller.viewer, utc_now())
    return Device(caller.viewer, name)


def _of_basic(authorization: str) -> tuple[str, Sequence[str]]:
    """The user name, and the password as the token that it is."""
    _, _, credentials = authorization.strip().partition(" ")
    try:
        name, _, token = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        name, token = "", ""
    if not token.strip():
        raise NotSignedIn("Send Basic authentication with an API token as the password.")
    return name, [f"Bearer {token}"]
