"""People, their ways in, their sessions and tokens, what they were granted, and what was done."""

from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, CIDR, INET, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base
from app.core.ids import new_id
from app.core.secrets import encrypted

SCHEMA = "identity"
OF_A_USER = f"{SCHEMA}.users.id"

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class NsfwVisibility(StrEnum):
    """What becomes of pictures that are not safe for work."""

    HIDDEN = "hidden"
    BLURRED = "blurred"
    SHOWN = "shown"


class Role(StrEnum):
    """What a person is to Trove; the permissions of a grant say what that means."""

    USER = "user"
    SUPPORT = "support"
    MODERATOR = "moderator"
    ADMIN = "admin"


class ChallengeKind(StrEnum):
    """What a challenge is the beginning of."""

    SIGN_UP = "sign_up"
    MAGIC_LINK = "magic_link"
    CHANGE_EMAIL = "change_email"
    PROVIDER = "provider"
    SECOND_FACTOR = "second_factor"
    PASSKEY_REGISTRATION = "passkey_registration"
    PASSKEY_SIGN_IN = "passkey_sign_in"
    EXPORT_DOWNLOAD = "export_download"


class MailStatus(StrEnum):
    """`waiting` is to be sent; `sent` has been taken by the mail server; `failed` was given up."""

    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"


class ExportStatus(StrEnum):
    """`waiting` is being put together; `ready` can be fetched; `failed` was given up; `expired` is gone."""

    WAITING = "waiting"
    READY = "ready"
    FAILED = "failed"
    EXPIRED = "expired"


def one_of(column: str, values: type[StrEnum]) -> str:
    """The condition that a column holds one of the values."""
    return f"{column} IN ({', '.join(repr(value.value) for value in values)})"


class User(Base):
    """A person. An address counts as theirs once it is verified; `deleted_at` means erased, and nothing is left."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("username ~ '^[A-Za-z0-9][A-Za-z0-9_-]{2,29}$'", name="username_is_a_name"),
        CheckConstraint(one_of("nsfw_visibility", NsfwVisibility), name="nsfw_visibility_is_known"),
        CheckConstraint("(deletion_requested_at IS NULL) = (erase_after IS NULL)", name="deletion_has_a_date"),
        Index("users_unique_username", text("lower(username)"), unique=True),
        Index(
            "users_unique_verified_email",
            text("lower(email)"),
            unique=True,
            postgresql_where=text("email_verified_at IS NOT NULL"),
        ),
        Index(
            "users_to_erase",
            "erase_after",
            postgresql_where=text("erase_after IS NOT NULL AND deleted_at IS NULL"),
        ),
        Index("users_erased", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    username: Mapped[str]
    display_name: Mapped[str | None]
    avatar_url: Mapped[str | None]
    email: Mapped[str | None]
    email_verified_at: Mapped[datetime | None]
    currency: Mapped[str] = mapped_column(server_default=text("'USD'"))
    timezone: Mapped[str] = mapped_column(server_default=text("'UTC'"))
    locale: Mapped[str] = mapped_column(server_default=text("'en'"))
    notifies_by_email: Mapped[bool] = mapped_column(server_default=text("true"))
    notifies_by_push: Mapped[bool] = mapped_column(server_default=text("true"))
    nsfw_visibility: Mapped[str] = mapped_column(server_default=text("'hidden'"))
    is_inventory_public: Mapped[bool] = mapped_column(server_default=text("false"))
    is_marketplace_enabled: Mapped[bool] = mapped_column(server_default=text("false"))
    shares_analytics: Mapped[bool] = mapped_column(server_default=text("false"))
    last_login_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    deletion_requested_at: Mapped[datetime | None]
    erase_after: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


class Identity(Base):
    """A way in: somebody known to a provider under a subject. Of passwords and links the subject is the address."""

    __tablename__ = "identities"
    __table_args__ = (
        UniqueConstraint("provider", "issuer", "subject"),
        Index("identities_by_user", "user_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_USER, ondelete="CASCADE"))
    provider: Mapped[str]
    issuer: Mapped[str] = mapped_column(server_default=text("''"))
    subject: Mapped[str]
    email: Mapped[str | None]
    display_name: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]


class UnlinkedIdentity(Base):
    """Whom an outside provider knows and the account's owner has unlinked: their address does not let them in again."""

    __tablename__ = "unlinked_identities"
    __table_args__ = ({"schema": SCHEMA},)

    user_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_USER, ondelete="CASCADE"), primary_key=True)
    provider: Mapped[str] = mapped_column(primary_key=True)
    issuer: Mapped[str] = mapped_column(primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    unlinked_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Credential(Base):
    """A person's password, as an Argon2id hash that is encrypted once more."""

    __tablename__ = "credentials"
    __table_args__ = ({"schema": SCHEMA},)

    user_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_USER, ondelete="CASCADE"), primary_key=True)
    password_hash: Mapped[bytes] = encrypted()
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now())


class TotpSecret(Base):
    """The seed of a person's one-time codes; `last_step` is the last time step accepted, so that none works twice."""

    __tablename__ = "totp_secrets"
    __table_args__ = ({"schema": SCHEMA},)

    user_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_USER, ondelete="CASCADE"), primary_key=True)
    secret: Mapped[bytes] = encrypted()
    last_step: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    confirmed_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """A code that stands in for a lost second factor, once."""

    __tablename__ = "recovery_codes"
    __table_args__ = (UniqueConstraint("user_id", "code_hash"), {"schema": SCHEMA})

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_USER, ondelete="CASCADE"))
    code_hash: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    used_at: Mapped[datetime | None]


class Passkey(Base):
    """A WebAuthn credential: its id, its public key (COSE) and how often it has signed.

    `verifies_user` says that it has verified its holder, by a finger or a code of its own, and so may stand alone.
    """

    __tablename__ = "passkeys"
    __table_args__ = (UniqueConstraint("credential_id"), Index("passkeys_by_user", "user_id"), {"schema": SCHEMA})

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_USER, ondelete="CASCADE"))
    credential_id: Mapped[bytes]
    public_key: Mapped[bytes]
    sign_count: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str]
    transports: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("ARRAY[]::text[]"))
    is_backed_up: Mapped[bool]
    verifies_user: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]


class Challenge(Base):
    """Something begun that ends once, by its token, before `expires_at`, and where bound, in the same browser."""

    __tablename__ = "challenges"
    __table_args__ = (
        CheckConstraint(one_of("kind", ChallengeKind), name="kind_is_known"),
        UniqueConstraint("token_hash"),
        Index("challenges_by_expiry", "expires_at"),
        Index("challenges_by_user", "user_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    kind: Mapped[str]
    token_hash: Mapped[bytes]
    browser_hash: Mapped[bytes | None]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey(OF_A_USER, ondelete="CASCADE"))
    content: Mapped[bytes | None] = encrypted()
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class UsedNonce(Base):
    """A nonce of an outside provider that has been accepted, so that it is not accepted again."""

    __tablename__ = "used_nonces"
    __table_args__ = (Index("used_nonces_by_time", "used_at"), {"schema": SCHEMA})

    issuer: Mapped[str] = mapped_column(primary_key=True)
    nonce: Mapped[str] = mapped_column(primary_key=True)
    used_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Session(Base):
    """One signed-in device, and the family of refresh tokens that keeps it so."""

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="end_has_a_reason"),
        Index("sessions_by_user", "user_id", "last_seen_at", "id"),
        Index("sessions_by_expiry", "expires_at"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_USER, ondelete="CASCADE"))
    method: Mapped[str]
    device: Mapped[str]
    user_agent: Mapped[str] = mapped_column(server_default=text("''"))
    address: Mapped[Address | None] = mapped_column(INET)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    authenticated_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_seen_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None]


class RefreshToken(Base):
    """A refresh token by its hash. It is used once; used twice, it was stolen, and its session ends."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("refresh_tokens_by_session", "session_id"), {"schema": SCHEMA})

    token_hash: Mapped[bytes] = mapped_column(primary_key=True)
    session_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.sessions.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class SigningKey(Base):
    """An Ed25519 key that signs access tokens for a time; what it signed is good for as long as that says."""

    __tablename__ = "signing_keys"
    __table_args__ = (CheckConstraint("signs_from < signs_until", name="period_is_one"), {"schema": SCHEMA})

    id: Mapped[str] = mapped_column(primary_key=True)
    private_key: Mapped[bytes] = encrypted()
    public_key: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signs_from: Mapped[datetime]
    signs_until: Mapped[datetime]


class ApiToken(Base):
    """An API token by its hash; `prefix` is what its holder recognises it by."""

    __tablename__ = "api_tokens"
    __table_args__ = (
        UniqueConstraint("token_hash"),
        Index("api_tokens_by_user", "user_id", "created_at", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_USER, ondelete="CASCADE"))
    name: Mapped[str]
    prefix: Mapped[str]
    token_hash: Mapped[bytes]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    allowed_addresses: Mapped[list[Network]] = mapped_column(ARRAY(CIDR), server_default=text("ARRAY[]::cidr[]"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    last_used_address: Mapped[Address | None] = mapped_column(INET)
    revoked_at: Mapped[datetime | None]


class RoleGrant(Base):
    """A role that somebody was given: by whom, why, and with which permissions."""

    __tablename__ = "role_grants"
    __table_args__ = (
        CheckConstraint(one_of("role", Role), name="role_is_known"),
        CheckConstraint("reason <> ''", name="reason_is_given"),
        Index("role_grants_by_user", "user_id", "granted_at", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_USER, ondelete="CASCADE"))
    role: Mapped[str]
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    reason: Mapped[str]
    granted_by: Mapped[UUID | None] = mapped_column(ForeignKey(OF_A_USER, ondelete="SET NULL"))
    granted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[UUID | None] = mapped_column(ForeignKey(OF_A_USER, ondelete="SET NULL"))


class Revocation(Base):
    """What was issued before `revoked_at` to this user, session or token holds no longer. Kept while it matters."""

    __tablename__ = "revocations"
    __table_args__ = (Index("revocations_by_time", "revoked_at"), {"schema": SCHEMA})

    subject_id: Mapped[UUID] = mapped_column(primary_key=True)
    revoked_at: Mapped[datetime] = mapped_column(primary_key=True)


class AuditEntry(Base):
    """What was done: by whom (none for a stranger), to whose account, from where. Rows are only ever added."""

    __tablename__ = "audit_log"
    __table_args__ = (
        Index("audit_log_by_subject", "subject_id", "occurred_at", "id"),
        Index("audit_log_by_actor", "actor_id", "occurred_at", "id"),
        Index("audit_log_by_time", "occurred_at", "id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    occurred_at: Mapped[datetime] = mapped_column(server_default=func.now())
    action: Mapped[str]
    actor_id: Mapped[UUID | None]
    subject_id: Mapped[UUID | None]
    credential_id: Mapped[UUID | None]
    address: Mapped[Address | None] = mapped_column(INET)
    user_agent: Mapped[str | None]
    before: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    after: Mapped[dict[str, Any] | None] = mapped_column(JSONB)


class OutgoingMail(Base):
    """A mail that is to be sent; its content is kept until it has been, since it may hold a link.

    `user_id` is whose account it is about; none of a mail to somebody who has none yet.
    """

    __tablename__ = "outgoing_mails"
    __table_args__ = (
        CheckConstraint(one_of("status", MailStatus), name="status_is_known"),
        Index("outgoing_mails_waiting", "next_attempt_at", postgresql_where=text("status = 'waiting'")),
        Index("outgoing_mails_by_user", "user_id"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey(OF_A_USER, ondelete="CASCADE"))
    content: Mapped[bytes | None] = encrypted()
    status: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    sent_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


class DataExport(Base):
    """One archive of everything that Trove keeps of a person, and how far it has come."""

    __tablename__ = "data_exports"
    __table_args__ = (
        CheckConstraint(one_of("status", ExportStatus), name="status_is_known"),
        Index("data_exports_by_user", "user_id", "requested_at", "id"),
        Index("data_exports_waiting", "next_attempt_at", postgresql_where=text("status = 'waiting'")),
        Index("data_exports_unique_waiting", "user_id", unique=True, postgresql_where=text("status = 'waiting'")),
        Index("data_exports_by_expiry", "expires_at", postgresql_where=text("status = 'ready'")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(OF_A_USER, ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(server_default=text("'waiting'"))
    parts_done: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    parts_total: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=func.now())
    archive: Mapped[bytes | None] = encrypted()
    archive_bytes: Mapped[int | None]
    requested_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime | None]
    last_error: Mapped[str | None]


# A view: what anybody may know of a person. It is no table of ours to make or to empty.
public_profiles = Table(
    "public_profiles",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("username", Text, nullable=False),
    Column("display_name", Text),
    Column("avatar_url", Text),
    Column("created_at", DateTime(timezone=True), nullable=False),
    schema=SCHEMA,
)
