"""What one world is asked: documents of our own, those of hypothesis-graphql, walks, and repeats."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from tests.graph.oracle.asking import Asked
from tests.graph.oracle.documents import random_document
from tests.graph.oracle.property_documents import with_arguments_that_mean_something
from tests.graph.oracle.viewers import any_viewer
from tests.graph.oracle.vocabulary import PAGE_SIZES, Vocabulary
from tests.graph.oracle.walks import first_page

SHARE_OF_WALKS = 0.06
SHARE_OF_DRAWN = 0.12
SHARE_OF_REPEATS = 0.25
SHARE_OF_OTHER_VIEWERS = 0.2


def questions(random: Random, vocabulary: Vocabulary, drawn: Sequence[str]) -> Iterator[Asked]:
    """Questions without an end; `drawn` are the documents of hypothesis-graphql to take some from."""
    while True:
        chance = random.random()
        if chance < SHARE_OF_WALKS:
            yield first_page(random, vocabulary)
        elif chance < SHARE_OF_WALKS + SHARE_OF_DRAWN:
            yield with_arguments_that_mean_something(random.choice(drawn), random, vocabulary)
        else:
            asked = random_document(random, vocabulary)
            yield asked
            if asked.variables and random.random() < SHARE_OF_REPEATS:
                yield with_other_variables(random, asked)
            if random.random() < SHARE_OF_OTHER_VIEWERS:
                # What is kept of the document must not be what it showed to somebody.
                yield replace(asked, viewer=any_viewer(random, vocabulary.world))


def with_other_variables(random: Random, asked: Asked) -> Asked:
    """The same document, for which a plan may be kept by now, with variables that may need another one."""
    variables = {name: _another(random, value) for name, value in asked.variables.items() if random.random() < 0.93}
    return replace(asked, variables=variables)


def _another(random: Random, value: Any) -> Any:
    chance = random.random()
    if isinstance(value, bool):
        return not value
    if chance < 0.15:
        return None
    if isinstance(value, int) and chance < 0.6:
        return random.choice(PAGE_SIZES)
    if isinstance(value, list) and chance < 0.6:
        return value[1:] + value[:1]
    return value
