"""Vector tiles as a map reads them, by their specification (Mapbox Vector Tile 2.1)."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
LAYER, NAME, FEATURE, KEY, VALUE, EXTENT = 3, 1, 2, 3, 4, 5
TAGS, GEOMETRY_TYPE, GEOMETRY = 2, 3, 4
POINT, POLYGON = 1, 3
MOVE_TO_ONE = 9


@dataclass(frozen=True, slots=True)
class Feature:
    """What a layer shows: its properties, the kind of its shape, and where it begins, from 0 to the extent."""

    properties: dict[str, Any]
    kind: int
    begins: tuple[int, int]


def read_tile(content: bytes) -> dict[str, list[Feature]]:
    """The features of each layer."""
    layers = [list(_fields(layer)) for number, layer in _fields(content) if number == LAYER]
    return {_text_of(fields): _features_of(fields) for fields in layers}


def _text_of(fields: Sequence[tuple[int, Any]]) -> str:
    (name,) = [value.decode() for number, value in fields if number == NAME]
    return str(name)


def _features_of(fields: Sequence[tuple[int, Any]]) -> list[Feature]:
    keys = [value.decode() for number, value in fields if number == KEY]
    values = [_value(value) for number, value in fields if number == VALUE]
    assert dict(fields)[EXTENT] == 4096
    return [_feature(dict(_fields(value)), keys, values) for number, value in fields if number == FEATURE]


def _feature(fields: dict[int, Any], keys: Sequence[str], values: Sequence[Any]) -> Feature:
    tags = list(_varints(fields[TAGS]))
    properties = {keys[key]: values[value] for key, value in zip(tags[::2], tags[1::2], strict=True)}
    command, x, y, *_ = _varints(fields[GEOMETRY])
    assert command == MOVE_TO_ONE
    return Feature(properties, fields[GEOMETRY_TYPE], (_signed(x), _signed(y)))


def _signed(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _value(content: bytes) -> Any:
    ((kind, value),) = _fields(content)
    if kind == 1:
        return value.decode()
    if kind == 3:
        return struct.unpack("<d", value)[0]
    return value


def _varints(content: bytes) -> Iterator[int]:
    place = 0
    while place < len(content):
        number, place = _varint(content, place)
        yield number


def _varint(content: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = content[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        match key & 7:
            case 0:
                value: Any
                value, place = _varint(content, place)
            case 2:
                length, place = _varint(content, place)
                value, place = content[place : place + length], place + length
            case wire_type:
                length = {FIXED64: 8, FIXED32: 4}[wire_type]
                value, place = content[place : place + length], place + length
        yield key >> 3, value
