"""What the catalogue refuses."""

from enum import StrEnum

from app.core.errors import BadUserInput, Conflict, NotFound, ReasonedRefusal


class CatalogueErrorCode(StrEnum):
    """Why something that staff wanted of the catalogue was refused."""

    INVALID_INPUT = "invalid_input"
    NOT_FOUND = "not_found"
    WRONG_KIND = "wrong_kind"
    SLUG_TAKEN = "slug_taken"
    NAME_TAKEN = "name_taken"
    KEY_TAKEN = "key_taken"
    EXTERNAL_ID_TAKEN = "external_id_taken"
    JAN_TAKEN = "jan_taken"
    CONFLICT = "conflict"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    ALREADY_MERGED = "already_merged"
    TOO_MANY_PHOTOS = "too_many_photos"
    NOT_GRANTED = "not_granted"


class CatalogueRefused(ReasonedRefusal[CatalogueErrorCode]):
    """A refusal about the catalogue that the caller can act on."""


class ItemsContradict(Conflict):
    """Two things that are told apart are one item, or one item is said to be two."""


class UnknownItem(NotFound):
    """The catalogue has no such item; the message says how to add it."""


class CatalogueNotUnderstood(BadUserInput):
    """The files of a catalogue are missing or of another shape; the message names the file and what was expected."""


class FileBreaksOff(CatalogueNotUnderstood):
    """A file ends, or stops being what it was, in the middle; `rows` is how many whole ones stood before."""

    def __init__(self, name: str, *, rows: int, reason: str) -> None:
        super().__init__(
            f"{name} breaks off at row {rows + 1:,} ({reason or 'the end is missing'}); get the whole file and import "
            "it again: what went in is kept and will not go in twice."
        )
        self.rows = rows


class FileNotUtf8(FileBreaksOff):
    """A CSV file holds bytes that are no text in UTF-8; what stands before them may have gone in."""

    def __init__(self, name: str, *, rows: int) -> None:
        CatalogueNotUnderstood.__init__(
            self,
            f"{name} is not UTF-8; save it as UTF-8 (spreadsheets call it “CSV UTF-8”) and import it again: what went "
            "in is kept and will not go in twice.",
        )
        self.rows = rows


class RowNotUnderstood(BadUserInput):
    """A row of a catalogue's file cannot go in; the message is the reason."""


class PictureRefused(BadUserInput):
    """A file that somebody sent cannot be a photo; the message says why, and what to send instead."""


class PictureTooLarge(PictureRefused):
    """It has more bytes than a photo may have."""


class PictureNotUnderstood(PictureRefused):
    """It is of no format that is taken."""


class PictureUnfit(PictureRefused):
    """It is a picture, and broken, too small, or of too many pixels."""


class TooManyUploads(BadUserInput):
    """As many photos wait to be added to something as one person may have waiting."""


class PhotoErrorCode(StrEnum):
    """Why a change of an item's photos was refused."""

    INVALID_INPUT = "invalid_input"
    NOT_FOUND = "not_found"
    TOO_MANY = "too_many"
    NOT_GRANTED = "not_granted"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"


class PhotoRefused(ReasonedRefusal[PhotoErrorCode]):
    """A refusal about an item's photos that the caller can act on."""
