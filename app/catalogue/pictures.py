"""Pictures as people send them, made safe to show: known by their content, bounded, and drawn anew.

What goes out is nothing of the file that came in but its pixels, upright and in sRGB. So there is no place in it for
where it was taken, for a page that is hidden behind it, or for what another decoder would stumble over.
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from PIL import ExifTags, Image, ImageCms

from app.catalogue.errors import PictureNotUnderstood, PictureTooLarge, PictureUnfit

MAXIMUM_BYTES = 20 * 1024 * 1024
MAXIMUM_PIXELS = 50_000_000
# Of a WebP, which takes many times as long to write as any other, and with transparency three times the memory.
MAXIMUM_WEBP_PIXELS = 16_000_000
MINIMUM_SIDE = 16
# The longest that every format here can hold.
MAXIMUM_SIDE = 16_383
QUALITY = 90
THUMBNAIL_QUALITY = 82
WEBP = "image/webp"
# Of all formats that the library could read, those that browsers show and that have no programs in them.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_ENDINGS = {"image/jpeg": "jpg", "image/png": "png", WEBP: "webp"}
# What an orientation of EXIF takes to be upright; 1 is. Not by the library's own function, which writes anew what else
# the camera said, and stumbles over what it cannot write.
_TURNS: Mapping[object, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What may stand in a file again and again, and costs its decoder time each time: scans of a JPEG, which go over all its
# pixels; what a camera said; profiles of colours. No camera and no program writes more than a few.
_COSTLY_PARTS = re.compile(
    rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)|\xff\xe1..Exif\x00\x00|iCCP", re.DOTALL
)
MOST_COSTLY_PARTS = 100
_SRGB = ImageCms.createProfile("sRGB")


class PhotoSize(StrEnum):
    """How large a photo is shown; the value is a part of the key of its object."""

    SMALL = "small"
    MEDIUM = "medium"
    LARGE = "large"
    ORIGINAL = "original"


# Of the longer side, in pixels; what is smaller stays as small as it is.
THUMBNAIL_SIDES: Mapping[PhotoSize, int] = {PhotoSize.LARGE: 1200, PhotoSize.MEDIUM: 480, PhotoSize.SMALL: 160}


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture; width and height in pixels."""

    content: bytes = field(repr=False)
    content_type: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class PreparedPhoto:
    """A photo as it is kept: whole, and in the sizes that pages show."""

    original: Picture
    thumbnails: Mapping[PhotoSize, Picture]

    @property
    def digest(self) -> bytes:
        """SHA-256 of the whole one as it is kept."""
        return sha256(self.original.content).digest()

    @property
    def pictures(self) -> Mapping[PhotoSize, Picture]:
        """Every size that there is."""
        return {PhotoSize.ORIGINAL: self.original, **self.thumbnails}


def object_key(folder: str, size: PhotoSize, content_type: str) -> str:
    """The key of one size of a photo, whose whole one is of this content type; only that is anything but WebP."""
    ending = _ENDINGS[content_type] if size is PhotoSize.ORIGINAL else _ENDINGS[WEBP]
    return f"{folder}/{size.value}.{ending}"


def object_keys(folder: str, content_type: str) -> list[str]:
    """The keys of all sizes of a photo."""
    return [object_key(folder, size, content_type) for size in PhotoSize]


def prepare_photo(content: bytes) -> PreparedPhoto:
    """Check a file that somebody sent, and draw it anew in all sizes; of what moves the first picture.

    Takes up to six seconds of one processor and 700 MB of memory, so call it in a thread. Raises PictureTooLarge,
    PictureNotUnderstood (it is none of the formats) and PictureUnfit (it is one, and broken, too small, of too many
    pixels or of too many parts).
    """
    if len(content) > MAXIMUM_BYTES:
        raise PictureTooLarge(f"A photo has at most {MAXIMUM_BYTES // 1024 // 1024} MB; send a smaller one.")
    _refuse_many_parts(content)
    kind, upright = _drawn(content)
    original = _encoded_as(kind, upright)
    thumbnails = {}
    smaller = upright
    # Each from the one before: a quarter of the work, and nobody sees the difference.
    for size, side in THUMBNAIL_SIDES.items():
        smaller = _fitted(smaller, side)
        thumbnails[size] = _encoded(smaller, "WEBP", WEBP, quality=THUMBNAIL_QUALITY)
    return PreparedPhoto(original, thumbnails)


def _drawn(content: bytes) -> tuple[str | None, Image.Image]:
    """The format of a file and its pixels. What else it took to decode it, which is much, is let go of here."""
    with _opened(content) as image:
        _check_size(image)
        return image.format, _upright_in_srgb(image)


def _opened(content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=_FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_many_pixels() from None
    except Exception:  # noqa: BLE001  # decoders of nonsense raise whatever they stumble over
        raise PictureNotUnderstood(
            "This is no picture that can be taken: send a JPEG, a PNG, a WebP or a GIF, whatever the file is called."
        ) from None


def _refuse_many_parts(content: bytes) -> None:
    """Refuse a small file that keeps its decoder busy for minutes; before it is opened, which reads some of them."""
    for count, _ in enumerate(_COSTLY_PARTS.finditer(content), 1):
        if count > MOST_COSTLY_PARTS:
            raise PictureUnfit("This picture is put together of far more parts than pictures have; save it anew.")


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    if min(width, height) < MINIMUM_SIDE:
        raise PictureUnfit(f"A photo has at least {MINIMUM_SIDE} pixels each way, and this is {width} × {height}.")
    if width * height > MAXIMUM_PIXELS or max(width, height) > MAXIMUM_SIDE:
        raise _too_many_pixels()
    if image.format == "WEBP" and width * height > MAXIMUM_WEBP_PIXELS:
        raise PictureUnfit(
            f"A photo as a WebP has at most {MAXIMUM_WEBP_PIXELS // 1_000_000} million pixels; scale it down, or send "
            "it as a JPEG or a PNG."
        )


def _too_many_pixels() -> PictureUnfit:
    return PictureUnfit(
        f"A photo has at most {MAXIMUM_PIXELS // 1_000_000} million pixels, {MAXIMUM_SIDE:,} each way; scale it down."
    )


def _upright_in_srgb(image: Image.Image) -> Image.Image:
    """The pixels and nothing else, decoded only here: the way up is in them, and so are the colours that were meant."""
    try:
        image.load()
        profile = image.info.get("icc_profile")
        turn = _TURNS.get(_orientation_of(image))
        upright = image if turn is None else image.transpose(turn)
        drawn = _in_srgb(upright, profile if isinstance(profile, bytes) else b"")
    except Exception:  # noqa: BLE001  # as above
        raise PictureUnfit("This picture is broken: perhaps it was cut off on its way. Save it anew.") from None
    # Encoders take from here what they find: comments, places, profiles.
    drawn.info.clear()
    return drawn


def _orientation_of(image: Image.Image) -> object:
    """Which way up its camera said that it is; nothing where what is said beside the picture is broken."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001  # as above
        return None


def _in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    mode = "RGBA" if image.has_transparency_data else "RGB"
    # Of sixteen bits for a shade of grey the upper eight.
    shown = image.point(lambda value: value / 256).convert("L") if image.mode.startswith("I") else image
    if not profile:
        return shown.convert(mode)
    if shown.mode not in {"RGB", "RGBA", "L", "CMYK"}:
        shown = shown.convert(mode)
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(shown, given, _SRGB, outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError):
        # A profile that does not hold for this picture: browsers leave it out, too.
        return shown.convert(mode)
    return shown.convert(mode) if converted is None else converted


def _fitted(image: Image.Image, side: int) -> Image.Image:
    """The picture in a square of this side; never larger than it was."""
    fitted = image.copy()
    fitted.thumbnail((side, side), Image.Resampling.LANCZOS)
    return fitted


def _encoded_as(kind: str | None, image: Image.Image) -> Picture:
    """The whole picture in the format that it came in; one that has no successor here becomes a PNG."""
    if kind in {"JPEG", "MPO"}:
        return _encoded(image if image.mode == "RGB" else image.convert("RGB"), "JPEG", "image/jpeg", quality=QUALITY)
    if kind == "WEBP":
        return _encoded(image, "WEBP", WEBP, quality=QUALITY)
    return _encoded(image, "PNG", "image/png")


def _encoded(image: Image.Image, kind: str, content_type: str, **options: int) -> Picture:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return Picture(written.getvalue(), content_type, *image.size)
