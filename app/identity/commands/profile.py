"""What a person says of themselves, and how they want things shown: changed by them, in the words that they gave."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import available_timezones

from asyncpg import UniqueViolationError
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from app.core.database import Transaction
from app.core.money import MINOR_UNITS
from app.core.secure_urls import LONGEST_PICTURE_URL, is_picture_url
from app.identity.actions import AuditAction
from app.identity.commands.audit import record
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import NsfwVisibility, User
from app.identity.names import DisplayNameRefused, UsernameRefused, parse_display_name, parse_username
from app.identity.viewer import Caller

LONGEST_LOCALE = 35

# Language, script, region and variants of BCP 47; extensions say nothing that we could heed.
_LOCALE = re.compile(
    r"(?P<language>[a-z]{2,3})(-(?P<script>[a-z]{4}))?(-(?P<region>[a-z]{2}|\d{3}))?"
    r"(?P<variants>(-([a-z0-9]{5,8}|\d[a-z0-9]{3}))*)",
    re.ASCII | re.IGNORECASE,
)

Value = TypeVar("Value")


class ProfileChanges(TypedDict, total=False):
    """What others are to see of a person; what is left out stays as it is."""

    username: str | None
    display_name: str | None
    avatar_url: str | None


class PreferenceChanges(TypedDict, total=False):
    """How a person wants things; what is left out stays as it is."""

    currency: str | None
    timezone: str | None
    locale: str | None
    notifies_by_email: bool | None
    notifies_by_push: bool | None
    nsfw_visibility: NsfwVisibility | None
    is_inventory_public: bool | None
    is_marketplace_enabled: bool | None
    shares_analytics: bool | None


async def update_profile(transaction: Transaction, changes: ProfileChanges, *, caller: Caller, user_id: UUID) -> None:
    """Change what others see of a person.

    Raises IdentityRefused for a username that is taken or cannot be one, and for a name or picture that cannot be
    shown.
    """
    await _change(transaction, AuditAction.PROFILE_CHANGED, changes, _PROFILE, caller=caller, user_id=user_id)


async def update_preferences(
    transaction: Transaction, changes: PreferenceChanges, *, caller: Caller, user_id: UUID
) -> None:
    """Change how a person wants things; raises IdentityRefused for what nobody can have."""
    await _change(transaction, AuditAction.PREFERENCES_CHANGED, changes, _PREFERENCES, caller=caller, user_id=user_id)


async def _change(
    transaction: Transaction,
    action: AuditAction,
    changes: Mapping[str, Any],
    readers: Mapping[str, Callable[[Any], Any]],
    *,
    caller: Caller,
    user_id: UUID,
) -> None:
    wanted = {name: _read(name, readers[name], value) for name, value in changes.items()}
    columns = [getattr(User, name) for name in wanted]
    found = (
        await transaction.connection.execute(
            select(User.id, *columns).where(User.id == user_id, User.deleted_at.is_(None)).with_for_update()
        )
    ).one_or_none()
    if found is None:
        raise IdentityRefused(IdentityErrorCode.NOT_FOUND, "There is no such account any more.")
    before = {name: found._mapping[name] for name in wanted}
    after = {name: value for name, value in wanted.items() if value != before[name]}
    if not after:
        return
    await _store(transaction, user_id, after)
    await record(
        transaction,
        action,
        caller=caller,
        subject_id=user_id,
        before={name: before[name] for name in after},
        after=after,
    )


async def _store(transaction: Transaction, user_id: UUID, values: Mapping[str, Any]) -> None:
    try:
        # Others' rows cannot be seen from here, so the index alone tells whether a name is taken.
        async with transaction.connection.begin_nested():
            await transaction.connection.execute(update(User).where(User.id == user_id).values(**values))
    except IntegrityError as error:
        if not isinstance(error.orig.__cause__ if error.orig else None, UniqueViolationError):
            raise
        raise IdentityRefused(
            IdentityErrorCode.USERNAME_TAKEN, "Somebody has this username; choose another one.", field=["username"]
        ) from None


def _read(name: str, reader: Callable[[Any], Any], value: Any) -> Any:
    try:
        return reader(value)
    except ValueError as reason:
        raise IdentityRefused(IdentityErrorCode.INVALID_INPUT, str(reason), field=[_in_graph(name)]) from None


def _in_graph(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _username(value: str | None) -> str:
    try:
        return parse_username(_present(value))
    except UsernameRefused as refusal:
        raise ValueError(refusal.message) from None


def _display_name(value: str | None) -> str | None:
    if value is None:
        return None
    try:
        return parse_display_name(value)
    except DisplayNameRefused as refusal:
        raise ValueError(refusal.message) from None


def _avatar_url(value: str | None) -> str | None:
    if value is None:
        return None
    if not is_picture_url(value):
        raise ValueError(
            f"A picture has an address that begins with https:// and has {LONGEST_PICTURE_URL:,} characters at most; "
            "send null to have none."
        )
    return value


def _currency(value: str | None) -> str:
    code = _present(value)
    if code not in MINOR_UNITS:
        raise ValueError("Give a currency by its code, such as USD.")
    return code


def _timezone(value: str | None) -> str:
    name = _present(value)
    if name not in _timezones():
        raise ValueError("Give a time zone by its IANA name, such as Europe/Vienna.")
    return name


def _locale(value: str | None) -> str:
    text = _present(value)
    found = _LOCALE.fullmatch(text) if len(text) <= LONGEST_LOCALE else None
    if found is None:
        raise ValueError("Give a language, with a region where it matters, such as en or pt-BR (BCP 47).")
    script, region, variants = found["script"] or "", found["region"] or "", found["variants"].lower()
    return "-".join(filter(None, [found["language"].lower(), script.title(), region.upper()])) + variants


def _switch(value: bool | None) -> bool:
    return _present(value)


def _nsfw_visibility(value: NsfwVisibility | None) -> str:
    return NsfwVisibility(_present(value)).value


def _present(value: Value | None) -> Value:
    if value is None:
        raise ValueError("This cannot be null; leave it out, and it stays as it is.")
    return value


@cache
def _timezones() -> frozenset[str]:
    return frozenset(available_timezones())


_PROFILE: Mapping[str, Callable[[Any], Any]] = {
    "username": _username,
    "display_name": _display_name,
    "avatar_url": _avatar_url,
}
_PREFERENCES: Mapping[str, Callable[[Any], Any]] = {
    "currency": _currency,
    "timezone": _timezone,
    "locale": _locale,
    "notifies_by_email": _switch,
    "notifies_by_push": _switch,
    "nsfw_visibility": _nsfw_visibility,
    "is_inventory_public": _switch,
    "is_marketplace_enabled": _switch,
    "shares_analytics": _switch,
}
