"""Plans are kept for what comes again, and a flood of what does not makes nothing grow."""

import gc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from uuid import UUID

import pytest
from graphql import DocumentNode
from prometheus_client import REGISTRY

from app.graph import documents as documents_module
from app.graph.execution import Engine
from app.graph.reads import plans as plans_module
from app.graph.reads.plans import Plans
from app.identity.scopes import Scope
from app.identity.viewer import Viewer
from tests.graph.oracle.asking import Asked, usual_path
from tests.graph.oracle.conftest import Stage
from tests.graph.oracle.storing import replace_world
from tests.graph.reads.small_worlds import world_of

FLOOD = 500
PLANS, CHARACTERS = 30, 15_000
REPEATED = "{ items { nodes { slug variants { key series { latest { amount } } } } } }"


def documents(count: int, kind: str) -> Iterator[Asked]:
    """Distinct documents: the aliases differ, and so do the shapes of what is asked."""
    sizes = ("", "(first: 2)", "(last: 2)", "(orderBy: {field: CREATED_AT})")
    for number in range(count):
        below = ("slug", "variants { key }", "series { id latest { amount } }")[number % 3]
        alias = f"{kind}{number}"
        yield Asked(f"{{ {alias}: items{sizes[number % 4]} {{ nodes {{ {alias}: {below} }} }} }}")


@pytest.fixture
async def engine(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine with nothing in its memory, which keeps little, over three items."""
    await replace_world(stage.owner, world_of(3))
    stage.stop_clock(world_of(0).now)
    monkeypatch.setattr(documents_module, "CACHED_CHARACTERS", 2_000)
    monkeypatch.setattr(plans_module, "MAXIMUM_PLANS", PLANS)
    monkeypatch.setattr(plans_module, "MAXIMUM_CHARACTERS", CHARACTERS)
    return Engine(stage.engine.resources)


async def ask_all(engine: Engine, asked: Sequence[Asked]) -> None:
    """Ask one after another; each has to be answered by compiled reads."""
    ask = usual_path(engine)
    for each in asked:
        response = await ask(each)
        assert response["extensions"]["trove"]["path"] == "compiled", response


def outcomes() -> dict[str, float]:
    """How often each outcome of a look into the plans was counted."""
    names = ("hit", "made", "none")
    return {name: REGISTRY.get_sample_value("trove_read_plans_total", {"outcome": name}) or 0 for name in names}


def counted(before: dict[str, float]) -> dict[str, float]:
    """What was counted since."""
    return {name: value - before[name] for name, value in outcomes().items()}


def documents_alive() -> int:
    """How many parsed documents there are in this process."""
    gc.collect()
    return sum(isinstance(each, DocumentNode) for each in gc.get_objects())


async def test_a_flood_of_documents_keeps_few_plans_and_no_document_longer_than_its_plan(
    engine: Engine, plans: Plans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans_module, "MAXIMUM_CHARACTERS", CHARACTERS * 100)
    alive = documents_alive()
    most = 0
    for begin in range(0, FLOOD, 100):
        await ask_all(engine, list(documents(FLOOD, "flood"))[begin : begin + 100])
        most = max(most, len(plans._plans))
    assert most == PLANS
    kept = len({id(document) for _, document in plans._plans.values()})
    in_memory = len(engine._documents._checked)
    assert documents_alive() <= alive + kept + in_memory
    assert REGISTRY.get_sample_value("trove_read_plans_kept") == PLANS


async def test_statements_of_all_plans_are_no_longer_than_allowed(engine: Engine, plans: Plans) -> None:
    await ask_all(engine, list(documents(100, "long")))
    longest = max(plan.characters for plan, _ in plans._plans.values() if plan is not None)
    # The newest is measured when the next one comes.
    assert 0 < plans.characters <= CHARACTERS + longest
    assert len(plans._plans) < PLANS


def shapes_of_one_document() -> Iterator[Asked]:
    """One document under every shape of its variables: what narrows, the order, the way, the cursor."""
    query = (
        "query ($first: Int, $last: Int, $order: [ItemOrder!], $filter: ItemFilter) "
        "{ items(first: $first, last: $last, orderBy: $order, filter: $filter) { nodes { slug } } }"
    )
    for size in ("first", "last"):
        for field in ("NAME", "CREATED_AT"):
            for direction in ("ASC", "DESC"):
                for narrowed in range(8):
                    given = {"kind": "COIN", "nameContains": "o", "slugs": ["coin-1"]}
                    chosen = {name: value for bit, (name, value) in enumerate(given.items()) if narrowed >> bit & 1}
                    order = [{"field": field, "direction": direction}]
                    yield Asked(query, {size: 2, "order": order, "filter": chosen})


async def test_statements_of_one_plan_are_few_and_counted_as_they_are(engine: Engine, plans: Plans) -> None:
    await ask_all(engine, list(shapes_of_one_document()))
    ((plan, _),) = plans._plans.values()
    assert plan is not None
    assert 0 < len(plan.statements) <= plans_module.MAXIMUM_STATEMENTS_OF_A_PLAN
    assert plan.characters == sum(len(statement.text) for statement in plan.statements.values())


async def test_statements_that_kept_plans_take_on_later_count_as_well(engine: Engine, plans: Plans) -> None:
    shapes = list(shapes_of_one_document())
    for asked in shapes[:20]:
        for number in range(8):
            await ask_all(engine, [Asked(asked.query.replace("slug", f"a{number}: slug"), asked.variables)])
    longest = max(len(text.text) for plan, _ in plans._plans.values() if plan for text in plan.statements.values())
    assert plans.characters <= CHARACTERS + longest


async def test_a_document_that_comes_again_finds_its_plan(engine: Engine, plans: Plans) -> None:
    before = outcomes()
    await ask_all(engine, [Asked(REPEATED)] * 5)
    found = counted(before)
    # Whether the look that follows the making is counted, too, is all the same.
    assert (found["made"], found["none"]) == (1, 0)
    assert found["hit"] in {4, 5}
    assert REGISTRY.get_sample_value("trove_read_plans_kept") == len(plans._plans) == 1
    (kept,) = plans._plans.values()
    assert kept[0] is not None
    assert len(kept[0].statements) == 1


@pytest.mark.usefixtures("plans")
async def test_a_document_in_use_outlives_a_flood_beside_it(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_module, "CACHED_CHARACTERS", 20_000)
    monkeypatch.setattr(plans_module, "MAXIMUM_CHARACTERS", CHARACTERS * 100)
    await ask_all(engine, [Asked(REPEATED)])
    before = outcomes()
    for number, asked in enumerate(documents(90, "beside")):
        await ask_all(engine, [asked, Asked(REPEATED)] if number % 10 == 0 else [asked])
    found = counted(before)
    assert (found["made"], found["none"]) == (90, 0)
    assert found["hit"] >= 9


async def test_a_selection_without_sql_is_looked_at_once(stage: Stage, engine: Engine, plans: Plans) -> None:
    asked = Asked("{ items { nodes { series { candles(resolution: ONE_DAY) { close } } } } }")
    await usual_path(engine)(asked)
    before = outcomes()
    response = await usual_path(engine)(asked)
    assert response["extensions"]["trove"]["path"] == "mixed"
    assert counted(before)["made"] == counted(before)["none"] == 0
    assert counted(before)["hit"] >= 3


STAFF = Viewer(user_id=UUID(int=1), scopes=frozenset({Scope.ACCOUNTS_READ, Scope.AUDIT_READ}), is_session=True)
NEEDING_SOMETHING = {
    "without arguments": Asked("{ accounts { totalCount } auditLog { totalCount } }"),
    "with constant arguments": Asked("{ accounts(first: 3) { nodes { id } } auditLog(last: 3) { nodes { id } } }"),
    "with variables": Asked(
        "query ($size: Int) { accounts(first: $size) { totalCount } auditLog(last: $size) { totalCount } }", {"size": 3}
    ),
}


@pytest.mark.parametrize("how", NEEDING_SOMETHING)
async def test_a_plan_that_was_made_for_staff_checks_everybody_anew(engine: Engine, how: str) -> None:
    asked = NEEDING_SOMETHING[how]
    await ask_all(engine, [replace(asked, viewer=STAFF)] * 2)
    for _ in range(2):
        refused = await usual_path(engine)(asked)
        assert refused["data"] == {"accounts": None, "auditLog": None}
        assert {error["extensions"]["code"] for error in refused["errors"]} == {"UNAUTHENTICATED"}


@pytest.mark.parametrize("how", NEEDING_SOMETHING)
async def test_who_is_refused_keeps_nobody_else_from_a_plan(engine: Engine, how: str) -> None:
    asked = NEEDING_SOMETHING[how]
    assert "errors" in await usual_path(engine)(asked)
    await ask_all(engine, [replace(asked, viewer=STAFF)])
