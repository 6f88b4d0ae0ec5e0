"""Random documents over the schema: valid for the most part, and in every shape that the language allows."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

from graphql import (
    GraphQLArgument,
    GraphQLCompositeType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
)

from app.graph.access import access_of
from app.graph.schema import core_schema
from tests.graph.oracle.asking import Asked
from tests.graph.oracle.values import Literal, Value, written
from tests.graph.oracle.viewers import any_viewer
from tests.graph.oracle.vocabulary import Vocabulary

LARGEST_DOCUMENT_IN_FIELDS = 60
LEVELS = (1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 11)
MOST_ALIASES = 12
# How much more often fields are asked for that a vocabulary stresses.
STRESS = 20
# A field of the root that is not named here weighs 1.
ROOT_WEIGHTS = {
    "items": 5,
    "item": 4,
    "node": 4,
    "nodes": 4,
    "ingestBatch": 2,
    "movers": 2,
    "search": 5,
    "suggest": 2,
    "serverInfo": 0.4,
    "exchangeRate": 0.6,
    "viewer": 4,
    "account": 2,
    "accounts": 2,
    "auditLog": 2,
    "providerUsage": 2,
    "jobs": 2,
    "portfolios": 5,
    "stores": 2,
    "watchlists": 2,
    "wants": 2,
    "preorders": 2,
    "portfolioImport": 2,
}
# Fields that lead deeper are what answers differ by; what leads back up is worth less.
# What the viewer may not ask for is asked for all the same, but less often.
SHARE_OF_REFUSED = 0.15
FIELD_WEIGHTS = {
    "floatMinimum": 3,
    "floatMaximum": 3,
    "series": 3,
    "points": 4,
    "candles": 3,
    "candleColumns": 2,
    "statistics": 2,
    "rejects": 6,
    "edges": 3,
    "pageInfo": 2,
    "identities": 2,
    "passkeys": 2,
    "totp": 2,
    "sessions": 2,
    "apiTokens": 2,
    "roleGrants": 3,
    "exports": 2,
    "auditLog": 2,
    "grantedBy": 3,
    "facets": 3,
    "sets": 2,
    "manufacturers": 2,
    "price": 2,
    "value": 2,
    "holdings": 2,
    "details": 3,
    "lots": 2,
    "lot": 2,
    "disposals": 3,
    "revisions": 3,
    "cron": 3,
    "realizedGains": 5,
    "performance": 3,
    "conversion": 3,
    "parts": 3,
    "missingAcquisitions": 3,
    "originalRelease": 3,
    "steps": 3,
    "slips": 3,
    "imports": 3,
    "rows": 6,
    "turntable": 3,
    "frames": 4,
    # What is signed in Python has no SQL, nor has what stands above it.
    "url": 0.3,
}


@dataclass(slots=True)
class Met:
    """A field under one name at one place of the answer; whatever meets there has to be the same."""

    type: str
    field: str
    arguments: str
    below: "Place"


@dataclass(slots=True)
class Place:
    """One place of the answer, with what stands there already."""

    met: dict[str, Met] = field(default_factory=dict)


@dataclass(slots=True)
class Declared:
    """A variable of the operation."""

    type: str
    default: str | None

    def written(self, name: str) -> str:
        """The declaration."""
        return f"${name}: {self.type}" + (f" = {self.default}" if self.default is not None else "")


class Draft:
    """One operation being written, with its fragments and variables."""

    def __init__(self, random: Random, vocabulary: Vocabulary, prefix: str = "") -> None:
        self.random = random
        self.variables: dict[str, Any] = {}
        self.declared: dict[str, Declared] = {}
        self.fragments: dict[str, tuple[GraphQLCompositeType, str]] = {}
        self._vocabulary = vocabulary
        self._prefix = prefix
        self._fields_left = LARGEST_DOCUMENT_IN_FIELDS
        self._names = 0

    def operation(self, name: str, levels: int) -> str:
        """The operation itself; its fragments stand apart."""
        body = self.root(levels)
        declared = ", ".join(each.written(variable) for variable, each in self.declared.items())
        if not declared and not name and self.random.random() < 0.5:
            return body
        return f"query {name}{f'({declared})' if declared else ''} {body}"

    def fragment_definitions(self) -> list[str]:
        """The named fragments that were spread."""
        return [f"fragment {name} on {type_.name} {body}" for name, (type_, body) in self.fragments.items()]

    def root(self, levels: int) -> str:
        """The selection of an operation."""
        query = cast("GraphQLObjectType", core_schema.query_type)
        place = Place()
        weights = [self._weight_of_root(name, each) for name, each in query.fields.items()]
        names = self.random.choices(list(query.fields), weights, k=self.random.choice((1, 1, 2, 3)))
        selections = [self._field(query, name, place, levels) for name in names]
        if self.random.random() < 0.1:
            selections.append("__typename")
        if self.random.random() < 0.04:
            selections.append(self._introspection(levels))
        if self.random.random() < 0.15:
            selections.append(self._fragment(query, place, levels))
        self.random.shuffle(selections)
        return "{ " + (" ".join(filter(None, selections)) or "__typename") + " }"

    def _weight_of_root(self, name: str, field: GraphQLField) -> float:
        access = access_of(field)
        is_refused = access is not None and not self._vocabulary.may_ask(access)
        return ROOT_WEIGHTS.get(name, 1) * self._stress(name) * (SHARE_OF_REFUSED if is_refused else 1)

    def _stress(self, name: str) -> float:
        return STRESS if name in self._vocabulary.stressed else 1

    def selections(self, type_: GraphQLCompositeType, place: Place, levels: int) -> str:
        """The selection of what a field gives."""
        breadth = len(cast("GraphQLObjectType", type_).fields) + 1
        several = min(self.random.choice((1, 2, 3, 4, 6, 9)), max(breadth, 3))
        chosen = [self._selection(type_, place, levels) for _ in range(several)]
        return "{ " + " ".join(filter(None, chosen)) + " }" if any(chosen) else "{ __typename }"

    def argument(self, name: str, argument: GraphQLArgument, value: Value) -> str:
        """One argument; often by way of a variable."""
        has_default = argument.default_value is not Undefined
        return f"{name}: {written(self._by_variables(argument.type, value, 0.3, has_default=has_default))}"

    def _selection(self, type_: GraphQLCompositeType, place: Place, levels: int) -> str:
        chance = self.random.random()
        if chance < 0.07:
            return self.random.choice(("__typename", f"{self._new_name('t')}: __typename"))
        if chance < (0.75 if type_.name == "Node" else 0.5 if is_abstract_type(type_) else 0.16):
            return self._fragment(type_, place, levels)
        fields = cast("GraphQLObjectType", type_).fields
        names = [
            name for name, each in fields.items() if levels > 1 or not is_composite_type(get_named_type(each.type))
        ]
        if not names:
            return ""
        drawn = self._vocabulary.drawn
        # What was drawn often already makes way, so that every field gets its turn in few documents.
        weights = [FIELD_WEIGHTS.get(name, 1) * self._stress(name) / (1 + drawn[type_.name, name]) for name in names]
        return self._field(type_, self.random.choices(names, weights)[0], place, levels)

    def _field(self, type_: GraphQLCompositeType, name: str, place: Place, levels: int) -> str:
        definition = cast("GraphQLObjectType", type_).fields[name]
        if self._fields_left <= 0 or (name in place.met and not definition.args and self.random.random() < 0.7):
            return ""
        self._fields_left -= 1
        self._vocabulary.drawn[type_.name, name] += 1
        arguments = self._arguments(name, definition)
        response_name = self._response_name(type_, name)
        met = Met(str(definition.type), name, arguments, Place())
        there = place.met.get(response_name)
        if there is not None and (there.type, there.field, there.arguments) != (met.type, met.field, met.arguments):
            response_name, there = self._new_name("a"), None
        if sum(each.field == name for each in place.met.values()) > MOST_ALIASES:
            return ""
        met = place.met.setdefault(response_name, there or met)
        alias = f"{response_name}: " if response_name != name else ""
        named = get_named_type(definition.type)
        below = f" {self.selections(named, met.below, levels - 1)}" if is_composite_type(named) else ""
        return f"{alias}{name}{arguments}{self._directives()}{below}"

    def _arguments(self, name: str, definition: GraphQLField) -> str:
        if not definition.args:
            return ""
        values = self._vocabulary.arguments(name, definition.args)
        given = [self.argument(each, definition.args[each], value) for each, value in values.items()]
        self.random.shuffle(given)
        return f"({', '.join(given)})" if given else ""

    def _response_name(self, type_: GraphQLCompositeType, name: str) -> str:
        chance = self.random.random()
        if chance < 0.85:
            return name
        if chance < 0.92:
            # The name of another field, to see that none is taken for it.
            return str(self.random.choice(list(cast("GraphQLObjectType", type_).fields)))
        return self._new_name(self.random.choice(("a", "_", "__t", "A")))

    def _fragment(self, type_: GraphQLCompositeType, place: Place, levels: int) -> str:
        if self._fields_left <= 0:
            return ""
        condition = self.random.choice(_fitting(type_))
        fitting = [name for name, (on, _) in self.fragments.items() if _overlaps(on, type_)]
        chance = self.random.random()
        if chance < 0.15 and fitting:
            return f"...{self.random.choice(fitting)}{self._directives()}"
        if chance < 0.35:
            body = self.selections(condition, place, levels)
            name = self._new_name("F")
            self.fragments[name] = (condition, body)
            return f"...{name}{self._directives()}"
        if chance < 0.42:
            return f"...{self._directives()} {self.selections(type_, place, levels)}"
        return f"... on {condition.name}{self._directives()} {self.selections(condition, place, levels)}"

    def _introspection(self, levels: int) -> str:
        name = self.random.choice(("Skin", "Item", "CandleResolution", "Nothing"))
        return self.random.choice(
            (f'__type(name: "{name}") {{ name kind fields {{ name }} }}', "__schema { queryType { name } }")
        )

    def _directives(self) -> str:
        if self.random.random() > 0.07:
            return ""
        directive = self.random.choice(("include", "skip"))
        stays = self.random.random() < 0.75
        condition = self._by_variables(_BOOLEAN, stays == (directive == "include"), 0.5, has_default=False)
        return f" @{directive}(if: {written(condition)})"

    def _new_name(self, stem: str) -> str:
        self._names += 1
        return f"{stem}{self._prefix}{self._names}"

    def _by_variables(self, type_: GraphQLInputType, value: Value, share: float, *, has_default: bool) -> Value:
        """The value, or a variable that holds it, or the value with variables inside."""
        if self.random.random() < share:
            return self._variable(type_, value, has_default=has_default)
        nullable: Any = get_nullable_type(type_)
        if isinstance(value, list) and isinstance(nullable, GraphQLList):
            return [self._by_variables(nullable.of_type, each, 0.1, has_default=False) for each in value]
        if isinstance(value, dict) and isinstance(nullable, GraphQLInputObjectType):
            return {
                name: self._by_variables(
                    nullable.fields[name].type,
                    each,
                    0.25,
                    has_default=nullable.fields[name].default_value is not Undefined,
                )
                for name, each in value.items()
            }
        return value

    def _variable(self, type_: GraphQLInputType, value: Value, *, has_default: bool) -> Literal:
        shared = [name for name, each in self.declared.items() if each.type == str(type_)]
        if shared and self.random.random() < 0.15:
            return Literal(f"${self.random.choice(shared)}")
        name = self._new_name("v")
        declared = Declared(str(type_), None)
        self.declared[name] = declared
        chance = self.random.random()
        is_nullable = not isinstance(type_, GraphQLNonNull)
        if value is not None and chance < 0.2:
            declared.default = written(value)
        elif is_nullable and chance < 0.25:
            pass
        else:
            self.variables[name] = value
            self._vary(declared, name, type_, value, has_default=has_default)
        return Literal(f"${name}")

    def _vary(self, declared: Declared, name: str, type_: Any, value: Value, *, has_default: bool) -> None:
        chance = self.random.random()
        is_nullable = not isinstance(type_, GraphQLNonNull)
        if is_nullable and value is not None and chance < 0.15:
            declared.type += "!"
        elif is_nullable and value is not None and chance < 0.3:
            # A default that what is given stands before, null included.
            declared.default = written(value)
            self.variables[name] = None if chance < 0.2 else value
        elif not is_nullable and has_default and chance < 0.3:
            declared.type = declared.type.removesuffix("!")
            self.variables[name] = None if chance < 0.1 else value
        elif chance > 0.997:
            # Of another type than declared: the whole request is refused.
            self.variables[name] = {"of": ["another", "type"]}


_BOOLEAN = GraphQLNonNull(cast("Any", core_schema.type_map["Boolean"]))


def _fitting(type_: GraphQLCompositeType) -> Sequence[GraphQLCompositeType]:
    """The types on which a fragment can stand here: itself, what it implements, and what can be it."""
    fitting: list[GraphQLCompositeType] = [type_]
    if isinstance(type_, (GraphQLObjectType, GraphQLInterfaceType)):
        fitting += type_.interfaces
    if is_abstract_type(type_):
        possible = core_schema.get_possible_types(cast("GraphQLInterfaceType", type_))
        fitting += [*possible, *possible]
        fitting += core_schema.get_implementations(cast("GraphQLInterfaceType", type_)).interfaces
    return fitting


def _overlaps(one: GraphQLCompositeType, other: GraphQLCompositeType) -> bool:
    return bool(_possible(one) & _possible(other))


def _possible(type_: GraphQLNamedType) -> set[str]:
    if is_abstract_type(type_):
        return {each.name for each in core_schema.get_possible_types(cast("GraphQLInterfaceType", type_))}
    return {type_.name}


def random_document(random: Random, vocabulary: Vocabulary) -> Asked:
    """A document with its variables, the operation that is meant, and who asks."""
    vocabulary = vocabulary.of(any_viewer(random, vocabulary.world))
    draft = Draft(random, vocabulary)
    name = random.choice(("", "", "Asked"))
    definitions = [draft.operation(name, random.choice(LEVELS)), *draft.fragment_definitions()]
    if name and random.random() < 0.3:
        other = Draft(random, vocabulary, prefix="_")
        definitions += [other.operation("Other", 2), *other.fragment_definitions()]
    elif name and random.random() < 0.1:
        definitions.append("mutation Other { __typename }")
    random.shuffle(definitions)
    chosen = name if len(definitions) > 1 or random.random() < 0.5 else ""
    return Asked("\n".join(definitions), draft.variables, chosen or None, vocabulary.viewer)


def reachable_fields() -> set[str]:
    """Every field that a query can ask for, as `Type.field`."""
    return {f"{type_.name}.{name}" for type_ in _reachable_types() for name in type_.fields}


def _reachable_types() -> Iterable[GraphQLObjectType]:
    seen: set[str] = set()
    waiting: list[GraphQLNamedType] = [cast("GraphQLNamedType", core_schema.query_type)]
    while waiting:
        type_ = waiting.pop()
        if type_.name in seen or not is_composite_type(type_):
            continue
        seen.add(type_.name)
        fields = cast("GraphQLObjectType", type_).fields
        waiting += [get_named_type(each.type) for each in fields.values()]
        waiting += [core_schema.type_map[name] for name in _possible(type_)]
        if isinstance(type_, GraphQLObjectType):
            yield type_
