"""Runs a script of several statements; the driver takes them one at a time."""

from alembic import op
from sqlalchemy import text


def run(script: str) -> None:
    """Run each statement of a script in turn."""
    for statement in split_statements(script):
        op.execute(text(statement.replace(":", r"\:")))


def split_statements(script: str) -> list[str]:
    """The statements of a script: a semicolon at a line's end closes one, except inside of $$ quotes."""
    statements: list[str] = []
    current: list[str] = []
    quoted = False
    for line in script.splitlines():
        current.append(line)
        quoted ^= line.count("$$") % 2 == 1
        if line.rstrip().endswith(";") and not quoted:
            statements.append("\n".join(current))
            current = []
    return [statement for statement in [*statements, "\n".join(current)] if statement.strip()]
