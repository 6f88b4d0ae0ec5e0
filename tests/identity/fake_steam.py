"""Steam's OpenID 2.0: a sign-in that comes back signed, and the question whether it was signed, answered once."""

import base64
import hmac
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from app.core.clock import utc_now
from app.core.provider_settings import SteamSettings
from tests.identity.loopback_server import Traffic, form_of, free_listener, serving, url_of

LOGIN = "/openid/login"
NAMESPACE = "http://specs.openid.net/auth/2.0"
SIGNED = ("signed", "op_endpoint", "claimed_id", "identity", "return_to", "response_nonce", "assoc_handle")
STEAM_ID = "76561197960287930"


@dataclass(slots=True)
class FakeSteam:
    """Signs `steam_id` in at once; `fields` stand in the place of its own before they are signed."""

    url: str
    steam_id: str = STEAM_ID
    signed: tuple[str, ...] = SIGNED
    fields: dict[str, str] = field(default_factory=dict)
    traffic: Traffic = field(default_factory=Traffic)
    is_cancelled: bool = False
    verdict: bytes | None = None
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _open_nonces: set[str] = field(default_factory=set)

    @property
    def endpoint(self) -> str:
        """Where people sign in, and answers are checked."""
        return f"{self.url}{LOGIN}"

    @property
    def settings(self) -> SteamSettings:
        """The entry of the settings that is for Steam."""
        return SteamSettings.model_validate({"code": "steam", "kind": "steam"})

    @property
    def app(self) -> Starlette:
        """Steam as an application."""
        return Starlette(
            routes=[Route(LOGIN, self._login, methods=["GET"]), Route(LOGIN, self._check, methods=["POST"])]
        )

    def sign(self, fields: Mapping[str, str]) -> str:
        """The signature of the fields that `openid.signed` lists."""
        listed = fields["openid.signed"].split(",")
        content = "".join(f"{name}:{fields.get(f'openid.{name}', '')}\n" for name in listed)
        return base64.b64encode(hmac.digest(self._key, content.encode(), "sha1")).decode()

    async def _login(self, request: Request) -> Response:
        query = request.query_params
        assert query["openid.ns"] == NAMESPACE
        assert query["openid.mode"] == "checkid_setup"
        assert query["openid.claimed_id"] == query["openid.identity"] == f"{NAMESPACE}/identifier_select"
        return_to, realm = query["openid.return_to"], query["openid.realm"]
        assert return_to.startswith(realm)
        assert urlsplit(realm).path == "/"
        if self.is_cancelled:
            return RedirectResponse(_with(return_to, {"openid.ns": NAMESPACE, "openid.mode": "cancel"}), 302)
        return RedirectResponse(_with(return_to, self._answer(return_to)), 302)

    def _answer(self, return_to: str) -> dict[str, str]:
        claimed_id = f"https://steamcommunity.com/openid/id/{self.steam_id}"
        nonce = f"{utc_now():%Y-%m-%dT%H:%M:%SZ}{secrets.token_urlsafe(12)}"
        answer = {
            "openid.ns": NAMESPACE,
            "openid.mode": "id_res",
            "openid.op_endpoint": self.endpoint,
            "openid.claimed_id": claimed_id,
            "openid.identity": claimed_id,
            "openid.return_to": return_to,
            "openid.response_nonce": nonce,
            "openid.assoc_handle": "1234567890",
            "openid.signed": ",".join(self.signed),
        } | {f"openid.{name}": value for name, value in self.fields.items()}
        self._open_nonces.add(answer["openid.response_nonce"])
        return answer | {"openid.sig": self.sign(answer)}

    async def _check(self, request: Request) -> Response:
        form = await form_of(request)
        if self.verdict is not None:
            return Response(self.verdict, media_type="text/plain")
        assert form["openid.mode"] == "check_authentication"
        is_valid = hmac.compare_digest(self.sign(form), form.get("openid.sig", ""))
        is_valid = is_valid and form["openid.response_nonce"] in self._open_nonces
        self._open_nonces.discard(form["openid.response_nonce"])
        return PlainTextResponse(f"ns:{NAMESPACE}\nis_valid:{str(is_valid).lower()}\n")


def _with(url: str, parameters: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(parameters)}"


@contextmanager
def running_steam() -> Iterator[FakeSteam]:
    """A Steam on loopback, until the block ends."""
    listener = free_listener()
    steam = FakeSteam(url_of(listener))
    with serving(steam.traffic.watching(steam.app), listener):
        yield steam
