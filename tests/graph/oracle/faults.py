"""Faults that a second path might have, each planted into the answers of a path that has none."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, cast
from unittest.mock import patch

import orjson
from graphql import ArgumentNode, GraphQLError, parse

from app.core.database import DatabaseViewer
from app.graph.execution import Response
from app.identity.scopes import GRANTABLE
from app.identity.viewer import Viewer
from tests.graph.oracle.asking import Asked, Path
from tests.graph.oracle.shrinking import nodes_of
from tests.identity.builders import PARTNER

Fault = Callable[[Path], Path]

FILTERS = {"filter", "kind", "source", "currency", "from", "to"}


def in_answers(change: Callable[[Any], Any]) -> Fault:
    """A path whose answers are changed; what `change` gives stands for each value, outer ones first."""

    def planted(path: Path) -> Path:
        async def answer(asked: Asked) -> Response:
            response = orjson.loads(orjson.dumps(await path(asked)))
            return {**response, "data": _changed(response["data"], change)} if "data" in response else response

        return answer

    return planted


def in_errors(change: Callable[[Any], Any]) -> Fault:
    """A path whose errors are changed."""

    def planted(path: Path) -> Path:
        async def answer(asked: Asked) -> Response:
            response = orjson.loads(orjson.dumps(await path(asked)))
            return {**response, "errors": change(response["errors"])} if "errors" in response else response

        return answer

    return planted


def in_questions(change: Callable[[Asked], Asked]) -> Fault:
    """A path that is asked something else."""

    def planted(path: Path) -> Path:
        async def answer(asked: Asked) -> Response:
            return await path(change(asked))

        return answer

    return planted


def in_what_is_seen(viewer_of: Callable[[Viewer], DatabaseViewer | None]) -> Fault:
    """A path that reads as another viewer than the one who was let through."""

    def planted(path: Path) -> Path:
        async def answer(asked: Asked) -> Response:
            with patch.object(Viewer, "in_database", property(viewer_of)):
                return await path(asked)

        return answer

    return planted


def _rows_of_who_asked_before(path: Path) -> Path:
    """A path that reads as somebody else who was signed in before, as if a connection had kept its settings."""
    before: list[DatabaseViewer | None] = []

    async def answer(asked: Asked) -> Response:
        viewer = asked.viewer.in_database
        other = next((one for one in reversed(before) if one != viewer), None)
        if viewer is not None and viewer != (before and before[-1]):
            before.append(viewer)
        return await in_what_is_seen(lambda _: other)(path)(asked)

    return answer


def _changed(value: Any, change: Callable[[Any], Any]) -> Any:
    value = change(value)
    if isinstance(value, dict):
        return {name: _changed(each, change) for name, each in value.items()}
    return [_changed(each, change) for each in value] if isinstance(value, list) else value


def _entries_swapped(value: Any) -> Any:
    return [value[1], value[0], *value[2:]] if isinstance(value, list) and len(value) > 1 else value


def _nulls_lost_from_lists(value: Any) -> Any:
    return [each for each in value if each is not None] if isinstance(value, list) else value


def _nulls_lost_from_objects(value: Any) -> Any:
    return {name: each for name, each in value.items() if each is not None} if isinstance(value, dict) else value


def _keys_in_another_order(value: Any) -> Any:
    return dict(reversed(value.items())) if isinstance(value, dict) else value


def _last_entry_lost(value: Any) -> Any:
    return value[:-1] if isinstance(value, list) else value


def _empty_list_is_null(value: Any) -> Any:
    return None if value == [] else value


def _numbers_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _whole_floats_as_integers(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e9 else value


def _zeros_lost(value: Any) -> Any:
    is_decimal = isinstance(value, str) and value.replace(".", "", 1).isdecimal() and "." in value
    return value.rstrip("0").rstrip(".") if is_decimal else value


def _microseconds_shortened(value: Any) -> Any:
    is_instant = isinstance(value, str) and value.endswith("Z") and "." in value and value[10:11] == "T"
    return value[:-1].rstrip("0") + "Z" if is_instant else value


def _one_null_text(value: Any) -> Any:
    return None if value == "" else value


def _without_filters(asked: Asked) -> Asked:
    try:
        document = parse(asked.query)
    except GraphQLError:
        return asked
    for node in nodes_of(document, "argument"):
        argument = cast("ArgumentNode", node)
        if argument.name.value in FILTERS and not nodes_of(argument, "variable"):
            return replace(asked, query=_blanked(asked.query, argument))
    return asked


def _blanked(query: str, argument: ArgumentNode) -> str:
    """The document with spaces in the argument's place, so that everything else stays where it is."""
    assert argument.loc is not None
    before, after = query[: argument.loc.start], query[argument.loc.end :]
    blank = " " * (argument.loc.end - argument.loc.start)
    left, right = before.rstrip(" ,\n"), after.lstrip(" ,\n")
    if left.endswith("(") and right.startswith(")"):
        before = left[:-1] + " " * (len(before) - len(left) + 1)
        after = " " * (len(after) - len(right) + 1) + right[1:]
    return before + blank + after


def _of_a_viewer_who_may_more(asked: Asked) -> Asked:
    return replace(asked, viewer=PARTNER)


def _without_what_was_granted(viewer: Viewer) -> DatabaseViewer | None:
    return None if viewer.user_id is None else DatabaseViewer(viewer.user_id)


def _with_whatever_was_granted(viewer: Viewer) -> DatabaseViewer | None:
    return None if viewer.user_id is None else DatabaseViewer(viewer.user_id, tuple(sorted(GRANTABLE)))


def _without_variables(asked: Asked) -> Asked:
    return replace(asked, variables={})


FAULTS: dict[str, Fault] = {
    "two entries of a list are swapped": in_answers(_entries_swapped),
    "nulls are lost from lists": in_answers(_nulls_lost_from_lists),
    "nulls are lost from objects": in_answers(_nulls_lost_from_objects),
    "keys come in another order": in_answers(_keys_in_another_order),
    "the last entry of a list is lost": in_answers(_last_entry_lost),
    "an empty list is null": in_answers(_empty_list_is_null),
    "an empty text is null": in_answers(_one_null_text),
    "integers are texts": in_answers(_numbers_as_text),
    "whole floats are integers": in_answers(_whole_floats_as_integers),
    "decimals lose their last zeros": in_answers(_zeros_lost),
    "instants lose their last zeros": in_answers(_microseconds_shortened),
    "errors are lost": in_errors(lambda errors: errors[1:]),
    "errors have no path": in_errors(lambda errors: [{**error, "path": []} for error in errors]),
    "errors point to another place": in_errors(lambda errors: [{**error, "locations": []} for error in errors]),
    "a filter is not applied": in_questions(_without_filters),
    "another viewer is asked for": in_questions(_of_a_viewer_who_may_more),
    "a row that belongs to another viewer is shown": _rows_of_who_asked_before,
    "a row is hidden from who may see it": in_what_is_seen(lambda _: None),
    "a row is hidden from staff": in_what_is_seen(_without_what_was_granted),
    "a token shows what only its holder may see": in_what_is_seen(_with_whatever_was_granted),
    "variables are forgotten": in_questions(_without_variables),
}
# Fields by which a fault shows that few others show; documents ask for them more often then.
SHOWN_BY: Mapping[str, Collection[str]] = {
    "an empty text is null": {"items", "nodes", "name", "slug", "notes"},
    "whole floats are integers": {"items", "nodes", "floatMinimum", "floatMaximum", "places", "radiusMeters"},
    "a token shows what only its holder may see": {"node", "nodes", "accounts", "auditLog", "jobs", "ingestBatch"},
}
