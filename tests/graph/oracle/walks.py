"""Lists walked through page by page, forward or backward, each page from the cursor of the one before."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from app.core.ids import PublicIdTag
from app.graph.access import access_of
from app.graph.execution import Response
from app.graph.identity.accounts import VIEWER_READS
from app.graph.schema import core_schema
from app.identity.access import ANYBODY
from app.identity.viewer import Viewer
from tests.graph.oracle.asking import Asked
from tests.graph.oracle.comparison import as_sent
from tests.graph.oracle.documents import Draft, Place
from tests.graph.oracle.lists import LISTS, OWNERS_WITHOUT_IDS, ListField
from tests.graph.oracle.values import Value, written
from tests.graph.oracle.viewers import any_viewer
from tests.graph.oracle.vocabulary import Vocabulary

# The name of the list in the answer, by which the next page is found.
WALKED = "walked"


def first_page(random: Random, vocabulary: Vocabulary) -> Asked:
    """The first page of some list."""
    listed = random.choice(LISTS)
    vocabulary = vocabulary.of(_who_may_ask(random, vocabulary, listed))
    size, cursor = random.choice((("first", "after"), ("last", "before")))
    arguments = vocabulary.arguments(listed.name, listed.arguments)
    rest = [f"{name}: {written(value)}" for name, value in arguments.items() if name not in _PAGING]
    draft = Draft(random, vocabulary, prefix="_")
    selection = draft.selections(core_schema.type_map[listed.entry], Place(), 3)  # type: ignore[arg-type]  # objects
    body = (
        f"{WALKED}: {listed.name}({', '.join([f'{size}: $size', f'{cursor}: $cursor', *rest])}) {{ "
        f"totalCount edges {{ cursor node {selection} }} "
        "pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"
    )
    declared = ", ".join(each.written(name) for name, each in draft.declared.items())
    placed = _placed(random, listed, body, vocabulary)
    query = f"query ($size: Int, $cursor: String, {declared}) {{ {placed} }}"
    variables: dict[str, Value] = {"size": random.choice((1, 1, 2, 3, 7)), "cursor": None}
    return Asked(
        "\n".join([query, *draft.fragment_definitions()]), variables | draft.variables, viewer=vocabulary.viewer
    )


def next_page(asked: Asked, response: Response) -> Asked | None:
    """The page that follows the answer of one, None after the last and for what is no walk."""
    page = next(_walked(as_sent(response).get("data")), None)
    if page is None or "cursor" not in asked.variables:
        return None
    info = page["pageInfo"]
    is_forward = "first: $size" in asked.query
    goes_on = info["hasNextPage"] if is_forward else info["hasPreviousPage"]
    cursor = info["endCursor"] if is_forward else info["startCursor"]
    return replace(asked, variables=asked.variables | {"cursor": cursor}) if goes_on and cursor else None


_PAGING = {"first", "after", "last", "before"}


def _who_may_ask(random: Random, vocabulary: Vocabulary, listed: ListField) -> Viewer:
    """Mostly somebody who is not refused before anything is read; what they see is another question."""
    owner: Any = core_schema.type_map[listed.owner]
    field = owner.fields[listed.name]
    if listed.owner in OWNERS_WITHOUT_IDS:
        root: Any = core_schema.type_map["Query"]
        field = root.fields[OWNERS_WITHOUT_IDS[listed.owner]]
    access = access_of(field) or (VIEWER_READS if listed.owner == "Account" else ANYBODY)
    drawn = [any_viewer(random, vocabulary.world) for _ in range(_DRAWS)]
    return next((viewer for viewer in drawn if vocabulary.of(viewer).may_ask(access)), drawn[0])


def _placed(random: Random, listed: ListField, body: str, vocabulary: Vocabulary) -> str:
    if listed.tag is None:
        return listed.placed(body)
    if listed.tag is PublicIdTag.ACCOUNT and random.random() < 0.7:
        return f"viewer {{ {body} }}"
    return f"node(id: {written(vocabulary.id_of(listed.tag))}) {{ ... on {listed.owner} {{ {body} }} }}"


_DRAWS = 12


def _walked(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if isinstance(value.get(WALKED), dict):
            yield value[WALKED]
        for each in value.values():
            yield from _walked(each)
