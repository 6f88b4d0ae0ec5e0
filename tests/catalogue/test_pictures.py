"""Pictures that come in: known by their content, bounded, upright, in sRGB, and with nothing else of their files."""

import io
import struct
from typing import Any

import pytest
from PIL import Image, ImageCms, ImageDraw, ImageOps, PngImagePlugin

from app.catalogue.errors import PictureNotUnderstood, PictureTooLarge, PictureUnfit
from app.catalogue.pictures import MAXIMUM_BYTES, PhotoSize, Picture, object_key, object_keys, prepare_photo

HTML = b"<!doctype html><script>alert(document.domain)</script>"
PLACE = "52.5163 north, 13.3777 east"
XMP = f'<x:xmpmeta xmlns:x="adobe:ns:meta/">{PLACE}</x:xmpmeta>'.encode()
GPS_DIRECTORY = 0x8825
ORIENTATION = 0x0112
ARTIST = 0x013B
IMAGE_WIDTH = 0x0100


def drawing(size: tuple[int, int] = (64, 48), colour: Any = (200, 100, 50), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    written = io.BytesIO()
    image.save(written, kind, **options)
    return written.getvalue()


def decoded(picture: Picture) -> Image.Image:
    image = Image.open(io.BytesIO(picture.content))
    image.load()
    return image


def told_of(image: Image.Image, **more: Any) -> Image.Exif:
    exif = image.getexif()
    exif[ARTIST] = PLACE
    for tag, value in more.items():
        exif[int(tag.removeprefix("tag_"))] = value
    exif.get_ifd(GPS_DIRECTORY)[1] = "N"
    exif.get_ifd(GPS_DIRECTORY)[2] = (52.0, 30.0, 58.7)
    return exif


def is_near(colour: Any, wanted: tuple[int, ...]) -> bool:
    return all(abs(one - other) <= 6 for one, other in zip(colour, wanted, strict=True))


@pytest.mark.parametrize(
    ("kind", "becomes", "content_type"),
    [
        ("JPEG", "JPEG", "image/jpeg"),
        ("PNG", "PNG", "image/png"),
        ("WEBP", "WEBP", "image/webp"),
        ("GIF", "PNG", "image/png"),
    ],
)
def test_a_picture_is_known_by_its_content_and_drawn_anew_in_every_size(
    kind: str, becomes: str, content_type: str
) -> None:
    photo = prepare_photo(encoded(drawing((2000, 1000)), kind))
    assert (photo.original.content_type, photo.original.width, photo.original.height) == (content_type, 2000, 1000)
    assert decoded(photo.original).format == becomes
    sizes = {size: (picture.width, picture.height) for size, picture in photo.thumbnails.items()}
    assert sizes == {PhotoSize.LARGE: (1200, 600), PhotoSize.MEDIUM: (480, 240), PhotoSize.SMALL: (160, 80)}
    for picture in photo.pictures.values():
        shown = decoded(picture)
        assert shown.size == (picture.width, picture.height)
        assert is_near(shown.convert("RGB").getpixel((5, 5)), (200, 100, 50))
    assert {picture.content_type for picture in photo.thumbnails.values()} == {"image/webp"}


def test_a_small_picture_is_never_made_larger() -> None:
    photo = prepare_photo(encoded(drawing((100, 40)), "PNG"))
    assert {(picture.width, picture.height) for picture in photo.pictures.values()} == {(100, 40)}


def test_a_photo_has_a_key_for_every_size() -> None:
    assert object_key("photos/1", PhotoSize.ORIGINAL, "image/jpeg") == "photos/1/original.jpg"
    assert object_key("photos/1", PhotoSize.SMALL, "image/jpeg") == "photos/1/small.webp"
    assert len(set(object_keys("photos/1", "image/png"))) == len(PhotoSize)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_where_and_by_whom_it_was_taken_stays_out(kind: str) -> None:
    image = drawing()
    options: dict[str, Any] = {"exif": told_of(image)}
    if kind == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_text("Comment", PLACE)
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options["pnginfo"] = texts
    else:
        options["xmp"] = XMP
    if kind == "JPEG":
        options["comment"] = PLACE.encode()
    sent = encoded(image, kind, **options)
    if kind == "JPEG":
        # IPTC stands in a segment of Photoshop's, which the library does not write.
        text = b"Photoshop 3.0\x008BIM\x04\x04\x00\x00" + PLACE.encode()
        sent = sent[:2] + b"\xff\xed" + (len(text) + 2).to_bytes(2, "big") + text + sent[2:]
    assert PLACE.encode() in sent
    photo = prepare_photo(sent)
    for picture in photo.pictures.values():
        assert PLACE.encode() not in picture.content
        for word in (b"Exif\0\0", b"EXIF", b"eXIf", b"XMP ", b"xmpmeta", b"8BIM", b"tEXt", b"iTXt", b"\xff\xfe"):
            assert word not in picture.content, word
        shown = decoded(picture)
        assert not shown.getexif()
        assert not {"comment", "xmp", "icc_profile", "exif", "photoshop"} & set(shown.info)


def test_a_picture_is_turned_as_its_camera_said() -> None:
    image = drawing((64, 32))
    ImageDraw.Draw(image).rectangle((0, 0, 31, 31), fill=(0, 0, 255))
    sent = encoded(image, "JPEG", exif=told_of(image, **{f"tag_{ORIENTATION}": 6}), quality=95)
    photo = prepare_photo(sent)
    assert (photo.original.width, photo.original.height) == (32, 64)
    for picture in photo.pictures.values():
        shown = decoded(picture).convert("RGB")
        # What was on the left is at the top.
        assert is_near(shown.getpixel((16, 8)), (0, 0, 255))
        assert is_near(shown.getpixel((16, 56)), (200, 100, 50))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("broken", [b"Exif\0\0nonsense", b"Exif\0\0II*\0"], ids=["nonsense", "cut off"])
def test_what_is_broken_beside_a_picture_does_not_break_it(kind: str, broken: bytes) -> None:
    assert prepare_photo(encoded(drawing(), kind, exif=broken)).original.width == 64


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_though_its_camera_wrote_nonsense_beside(orientation: int) -> None:
    image = drawing()
    image.paste((0, 0, 255), (0, 0, 32, 24))
    # The width as a text, which no camera may write, and which cannot be written anew.
    entries = struct.pack("<HHI4sHHIHH", IMAGE_WIDTH, 2, 4, b"abc", ORIENTATION, 3, 1, orientation, 0)
    odd = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + struct.pack("<I", 0)
    wanted = image.copy()
    wanted.getexif()[ORIENTATION] = orientation
    wanted = ImageOps.exif_transpose(wanted)
    shown = decoded(prepare_photo(encoded(image, "PNG", exif=odd)).original)
    assert (shown.size, shown.tobytes()) == (wanted.size, wanted.tobytes())


def test_colours_of_another_profile_become_those_of_srgb() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    swapped = bytearray(profile.tobytes())
    red, blue = swapped.index(b"rXYZ"), swapped.index(b"bXYZ")
    swapped[red : red + 4], swapped[blue : blue + 4] = b"bXYZ", b"rXYZ"
    photo = prepare_photo(encoded(drawing(colour=(200, 0, 0)), "PNG", icc_profile=bytes(swapped)))
    # A profile in which red is blue.
    assert is_near(decoded(photo.original).getpixel((5, 5)), (0, 0, 200))
    assert b"iCCP" not in photo.original.content


def test_a_broken_profile_is_left_out() -> None:
    photo = prepare_photo(encoded(drawing(), "PNG", icc_profile=b"no profile at all"))
    assert is_near(decoded(photo.original).getpixel((5, 5)), (200, 100, 50))


@pytest.mark.parametrize(
    ("mode", "colour", "wanted"),
    [
        ("L", 120, (120, 120, 120)),
        ("LA", (120, 255), (120, 120, 120)),
        ("P", 3, None),
        ("I;16", 120 * 257, (120, 120, 120)),
        ("1", 1, (255, 255, 255)),
    ],
)
def test_shades_of_grey_and_palettes_are_shown_as_they_are(
    mode: str, colour: Any, wanted: tuple[int, ...] | None
) -> None:
    image = drawing(mode=mode, colour=colour)
    wanted = wanted or image.convert("RGB").getpixel((5, 5))  # type: ignore[assignment]  # of RGB, so three numbers
    shown = decoded(prepare_photo(encoded(image, "PNG")).original).convert("RGB")
    assert wanted is not None
    assert is_near(shown.getpixel((5, 5)), wanted)


def test_what_is_transparent_stays_so() -> None:
    image = drawing(mode="RGBA", colour=(200, 100, 50, 0))
    ImageDraw.Draw(image).rectangle((0, 0, 31, 47), fill=(0, 0, 255, 255))
    for picture in prepare_photo(encoded(image, "PNG")).pictures.values():
        shown = decoded(picture).convert("RGBA")
        assert shown.getpixel((50, 20))[3] == 0  # type: ignore[index]  # of RGBA, so four numbers
        assert shown.getpixel((10, 20))[3] == 255  # type: ignore[index]  # as above


def test_a_picture_in_the_colours_of_print_is_shown() -> None:
    photo = prepare_photo(encoded(drawing().convert("CMYK"), "JPEG", quality=95))
    assert decoded(photo.original).mode == "RGB"
    assert is_near(decoded(photo.original).getpixel((5, 5)), (200, 100, 50))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_of_what_moves_the_first_picture_is_kept(kind: str) -> None:
    first, second = drawing(), drawing(colour=(0, 0, 255))
    photo = prepare_photo(encoded(first, kind, save_all=True, append_images=[second], duration=100))
    for picture in photo.pictures.values():
        shown = decoded(picture)
        assert getattr(shown, "n_frames", 1) == 1
        assert is_near(shown.convert("RGB").getpixel((5, 5)), (200, 100, 50))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_page_behind_a_picture_stays_out(kind: str) -> None:
    for picture in prepare_photo(encoded(drawing(), kind) + HTML).pictures.values():
        assert b"script" not in picture.content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 1000,
        HTML,
        b"%PDF-1.7\n",
        b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64"/></svg>',
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        HTML + encoded(drawing(), "PNG"),
        encoded(drawing(), "BMP"),
        encoded(drawing(), "TIFF"),
        encoded(drawing((64, 64)), "ICO"),
        encoded(drawing(), "JPEG")[:10],
    ],
    ids=["nothing", "zeros", "HTML", "PDF", "SVG", "XML", "HTML before a PNG", "BMP", "TIFF", "ICO", "a few bytes"],
)
def test_what_is_no_picture_that_browsers_show_is_refused(content: bytes) -> None:
    with pytest.raises(PictureNotUnderstood, match="JPEG, a PNG, a WebP or a GIF"):
        prepare_photo(content)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_that_breaks_off_is_refused(kind: str) -> None:
    noise = Image.effect_noise((200, 200), 80).convert("RGB")
    sent = encoded(noise, kind)
    with pytest.raises((PictureUnfit, PictureNotUnderstood)):
        prepare_photo(sent[: len(sent) // 2])


def test_a_file_of_too_many_bytes_is_refused_before_anything_is_read() -> None:
    with pytest.raises(PictureTooLarge, match="at most 20 MB"):
        prepare_photo(encoded(drawing(), "PNG") + b"\0" * MAXIMUM_BYTES)


@pytest.mark.parametrize(
    "size", [(15, 400), (400, 15), (1, 1), (16_384, 20), (20, 16_384)], ids=lambda size: f"{size[0]} by {size[1]}"
)
def test_a_picture_of_an_unfit_size_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(PictureUnfit, match="pixels"):
        prepare_photo(encoded(drawing(size), "PNG"))


@pytest.mark.parametrize("side", [7_100, 10_000, 14_000, 60_000], ids=lambda side: f"{side} pixels each way")
def test_a_bomb_is_refused_by_its_head_before_it_goes_off(side: int) -> None:
    head = bytearray(encoded(drawing(), "PNG"))
    # The size in the head, and its checksum; the pixels that should follow are not there.
    head[16:24] = side.to_bytes(4, "big") * 2
    head[29:33] = PngImagePlugin._crc32(bytes(head[12:29])).to_bytes(4, "big")
    with pytest.raises(PictureUnfit, match="at most 50 million pixels"):
        prepare_photo(bytes(head))


def test_a_webp_has_fewer_pixels_than_others_because_it_is_dearer_to_write() -> None:
    with pytest.raises(PictureUnfit, match="as a WebP has at most 16 million pixels"):
        prepare_photo(encoded(drawing((4_001, 4_000)), "WEBP", method=0))


@pytest.mark.parametrize(
    ("kind", "begins", "many"),
    [
        ("JPEG", b"\xff\xda", b"\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x10"),
        ("JPEG", b"\xff\xdb", b"\xff\xe1\x00\x09Exif\x00\x00a"),
        ("PNG", b"IDAT", b"\0\0\0\x03iCCPa\0\0\0\0\0\0"),
    ],
    ids=["scans", "what a camera said", "profiles"],
)
def test_a_small_file_of_very_many_parts_is_refused_before_it_is_opened(kind: str, begins: bytes, many: bytes) -> None:
    sent = encoded(drawing((16, 16)), kind)
    head, found, tail = sent.partition(begins)
    assert found
    prepare_photo(sent)
    with pytest.raises(PictureUnfit, match="far more parts than pictures have"):
        prepare_photo(head + many * 101 + found + tail)


def test_a_text_that_unpacks_to_very_much_is_refused() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "x" * 80_000_000, zip=True)
    with pytest.raises((PictureUnfit, PictureNotUnderstood)):
        prepare_photo(encoded(drawing(), "PNG", pnginfo=texts))
