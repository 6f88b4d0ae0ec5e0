"""Keys of rows and the opaque ids that the public sees instead of them."""

import base64
import binascii
import struct
from enum import StrEnum
from uuid import UUID

from uuid_utils.compat import uuid7

_TAG_LENGTH = 2
_UUID_LENGTH = 16


def new_id() -> UUID:
    """A fresh primary key: UUID version 7, made by the application, ordered by time of creation."""
    return uuid7()


class PublicIdTag(StrEnum):
    """What a public id points to; two letters, the first bytes of the id."""

    ITEM = "it"
    ITEM_VARIANT = "iv"
    ITEM_PHOTO = "ph"
    CARD_SET = "cs"
    MANUFACTURER = "mf"
    SERIES = "sr"
    CHARACTER = "ch"
    SCULPTOR = "sc"
    PRICE_SERIES = "ps"
    INGEST_BATCH = "ib"
    USER = "us"
    ACCOUNT = "ac"
    SESSION = "se"
    IDENTITY = "id"
    PASSKEY = "pk"
    API_TOKEN = "at"  # noqa: S105  # a tag
    ROLE_GRANT = "rg"
    AUDIT_ENTRY = "al"
    DATA_EXPORT = "de"
    PROVIDER_CREDENTIAL = "pc"
    JOB_RUN = "jr"
    IMPORT_RUN = "ir"
    PORTFOLIO = "pf"
    HOLDING = "ho"
    TRADE = "td"
    LOT = "lt"
    STORE = "so"
    SHARED_PORTFOLIO = "sp"
    WATCHLIST = "wl"
    WATCHLIST_ITEM = "wi"
    WANT = "wa"
    PREORDER = "po"
    PORTFOLIO_IMPORT = "pi"
    PORTFOLIO_EXPORT = "px"
    HOLDING_PHOTO = "hp"
    CLIENT = "cl"
    MEMBERSHIP = "mb"
    BRAND = "br"
    PRODUCTION_RUN = "pn"
    TRACKER = "tr"
    TRACKER_KEY = "tk"
    TRACKER_ATTACHMENT = "ta"
    PLACE = "pl"
    ALERT_RULE = "ar"
    ALERT = "ae"
    NOTIFICATION = "nt"
    PUSH_SUBSCRIPTION = "wp"
    WEBHOOK = "wh"
    NOTIFICATION_SERVICE = "ns"
    DELIVERY = "dl"


def public_id(tag: PublicIdTag, key: UUID | int) -> str:
    """The opaque id of a row: URL-safe base64 of the tag and the key's bytes (a UUID's 16, an integer's 4)."""
    key_bytes = key.bytes if isinstance(key, UUID) else struct.pack(">i", key)
    return base64.urlsafe_b64encode(tag.encode() + key_bytes).decode()


def parse_public_id(text: str) -> tuple[PublicIdTag, UUID | int] | None:
    """What `public_id` put in, or None when the text is not one of ours."""
    try:
        decoded = base64.b64decode(text, altchars=b"-_", validate=True)
        tag = PublicIdTag(decoded[:_TAG_LENGTH].decode("ascii"))
    except (binascii.Error, ValueError):
        return None
    key_bytes = decoded[_TAG_LENGTH:]
    if tag is PublicIdTag.PRICE_SERIES:
        return (tag, struct.unpack(">i", key_bytes)[0]) if len(key_bytes) == struct.calcsize(">i") else None
    return (tag, UUID(bytes=key_bytes)) if len(key_bytes) == _UUID_LENGTH else None
