"""A compiled statement that fails in the database costs nothing but time: resolvers answer, as they would have."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from sqlalchemy import text

from app.core.database import Statement
from app.graph.execution import Engine
from app.graph.reads import plans as plans_module
from app.graph.reads.compiler import statement_for
from app.graph.reads.plans import Plans
from tests.graph.oracle.asking import Asked, resolvers_path, usual_path
from tests.graph.oracle.comparison import as_sent, difference
from tests.graph.oracle.conftest import Stage
from tests.graph.oracle.storing import replace_world
from tests.graph.reads.small_worlds import world_of

ANSWERED = {
    "compiled": '{ item(slug: "coin-1") { name variants { key series { id } } } }',
    "compiled, within a transaction": "{ items { totalCount } coin: items(first: 1) { nodes { slug } } }",
    "mixed": "{ items { nodes { slug variants { key } series { candles(resolution: ONE_DAY) { close } } } } }",
}


def _is_not_understood(statement: Statement) -> Statement:
    return replace(statement, text=f"SELEC {statement.text}")


def _fails_while_it_runs(statement: Statement) -> Statement:
    return replace(
        statement,
        text=f"SELECT key, json, 1 / length(left(json::text, 0)) FROM ({statement.text}) AS found (key, json)",
    )


def _leads_nowhere(statement: Statement) -> Statement:
    return replace(statement, text=f"SELECT * FROM ({statement.text}) AS found WHERE false")


FAILURES = {
    "is not understood": _is_not_understood,
    "fails while it runs": _fails_while_it_runs,
    "gives no rows": _leads_nowhere,
}
IDLE = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"


@pytest.fixture
async def engine(stage: Stage) -> Engine:
    """The engine over three items."""
    await replace_world(stage.owner, world_of(3))
    stage.stop_clock(world_of(0).now)
    return stage.engine


def fail(monkeypatch: pytest.MonkeyPatch, change: Callable[[Statement], Statement]) -> list[Statement]:
    """Have the compiler write statements that fail; gives those it wrote."""
    wrote: list[Statement] = []

    def write(*args: object, **named: object) -> Statement:
        wrote.append(change(statement_for(*args, **named)))  # type: ignore[arg-type]  # handed on as they came
        return wrote[-1]

    monkeypatch.setattr(plans_module, "statement_for", write)
    return wrote


async def is_at_rest(stage: Stage) -> bool:
    """Whether no connection has been left within a transaction."""
    async with stage.owner.connect() as connection:
        in_transaction: int = (await connection.execute(text(IDLE))).scalar_one()
    return in_transaction == 0


@pytest.mark.parametrize("failure", ["is not understood", "fails while it runs"])
@pytest.mark.parametrize("path", ANSWERED)
async def test_resolvers_answer_for_a_statement_that_fails(
    stage: Stage, engine: Engine, plans: Plans, path: str, failure: str
) -> None:
    asked = Asked(ANSWERED[path])
    with pytest.MonkeyPatch.context() as monkeypatch:
        wrote = fail(monkeypatch, FAILURES[failure])
        # More often than the pool has connections.
        for _ in range(7):
            response = await usual_path(engine)(asked)
            assert "errors" not in response
            assert response["extensions"]["trove"]["path"] == "resolvers"
            assert difference(response, await resolvers_path(engine)(asked)) is None
            assert await is_at_rest(stage)
        assert wrote
    plans._plans.clear()
    again = await usual_path(engine)(asked)
    assert again["extensions"]["trove"]["path"] == path.split(",")[0]
    assert difference(again, response) is None


async def test_a_list_that_comes_without_its_row_is_read_by_resolvers(engine: Engine, plans: Plans) -> None:
    asked = Asked("{ items { nodes { variants { key } series { candles(resolution: ONE_DAY) { close } } } } }")
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert not plans._plans
        wrote = fail(monkeypatch, FAILURES["gives no rows"])
        response = await usual_path(engine)(asked)
        assert wrote
    assert response["extensions"]["trove"]["path"] == "resolvers"
    assert difference(response, await resolvers_path(engine)(asked)) is None
    assert as_sent(response)["data"]["items"]["nodes"][0]["variants"]


@pytest.fixture
async def forbidden_variants(stage: Stage) -> AsyncIterator[None]:
    """The API may not read variants."""
    async with stage.owner.begin() as connection:
        await connection.execute(text("REVOKE SELECT ON catalogue.item_variants FROM trove_api"))
    yield
    async with stage.owner.begin() as connection:
        await connection.execute(text("GRANT SELECT ON catalogue.item_variants TO trove_api"))


@pytest.mark.usefixtures("forbidden_variants")
async def test_what_no_path_may_read_fails_alike_and_spares_what_stands_beside_it(stage: Stage, engine: Engine) -> None:
    asked = Asked('{ items { totalCount } item(slug: "coin-1") { name variants { key } } }')
    for _ in range(7):
        response = await usual_path(engine)(asked)
        assert difference(response, await resolvers_path(engine)(asked)) is None
        (error,) = as_sent(response)["errors"]
        assert (error["path"], error["extensions"]["code"]) == (["item", "variants"], "INTERNAL_SERVER_ERROR")
        assert await is_at_rest(stage)
    healthy = await usual_path(engine)(Asked("{ items { totalCount nodes { slug } } }"))
    assert as_sent(healthy)["data"]["items"]["totalCount"] == 3
    assert healthy["extensions"]["trove"]["path"] == "compiled"
