"""Outside services, what people gave us to ask them with, each call that was made, and answers that are kept."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.core.database import Base
from app.core.ids import new_id
from app.core.secrets import encrypted
from app.identity.models import User, one_of

SCHEMA = "providers"
OF_A_PROVIDER = f"{SCHEMA}.providers.code"


class AuthMethod(StrEnum):
    """What a provider wants to see of who asks: nothing, a key in the address, one in a header, or a login."""

    NONE = "none"
    QUERY_KEY = "query_key"
    HEADER_KEY = "header_key"
    BASIC = "basic"


class Provider(Base):
    """An outside service and its pace: at most `request_count` calls in any `window_seconds`.

    The learned limit is what its answers say, and holds beside the documented one. `pause_seconds` is how long it is
    left alone after its first refusal where it does not say itself; `refusals` counts those in a row.
    """

    __tablename__ = "providers"
    __table_args__ = (
        CheckConstraint("code ~ '^[a-z0-9][a-z0-9-]{1,39}$'", name="code_is_a_slug"),
        CheckConstraint(one_of("auth_method", AuthMethod), name="auth_method_is_known"),
        CheckConstraint("window_seconds > 0 AND request_count > 0 AND pause_seconds > 0", name="limit_is_positive"),
        CheckConstraint("learned_window_seconds > 0 AND learned_count > 0", name="learned_limit_is_positive"),
        CheckConstraint("(learned_count IS NULL) = (learned_window_seconds IS NULL)", name="learned_limit_is_whole"),
        {"schema": SCHEMA},
    )

    code: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    base_url: Mapped[str]
    docs_url: Mapped[str | None]
    auth_method: Mapped[str] = mapped_column(server_default=text("'none'"))
    window_seconds: Mapped[int]
    request_count: Mapped[int]
    learned_window_seconds: Mapped[int | None]
    learned_count: Mapped[int | None]
    pause_seconds: Mapped[int] = mapped_column(server_default=text("60"))
    refusals: Mapped[int] = mapped_column(server_default=text("0"))
    blocked_until: Mapped[datetime | None]
    is_enabled: Mapped[bool] = mapped_column(server_default=text("true"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class ProviderCredential(Base):
    """A person's own key for a provider; `shown_as` is what its owner recognises it by."""

    __tablename__ = "credentials"
    __table_args__ = (
        Index("credentials_by_user", "user_id", "created_at", "id"),
        Index("credentials_by_provider", "provider"),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey(User.id, ondelete="CASCADE"))
    provider: Mapped[str] = mapped_column(ForeignKey(OF_A_PROVIDER, ondelete="CASCADE"))
    label: Mapped[str]
    secret: Mapped[bytes] = encrypted()
    shown_as: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    last_used_at: Mapped[datetime | None]


class ProviderCall(Base):
    """One call, written down before it is made. `endpoint` is our word for what was asked, never the address.

    A call without `ended_at` is under way, or its process died: it counts as made until no such call can be under way.
    """

    __tablename__ = "usage"
    __table_args__ = (
        CheckConstraint("duration_ms >= 0", name="duration_is_not_negative"),
        Index("usage_by_provider", "provider", "started_at"),
        Index("usage_by_time", "started_at", "id"),
        Index("usage_by_user", "user_id", postgresql_where=text("user_id IS NOT NULL")),
        Index("usage_by_credential", "credential_id", postgresql_where=text("credential_id IS NOT NULL")),
        {"schema": SCHEMA},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    provider: Mapped[str] = mapped_column(ForeignKey(OF_A_PROVIDER, ondelete="CASCADE"))
    endpoint: Mapped[str]
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey(User.id, ondelete="SET NULL"))
    credential_id: Mapped[UUID | None] = mapped_column(ForeignKey(ProviderCredential.id, ondelete="SET NULL"))
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    duration_ms: Mapped[int | None]
    status: Mapped[int | None]
    error: Mapped[str | None]


class ProviderLookup(Base):
    """An answer that is the same for everybody, kept until `expires_at`; with an `etag` it can be asked for again."""

    __tablename__ = "lookups"
    __table_args__ = (Index("lookups_by_expiry", "expires_at"), {"schema": SCHEMA})

    provider: Mapped[str] = mapped_column(ForeignKey(OF_A_PROVIDER, ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[bytes]
    etag: Mapped[str | None]
    fetched_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
