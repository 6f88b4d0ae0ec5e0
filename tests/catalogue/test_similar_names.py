"""Names that are half similar are found as PostgreSQL itself would find them."""

from random import Random

import pytest
from sqlalchemy import ARRAY, Text, func, literal, or_, select

from app.catalogue.figures import DOUBTFUL_SIMILARITY
from app.catalogue.similar_names import SimilarNames, Spelling
from app.core.database import Database

WORDS = [
    "Night",
    "night",
    "Ferryman",
    "Férryman",
    "Ver.",
    "1/7",
    "2.0",
    "初音ミク",
    "ミク",
    "Ⅻ",
    "İstanbul",
    "ß",
    "!!",
    "a",
]
LETTERS = "abcdeABé ñ.-'1/7初音"


def random_name(random: Random) -> str:
    if random.random() < 0.5:
        return " ".join(random.choices(WORDS, k=random.randint(1, 4)))
    return "".join(random.choices(LETTERS, k=random.randint(1, 12)))


@pytest.mark.parametrize("seed", range(3))
async def test_the_same_names_are_found_as_by_comparing_each_with_each_in_sql(database: Database, seed: int) -> None:
    random = Random(seed)
    names, others = ([random_name(random) for _ in range(150)] for _ in range(2))
    async with database.transaction() as transaction:
        one, other = (
            func.unnest(literal(given, ARRAY(Text)))
            .table_valued("name", with_ordinality="place")
            .render_derived(name=alias)
            for given, alias in ((names, "one"), (others, "other"))
        )
        similarity = func.similarity(one.c.name, other.c.name)
        in_sql = await transaction.connection.execute(
            select(one.c.place - 1, other.c.place - 1, similarity)
            .join(other, literal(True))
            .where(or_(similarity >= DOUBTFUL_SIMILARITY, func.lower(one.c.name) == func.lower(other.c.name)))
        )
        expected = {(place, other_place): share for place, other_place, share in in_sql}
        spellings = [
            {
                place - 1: Spelling(lower, tuple(trigrams))
                for place, lower, trigrams in await transaction.connection.execute(
                    select(given.c.place, func.lower(given.c.name), func.show_trgm(given.c.name, type_=ARRAY(Text)))
                )
            }
            for given in (one, other)
        ]
    among = SimilarNames(spellings[0], least=DOUBTFUL_SIMILARITY)
    found = {
        (place, other_place): share
        for other_place, spelling in spellings[1].items()
        for place, share in among.similar_to(spelling).items()
    }
    assert found == expected
    assert 0 < len(expected) < len(names) * len(others)
    assert any(share == 0 for share in expected.values())
