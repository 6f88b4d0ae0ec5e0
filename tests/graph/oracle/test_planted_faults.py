"""The oracle has to be able to fail: each fault that is planted into a path is found within some documents."""

from collections.abc import AsyncIterator, Collection
from itertools import islice
from random import Random

import pytest
from graphql import parse

from tests.graph.oracle.asking import Asked, resolvers_path
from tests.graph.oracle.comparison import compare
from tests.graph.oracle.conftest import Stage
from tests.graph.oracle.faults import FAULTS, SHOWN_BY
from tests.graph.oracle.property_documents import few_drawn_documents
from tests.graph.oracle.questions import questions
from tests.graph.oracle.shrinking import nodes_of, smallest
from tests.graph.oracle.vocabulary import Vocabulary
from tests.graph.oracle.worlds import random_world

WORLDS = 60
DOCUMENTS_PER_WORLD = 30
FIELDS_OF_A_SMALL_DOCUMENT = 8


async def _asked_of_worlds(stage: Stage, stressed: Collection[str]) -> AsyncIterator[Asked]:
    for number in range(WORLDS):
        random = Random(f"faults/{number}")
        vocabulary = Vocabulary(random, random_world(random), stressed=stressed)
        await stage.put_up(vocabulary.world, vocabulary)
        for asked in islice(questions(random, vocabulary, few_drawn_documents()), DOCUMENTS_PER_WORLD):
            yield asked


@pytest.mark.parametrize("name", FAULTS)
async def test_a_planted_fault_is_found_and_shown_by_a_small_document(stage: Stage, name: str) -> None:
    path = resolvers_path(stage.engine)
    faulty = FAULTS[name](path)

    async def differs(asked: Asked) -> bool:
        return await compare(path, faulty, asked) is not None

    async for asked in _asked_of_worlds(stage, SHOWN_BY.get(name, ())):
        if await differs(asked):
            shown = await smallest(asked, differs)
            assert await differs(shown)
            assert len(nodes_of(parse(shown.query), "field")) <= FIELDS_OF_A_SMALL_DOCUMENT, shown.readable()
            return
    pytest.fail(f"{WORLDS * DOCUMENTS_PER_WORLD} documents did not show that {name}")
