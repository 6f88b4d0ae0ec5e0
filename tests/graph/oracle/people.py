"""The people of a random world: their ways in, sessions, tokens and grants, and what was done to them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from random import Random
from typing import Any
from uuid import UUID

from app.identity.actions import AuditAction
from app.identity.models import (
    ApiToken,
    AuditEntry,
    DataExport,
    ExportStatus,
    Identity,
    NsfwVisibility,
    Passkey,
    Role,
    RoleGrant,
    Session,
    TotpSecret,
    User,
)
from app.identity.scopes import GRANTABLE, PERMISSIONS_OF_ROLES, Scope
from tests.graph.oracle.rows import Row, World, any_instant, any_key, maybe, unique_text
from tests.graph.oracle.texts import any_text
from tests.identity.builders import PARTNER_ID, PARTNER_TOKEN_ID

# Far from the clock of the database, by which grants end: a grant must not end while a document is asked twice.
LONG_AGO = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
FAR_AHEAD = datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
ADDRESSES = ("192.0.2.1", "10.0.0.0", "255.255.255.255", "2001:db8::1", "::", "::ffff:192.0.2.1", "fe80::1")
NETWORKS = ("192.0.2.0/24", "10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32", "2001:db8::/32", "::/0", "2001:db8::1/128")
PROVIDERS = ("password", "magic_link", "github", "steam", "a-company")
USERNAMES = ("lantern", "Harbour", "MOSS", "a_b", "a-b", "0x0", "7up")
ODD_JSON: tuple[Any, ...] = (
    {},
    {"": ""},
    {"a": [1, None, True, [], {}]},
    {"zz": 1, "a": 2, "b b": {"c": {"d": {"e": "f"}}}},
    {"number": 0.1, "whole": 1.0, "large": 10**30, "small": -1e-12, "great": 1.7e308},
    [],
    [{}],
    "text",
    "",
    0,
    -0.0,
    True,
    # The null of JSON, which is not the null of SQL.
    None,
)


def add_partner(world: World, random: Random) -> None:
    """The partner whom every test knows, maybe with the grant that the token tells of."""
    _add_user(world, random, PARTNER_ID, username="partner", is_erased=False)
    _add_api_token(world, random, PARTNER_ID, PARTNER_TOKEN_ID)
    if random.random() < 0.5:
        _add_grant(world, random, PARTNER_ID, frozenset({Scope.PRICES_WRITE}))
    _add_entries(world, random, PARTNER_ID)


def add_person(world: World, random: Random) -> None:
    """Somebody with a few of everything that is theirs; maybe staff, maybe soon to be erased, maybe erased."""
    user_id = any_key(random)
    _add_user(world, random, user_id, username=_username(world, random), is_erased=random.random() < 0.12)
    for _ in range(random.choice((0, 1, 1, 2, 4))):
        _add_identity(world, random, user_id)
    if random.random() < 0.6:
        _add_totp(world, random, user_id)
    for _ in range(random.choice((0, 1, 1, 3))):
        _add_passkey(world, random, user_id)
    for _ in range(random.choice((0, 1, 2, 5))):
        _add_session(world, random, user_id)
    for _ in range(random.choice((0, 1, 2, 4))):
        _add_api_token(world, random, user_id, any_key(random))
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        _add_grant(world, random, user_id, _permissions(random))
    for number in range(random.choice((0, 1, 2, 4))):
        # One may wait at a time.
        _add_export(world, random, user_id, is_waiting=number == 0 and random.random() < 0.5)
    _add_entries(world, random, user_id)


def _username(world: World, random: Random) -> str:
    stem = random.choice(USERNAMES)
    taken = {name.lower() for name in world.column(User, "username")}
    name = stem
    while name.lower() in taken:
        name = f"{stem}{random.randint(0, 999)}"
    return name


def _permissions(random: Random) -> frozenset[Scope]:
    if random.random() < 0.4:
        return PERMISSIONS_OF_ROLES[random.choice(list(Role))]
    return frozenset(random.sample(sorted(GRANTABLE), random.randint(0, len(GRANTABLE))))


def _add_user(world: World, random: Random, user_id: UUID, *, username: str, is_erased: bool) -> None:
    erased_at = any_instant(world, random) if is_erased else None
    asked_at = any_instant(world, random) if is_erased or random.random() < 0.25 else None
    address = maybe(random, f"{unique_text(random, world.column(User, 'email'))}@example.org")
    # Addresses are one whatever the case, and the database's idea of that is not Python's.
    is_plain = address is not None and address.isascii()
    taken = {email.lower() for email in world.column(User, "email") if email is not None}
    can_be_verified = is_plain and address is not None and address.lower() not in taken
    world.add(
        User,
        id=user_id,
        username=username,
        display_name=maybe(random, any_text(random)),
        avatar_url=maybe(random, "https://images.example/" + any_text(random)),
        email=address,
        email_verified_at=maybe(random, any_instant(world, random)) if can_be_verified else None,
        currency=random.choice(("USD", "EUR", "BTC")),
        timezone=random.choice(("UTC", "Europe/Berlin", any_text(random))),
        locale=random.choice(("en", "de-AT", any_text(random))),
        notifies_by_email=random.random() < 0.5,
        notifies_by_push=random.random() < 0.5,
        nsfw_visibility=random.choice(list(NsfwVisibility)).value,
        is_inventory_public=random.random() < 0.5,
        is_marketplace_enabled=random.random() < 0.5,
        shares_analytics=random.random() < 0.5,
        last_login_at=maybe(random, any_instant(world, random)),
        created_at=_instant_maybe_taken(world, random, User, "created_at"),
        updated_at=any_instant(world, random),
        deletion_requested_at=asked_at,
        erase_after=None if asked_at is None else any_instant(world, random),
        deleted_at=erased_at,
    )


def _instant_maybe_taken(world: World, random: Random, table: Any, column: str) -> datetime:
    """An instant; now and then one that another row has, so that something has to break the tie."""
    taken: list[datetime] = world.column(table, column)
    return random.choice(taken) if taken and random.random() < 0.3 else any_instant(world, random)


def _add_identity(world: World, random: Random, user_id: UUID) -> None:
    world.add(
        Identity,
        id=any_key(random),
        user_id=user_id,
        provider=random.choice(PROVIDERS),
        issuer=random.choice(("", "https://provider.example")),
        subject=unique_text(random, world.column(Identity, "subject")),
        email=maybe(random, f"{any_text(random)}@example.org"),
        display_name=maybe(random, any_text(random)),
        created_at=_instant_maybe_taken(world, random, Identity, "created_at"),
        last_used_at=maybe(random, any_instant(world, random)),
    )


def _add_totp(world: World, random: Random, user_id: UUID) -> None:
    world.add(
        TotpSecret,
        user_id=user_id,
        secret=random.randbytes(20),
        last_step=maybe(random, random.randint(0, 2**40)),
        created_at=any_instant(world, random),
        confirmed_at=maybe(random, any_instant(world, random)),
    )


def _add_passkey(world: World, random: Random, user_id: UUID) -> None:
    world.add(
        Passkey,
        id=any_key(random),
        user_id=user_id,
        credential_id=random.randbytes(16),
        public_key=random.randbytes(32),
        sign_count=random.randint(0, 2**32),
        name=any_text(random),
        transports=random.sample(("usb", "nfc", "internal"), random.randint(0, 3)),
        is_backed_up=random.random() < 0.5,
        created_at=_instant_maybe_taken(world, random, Passkey, "created_at"),
        last_used_at=maybe(random, any_instant(world, random)),
    )


def _add_session(world: World, random: Random, user_id: UUID) -> None:
    has_ended = random.random() < 0.3
    world.add(
        Session,
        id=any_key(random),
        user_id=user_id,
        method=random.choice(PROVIDERS),
        device=any_text(random),
        user_agent=any_text(random),
        address=maybe(random, ip_address(random.choice(ADDRESSES))),
        created_at=any_instant(world, random),
        authenticated_at=any_instant(world, random),
        last_seen_at=_instant_maybe_taken(world, random, Session, "last_seen_at"),
        expires_at=random.choice((LONG_AGO, FAR_AHEAD)),
        ended_at=any_instant(world, random) if has_ended else None,
        end_reason="signed_out" if has_ended else None,
    )


def _add_api_token(world: World, random: Random, user_id: UUID, token_id: UUID) -> None:
    networks = random.sample(NETWORKS, random.choice((0, 0, 1, 3, len(NETWORKS))))
    world.add(
        ApiToken,
        id=token_id,
        user_id=user_id,
        name=any_text(random),
        prefix=any_text(random),
        token_hash=random.randbytes(32),
        scopes=[scope.value for scope in random.sample(list(Scope), random.randint(0, len(Scope)))],
        allowed_addresses=[ip_network(network) for network in networks],
        created_at=_instant_maybe_taken(world, random, ApiToken, "created_at"),
        expires_at=maybe(random, any_instant(world, random)),
        last_used_at=maybe(random, any_instant(world, random)),
        last_used_address=maybe(random, ip_address(random.choice(ADDRESSES))),
        revoked_at=any_instant(world, random) if random.random() < 0.3 else None,
    )


def _add_grant(world: World, random: Random, user_id: UUID, permissions: frozenset[Scope]) -> None:
    chance = random.random()
    people: Sequence[UUID] = world.column(User, "id")
    world.add(
        RoleGrant,
        id=any_key(random),
        user_id=user_id,
        role=random.choice(list(Role)).value,
        permissions=sorted(scope.value for scope in permissions),
        reason=any_text(random) or "Somebody said so.",
        granted_by=maybe(random, random.choice(people)),
        granted_at=_instant_maybe_taken(world, random, RoleGrant, "granted_at"),
        expires_at=LONG_AGO if chance < 0.15 else random.choice((None, FAR_AHEAD)),
        revoked_at=any_instant(world, random) if 0.1 < chance < 0.25 else None,
        revoked_by=random.choice(people) if 0.1 < chance < 0.2 else None,
    )


def holds(grant: Row) -> bool:
    """Whether a grant of a world holds by the clock of the database."""
    return grant["revoked_at"] is None and grant["expires_at"] != LONG_AGO


def _add_export(world: World, random: Random, user_id: UUID, *, is_waiting: bool) -> None:
    finished = [status for status in ExportStatus if status is not ExportStatus.WAITING]
    world.add(
        DataExport,
        id=any_key(random),
        user_id=user_id,
        status=(ExportStatus.WAITING if is_waiting else random.choice(finished)).value,
        parts_done=random.choice((0, 1, 7, 2**31 - 1)),
        parts_total=maybe(random, random.choice((1, 7, 2**31 - 1))),
        attempts=random.randint(0, 3),
        archive=maybe(random, random.randbytes(8)),
        archive_bytes=maybe(random, random.choice((0, 8, 2**31 - 1))),
        requested_at=_instant_maybe_taken(world, random, DataExport, "requested_at"),
        finished_at=maybe(random, any_instant(world, random)),
        expires_at=maybe(random, any_instant(world, random)),
        last_error=maybe(random, any_text(random)),
    )


def _add_entries(world: World, random: Random, user_id: UUID) -> None:
    people: Sequence[UUID] = world.column(User, "id")
    for _ in range(random.choice((0, 1, 3, 6))):
        # Done by somebody else now and then, and to nobody's account, or to that of somebody who is gone.
        someone = random.choice((user_id, user_id, random.choice(people), any_key(random), None))
        world.add(
            AuditEntry,
            id=any_key(random),
            occurred_at=_instant_maybe_taken(world, random, AuditEntry, "occurred_at"),
            action=random.choice(list(AuditAction)).value,
            actor_id=someone,
            subject_id=random.choice((user_id, user_id, user_id, random.choice(people), None)),
            credential_id=maybe(random, any_key(random)),
            address=maybe(random, ip_address(random.choice(ADDRESSES))),
            user_agent=maybe(random, any_text(random)),
            before=odd_json(random),
            after=odd_json(random),
        )


def odd_json(random: Random) -> str | None:
    """JSON as text, as the driver copies it."""
    if random.random() < 0.3:
        return None
    if random.random() < 0.5:
        return json.dumps({any_text(random, longest=20): any_text(random)})
    return json.dumps(random.choice(ODD_JSON))
