"""What a provider says of a person, taken only where it is fit to be kept and shown."""

from email_validator import EmailNotValidError, validate_email

from app.core.secure_urls import is_picture_url
from app.identity.names import display_name_of


def email_of(text: str | None) -> str | None:
    """The address, normalised; none where it is not one that mail can be sent to."""
    try:
        return validate_email(text, check_deliverability=False).normalized if text else None
    except EmailNotValidError:
        return None


def name_of(*texts: str | None) -> str | None:
    """The first of the texts that has anything to show, as display names are; in one line."""
    return next((shown for shown in (display_name_of(text or "") for text in texts) if shown), None)


def picture_of(url: str | None) -> str | None:
    """The address of a picture; none where it is not one that may be shown."""
    return url if url and is_picture_url(url) else None
