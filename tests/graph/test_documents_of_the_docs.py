"""What the docs tell people to ask, the graph understands."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import parse, validate

from app.graph.schema import core_schema

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"```graphql\n(.*?)```", re.DOTALL)


def _documents() -> Iterator[tuple[str, str]]:
    for file in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for number, block in enumerate(_BLOCK.findall(file.read_text()), 1):
            yield f"{file.relative_to(ROOT)} {number}", block


DOCUMENTS = dict(_documents())


@pytest.mark.parametrize("place", DOCUMENTS)
def test_a_document_of_the_docs_is_valid(place: str) -> None:
    assert validate(core_schema, parse(DOCUMENTS[place])) == []


def test_the_docs_have_documents() -> None:
    assert DOCUMENTS
