"""Lists walked through page by page, forward or backward, each page from the cursor of the one before."""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from app.core.ids import PublicIdTag
from app.graph.execution import Response
from app.graph.schema import core_schema
from tests.graph.oracle.asking import Asked
from tests.graph.oracle.comparison import as_sent
from tests.graph.oracle.documents import Draft, Place, any_viewer
from tests.graph.oracle.values import Value, written
from tests.graph.oracle.vocabulary import Vocabulary

# The name of the list in the answer, by which the next page is found.
WALKED = "walked"


def first_page(random: Random, vocabulary: Vocabulary) -> Asked:
    """The first page of some list."""
    list_field = random.choice(("items", "items", "points", "rejects"))
    size, cursor = random.choice((("first", "after"), ("last", "before")))
    arguments = vocabulary.arguments(list_field, _taken(list_field))
    rest = [f"{name}: {written(value)}" for name, value in arguments.items() if name not in _PAGING]
    draft = Draft(random, vocabulary, prefix="_")
    selection = draft.selections(core_schema.type_map[_ENTRY[list_field]], Place(), 3)  # type: ignore[arg-type]  # objects
    body = (
        f"{WALKED}: {list_field}({', '.join([f'{size}: $size', f'{cursor}: $cursor', *rest])}) {{ "
        f"totalCount edges {{ cursor node {selection} }} "
        "pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"
    )
    declared = ", ".join(each.written(name) for name, each in draft.declared.items())
    query = f"query ($size: Int, $cursor: String, {declared}) {{ {_placed(list_field, body, vocabulary)} }}"
    variables: dict[str, Value] = {"size": random.choice((1, 1, 2, 3, 7)), "cursor": None}
    return Asked(
        "\n".join([query, *draft.fragment_definitions()]), variables | draft.variables, viewer=any_viewer(random)
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
_ENTRY = {"items": "Item", "points": "PricePoint", "rejects": "IngestReject"}
_OWNER = {"items": "Query", "points": "PriceSeries", "rejects": "IngestBatch"}
_TAG = {"points": PublicIdTag.PRICE_SERIES, "rejects": PublicIdTag.INGEST_BATCH}


def _taken(list_field: str) -> Any:
    owner: Any = core_schema.type_map[_OWNER[list_field]]
    return owner.fields[list_field].args


def _placed(list_field: str, body: str, vocabulary: Vocabulary) -> str:
    if list_field == "items":
        return body
    key = written(vocabulary.id_of(_TAG[list_field]))
    return f"node(id: {key}) {{ ... on {_OWNER[list_field]} {{ {body} }} }}"


def _walked(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        if isinstance(value.get(WALKED), dict):
            yield value[WALKED]
        for each in value.values():
            yield from _walked(each)
