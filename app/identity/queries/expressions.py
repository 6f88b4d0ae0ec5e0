"""What is shown of an account's rows where a column does not say it itself."""

from sqlalchemy import ARRAY, Text, cast, func

from app.identity.models import ApiToken, AuditEntry, Session, User, public_profiles

IS_EMAIL_VERIFIED = User.email_verified_at.is_not(None)
SESSION_ADDRESS = func.host(Session.address, type_=Text())
IS_OPEN = Session.ended_at.is_(None) & (Session.expires_at > func.now())
ALLOWED_ADDRESSES = cast(ApiToken.allowed_addresses, ARRAY(Text()))
LAST_USED_ADDRESS = func.host(ApiToken.last_used_address, type_=Text())
AUDIT_ADDRESS = func.host(AuditEntry.address, type_=Text())
AUDIT_BEFORE = cast(AuditEntry.before, Text())
AUDIT_AFTER = cast(AuditEntry.after, Text())
# Usernames are one whatever the case.
USERNAME_KEY = func.lower(public_profiles.c.username, type_=Text())
