"""Two responses are alike down to the order of keys and the kind of numbers, or the difference is named."""

from typing import Any

import orjson
import pytest

from tests.graph.oracle.comparison import difference


def _failed(**more: Any) -> dict[str, Any]:
    error = {"message": "No.", "path": ["a"], "locations": [{"line": 1, "column": 3}], "extensions": {"code": "BAD"}}
    return {"data": {"a": None}, "errors": [error | more]}


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({"data": {"a": 1, "b": 2}}, {"data": {"b": 2, "a": 1}}, "response.data: the keys are in another order"),
        ({"data": {"a": 1}}, {"data": {"a": 1.0}}, "response.data.a: 1 is not 1.0"),
        ({"data": {"a": 0.0}}, {"data": {"a": -0.0}}, "response.data.a: 0.0 is not -0.0"),
        ({"data": {"a": 1}}, {"data": {"a": True}}, "response.data.a: 1 is not true"),
        ({"data": {"a": 12}}, {"data": {"a": "12"}}, 'response.data.a: 12 is not "12"'),
        ({"data": {"a": None}}, {"data": {}}, "response.data: only the first has ['a']"),
        ({"data": {"a": []}}, {"data": {"a": None}}, "response.data.a: [] is not null"),
        ({"data": {"a": [1, 2]}}, {"data": {"a": [2, 1]}}, "response.data.a[0]: 1 is not 2"),
        ({"data": {"a": [1, None]}}, {"data": {"a": [1]}}, "response.data.a: 2 entries are not 1; the shorter one"),
        ({"data": None}, {}, "response: only the first has ['data']"),
        (_failed(), _failed(path=["b"]), 'response.errors[0].path[0]: "a" is not "b"'),
        (_failed(), _failed(message="Never."), 'response.errors[0].message: "No." is not "Never."'),
        (_failed(), _failed(locations=[]), "response.errors[0].locations: 1 entries are not 0"),
        (_failed(), _failed(extensions={"code": "GOOD"}), 'response.errors[0].extensions.code: "BAD" is not "GOOD"'),
        (_failed(), {"data": {"a": None}}, "response: only the first has ['errors']"),
    ],
)
def test_a_difference_is_named(first: dict[str, Any], second: dict[str, Any], named: str) -> None:
    found = difference(first, second)
    assert found is not None
    assert found.startswith(named)


def test_what_may_differ_makes_no_difference() -> None:
    first = _failed(extensions={"code": "BAD", "errorId": "1"}) | {"extensions": {"trove": {"statements": 1}}}
    second = _failed(extensions={"code": "BAD", "errorId": "2"}) | {"extensions": {"trove": {"statements": 9}}}
    assert difference(first, second) is None


def test_json_that_is_written_already_is_read_like_any_other() -> None:
    fragment = orjson.Fragment(b'{"id": "1", "name": "a\\u0062"}')
    assert difference({"data": fragment}, {"data": {"id": "1", "name": "ab"}}) is None
    assert difference({"data": fragment}, {"data": {"name": "ab", "id": "1"}}) is not None


def test_what_is_no_json_is_a_difference() -> None:
    broken = {"data": {"a": orjson.Fragment(b'{"b":}')}}
    found = difference(broken, {"data": {"a": {"b": None}}})
    assert found is not None
    assert found.startswith("response: only the first has ['what was sent is no JSON']")
