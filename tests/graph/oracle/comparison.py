"""Holds two responses against each other, down to the order of keys and the kind of numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from app.core.errors import ErrorCode
from app.graph.execution import Response
from tests.graph.oracle.asking import Asked, Path

SHOWN_CHARACTERS = 300
UNREADABLE = "what was sent is no JSON"
OUR_FAULTS = {code.value for code in (ErrorCode.INTERNAL_SERVER_ERROR, ErrorCode.SERVICE_UNAVAILABLE)}


def difference(first: Response, second: Response) -> str | None:
    """The first difference of two responses in a sentence, None where they are alike."""
    one, other = as_sent(first), as_sent(second)
    if orjson.dumps(one) == orjson.dumps(other):
        return None
    return _difference(one, other, "response")


async def compare(first: Path, second: Path, asked: Asked) -> str | None:
    """Ask the same by both paths: the first difference in a sentence, None where they answer alike."""
    return difference(await first(asked), await second(asked))


def our_fault(response: Response) -> str | None:
    """An error that no document should bring about, by whichever path, in a sentence."""
    for error in as_sent(response).get("errors", ()):
        if error["extensions"]["code"] in OUR_FAULTS:
            return f"both paths fail: {_shown(error)}"
    return None


def as_sent(response: Response) -> Any:
    """The response as a client reads it, without what may differ from one run to the next."""
    text = orjson.dumps(response)
    try:
        sent = orjson.loads(text)
    except orjson.JSONDecodeError:
        # A path may write its JSON by itself, and wrongly; that is a difference like any other.
        return {"data": None, UNREADABLE: text.decode(errors="replace")}
    for error in sent.get("errors", ()):
        error.get("extensions", {}).pop("errorId", None)
    sent.pop("extensions", None)
    return sent


def _difference(one: Any, other: Any, place: str) -> str | None:
    if type(one) is not type(other):
        return f"{place}: {_shown(one)} is not {_shown(other)}"
    if isinstance(one, dict):
        return _difference_of_objects(one, other, place)
    if isinstance(one, list):
        return _difference_of_lists(one, other, place)
    # As text: 0.0 equals -0.0, and the JSON differs.
    return None if orjson.dumps(one) == orjson.dumps(other) else f"{place}: {_shown(one)} is not {_shown(other)}"


def _difference_of_objects(one: Mapping[str, Any], other: Mapping[str, Any], place: str) -> str | None:
    if list(one) != list(other):
        lost, new = [key for key in one if key not in other], [key for key in other if key not in one]
        if lost or new:
            values = _shown({key: other[key] if key in other else one[key] for key in [*new, *lost]})
            return f"{place}: only the first has {lost}, only the second has {new}, which are {values}"
        return f"{place}: the keys are in another order: {list(one)} is not {list(other)}"
    found = (_difference(one[key], other[key], f"{place}.{key}") for key in one)
    return next(filter(None, found), None)


def _difference_of_lists(one: Sequence[Any], other: Sequence[Any], place: str) -> str | None:
    found = (_difference(*pair, f"{place}[{index}]") for index, pair in enumerate(zip(one, other, strict=False)))
    first = next(filter(None, found), None)
    if len(one) != len(other):
        return f"{place}: {len(one)} entries are not {len(other)}; {first or 'the shorter one begins the longer'}"
    return first


def _shown(value: Any) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
