"""What people are called: their usernames, what others read in their place, and their e-mail addresses."""

import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from email_validator import EmailNotValidError, validate_email

from app.core.errors import BadUserInput

SHORTEST_USERNAME = 3
LONGEST_USERNAME = 30
LONGEST_EMAIL = 254
LONGEST_DISPLAY_NAME = 60
RANDOM_DIGITS = 6
FALLBACK = "collector"
# Names that would speak for Trove, stand in its addresses, or mean nobody; compared without case, `_` and `-`.
_RESERVED_WORDS = """
    abuse account accounts admin administrator anonymous anyone api app auth billing blog bot contact deleted demo docs
    everybody everyone graphiql graphql guest help helpdesk hostmaster info legal login logout mail mailerdaemon
    marketplace me mod moderator nobody none noreply null oauth official oidc operator owner password postmaster privacy
    root security self session settings signin signout signup staff status superuser support sysadmin system team terms
    test token trove troveadmin trovestaff trovesupport troveteam undefined unknown user username users verify webmaster
    wellknown www
"""
RESERVED = frozenset(_RESERVED_WORDS.split())

_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,29}")
# Of what is shown beside other people's words: nothing that breaks lines, or turns the direction of what follows.
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NOT_IN_A_USERNAME = re.compile(r"[^A-Za-z0-9_]+")
_SILENT = re.compile("['’`]")
# Letters that decompose into nothing: how they are spelled without.
_SPELLED = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ø": "o", "Ø": "O", "đ": "d", "Đ": "D", "ð": "d"}
    | {"Ð": "D", "ł": "l", "Ł": "L", "þ": "th", "Þ": "Th", "ı": "i"}
)


class UsernameRefused(BadUserInput):
    """A username has another shape than usernames have, or is reserved."""


class DisplayNameRefused(BadUserInput):
    """A text cannot stand where others read somebody's name."""


class EmailRefused(BadUserInput):
    """A text is no e-mail address, or one that nobody can be reached at."""


@dataclass(frozen=True, slots=True)
class EmailAddress:
    """An address as its owner reads it, and the key that two spellings of it share (lower case, ASCII domain)."""

    shown: str = field(repr=False)
    key: str = field(repr=False)


def parse_username(text: str) -> str:
    """The username, unchanged; raises UsernameRefused where it cannot be one."""
    if not _USERNAME.fullmatch(text):
        raise UsernameRefused(
            f"A username has {SHORTEST_USERNAME} to {LONGEST_USERNAME} of the letters A to Z, digits, `_` and `-`, "
            "and begins with a letter or digit.",
            argument="username",
        )
    if is_reserved(text):
        raise UsernameRefused("This username is reserved; choose another one.", argument="username")
    return text


def parse_display_name(text: str) -> str:
    """The name as it is kept; raises DisplayNameRefused with the reason."""
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= LONGEST_DISPLAY_NAME:
        raise DisplayNameRefused(
            f"A display name has 1 to {LONGEST_DISPLAY_NAME} characters; send null to have none.",
            argument="displayName",
        )
    if not all(map(_is_shown_in_names, name)):
        raise DisplayNameRefused(
            "A display name is one line of text, without control characters.", argument="displayName"
        )
    return name


def display_name_of(text: str) -> str | None:
    """What can be shown of somebody's name elsewhere, shortened where it must be; None where that is nothing."""
    shown = "".join(letter if _is_shown_in_names(letter) else " " for letter in unicodedata.normalize("NFC", text))
    return " ".join(shown.split())[:LONGEST_DISPLAY_NAME].rstrip() or None


def _is_shown_in_names(letter: str) -> bool:
    return unicodedata.category(letter) not in _FORBIDDEN_CATEGORIES and letter not in _TURNS_DIRECTION


def is_reserved(username: str) -> bool:
    """Whether the name is kept from people, however it is spelled with `_`, `-` and capitals."""
    return username.lower().replace("_", "").replace("-", "") in RESERVED


def suggest_username(words: Iterable[str]) -> str:
    """A username made of the first of these names that one can be made of; it may be taken already.

    Usernames are for everybody to see and e-mail addresses are not, so what holds an `@` makes none.
    """
    for word in words:
        name = "" if "@" in word else _folded(word)
        if _USERNAME.fullmatch(name) and not is_reserved(name):
            return name
    return with_random_digits(FALLBACK)


def with_random_digits(username: str) -> str:
    """A username like this one that is hardly taken: shortened where it must be, and ending in six random digits."""
    digits = f"{secrets.randbelow(10**RANDOM_DIGITS):0{RANDOM_DIGITS}}"
    return f"{username[: LONGEST_USERNAME - RANDOM_DIGITS - 1].rstrip('_-')}-{digits}"


def normalise_email(text: str) -> EmailAddress:
    """The address behind what somebody typed; raises EmailRefused with the reason.

    Domains may be of any script. What stands before the `@` has to be ASCII: few servers deliver anything else, and
    letters that look like others would make two addresses of what people read as one. Dots and `+` are left alone,
    since what they mean is up to the domain. No question goes out to the network.
    """
    text = text.strip()
    if len(text) > LONGEST_EMAIL:
        raise EmailRefused(f"An e-mail address has at most {LONGEST_EMAIL} characters.", argument="email")
    try:
        address = validate_email(
            text,
            allow_smtputf8=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            strict=True,
            check_deliverability=False,
        )
    except EmailNotValidError as error:
        raise EmailRefused(f"This is no e-mail address that we can write to. {error}", argument="email") from None
    return EmailAddress(address.normalized, f"{address.local_part}@{address.ascii_domain}".lower())


def _folded(word: str) -> str:
    decomposed = unicodedata.normalize("NFKD", _SILENT.sub("", word).translate(_SPELLED))
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    return _NOT_IN_A_USERNAME.sub("-", letters).lstrip("_-")[:LONGEST_USERNAME].rstrip("_-")
