"""What the columns of each exporter's files mean, as the files beside this one say."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from app.portfolios.models import TradeKind

_FOLDER = Path(__file__).parent / "mappings"
# Has rows of this kind left out.
SKIPPED = "skip"


class FileSource(StrEnum):
    """Where a file comes from."""

    TROVE = "trove"
    COINBASE = "coinbase"
    KRAKEN = "kraken"
    MYFIGURECOLLECTION = "myfigurecollection"
    TCGPLAYER = "tcgplayer"


class Sign(StrEnum):
    """What a sign before a quantity means."""

    REFUSED = "refused"
    IGNORED = "ignored"


class Amounts(StrEnum):
    """How amounts are written: `1234.5` and nothing else, or as shops print them, such as `€1,234.50`."""

    PLAIN = "plain"
    PRINTED = "printed"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMapping:
    """How to read the files of a source.

    `columns` names for each of our words the columns that may hold it, the first that says something counts; the
    second column of one name is called `Name (2)`. A file without a column for each of `required` is of another source;
    `filled` are those that must say something in each row. `times` are formats of `strptime`, which are UTC, or
    `rfc3339`. `kinds` says what each word for a kind means, in lower case; without such a column every row is a `kind`,
    and where a purchase has no price it is a `kind_without_price`.
    """

    name: str
    columns: Mapping[str, Sequence[str]]
    required: Sequence[str]
    filled: Sequence[str]
    times: Sequence[str]
    kinds: Mapping[str, str] = field(default_factory=dict)
    kind: TradeKind | None = None
    kind_without_price: TradeKind | None = None
    sign: Sign = Sign.REFUSED
    amounts: Amounts = Amounts.PLAIN
    # Of rows with several ways to name their item, which counts; `has_one_subject` refuses them.
    subjects: Sequence[str] = ()
    has_one_subject: bool = False
    # Whose ids stand in the column of external ids; without it each names its own.
    provider: str | None = None
    # Our symbols for other words; what a pair of coin and currency may end with, the longest first.
    symbols: Mapping[str, str] = field(default_factory=dict)
    quotes: Sequence[str] = ()
    # Our keys for other words of variants: games differ.
    variants: Mapping[str, Sequence[str]] = field(default_factory=dict)
    exchange: str | None = None


def mapping_of(source: FileSource) -> FileMapping:
    """How to read files of a source."""
    return _MAPPINGS[source]


def _read(source: FileSource) -> FileMapping:
    values = tomllib.loads((_FOLDER / f"{source.value}.toml").read_text(encoding="utf-8"))
    for name, kind in (("kind", TradeKind), ("kind_without_price", TradeKind), ("sign", Sign), ("amounts", Amounts)):
        if name in values:
            values[name] = kind(values[name])
    mapping = FileMapping(**values)
    for meant in mapping.kinds.values():
        if meant != SKIPPED:
            TradeKind(meant)
    return mapping


_MAPPINGS = MappingProxyType({source: _read(source) for source in FileSource})
