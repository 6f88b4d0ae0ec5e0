"""Steam: OpenID 2.0, with every field checked before Steam itself is asked whether it has signed this."""

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode, urlsplit

import httpx

from app.core.provider_settings import SteamSettings
from app.core.secure_urls import is_secure_url
from app.identity.identity_providers import (
    CANCELLED,
    Departure,
    ProvenIdentity,
    ProviderAway,
    ProviderRefused,
    check_state,
)
from app.identity.identity_providers.calls import Answer, ProviderCalls

ISSUER = "https://steamcommunity.com"
ENDPOINT = f"{ISSUER}/openid/login"
NAMESPACE = "http://specs.openid.net/auth/2.0"
IDENTIFIER_SELECT = f"{NAMESPACE}/identifier_select"
SIGNED_FIELDS = frozenset(
    {"signed", "op_endpoint", "claimed_id", "identity", "return_to", "response_nonce", "assoc_handle"}
)
NONCE_LIFETIME = timedelta(minutes=5)
LONGEST_VALUE = 2048
# ASCII digits only, and \Z since `$` would let a line feed pass.
_CLAIMED_ID = re.compile(r"\Ahttps://steamcommunity\.com/openid/id/([0-9]{17})\Z")
# OpenID 2.0, 10.1: an instant in UTC and anything printable, 255 characters at most.
_NONCE = re.compile(r"\A([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)[\x21-\x7e]{1,235}\Z")
_CANCELLING = frozenset({"cancel", "setup_needed"})


class Steam:
    """Steam's own endpoint; another one is only for tests, which cannot sign as Steam."""

    def __init__(
        self, settings: SteamSettings, *, calls: ProviderCalls | None = None, endpoint: str = ENDPOINT
    ) -> None:
        if not is_secure_url(endpoint):
            raise ValueError("the endpoint is not https")
        self.code = settings.code
        self.name = settings.name
        self._endpoint = endpoint
        self._calls = calls or ProviderCalls()

    async def depart(self, *, state: str, callback_url: str) -> Departure:
        """Send the browser to Steam's sign-in; keeps the address it has to come back to, with the state in it."""
        return_to = _return_to(callback_url, state)
        query = {
            "openid.ns": NAMESPACE,
            "openid.mode": "checkid_setup",
            "openid.return_to": return_to,
            "openid.realm": _origin_of(callback_url),
            "openid.identity": IDENTIFIER_SELECT,
            "openid.claimed_id": IDENTIFIER_SELECT,
        }
        return Departure(f"{self._endpoint}?{urlencode(query)}", {"return_to": return_to})

    async def arrive(
        self,
        *,
        parameters: Mapping[str, str],
        state: str,
        kept: Mapping[str, str],
        callback_url: str,
        now: datetime,
    ) -> ProvenIdentity:
        """Check each field, then ask Steam; the caller stores `nonce` as used, and refuses one that is stored."""
        check_state(parameters, state)
        if kept["return_to"] != _return_to(callback_url, state):
            raise ProviderRefused("the departure was from another address")
        fields = _fields_of(parameters)
        self._check_fields(fields, return_to=kept["return_to"])
        subject = _subject_of(fields)
        nonce = _checked_nonce(fields, now=now)
        await self._check_signature(fields)
        return ProvenIdentity(
            provider=self.code,
            issuer=ISSUER,
            subject=subject,
            email=None,
            is_email_verified=False,
            display_name=None,
            avatar_url=None,
            nonce=nonce,
        )

    def _check_fields(self, fields: Mapping[str, str], *, return_to: str) -> None:
        if fields.get("ns") != NAMESPACE:
            raise ProviderRefused("the answer is not of OpenID 2.0")
        if fields.get("mode") in _CANCELLING:
            raise ProviderRefused(CANCELLED)
        if fields.get("mode") != "id_res":
            raise ProviderRefused("the mode of the answer is wrong")
        if fields.get("op_endpoint") != self._endpoint:
            raise ProviderRefused("the answer is of another endpoint")
        if not hmac.compare_digest(fields.get("return_to", "").encode(), return_to.encode()):
            raise ProviderRefused("the answer was meant for another address")
        signed = fields.get("signed", "").split(",")
        if not SIGNED_FIELDS.issubset(signed) or len(set(signed)) < len(signed):
            raise ProviderRefused("the list of what is signed is not complete")
        if not all(fields.get(name) for name in (*signed, "sig")):
            raise ProviderRefused("a field that is said to be signed is missing")

    async def _check_signature(self, fields: Mapping[str, str]) -> None:
        form = {f"openid.{name}": value for name, value in fields.items()} | {"openid.mode": "check_authentication"}
        answer = await self._calls.post(
            self._endpoint, urlencode(form), what="Steam's sign-in", headers={"Accept": "text/plain"}
        )
        if not _is_valid(answer):
            raise ProviderRefused("Steam has not signed this, or was asked about it before")


def _fields_of(parameters: Mapping[str, str]) -> Mapping[str, str]:
    """The fields of the protocol, without their prefix."""
    fields = {name.removeprefix("openid."): value for name, value in parameters.items() if name.startswith("openid.")}
    if not all(value.isascii() and value.isprintable() and len(value) <= LONGEST_VALUE for value in fields.values()):
        raise ProviderRefused("a field is not printable ASCII, or too long")
    return fields


def _subject_of(fields: Mapping[str, str]) -> str:
    claimed_id = _CLAIMED_ID.match(fields.get("claimed_id", ""))
    if claimed_id is None:
        raise ProviderRefused("the claimed identifier is not one of Steam's")
    if fields.get("identity") != fields["claimed_id"]:
        raise ProviderRefused("the identity is not the claimed one")
    return claimed_id[1]


def _checked_nonce(fields: Mapping[str, str], *, now: datetime) -> str:
    nonce = fields.get("response_nonce", "")
    matched = _NONCE.match(nonce)
    try:
        made_at = datetime.strptime(matched[1], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC) if matched else None
    except ValueError:
        made_at = None
    if made_at is None:
        raise ProviderRefused("the nonce is malformed")
    if abs(now - made_at) > NONCE_LIFETIME:
        raise ProviderRefused("the nonce is not of these five minutes")
    return nonce


def _is_valid(answer: Answer) -> bool:
    """What Steam says of a signature, in lines of `key:value`; raises ProviderAway where it says neither."""
    if answer.status != httpx.codes.OK:
        raise ProviderAway(f"Steam's sign-in answered {answer.status}")
    lines = answer.body.split(b"\n")
    if [line for line in lines if line.startswith(b"is_valid:")] == [b"is_valid:true"]:
        return True
    if lines.count(b"is_valid:false") == 1:
        return False
    raise ProviderAway("Steam's answer is not understood")


def _return_to(callback_url: str, state: str) -> str:
    return f"{callback_url}{'&' if '?' in callback_url else '?'}{urlencode({'state': state})}"


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"
