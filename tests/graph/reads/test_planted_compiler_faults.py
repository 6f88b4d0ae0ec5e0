"""The oracle holds the compiler to its word: a fault planted into the compiler is found within some documents."""

from itertools import islice
from random import Random

import pytest

from app.graph.reads.plans import Plans
from tests.graph.oracle.asking import Path, resolvers_path, usual_path
from tests.graph.oracle.comparison import compare
from tests.graph.oracle.conftest import Stage
from tests.graph.oracle.questions import questions
from tests.graph.oracle.vocabulary import Vocabulary
from tests.graph.oracle.walks import next_page
from tests.graph.oracle.worlds import random_world
from tests.graph.reads.compiler_faults import FAULTS, Plant

WORLDS = 16
DOCUMENTS_PER_WORLD = 30


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_in_the_compiler_is_found(stage: Stage, plans: Plans, name: str) -> None:
    assert await _found(stage, plans, FAULTS[name]), (
        f"{WORLDS * DOCUMENTS_PER_WORLD} documents did not show that {name}"
    )


async def test_a_compiler_without_a_fault_is_not_suspected(stage: Stage, plans: Plans) -> None:
    assert not await _found(stage, plans, lambda _: None)


async def _found(stage: Stage, plans: Plans, plant: Plant) -> bool:
    usual, resolvers = usual_path(stage.engine), resolvers_path(stage.engine)
    for number in range(WORLDS):
        random = Random(f"compiler-faults/{number}")
        vocabulary = Vocabulary(random, random_world(random))
        await stage.put_up(vocabulary.world, vocabulary)
        with pytest.MonkeyPatch.context() as monkeypatch:
            plant(monkeypatch)
            plans._plans.clear()
            if await _differs(usual, resolvers, random, vocabulary):
                return True
    return False


async def _differs(usual: Path, resolvers: Path, random: Random, vocabulary: Vocabulary) -> bool:
    for asked in islice(questions(random, vocabulary, "faults"), DOCUMENTS_PER_WORLD):
        if await compare(usual, resolvers, asked) is not None:
            return True
        page = next_page(asked, await resolvers(asked))
        if page is not None and await compare(usual, resolvers, page) is not None:
            return True
    return False
