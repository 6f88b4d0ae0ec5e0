"""What identity keeps of a person: the files of an export, and what becomes of it all when they go."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, case, select
from sqlalchemy.orm.attributes import InstrumentedAttribute

from app.core.ids import PublicIdTag
from app.core.personal_data import ExportPart, PersonalData, table_of
from app.identity.commands.deletion import erase
from app.identity.models import (
    ApiToken,
    AuditEntry,
    Challenge,
    Credential,
    DataExport,
    Identity,
    OutgoingMail,
    Passkey,
    RecoveryCode,
    RoleGrant,
    Session,
    TotpSecret,
    UnlinkedIdentity,
    User,
)


def _rows(
    owner: InstrumentedAttribute[Any], *columns: InstrumentedAttribute[Any] | ColumnElement[Any]
) -> Callable[[UUID], Select[*tuple[Any, ...]]]:
    """These columns of the rows whose `owner` is the person, in the order of their keys."""
    key = owner.class_.__table__.primary_key.columns

    def rows(user_id: UUID) -> Select[*tuple[Any, ...]]:
        return select(*columns).where(owner == user_id).order_by(*key)

    return rows


def _audit_entries(user_id: UUID) -> Select[*tuple[Any, ...]]:
    """What was done to the account, in full; and what the person did to others, without what it says of them."""
    is_own = AuditEntry.subject_id == user_id
    return (
        select(
            AuditEntry.id,
            AuditEntry.occurred_at,
            AuditEntry.action,
            is_own.label("is_about_you"),
            (AuditEntry.actor_id == user_id).label("was_done_by_you"),
            # Where somebody else did it, from where is theirs to know.
            case((AuditEntry.actor_id.is_(None) | (AuditEntry.actor_id == user_id), AuditEntry.address)).label(
                "address"
            ),
            case((AuditEntry.actor_id.is_(None) | (AuditEntry.actor_id == user_id), AuditEntry.user_agent)).label(
                "user_agent"
            ),
            case((is_own, AuditEntry.before)).label("before"),
            case((is_own, AuditEntry.after)).label("after"),
        )
        .where(is_own | (AuditEntry.actor_id == user_id))
        .order_by(AuditEntry.occurred_at, AuditEntry.id)
    )


PARTS = (
    ExportPart(
        "account.json",
        "Your account: your names, your address and how you want things.",
        table_of(User),
        _rows(
            User.id,
            *(column for name, column in sorted(User.__table__.columns.items()) if name != "deleted_at"),
        ),
        PublicIdTag.ACCOUNT,
    ),
    ExportPart(
        "ways-in.json",
        "The ways in that are linked, with what their providers told us.",
        table_of(Identity),
        _rows(
            Identity.user_id,
            Identity.id,
            Identity.provider,
            Identity.issuer,
            Identity.subject,
            Identity.email,
            Identity.display_name,
            Identity.created_at,
            Identity.last_used_at,
        ),
        PublicIdTag.IDENTITY,
    ),
    ExportPart(
        "unlinked-ways-in.json",
        "The ways in that you unlinked, so that their addresses do not let anybody in again.",
        table_of(UnlinkedIdentity),
        _rows(
            UnlinkedIdentity.user_id,
            UnlinkedIdentity.provider,
            UnlinkedIdentity.issuer,
            UnlinkedIdentity.subject,
            UnlinkedIdentity.unlinked_at,
        ),
    ),
    ExportPart(
        "password.json",
        "When you last changed your password. The password itself we do not know.",
        table_of(Credential),
        _rows(Credential.user_id, Credential.changed_at),
    ),
    ExportPart(
        "one-time-codes.json",
        "Since when an app gives you one-time codes.",
        table_of(TotpSecret),
        _rows(TotpSecret.user_id, TotpSecret.created_at, TotpSecret.confirmed_at),
    ),
    ExportPart(
        "recovery-codes.json",
        "When your recovery codes were made, and when one was used.",
        table_of(RecoveryCode),
        _rows(RecoveryCode.user_id, RecoveryCode.created_at, RecoveryCode.used_at),
    ),
    ExportPart(
        "passkeys.json",
        "Your passkeys, by the names you gave them.",
        table_of(Passkey),
        _rows(
            Passkey.user_id,
            Passkey.id,
            Passkey.name,
            Passkey.transports,
            Passkey.is_backed_up,
            Passkey.sign_count,
            Passkey.created_at,
            Passkey.last_used_at,
        ),
        PublicIdTag.PASSKEY,
    ),
    ExportPart(
        "sessions.json",
        "The devices that you signed in with, and from where.",
        table_of(Session),
        _rows(
            Session.user_id,
            Session.id,
            Session.device,
            Session.method,
            Session.user_agent,
            Session.address,
            Session.created_at,
            Session.authenticated_at,
            Session.last_seen_at,
            Session.expires_at,
            Session.ended_at,
            Session.end_reason,
        ),
        PublicIdTag.SESSION,
    ),
    ExportPart(
        "api-tokens.json",
        "Your API tokens. Their texts we do not know.",
        table_of(ApiToken),
        _rows(
            ApiToken.user_id,
            ApiToken.id,
            ApiToken.name,
            ApiToken.prefix,
            ApiToken.scopes,
            ApiToken.allowed_addresses,
            ApiToken.created_at,
            ApiToken.expires_at,
            ApiToken.last_used_at,
            ApiToken.last_used_address,
            ApiToken.revoked_at,
        ),
        PublicIdTag.API_TOKEN,
    ),
    ExportPart(
        "role-grants.json",
        "The roles that you were given, and why.",
        table_of(RoleGrant),
        _rows(
            RoleGrant.user_id,
            RoleGrant.id,
            RoleGrant.role,
            RoleGrant.permissions,
            RoleGrant.reason,
            RoleGrant.granted_at,
            RoleGrant.expires_at,
            RoleGrant.revoked_at,
        ),
        PublicIdTag.ROLE_GRANT,
    ),
    ExportPart(
        "begun.json",
        "What you began and what was waited for, such as a link to sign in.",
        table_of(Challenge),
        _rows(
            Challenge.user_id,
            Challenge.kind,
            Challenge.attempts,
            Challenge.created_at,
            Challenge.expires_at,
            Challenge.used_at,
        ),
    ),
    ExportPart(
        "mails.json",
        "When we wrote to you. What we wrote is not kept once it is sent.",
        table_of(OutgoingMail),
        _rows(OutgoingMail.user_id, OutgoingMail.status, OutgoingMail.created_at, OutgoingMail.sent_at),
    ),
    ExportPart(
        "exports.json",
        "The archives like this one that you asked for.",
        table_of(DataExport),
        _rows(
            DataExport.user_id,
            DataExport.id,
            DataExport.status,
            DataExport.archive_bytes,
            DataExport.requested_at,
            DataExport.finished_at,
            DataExport.expires_at,
        ),
        PublicIdTag.DATA_EXPORT,
    ),
    ExportPart(
        "audit-log.json",
        "What was done to your account, and what you did to those of others.",
        table_of(AuditEntry),
        _audit_entries,
        PublicIdTag.AUDIT_ENTRY,
    ),
)

PERSONAL_DATA = PersonalData("identity", erase, PARTS)
