"""The list of commands: it says what they say of themselves, and none is loaded before it is used."""

import subprocess
import sys

import pytest

from app.cli.main import COMMANDS, load

IMPORTS = "import sys\nfrom app.cli.main import main\n"
RUN = "sys.argv = ['trove', *'{words}'.split()]\ntry: main()\nexcept SystemExit: pass\n"


def modules_loaded_by(words: str) -> set[str]:
    """What a process has loaded after `trove` with these words."""
    program = f"{IMPORTS}{RUN.format(words=words)}print(*sys.modules, file=sys.stderr)"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(finished.stderr.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_it_says_of_itself(name: str) -> None:
    command = load(name)
    assert command.name == name
    assert command.help.splitlines()[0] == COMMANDS[name].help
    assert command.get_short_help_str(1000) == COMMANDS[name].help


def test_the_list_loads_no_command() -> None:
    loaded = modules_loaded_by("--help")
    assert "app.cli.main" in loaded
    assert loaded.isdisjoint({"app.cli.api", "app.cli.imports", "sqlalchemy", "strawberry", "graphql"})


@pytest.mark.parametrize(
    "words", ["api --help", "worker --help", "migrate --help", "doctor --help", "import --help", "keys --help"]
)
def test_a_command_without_the_graph_does_not_load_it(words: str) -> None:
    loaded = modules_loaded_by(words)
    assert "sqlalchemy" in loaded
    assert loaded.isdisjoint({"app.graph", "app.main", "strawberry", "graphql"})
