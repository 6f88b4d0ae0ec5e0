"""The audit log: what was done, by whom, to whose account, from where."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from app.core.database import Transaction
from app.core.ids import new_id
from app.identity.models import AuditEntry
from app.identity.viewer import Caller

LONGEST_USER_AGENT = 300


class AuditAction(StrEnum):
    """What was done."""

    SIGNED_UP = "signed_up"
    SIGNED_IN = "signed_in"
    SIGN_IN_REFUSED = "sign_in_refused"
    SECOND_FACTOR_REFUSED = "second_factor_refused"
    SIGNED_OUT = "signed_out"
    SESSION_ENDED = "session_ended"
    REFRESH_TOKEN_REUSED = "refresh_token_reused"  # noqa: S105  # the name of what was done
    MAGIC_LINK_REQUESTED = "magic_link_requested"
    MAGIC_LINK_REFUSED = "magic_link_refused"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105  # the name of what was done
    EMAIL_CHANGED = "email_changed"
    PROFILE_CHANGED = "profile_changed"
    PREFERENCES_CHANGED = "preferences_changed"
    TOTP_ENABLED = "totp_enabled"
    TOTP_DISABLED = "totp_disabled"
    RECOVERY_CODES_MADE = "recovery_codes_made"
    RECOVERY_CODE_USED = "recovery_code_used"
    PASSKEY_REGISTERED = "passkey_registered"
    PASSKEY_REMOVED = "passkey_removed"
    IDENTITY_LINKED = "identity_linked"
    IDENTITY_UNLINKED = "identity_unlinked"
    API_TOKEN_CREATED = "api_token_created"  # noqa: S105  # the name of what was done
    API_TOKEN_ROTATED = "api_token_rotated"  # noqa: S105  # the name of what was done
    API_TOKEN_REVOKED = "api_token_revoked"  # noqa: S105  # the name of what was done
    ROLE_GRANTED = "role_granted"
    ROLE_REVOKED = "role_revoked"
    DELETION_REQUESTED = "deletion_requested"
    DELETION_CANCELLED = "deletion_cancelled"
    ERASED = "erased"
    EXPORT_REQUESTED = "export_requested"
    EXPORT_FETCHED = "export_fetched"


async def record(
    transaction: Transaction,
    action: AuditAction,
    *,
    caller: Caller,
    subject_id: UUID | None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write down what is being done to the account of `subject_id`; nothing secret belongs in `before` and `after`."""
    await transaction.connection.execute(
        insert(AuditEntry).values(
            id=new_id(),
            action=action.value,
            actor_id=caller.viewer.user_id,
            subject_id=subject_id,
            credential_id=caller.viewer.credential_id,
            address=caller.origin.address,
            user_agent=caller.origin.user_agent[:LONGEST_USER_AGENT] or None,
            before=before,
            after=after,
        )
    )
