"""Generated blocks of a Markdown file, and that those of the README are what the code says."""

import json
import re
from pathlib import Path

import pytest
from graphql import parse, validate

from app.cli.readme import check, refresh
from app.core.errors import BadUserInput
from app.core.settings import settings_table
from app.graph.picture import PICTURES, draw_graph
from app.graph.schema import core_schema
from app.identity.scopes import Scope, scopes_table

README = Path(__file__).resolve().parents[2] / "README.md"
STALE = """# Title

Before.

<!-- generated: settings -->
<!-- end: settings -->

Between.

<!-- generated: graph -->

old

<!-- end: graph -->

After.
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file whose blocks are out of date."""
    written = tmp_path / "README.md"
    written.write_text(STALE, encoding="utf-8")
    return written


def test_the_blocks_of_the_readme_are_what_the_code_says() -> None:
    check(README)


def test_refreshing_writes_the_blocks_and_nothing_else(file: Path) -> None:
    refresh(file)
    picture = f"```mermaid\n{draw_graph(rooms=PICTURES['graph'])}\n```"
    assert file.read_text(encoding="utf-8") == (
        "# Title\n\nBefore.\n\n"
        f"<!-- generated: settings -->\n\n{settings_table()}\n\n<!-- end: settings -->\n\n"
        "Between.\n\n"
        f"<!-- generated: graph -->\n\n{picture}\n\n<!-- end: graph -->\n\n"
        "After.\n"
    )


def test_each_scope_has_a_line_that_says_who_has_it() -> None:
    lines = scopes_table().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == [scope.value for scope in Scope]
    assert lines[0].endswith("| everybody, of their own |")
    assert any("`prices:write`" in line and line.endswith("| `admin` |") for line in lines)
    assert any("`audit:read`" in line and line.endswith("| `support`, `admin` |") for line in lines)


def test_a_refreshed_file_passes_the_check_and_stays_as_it_is(file: Path) -> None:
    refresh(file)
    once = file.read_text(encoding="utf-8")
    check(file)
    refresh(file)
    assert file.read_text(encoding="utf-8") == once


def test_only_a_file_that_changed_is_written_and_said_to_be(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refresh(file)
    assert capsys.readouterr().out == f"Wrote {file}.\n"
    file.chmod(0o400)
    written = file.stat().st_mtime_ns
    refresh(file)
    assert capsys.readouterr().out == f"{file} is up to date.\n"
    assert file.stat().st_mtime_ns == written


def test_the_check_names_the_blocks_that_are_out_of_date_and_changes_nothing(file: Path) -> None:
    with pytest.raises(BadUserInput, match=r"\(settings, graph\): run `trove docs`"):
        check(file)
    assert file.read_text(encoding="utf-8") == STALE


def test_the_check_finds_one_changed_line(file: Path) -> None:
    refresh(file)
    file.write_text(file.read_text(encoding="utf-8").replace("`TROVE_PORT`", "`TROVE_DOOR`"), encoding="utf-8")
    with pytest.raises(BadUserInput, match=r"\(settings\)"):
        check(file)


def test_a_file_without_blocks_passes(file: Path) -> None:
    file.write_text("", encoding="utf-8")
    check(file)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "<!-- generated: weather -->\n<!-- end: weather -->\n",
            "`weather`, and there are only accounts, alerts, graph, jobs, notifications, portfolios, prices, scopes, "
            "settings, trackers, wishes",
        ),
        ("<!-- generated: graph -->\n", "has no end"),
        ("<!-- generated: graph -->\n<!-- end: settings -->\n", "has no end"),
        (
            "<!-- generated: graph -->\n<!-- generated: settings -->\n<!-- end: settings -->\n<!-- end: graph -->\n",
            "has no end",
        ),
    ],
)
def test_a_block_that_cannot_be_made_is_refused(file: Path, text: str, sentence: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadUserInput, match=sentence):
        refresh(file)
    assert file.read_text(encoding="utf-8") == text


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadUserInput, match=r"nothing\.md cannot be read: no such file or directory"):
        check(tmp_path / "nothing.md")


def test_every_query_of_the_readme_can_be_asked() -> None:
    text = README.read_text(encoding="utf-8")
    bodies = [json.loads(body)["query"] for body in re.findall(r'^(\{"query": .*\})$', text, re.MULTILINE)]
    documents = re.findall(r"```graphql\n(.*?)```", text, re.DOTALL)
    assert len(bodies) == 4
    assert len(documents) == 1
    scripts = re.findall(
        r"(?:`|')((?:mutation|query)\b[^`']*)(?:`|')", "".join(re.findall(r"```js\n(.*?)```", text, re.DOTALL))
    )
    assert len(scripts) == 2
    for document in [*bodies, *documents, *scripts]:
        assert validate(core_schema, parse(document)) == []
