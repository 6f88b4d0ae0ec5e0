"""What a provider says of a person, taken only where it is fit to be kept and shown."""

from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email

LONGEST_NAME = 100
LONGEST_URL = 2048


def email_of(text: str | None) -> str | None:
    """The address, normalised; none where it is not one that mail can be sent to."""
    try:
        return validate_email(text, check_deliverability=False).normalized if text else None
    except EmailNotValidError:
        return None


def name_of(*texts: str | None) -> str | None:
    """The first of the texts that has anything to show: in one line, at most 100 characters."""
    for text in texts:
        shown = " ".join("".join(sign if sign.isprintable() else " " for sign in text or "").split())
        if shown:
            return shown[:LONGEST_NAME].rstrip()
    return None


def picture_of(url: str | None) -> str | None:
    """The address of a picture; none where it is not https."""
    if not url or len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme == "https" and parts.hostname else None
