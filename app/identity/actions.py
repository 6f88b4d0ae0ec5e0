"""What can be done to an account, in the words of the audit log."""

from collections.abc import Mapping
from enum import StrEnum


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
    PASSKEY_RENAMED = "passkey_renamed"
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
    PROVIDER_CREDENTIAL_ADDED = "provider_credential_added"
    PROVIDER_CREDENTIAL_REMOVED = "provider_credential_removed"
    WEBHOOK_CREATED = "webhook_created"
    WEBHOOK_CHANGED = "webhook_changed"
    WEBHOOK_SECRET_ROTATED = "webhook_secret_rotated"  # noqa: S105  # the name of what was done
    WEBHOOK_ENABLED = "webhook_enabled"
    WEBHOOK_DISABLED = "webhook_disabled"
    WEBHOOK_DELETED = "webhook_deleted"
    NOTIFICATION_SERVICE_ADDED = "notification_service_added"
    NOTIFICATION_SERVICE_CHANGED = "notification_service_changed"
    NOTIFICATION_SERVICE_REMOVED = "notification_service_removed"
    PUSH_SUBSCRIPTION_ADDED = "push_subscription_added"
    PUSH_SUBSCRIPTION_REMOVED = "push_subscription_removed"
    NOTIFICATION_CHANNEL_SWITCHED = "notification_channel_switched"


MEANINGS: Mapping[AuditAction, str] = {
    AuditAction.SIGNED_UP: "The account was made.",
    AuditAction.SIGNED_IN: "Somebody signed in to it.",
    AuditAction.SIGN_IN_REFUSED: "Somebody tried to sign in, and was refused.",
    AuditAction.SECOND_FACTOR_REFUSED: "Somebody gave a second factor that does not hold.",
    AuditAction.SIGNED_OUT: "A session was ended by who had it.",
    AuditAction.SESSION_ENDED: "Sessions were ended from elsewhere.",
    AuditAction.REFRESH_TOKEN_REUSED: "A refresh token came a second time, so its session was ended.",
    AuditAction.MAGIC_LINK_REQUESTED: "A link to sign in was asked for.",
    AuditAction.MAGIC_LINK_REFUSED: "A link to sign in was opened that does not hold.",
    AuditAction.PASSWORD_CHANGED: "The password was set or changed.",
    AuditAction.EMAIL_CHANGED: "The address was changed.",
    AuditAction.PROFILE_CHANGED: "What others see was changed.",
    AuditAction.PREFERENCES_CHANGED: "Preferences or privacy were changed.",
    AuditAction.TOTP_ENABLED: "One-time codes were turned on.",
    AuditAction.TOTP_DISABLED: "One-time codes were turned off.",
    AuditAction.RECOVERY_CODES_MADE: "Recovery codes were made; older ones hold no longer.",
    AuditAction.RECOVERY_CODE_USED: "A recovery code was used.",
    AuditAction.PASSKEY_REGISTERED: "A passkey was registered.",
    AuditAction.PASSKEY_RENAMED: "A passkey was given another name.",
    AuditAction.PASSKEY_REMOVED: "A passkey was removed.",
    AuditAction.IDENTITY_LINKED: "A way in was linked.",
    AuditAction.IDENTITY_UNLINKED: "A way in was unlinked.",
    AuditAction.API_TOKEN_CREATED: "An API token was made.",
    AuditAction.API_TOKEN_ROTATED: "An API token was replaced by another.",
    AuditAction.API_TOKEN_REVOKED: "An API token was revoked.",
    AuditAction.ROLE_GRANTED: "A role was granted.",
    AuditAction.ROLE_REVOKED: "A role was taken back.",
    AuditAction.DELETION_REQUESTED: "The owner asked for the account to be erased.",
    AuditAction.DELETION_CANCELLED: "The owner took that back.",
    AuditAction.ERASED: "The account was erased.",
    AuditAction.EXPORT_REQUESTED: "An archive of everything was asked for.",
    AuditAction.EXPORT_FETCHED: "An archive of everything was fetched.",
    AuditAction.PROVIDER_CREDENTIAL_ADDED: "A credential for an outside service was added.",
    AuditAction.PROVIDER_CREDENTIAL_REMOVED: "A credential for an outside service was removed.",
    AuditAction.WEBHOOK_CREATED: "A webhook was made.",
    AuditAction.WEBHOOK_CHANGED: "A webhook was changed, such as where it leads or what it reads.",
    AuditAction.WEBHOOK_SECRET_ROTATED: "A webhook got another secret.",
    AuditAction.WEBHOOK_ENABLED: "A webhook was enabled.",
    AuditAction.WEBHOOK_DISABLED: "A webhook was disabled: by somebody, or, where nobody did, by its failures.",
    AuditAction.WEBHOOK_DELETED: "A webhook was deleted.",
    AuditAction.NOTIFICATION_SERVICE_ADDED: "Another service was added to be told by.",
    AuditAction.NOTIFICATION_SERVICE_CHANGED: "A service to be told by was changed.",
    AuditAction.NOTIFICATION_SERVICE_REMOVED: "A service to be told by was removed.",
    AuditAction.PUSH_SUBSCRIPTION_ADDED: "A browser was allowed to be told, or got other keys.",
    AuditAction.PUSH_SUBSCRIPTION_REMOVED: "A browser is told no more; where nobody removed it, it is gone.",
    AuditAction.NOTIFICATION_CHANNEL_SWITCHED: "A kind of channel was switched on or off for everybody.",
}
