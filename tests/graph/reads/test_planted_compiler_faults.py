"""The oracle holds the compiler to its word: a fault planted into the compiler is found within some documents."""

from collections.abc import Collection
from itertools import islice
from random import Random

import pytest

from app.graph.reads.plans import Plans
from tests.graph.oracle.asking import Asked, Path, resolvers_path, usual_path
from tests.graph.oracle.comparison import compare, difference
from tests.graph.oracle.conftest import Stage
from tests.graph.oracle.property_documents import few_drawn_documents
from tests.graph.oracle.questions import questions
from tests.graph.oracle.vocabulary import Vocabulary
from tests.graph.oracle.walks import next_page
from tests.graph.oracle.worlds import random_world
from tests.graph.reads.compiler_faults import FAULTS, SHOWN_BY, Plant

WORLDS, WORLDS_WITHOUT_A_FAULT = 16, 2
DOCUMENTS_PER_WORLD = 30


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_in_the_compiler_is_found(stage: Stage, plans: Plans, name: str) -> None:
    assert await _found(stage, plans, FAULTS[name], SHOWN_BY.get(name, ())), (
        f"{WORLDS * DOCUMENTS_PER_WORLD} documents did not show that {name}"
    )


async def test_a_compiler_without_a_fault_is_not_suspected(stage: Stage, plans: Plans) -> None:
    for number in range(WORLDS_WITHOUT_A_FAULT):
        assert await _found_in_world(stage, plans, lambda _: None, number) is None


async def _found(stage: Stage, plans: Plans, plant: Plant, stressed: Collection[str]) -> bool:
    """Whether some question shows the fault; without it both paths answer that question alike."""
    for number in range(WORLDS):
        asked = await _found_in_world(stage, plans, plant, number, stressed)
        if asked is not None:
            plans._plans.clear()
            return await compare(usual_path(stage.engine), resolvers_path(stage.engine), asked) is None
    return False


async def _found_in_world(
    stage: Stage, plans: Plans, plant: Plant, number: int, stressed: Collection[str] = ()
) -> Asked | None:
    random = Random(f"compiler-faults/{number}")
    vocabulary = Vocabulary(random, random_world(random), stressed=stressed)
    await stage.put_up(vocabulary.world, vocabulary)
    with pytest.MonkeyPatch.context() as monkeypatch:
        plant(monkeypatch)
        plans._plans.clear()
        return await _differing(usual_path(stage.engine), resolvers_path(stage.engine), vocabulary)


async def _differing(usual: Path, resolvers: Path, vocabulary: Vocabulary) -> Asked | None:
    """The first question to which the paths give different answers."""
    for asked in islice(questions(vocabulary.random, vocabulary, few_drawn_documents()), DOCUMENTS_PER_WORLD):
        resolved = await resolvers(asked)
        if difference(await usual(asked), resolved) is not None:
            return asked
        page = next_page(asked, resolved)
        if page is not None and await compare(usual, resolvers, page) is not None:
            return page
    return None
