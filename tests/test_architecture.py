"""The arrows between rooms: each contract is kept, and each is seen to fail when it is violated."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

VIOLATIONS: list[tuple[str, str, str]] = [
    ("Arrows point down", "app/catalogue/queries/items.py", "import app.prices.queries.series"),
    ("Arrows point down", "app/core/clock.py", "import app.ingestion.models"),
    ("Arrows point down", "app/prices/queries/series.py", "import app.graph.relay"),
    ("Arrows point down", "app/providers/client.py", "import app.ingestion.models"),
    ("Arrows point down", "app/operations/schedules.py", "import app.providers.models"),
    ("Arrows point down", "app/identity/scopes.py", "import app.operations.models"),
    ("Rooms know nothing of HTTP or the job queue", "app/operations/recording.py", "import arq"),
    ("Reads do not write", "app/operations/queries.py", "import app.operations.commands.runs"),
    ("Only the graph speaks GraphQL", "app/prices/queries/series.py", "import strawberry"),
    ("Only the graph speaks GraphQL", "app/core/paging.py", "import graphql"),
    ("Rooms know nothing of HTTP or the job queue", "app/catalogue/queries/items.py", "import starlette.requests"),
    ("Only core.jobs and workers import arq", "app/graph/live.py", "import arq"),
    ("Only core.loaders and rooms' loaders import aiodataloader", "app/graph/prices/series.py", "import aiodataloader"),
    ("Reads do not write", "app/prices/queries/series.py", "import app.prices.commands.price_batches"),
    ("No SQL in the graph but in its reads", "app/graph/prices/series.py", "import sqlalchemy"),
]


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts over a tree."""
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run([program, "--no-cache"], cwd=tree, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def copy_of_the_house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and their contracts, to be violated."""
    tree = tmp_path_factory.mktemp("house")
    for package in ("app", "workers", "migrations"):
        shutil.copytree(REPOSITORY / package, tree / package, ignore=shutil.ignore_patterns("__pycache__", "bundle"))
    shutil.copy(REPOSITORY / "pyproject.toml", tree)
    return tree


def test_every_contract_is_kept(copy_of_the_house: Path) -> None:
    result = lint_imports(copy_of_the_house)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("contract", "file", "statement"), VIOLATIONS)
def test_a_violated_contract_is_named(copy_of_the_house: Path, contract: str, file: str, statement: str) -> None:
    module = copy_of_the_house / file
    before = module.read_text()
    try:
        module.write_text(f"{before}\n{statement}\n")
        result = lint_imports(copy_of_the_house)
    finally:
        module.write_text(before)
    assert result.returncode != 0
    broken = [line for line in result.stdout.splitlines() if " BROKEN" in line]
    assert any(line.startswith(contract) for line in broken), result.stdout
