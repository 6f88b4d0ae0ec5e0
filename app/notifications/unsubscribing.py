"""Links by which somebody gets no more mails of a kind, without signing in: signed, and for nothing else."""

import base64
import binascii
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from app.core.secrets import Secrets
from app.notifications.models import EventType

PATH = "/notifications/unsubscribe"
_PURPOSE = b"links to unsubscribe"
_ALL = "all"
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Unsubscription:
    """Whose mails are to end, and of which type of event; None for all."""

    owner_id: UUID
    event_type: EventType | None = None


def unsubscribe_token(secrets: Secrets, unsubscription: Unsubscription) -> str:
    """What a link has to show; it holds as long as the ring has the key that is current now."""
    return f"{_encoded(_said(unsubscription))}.{_signatures(secrets, _said(unsubscription))[0]}"


def read_unsubscribe_token(secrets: Secrets, token: str) -> Unsubscription | None:
    """Whose mails are to end by this token; None for what we have not signed."""
    said, _, signature = token.partition(".")
    try:
        content = base64.urlsafe_b64decode(said.encode("ascii") + b"==")
        given = signature.encode("ascii")
    except (UnicodeEncodeError, binascii.Error, ValueError):
        return None
    fits = [hmac.compare_digest(one.encode(), given) for one in _signatures(secrets, content)]
    if not any(fits):
        return None
    word = content[_ID_BYTES:].decode()
    return Unsubscription(UUID(bytes=content[:_ID_BYTES]), None if word == _ALL else EventType(word))


def _said(unsubscription: Unsubscription) -> bytes:
    word = _ALL if unsubscription.event_type is None else unsubscription.event_type.value
    return unsubscription.owner_id.bytes + word.encode()


def _signatures(secrets: Secrets, content: bytes) -> Sequence[str]:
    """By the current key first: a link outlasts a change of it."""
    return [_encoded(hmac.digest(key, content, "sha256")) for key in secrets.derived_keys(_PURPOSE)]


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
