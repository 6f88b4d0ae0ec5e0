"""What was asked and how it was answered, added up over worlds and processes."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson

from app.graph.execution import Response
from tests.graph.oracle.asking import Asked
from tests.graph.oracle.comparison import as_sent
from tests.graph.oracle.coverage import answered_fields
from tests.graph.oracle.documents import reachable_fields


@dataclass(slots=True)
class Tally:
    """How many documents were asked, by what path they were answered, and which fields had a value."""

    documents: int = 0
    paths: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    with_errors: int = 0
    fields: Counter[str] = field(default_factory=Counter)

    def count(self, asked: Asked, response: Response) -> None:
        """One document and its answer."""
        self.documents += 1
        if "data" not in response:
            self.refused += 1
            return
        self.paths[response.get("extensions", {}).get("trove", {}).get("path") or "resolvers"] += 1
        self.with_errors += "errors" in response
        self.fields.update(answered_fields(asked, as_sent(response)["data"]))

    def add(self, other: "Tally") -> None:
        """What another tally counted, too."""
        self.documents += other.documents
        self.paths.update(other.paths)
        self.refused += other.refused
        self.with_errors += other.with_errors
        self.fields.update(other.fields)

    def to_json(self) -> str:
        """For the way from one process to another."""
        return orjson.dumps(
            [self.documents, dict(self.paths), self.refused, self.with_errors, dict(self.fields)]
        ).decode()

    @classmethod
    def from_json(cls, text: str) -> "Tally":
        """What `to_json` wrote."""
        documents, paths, refused, with_errors, fields = orjson.loads(text)
        return cls(documents, Counter(paths), refused, with_errors, Counter(fields))


def summary_of(tally: Tally) -> Iterable[str]:
    """The tally in lines to read."""
    yield f"{tally.documents:,} documents answered alike or reported above"
    for path in ("compiled", "mixed", "resolvers"):
        yield f"  {_share(tally.paths[path], tally.documents)} by the path {path}"
    yield f"  {_share(tally.with_errors, tally.documents)} with data and errors"
    yield f"  {_share(tally.refused, tally.documents)} refused before execution"
    wanted = reachable_fields()
    missing = sorted(wanted - set(tally.fields))
    yield f"  {len(wanted) - len(missing)} of {len(wanted)} fields had a value; not: {', '.join(missing) or 'none'}"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:6.1%}"
