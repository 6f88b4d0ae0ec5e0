"""Random documents over random worlds, each answered by both paths: the answers have to be the same.

A failure names its world; TROVE_ORACLE_SEED repeats it. `make oracle` asks many more documents under a new seed.
"""

import os
from collections.abc import Callable
from itertools import islice
from random import Random

import pytest

from app.graph.execution import Response
from tests.graph.oracle.asking import Asked, Path, resolvers_path, usual_path
from tests.graph.oracle.comparison import difference, our_fault
from tests.graph.oracle.conftest import TALLY, Stage
from tests.graph.oracle.property_documents import drawn_documents
from tests.graph.oracle.questions import questions
from tests.graph.oracle.seeing import shown_to_the_wrong
from tests.graph.oracle.shrinking import smallest
from tests.graph.oracle.tally import Tally
from tests.graph.oracle.vocabulary import Vocabulary
from tests.graph.oracle.walks import next_page
from tests.graph.oracle.worlds import random_world

SEED = os.environ.get("TROVE_ORACLE_SEED") or "trove"
DOCUMENTS = int(os.environ.get("TROVE_ORACLE_DOCUMENTS") or 600)
DOCUMENTS_PER_WORLD = 30
WORLDS_PER_DRAWING, DRAWN_AT_ONCE = 20, 60
WORLDS = -(-DOCUMENTS // DOCUMENTS_PER_WORLD)


@pytest.mark.parametrize("number", range(WORLDS), ids=lambda number: f"world {number}")
async def test_both_paths_answer_alike(stage: Stage, number: int, record_property: Callable[[str, str], None]) -> None:
    random = Random(f"{SEED}/{number}")
    vocabulary = Vocabulary(random, random_world(random))
    await stage.put_up(vocabulary.world, vocabulary)
    usual, resolvers = usual_path(stage.engine), resolvers_path(stage.engine)
    tally = Tally()
    drawn = drawn_documents(f"{SEED}/{number // WORLDS_PER_DRAWING}", DRAWN_AT_ONCE)
    for asked in islice(questions(random, vocabulary, drawn), DOCUMENTS_PER_WORLD):
        page: Asked | None = asked
        while page is not None:
            response = await usual(page)
            tally.count(page, response)
            found = _fault(vocabulary, page, response, await resolvers(page))
            if found is not None:
                pytest.fail(await report(usual, resolvers, vocabulary, page, found, number), pytrace=False)
            page = next_page(page, response)
    record_property(TALLY, tally.to_json())


async def report(usual: Path, resolvers: Path, vocabulary: Vocabulary, asked: Asked, found: str, number: int) -> str:
    """The difference as it was found, the smallest document that shows one, and how to see it again."""

    async def differs(smaller: Asked) -> bool:
        return await _found(usual, resolvers, vocabulary, smaller) is not None

    shown = await smallest(asked, differs)
    again = (
        await _found(usual, resolvers, vocabulary, shown) or "asked again both answer alike, so some order is not sure."
    )
    return (
        f"The answers are not what they have to be (the usual path's first, the resolvers' second).\n{found}\n\n"
        f"The smallest document: {again}\n{shown.readable()}\n\n"
        f"World {number} of TROVE_ORACLE_SEED={SEED}; as it was drawn:\n{asked.readable()}"
    )


async def _found(usual: Path, resolvers: Path, vocabulary: Vocabulary, asked: Asked) -> str | None:
    return _fault(vocabulary, asked, await usual(asked), await resolvers(asked))


def _fault(vocabulary: Vocabulary, asked: Asked, response: Response, resolved: Response) -> str | None:
    """What is wrong about the answers, in a sentence."""
    return (
        difference(response, resolved)
        or our_fault(response)
        or shown_to_the_wrong(vocabulary.world, asked.viewer, response)
    )
