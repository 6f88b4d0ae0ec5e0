"""Rows of JSON files of any size, one at a time: arrays, list pages and single objects, gzipped or not."""

import gzip
import io
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import ijson
import orjson

from app.catalogue.errors import CatalogueNotUnderstood, FileBreaksOff

PAGE_BYTES = 32 * 1024 * 1024
# A row of any file: what is packed well may unfold to one without end.
ROW_BYTES = 4 * 1024 * 1024
# Reading gets ever slower with the depth.
_MOST_NESTED = 1_000
_MOST_BLANK = 64 * 1024
_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Of an error that a service gave instead of data, so many characters are told.
_MOST_TOLD = 200
_COMPRESSION_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile)
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_TOO_LONG = f"a row has more than {ROW_BYTES // 1024**2} MiB"
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_JSON_ERRORS = (ijson.JSONError, ValueError, OverflowError)


@contextmanager
def open_plain(path: Path) -> Iterator[io.BufferedReader]:
    """The bytes of a file without its compression, byte-order mark and leading spaces.

    Raises `CatalogueNotUnderstood` for a file that cannot be read, is empty, or is a page of HTML.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        try:
            plain: io.BufferedReader = file
            if file.peek(2)[:2] == _GZIP:
                plain = io.BufferedReader(cast("io.RawIOBase", gzip.GzipFile(fileobj=file)))
            if plain.peek(3)[:3] == _BYTE_ORDER_MARK:
                plain.read(3)
            _skip_blanks(plain, path)
            start = plain.peek(1)[:1]
        except OSError as error:
            raise _unreadable(path, error) from error
        except (EOFError, zlib.error) as error:
            raise FileBreaksOff(path.name, rows=0, reason=str(error)) from error
        if not start:
            raise CatalogueNotUnderstood(f"{path} is empty; give the file as it was downloaded.")
        if start == b"<":
            raise CatalogueNotUnderstood(
                f"{path} is a page of HTML, not data: most likely an error page was saved; download the file again."
            )
        yield plain


def _skip_blanks(plain: io.BufferedReader, path: Path) -> None:
    skipped = 0
    while ahead := plain.peek(1):
        blanks = len(ahead) - len(ahead.lstrip())
        plain.read(blanks)
        if blanks < len(ahead):
            return
        skipped += blanks
        if skipped > _MOST_BLANK:
            raise CatalogueNotUnderstood(f"{path} begins with nothing but spaces; give the file as it was downloaded.")


def _unreadable(path: Path, error: OSError) -> CatalogueNotUnderstood:
    return CatalogueNotUnderstood(f"{path} cannot be read ({error.strerror or error}); give the path of a file.")


def read_json_rows(stream: io.BufferedReader, name: str) -> Iterator[object]:
    """The values of an array, those under `data` of a list page, or the one object, in the order of the file.

    Memory does not grow with an array. Raises `FileBreaksOff` after the last whole row of a file that ends too early,
    or goes on with a row too long to be one, and `CatalogueNotUnderstood` for what is no array and no object.
    """
    rows = 0
    start = stream.peek(1)[:1]
    if start not in {b"[", b"{"}:
        raise CatalogueNotUnderstood(f"{name} is not a JSON file of rows: it must begin with [ or {{.")
    try:
        for row in _array(stream) if start == b"[" else _page(stream, name):
            yield row
            rows += 1
    except (*_COMPRESSION_ERRORS, *_JSON_ERRORS) as error:
        raise FileBreaksOff(name, rows=rows, reason=str(error).splitlines()[0] if str(error) else "") from error


def _array(stream: io.BufferedReader) -> Iterator[object]:
    """One row a line, as bulk files have it, is read fastest so; from the first line that is not, whatever JSON."""
    opening = stream.readline(ROW_BYTES)
    if opening.strip() != b"[":
        yield from _any_array(opening, stream)
        return
    blank = 0
    while line := stream.readline(ROW_BYTES):
        text = line.strip().removesuffix(b",")
        if text == b"]":
            return
        if text:
            try:
                row = orjson.loads(text)
            except orjson.JSONDecodeError:
                break
            yield row
            blank = 0
        else:
            blank += len(line)
            if blank > _MOST_BLANK:
                raise ValueError("nothing but spaces follows")
    yield from _any_array(b"[" + line, stream)


def _any_array(beginning: bytes, rest: BinaryIO) -> Iterator[object]:
    yield from _rows_of(_Continued(beginning, rest), "item")


def _rows_of(source: "_Continued", path: str) -> Iterator[object]:
    for row in ijson.items(source, path, use_float=True):
        source.begin_row()
        yield row


class _Continued:
    """Bytes that were read already, then the rest of their stream.

    Raises `ValueError` where they nest without end, or where a row has none.
    """

    def __init__(self, beginning: bytes, rest: BinaryIO) -> None:
        self._beginning = beginning
        self._rest = rest
        self._of_row = 0
        self._depth = 0
        self._is_in_text = False
        self._escape = b""

    def begin_row(self) -> None:
        """Count the bytes of a row anew."""
        self._of_row = 0

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end."""
        if self._beginning and size > 0:
            taken, self._beginning = self._beginning[:size], self._beginning[size:]
        else:
            taken = self._rest.read(size)
        self._of_row += len(taken)
        if self._of_row > ROW_BYTES:
            raise ValueError(_TOO_LONG)
        self._follow(taken)
        return taken

    def _follow(self, taken: bytes) -> None:
        """Count how deep it nests: brackets within texts open nothing."""
        bare = _ESCAPED.sub(b"", self._escape + taken)
        self._escape = bare[-1:] if bare.endswith(b"\\") else b""
        parts = bare.split(b'"')
        outside = parts[self._is_in_text :: 2]
        self._is_in_text ^= len(parts) % 2 == 0
        for bracket in b"".join(outside).translate(None, _NO_BRACKETS):
            self._depth += 1 if bracket in b"[{" else -1
            if self._depth > _MOST_NESTED:
                raise ValueError(f"it is nested more than {_MOST_NESTED:,} deep")


def _page(stream: BinaryIO, name: str) -> Iterator[object]:
    content = stream.read(PAGE_BYTES + 1)
    if len(content) > PAGE_BYTES:
        raise CatalogueNotUnderstood(
            f"{name} is one JSON object of more than {PAGE_BYTES // 1024**2} MiB; give an array of rows instead."
        )
    try:
        page = orjson.loads(content)
    except orjson.JSONDecodeError:
        # The whole rows before the fault are still told, and the fault with its place.
        yield from _rows_of(_Continued(content, io.BytesIO()), "data.item")
        raise
    error = _error_of_service(page)
    if error is not None:
        raise CatalogueNotUnderstood(
            f"{name} holds an error of the service, not data: {error[:_MOST_TOLD]}; download the file again."
        )
    rows = page.get("data")
    yield from rows if isinstance(rows, list) else [page]


def _error_of_service(page: Mapping[str, object]) -> str | None:
    """What a service says went wrong, in one of the ways of those whose files are read; None where nothing did."""
    status = page.get("status")
    if page.get("object") == "error":
        said = page
    elif page.get("error"):
        error = page["error"]
        said = error if isinstance(error, dict) else {"message": error}
    elif isinstance(status, dict) and status.get("error_code"):
        said = status
    else:
        return None
    sentences = (said.get(name) for name in ("details", "message", "error_message", "error_code", "code"))
    return next((str(sentence).rstrip(".") for sentence in sentences if sentence), "it does not say which")
