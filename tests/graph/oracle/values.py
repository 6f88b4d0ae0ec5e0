"""Values of arguments, and how they are written in a document and in variables."""

from typing import Any

from graphql.language.print_string import print_string

# None, numbers, texts, lists and mappings as in JSON; enum values are marked, because a document writes them bare.
Value = Any


class EnumValue(str):
    """A value of an enum."""

    __slots__ = ()


class Literal(str):
    """A piece of a document that is written as it stands, such as a variable."""

    __slots__ = ()


def written(value: Value) -> str:
    """The value as a document has it."""
    if isinstance(value, (EnumValue, Literal)):
        return str(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return print_string(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {written(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    return repr(value)
