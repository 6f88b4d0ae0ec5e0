"""Documents that are allowed and that nobody in their right mind sends, one by one: both paths answer them alike."""

from functools import cache
from random import Random
from typing import Any

import pytest

from app.identity.viewer import ANYONE, Viewer
from tests.graph.oracle.absurd_documents import ANSWERED, DOCUMENTS, INGESTER, VALUES, Known
from tests.graph.oracle.asking import Asked, resolvers_path, usual_path
from tests.graph.oracle.comparison import as_sent, difference
from tests.graph.oracle.conftest import Stage
from tests.graph.oracle.vocabulary import Vocabulary
from tests.graph.oracle.worlds import random_world

WORLDS_TO_CHOOSE_FROM = 1_000


class _Generous(Random):
    """Draws counts from their upper half: so one world in fifty has something of everything."""

    def randint(self, a: int, b: int) -> int:
        """A number from the middle of the two to the second."""
        return super().randint((a + b + 1) // 2, b)


@cache
def _number_of_rich_world() -> int:
    for number in range(WORLDS_TO_CHOOSE_FROM):
        if all(random_world(_random_of(number)).rows.values()):
            return number
    raise AssertionError("no world has something of everything")


def _random_of(number: int) -> Random:
    return _Generous(f"of everything/{number}")


@pytest.fixture
async def known(stage: Stage) -> Known:
    """A world that stands in the database."""
    random = _random_of(_number_of_rich_world())
    vocabulary = Vocabulary(random, random_world(random))
    await stage.put_up(vocabulary.world, vocabulary)
    return Known(vocabulary)


async def _answer_alike(stage: Stage, asked: Asked) -> Any:
    response = await usual_path(stage.engine)(asked)
    found = difference(response, await resolvers_path(stage.engine)(asked))
    assert found is None, f"{found}\n{asked.readable()}"
    return as_sent(response)


async def test_absurd_documents_are_answered_alike(stage: Stage, known: Known) -> None:
    """In one test, because the world is the same for all of them."""
    otherwise = []
    for name, build, expected in DOCUMENTS:
        built = build(known)
        sent = await _answer_alike(stage, built if isinstance(built, Asked) else Asked(built))
        codes = {error["extensions"]["code"] for error in sent.get("errors", ())} or {ANSWERED}
        if expected not in codes:
            otherwise.append(f"{name}: {codes}, {sent.get('errors', ())[:1]}")
    assert otherwise == []


@pytest.mark.parametrize("viewer", [ANYONE, INGESTER], ids=["anyone", "ingester"])
async def test_scalars_at_their_ends_are_answered_alike(stage: Stage, known: Known, viewer: Viewer) -> None:
    failed = []
    for name, build, _ in VALUES:
        asked = build(known)
        assert isinstance(asked, Asked)
        sent = await _answer_alike(stage, Asked(asked.query, asked.variables, viewer=viewer))
        codes = {error["extensions"]["code"] for error in sent.get("errors", ())}
        if "INTERNAL_SERVER_ERROR" in codes:
            failed.append(name)
    assert failed == []
