"""The file of the graph: printed from the code, and held against it."""

from pathlib import Path

import pytest

from app.cli.schema import check_schema, print_schema
from app.core.errors import BadUserInput
from app.graph.schema import print_graph


def test_the_graph_is_printed_where_its_file_is_missing_or_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "schema.graphql"
    for _ in range(2):
        print_schema(file)
        assert capsys.readouterr().out == f"Wrote {file}.\n"
        assert file.read_text(encoding="utf-8") == print_graph()
        file.write_text("type Query", encoding="utf-8")


def test_a_file_that_is_what_the_code_says_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "schema.graphql"
    file.write_text(print_graph(), encoding="utf-8")
    written = file.stat().st_mtime_ns
    print_schema(file)
    assert capsys.readouterr().out == f"{file} is up to date.\n"
    assert file.stat().st_mtime_ns == written


def test_the_check_names_what_would_break_clients(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "schema.graphql"
    file.write_text(print_graph().replace("type Query {", "type Query {\n  gone: String"), encoding="utf-8")
    with pytest.raises(BadUserInput, match=r"\(1 breaking changes\): run `make schema`"):
        check_schema(file)
    assert "gone" in capsys.readouterr().err
