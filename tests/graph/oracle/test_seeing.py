"""Each viewer of a world sees what is theirs to see, all of it and nothing else, by both paths."""

from collections.abc import AsyncIterator, Callable, Container, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from itertools import islice
from random import Random

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.ids import PublicIdTag, parse_public_id
from app.graph.schema import MAXIMUM_NODES
from app.identity.models import ApiToken, AuditEntry, DataExport, Identity, Passkey, RoleGrant, Session
from app.identity.scopes import GRANTABLE, Scope
from app.identity.scopes import OWN as OWN_SCOPES
from app.identity.viewer import Viewer
from app.portfolios.models import Portfolio, Store
from app.portfolios.wish_models import Preorder, Watchlist
from app.trackers.models import Membership
from tests.graph.oracle.asking import Asked, Path, resolvers_path, usual_path
from tests.graph.oracle.comparison import as_sent
from tests.graph.oracle.conftest import Stage
from tests.graph.oracle.people import LONG_AGO
from tests.graph.oracle.property_documents import few_drawn_documents
from tests.graph.oracle.questions import questions
from tests.graph.oracle.rows import TABLE_OF, Row, World
from tests.graph.oracle.seeing import RULES, may_find, may_see, permissions_of, shown_to_the_wrong, texts_in
from tests.graph.oracle.viewers import any_viewer
from tests.graph.oracle.vocabulary import Vocabulary
from tests.graph.oracle.worlds import random_world

WORLDS_WITH_A_FAULT, DOCUMENTS_WITH_A_FAULT = 48, 30
WORLDS, VIEWERS = 10, 12
WORLDS_WITHOUT_A_FAULT = 3

OWN = """
{ viewer {
  identities { id } passkeys { id } roleGrants { id }
  sessions(first: 100) { totalCount nodes { id } } apiTokens(first: 100) { totalCount nodes { id } }
  portfolios(first: 100) { totalCount nodes { id } } stores(first: 100) { totalCount nodes { id } }
  watchlists(first: 100) { totalCount nodes { id } } preorders(first: 100) { totalCount nodes { id } }
  memberships { id }
  exports(first: 100) { totalCount nodes { id } } auditLog(first: 100) { totalCount nodes { id } }
} }
"""
# By the column that leads from an account to them.
BELOW_AN_ACCOUNT = {
    "identities": (Identity, "user_id"),
    "passkeys": (Passkey, "user_id"),
    "roleGrants": (RoleGrant, "user_id"),
    "sessions": (Session, "user_id"),
    "apiTokens": (ApiToken, "user_id"),
    "exports": (DataExport, "user_id"),
    "auditLog": (AuditEntry, "subject_id"),
    "portfolios": (Portfolio, "owner_id"),
    "stores": (Store, "owner_id"),
    "watchlists": (Watchlist, "owner_id"),
    "preorders": (Preorder, "owner_id"),
    "memberships": (Membership, "user_id"),
}


async def _world(stage: Stage, random: Random) -> Vocabulary:
    vocabulary = Vocabulary(random, random_world(random))
    await stage.store(vocabulary.world)
    return vocabulary


async def _seen(path: Path, viewer: Viewer, ids: Sequence[str]) -> set[str]:
    """Those of the ids whose nodes are shown to the viewer."""
    seen: set[str] = set()
    for start in range(0, len(ids), MAXIMUM_NODES):
        asked = Asked(
            "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }",
            {"ids": ids[start : start + MAXIMUM_NODES]},
            viewer=viewer,
        )
        response = as_sent(await path(asked))
        assert "errors" not in response, response["errors"]
        seen |= set(texts_in(response["data"]))
    return seen


def _to_be_seen(world: World, viewer: Viewer, ids: Sequence[str]) -> set[str]:
    parsed = {key: parse_public_id(key) for key in ids}
    return {key for key, found in parsed.items() if found is not None and may_find(world, viewer, *found)}


async def _is_seen_rightly(stage: Stage, vocabulary: Vocabulary, tags: Container[PublicIdTag] = TABLE_OF) -> bool:
    """Whether all of these that the viewer may ask for is shown by both paths, where it is theirs to see."""
    asked_for = (tag for tag in vocabulary.tags_to_ask_for() if tag in tags)
    ids = [key for tag in asked_for for key in vocabulary.world.public_ids(tag)]
    to_be_seen = _to_be_seen(vocabulary.world, vocabulary.viewer, ids)
    for path in (usual_path(stage.engine), resolvers_path(stage.engine)):
        if await _seen(path, vocabulary.viewer, ids) != to_be_seen:
            return False
    return True


@pytest.mark.parametrize("number", range(WORLDS))
async def test_each_viewer_sees_what_is_theirs_and_nothing_else(stage: Stage, number: int) -> None:
    random = Random(f"seeing/{number}")
    vocabulary = await _world(stage, random)
    for _ in range(VIEWERS):
        viewer = any_viewer(random, vocabulary.world)
        assert await _is_seen_rightly(stage, vocabulary.of(viewer)), viewer


@pytest.mark.parametrize("number", range(WORLDS))
async def test_an_account_shows_all_that_is_its_owners(stage: Stage, number: int) -> None:
    random = Random(f"seeing/{number}")
    world = (await _world(stage, random)).world
    for key in world.public_ids(PublicIdTag.ACCOUNT):
        parsed = parse_public_id(key)
        assert parsed is not None
        viewer = Viewer(user_id=parsed[1], scopes=OWN_SCOPES)  # type: ignore[arg-type]  # a UUID
        for path in (usual_path(stage.engine), resolvers_path(stage.engine)):
            account = as_sent(await path(Asked(OWN, viewer=viewer)))["data"]["viewer"]
            if not may_see(world, viewer, *parsed):
                assert account is None
                continue
            for field, (table, column) in BELOW_AN_ACCOUNT.items():
                listed = account[field]
                rows = [row for row in world.rows[table] if row[column] == viewer.user_id]
                shown = listed if isinstance(listed, list) else listed["nodes"]
                assert len(shown) == len({node["id"] for node in shown}) == len(rows)
                assert isinstance(listed, list) or listed["totalCount"] == len(rows)


def test_the_worlds_have_somebody_who_sees_and_somebody_who_does_not() -> None:
    seen: set[PublicIdTag] = set()
    unseen: set[PublicIdTag] = set()
    as_staff: set[Scope] = set()
    in_vain: set[Scope] = set()
    for number in range(WORLDS):
        random = Random(f"seeing/{number}")
        world = random_world(random)
        for viewer in (any_viewer(random, world) for _ in range(VIEWERS)):
            as_staff |= permissions_of(world, viewer)
            in_vain |= (viewer.scopes & GRANTABLE) - permissions_of(world, viewer)
            for tag in TABLE_OF:
                for key in (row["id"] for row in world.rows[TABLE_OF[tag]]):
                    (seen if may_see(world, viewer, tag, key) else unseen).add(tag)
    private = {tag for tag, table in TABLE_OF.items() if table in RULES}
    assert seen >= private
    assert unseen >= private
    assert as_staff == in_vain == GRANTABLE


@asynccontextmanager
async def _planted(owner: AsyncEngine, statements: Sequence[str]) -> AsyncIterator[None]:
    """A fault in the database, for as long as the block goes on."""
    undo = [_UNDO.format(table=table) for table in _tables_of(statements)]
    async with owner.begin() as connection:
        whole = await connection.scalar(text(f"SELECT pg_get_functiondef('{_VIEWER_MAY}'::regprocedure)"))
        for statement in statements:
            await connection.execute(text(statement))
    try:
        yield
    finally:
        async with owner.begin() as connection:
            # The driver's own way: a colon of SQL is no parameter.
            await connection.exec_driver_sql(whole)
            for statement in undo:
                await connection.execute(text(statement))


def _tables_of(statements: Sequence[str]) -> Iterator[str]:
    return (statement.split(" ON ")[1].split()[0] for statement in statements if " POLICY " in statement)


_VIEWER_MAY = "identity.viewer_may(text)"
_UNDO = "DROP POLICY fault ON {table}"
_NOT_LOOKED_UP = """
CREATE OR REPLACE FUNCTION identity.viewer_may(permission text) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT {said} AND EXISTS (
        SELECT FROM identity.role_grants
        WHERE {whose} AND {revoked} AND {expired} AND permission = ANY (permissions)
    )
$$
"""
_SOUND = {
    "said": "permission = ANY (string_to_array(current_setting('app.viewer_permissions', true), ' '))",
    "whose": "user_id = identity.viewer_id()",
    "revoked": "revoked_at IS NULL",
    "expired": "(expires_at IS NULL OR expires_at > now())",
}
_WITHOUT_A_FAULT = [_NOT_LOOKED_UP.format(**_SOUND)]
_NAME_OF = {table: f"{table.__table__.schema}.{table.__tablename__}" for table in TABLE_OF.values()}
_PRIVATE_TABLES = [_NAME_OF[table] for table in RULES]
_ALL_ROWS_OF_TABLE_SHOWN = "CREATE POLICY fault ON {table} FOR SELECT TO trove_api USING (true)"
_ALL_ROWS_SHOWN = [_ALL_ROWS_OF_TABLE_SHOWN.format(table=table) for table in _PRIVATE_TABLES]
# Tables whose rows are shown with a row of others, which hide them, too: a fault shows only where all of them have it.
_SHOWN_WITH = {
    "portfolios.holdings": ("portfolios.portfolios",),
    "portfolios.lots": ("portfolios.portfolios", "portfolios.holdings"),
}


@dataclass(frozen=True, slots=True)
class PolicyFault:
    """What makes the policies wrong, and of which nodes something is seen wrongly by it."""

    statements: Sequence[str]
    tags: Container[PublicIdTag]


def _fault_of_table(table: str, statements: Sequence[str]) -> PolicyFault:
    return PolicyFault(statements, {tag for tag, shown in TABLE_OF.items() if _NAME_OF[shown] == table})


def _fault_of_grants(**unsound: str) -> PolicyFault:
    tags = {tag for tag, table in TABLE_OF.items() if table in RULES and RULES[table][1] is not None}
    return PolicyFault([_NOT_LOOKED_UP.format(**_SOUND | unsound)], tags)


POLICY_FAULTS: Mapping[str, PolicyFault] = {
    **{
        f"a row of {table} that belongs to another viewer is shown": _fault_of_table(
            table, [_ALL_ROWS_OF_TABLE_SHOWN.format(table=one) for one in (table, *_SHOWN_WITH.get(table, ()))]
        )
        for table in _PRIVATE_TABLES
    },
    **{
        f"a row of {table} is hidden from who may see it": _fault_of_table(
            table, [f"CREATE POLICY fault ON {table} AS RESTRICTIVE FOR SELECT TO trove_api USING (false)"]
        )
        for table in _PRIVATE_TABLES
    },
    "a token may do what its holder may": _fault_of_grants(said="true"),
    "a grant is anybody's": _fault_of_grants(whose="true"),
    "a revoked grant holds": _fault_of_grants(revoked="true"),
    "an expired grant holds": _fault_of_grants(expired="true"),
}


# Each fault of these shows to few: to who says that a grant holds which no longer does, and sees rows by it.
LOST_GRANTS: Mapping[str, Callable[[Row], bool]] = {
    "a revoked grant holds": lambda grant: grant["revoked_at"] is not None,
    "an expired grant holds": lambda grant: grant["expires_at"] == LONG_AGO,
}
_SHOWS_ROWS = {permission for _, permission in RULES.values() if permission is not None}


@pytest.mark.parametrize("name", POLICY_FAULTS)
async def test_a_fault_in_the_policies_is_found(stage: Stage, name: str) -> None:
    assert await _is_found(stage, name)


async def test_policies_without_a_fault_are_not_suspected(stage: Stage) -> None:
    for number in range(WORLDS_WITHOUT_A_FAULT):
        async with _planted(stage.owner, _WITHOUT_A_FAULT):
            assert await _seen_wrongly(stage, *_asked_in(number), TABLE_OF) is None


async def _is_found(stage: Stage, name: str) -> bool:
    """Whether somebody of some world sees it; what they see without the fault is right."""
    fault = POLICY_FAULTS[name]
    for number in range(WORLDS_WITH_A_FAULT):
        vocabulary, viewers = _asked_in(number)
        if name in LOST_GRANTS:
            viewers = [viewer for viewer in viewers if _claims(vocabulary.world, viewer, LOST_GRANTS[name])]
        if not viewers:
            continue
        async with _planted(stage.owner, fault.statements):
            found = await _seen_wrongly(stage, vocabulary, viewers, fault.tags)
        if found is not None:
            async with _planted(stage.owner, _WITHOUT_A_FAULT):
                return await _is_seen_rightly(stage, found, fault.tags)
    return False


@cache
def _asked_in(number: int) -> tuple[Vocabulary, Sequence[Viewer]]:
    """A world, and who asks in it."""
    random = Random(f"who may see/{number}")
    vocabulary = Vocabulary(random, random_world(random))
    return vocabulary, [any_viewer(random, vocabulary.world) for _ in range(VIEWERS)]


def _claims(world: World, viewer: Viewer, is_lost: Callable[[Row], bool]) -> bool:
    """Whether the viewer would see rows, and otherwise does not, by a grant that is lost so."""
    grants = (row for row in world.rows[RoleGrant] if row["user_id"] == viewer.user_id and is_lost(row))
    lost = {Scope(permission) for row in grants for permission in row["permissions"]}
    return bool(lost & viewer.scopes & _SHOWS_ROWS - permissions_of(world, viewer))


async def _seen_wrongly(
    stage: Stage, vocabulary: Vocabulary, viewers: Sequence[Viewer], tags: Container[PublicIdTag]
) -> Vocabulary | None:
    """What the first of the viewers can say who sees something else of these than what is theirs to see."""
    await stage.store(vocabulary.world)
    for viewer in viewers:
        asking = vocabulary.of(viewer)
        if not await _is_seen_rightly(stage, asking, tags):
            return asking
    return None


async def test_random_documents_find_rows_that_the_policies_show_to_the_wrong(stage: Stage) -> None:
    for number in range(WORLDS_WITH_A_FAULT):
        random = Random(f"policies/{number}")
        vocabulary = Vocabulary(random, random_world(random))
        await stage.put_up(vocabulary.world, vocabulary)
        async with _planted(stage.owner, _ALL_ROWS_SHOWN):
            found = await _shown_to_the_wrong(stage, vocabulary)
        if found is not None:
            response = await usual_path(stage.engine)(found)
            assert shown_to_the_wrong(vocabulary.world, found.viewer, response) is None
            return
    pytest.fail(f"{WORLDS_WITH_A_FAULT * DOCUMENTS_WITH_A_FAULT} documents did not show a row to the wrong")


async def _shown_to_the_wrong(stage: Stage, vocabulary: Vocabulary) -> Asked | None:
    """The first question that is answered with what the asker may not see."""
    for asked in islice(questions(vocabulary.random, vocabulary, few_drawn_documents()), DOCUMENTS_WITH_A_FAULT):
        response = await usual_path(stage.engine)(asked)
        if shown_to_the_wrong(vocabulary.world, asked.viewer, response) is not None:
            return asked
    return None
