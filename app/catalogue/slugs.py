"""Slugs: the readable names of things in addresses; and names as they are compared."""

import re
import unicodedata
from hashlib import sha256

_SILENT = re.compile("['’™★]")
_SEPARATORS = re.compile(r"[^a-z0-9]+")


def slug_of(name: str) -> str:
    """The name in lower-case ASCII words joined by hyphens (`Jörmungandr` is `jormungandr`); may be empty."""
    decomposed = unicodedata.normalize("NFKD", _SILENT.sub("", name).lower())
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    return _SEPARATORS.sub("-", letters).strip("-")


def distinct_slug_of(name: str) -> str:
    """A slug for a name that shares its plain one with another: it ends in a hash of the name, whatever the others."""
    return f"{slug_of(name)}-{sha256(name.encode()).hexdigest()[:6]}".lstrip("-")


def name_key(name: str) -> str:
    """A name as it is compared with others: without case, odd spaces, and other ways to write the same letters."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
