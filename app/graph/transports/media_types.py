"""Content negotiation: in which of our three media types a client wants the answer."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache


class MediaType(StrEnum):
    """What a response can be, in the order of our own preference."""

    JSON = "application/json"
    GRAPHQL_RESPONSE = "application/graphql-response+json"
    EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class _Range:
    media_type: str
    quality: float


def parse_media_type(value: str) -> tuple[str, dict[str, str]]:
    """A media type in lower case, and its parameters."""
    media_type, *parts = value.split(";")
    parameters = dict(part.partition("=")[::2] for part in parts)
    return media_type.strip().lower(), {
        name.strip().lower(): text.strip().strip('"').lower() for name, text in parameters.items()
    }


@lru_cache(maxsize=256)
def negotiate(accept: str) -> MediaType | None:
    """The type the client likes best, the first named among equals; None where it takes none of ours."""
    if not accept.strip():
        return MediaType.JSON
    ranges = [_range(part) for part in accept.split(",") if part.strip()]
    ranked = [(*_rank(ranges, offered), -place, offered) for place, offered in enumerate(MediaType)]
    quality, *_, best = max(ranked)
    return best if quality > 0 else None


def _range(part: str) -> _Range:
    media_type, parameters = parse_media_type(part)
    try:
        quality = float(parameters.get("q", "1"))
    except ValueError:
        quality = 0.0
    return _Range(media_type, quality if 0 <= quality <= 1 else 0.0)


def _rank(ranges: list[_Range], offered: MediaType) -> tuple[float, int]:
    """The quality of the most specific range that covers the type, and how early that stands."""
    # A stream has to be asked for by its name: `*/*` is what clients send that never thought of one.
    wildcards = [] if offered is MediaType.EVENT_STREAM else ["application/*", "*/*"]
    for media_type in (offered.value, *wildcards):
        for place, range_ in enumerate(ranges):
            if range_.media_type == media_type:
                return range_.quality, -place
    return 0.0, 0
