"""Roles through the graph: given and taken back by staff, never more than they have, and at once."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from app.core.database import Database
from app.core.ids import PublicIdTag, public_id
from app.identity.actions import AuditAction
from app.identity.commands.roles import grant_role
from app.identity.models import Role, RoleGrant
from app.identity.scopes import Scope
from app.identity.viewer import Caller, Viewer
from tests.graph.conftest import Graph
from tests.identity.builders import add_person, audit_of, session_of

GRANT = """
mutation ($input: GrantRoleInput!) {
    grantRole(input: $input) {
        roleGrant { id role permissions reason grantedBy { username } expiresAt revokedAt }
        userErrors { field code message }
    }
}
"""
REVOKE = """
mutation ($input: RevokeRoleInput!) {
    revokeRole(input: $input) { roleGrant { id revokedAt } userErrors { field code } }
}
"""
LEAD = (Scope.ROLES_WRITE, Scope.ACCOUNTS_READ, Scope.PRICES_WRITE)


class Staff:
    """People of a test, each with a session."""

    def __init__(self, database: Database, api_database: Database) -> None:
        self.database = database
        self._api_database = api_database

    async def hire(self, username: str, role: Role = Role.USER, permissions: Sequence[Scope] | None = None) -> Viewer:
        """Somebody with a role given by the operator."""
        async with self.database.transaction() as transaction:
            user_id = await add_person(transaction.connection, username=username)
        if permissions != ():
            await self.promote(user_id, role, permissions)
        return await session_of(self._api_database, user_id)

    async def promote(self, user_id: UUID, role: Role, permissions: Sequence[Scope] | None = None) -> UUID:
        """A grant by the operator."""
        async with self.database.transaction() as transaction:
            return await grant_role(
                transaction, caller=Caller(), user_id=user_id, role=role, permissions=permissions, reason="A test."
            )


@pytest.fixture
def staff(database: Database, api_database: Database) -> Staff:
    """People are hired by the test."""
    return Staff(database, api_database)


async def granted(graph: Graph, viewer: Viewer, **input: Any) -> dict[str, Any]:
    """The payload of grantRole."""
    data = await graph.ask(GRANT, viewer, input={"role": "USER", "reason": "They send prices."} | input)
    payload: dict[str, Any] = data["grantRole"]
    return payload


def codes_of(payload: dict[str, Any]) -> list[str]:
    """The codes of a payload's errors."""
    return [error["code"] for error in payload["userErrors"]]


async def test_staff_give_what_they_have_and_it_holds_at_once(graph: Graph, staff: Staff) -> None:
    lead = await staff.hire("lead", permissions=LEAD)
    clerk = await staff.hire("clerk", permissions=())
    authentication = graph.engine.resources.identity.authentication
    await authentication.look()
    assert not authentication.is_void(clerk)
    payload = await granted(graph, lead, username="CLERK", permissions=["PRICES_WRITE"])
    assert payload["userErrors"] == []
    assert payload["roleGrant"] == {
        "id": payload["roleGrant"]["id"],
        "role": "USER",
        "permissions": ["PRICES_WRITE"],
        "reason": "They send prices.",
        "grantedBy": {"username": "lead"},
        "expiresAt": None,
        "revokedAt": None,
    }
    await authentication.look()
    # What the clerk has was issued for less; the next one is for more.
    assert authentication.is_void(clerk)
    assert clerk.user_id is not None
    assert Scope.PRICES_WRITE in (await session_of(graph.engine.resources.database, clerk.user_id)).scopes
    async with staff.database.transaction() as transaction:
        (entry,) = await audit_of(transaction.connection, clerk.user_id, AuditAction.ROLE_GRANTED)
    assert (entry.actor_id, (entry.after or {})["reason"]) == (lead.user_id, "They send prices.")


@pytest.mark.parametrize("tag", [PublicIdTag.USER, PublicIdTag.ACCOUNT])
async def test_the_person_may_be_named_by_id(graph: Graph, staff: Staff, tag: PublicIdTag) -> None:
    lead = await staff.hire("lead", permissions=LEAD)
    clerk = await staff.hire("clerk", permissions=())
    assert clerk.user_id is not None
    payload = await granted(graph, lead, userId=public_id(tag, clerk.user_id), permissions=["PRICES_WRITE"])
    assert payload["userErrors"] == []


async def test_staff_do_not_give_what_they_do_not_have(graph: Graph, staff: Staff) -> None:
    lead = await staff.hire("lead", permissions=LEAD)
    await staff.hire("clerk", permissions=())
    for more in ({"permissions": ["AUDIT_READ"]}, {"role": "SUPPORT"}):
        payload = await granted(graph, lead, username="clerk", **more)
        assert codes_of(payload) == ["NOT_GRANTED"]
        assert payload["userErrors"][0]["field"] == ["input", "permissions"]


async def test_what_was_left_out_of_the_session_is_not_given_by_it(graph: Graph, staff: Staff) -> None:
    lead = await staff.hire("lead", permissions=LEAD)
    await staff.hire("clerk", permissions=())
    assert lead.user_id is not None
    narrow = await session_of(graph.engine.resources.database, lead.user_id, scopes=[Scope.ROLES_WRITE])
    assert codes_of(await granted(graph, narrow, username="clerk", permissions=["PRICES_WRITE"])) == ["NOT_GRANTED"]


async def test_an_admin_gives_everything_and_makes_admins(graph: Graph, staff: Staff) -> None:
    admin = await staff.hire("chief", Role.ADMIN, [Scope.ROLES_WRITE, Scope.ACCOUNTS_READ])
    await staff.hire("clerk", permissions=())
    assert codes_of(await granted(graph, admin, username="clerk", role="SUPPORT")) == []
    assert codes_of(await granted(graph, admin, username="clerk", role="ADMIN")) == []


async def test_nobody_but_an_admin_makes_an_admin_even_of_few_permissions(graph: Graph, staff: Staff) -> None:
    lead = await staff.hire("lead", permissions=LEAD)
    await staff.hire("clerk", permissions=())
    payload = await granted(graph, lead, username="clerk", role="ADMIN", permissions=["ROLES_WRITE"])
    assert codes_of(payload) == ["NOT_GRANTED"]


async def test_an_admin_whose_grant_has_ended_is_none(graph: Graph, staff: Staff) -> None:
    lead = await staff.hire("lead", permissions=LEAD)
    assert lead.user_id is not None
    former = await staff.promote(lead.user_id, Role.ADMIN)
    async with staff.database.transaction() as transaction:
        await transaction.connection.execute(
            update(RoleGrant).where(RoleGrant.id == former).values(expires_at=lead.issued_at)
        )
    await staff.hire("clerk", permissions=())
    assert codes_of(await granted(graph, lead, username="clerk", role="SUPPORT")) == ["NOT_GRANTED"]


async def test_nobody_changes_their_own_roles(graph: Graph, staff: Staff) -> None:
    admin = await staff.hire("chief", Role.ADMIN)
    assert codes_of(await granted(graph, admin, username="chief", role="SUPPORT")) == ["NOT_GRANTED"]
    data = await graph.ask("{ viewer { roleGrants { id } } }", admin)
    (grant,) = data["viewer"]["roleGrants"]
    data = await graph.ask(REVOKE, admin, input={"id": grant["id"]})
    assert codes_of(data["revokeRole"]) == ["NOT_GRANTED"]


async def test_a_grant_is_taken_back_at_once_and_once(graph: Graph, staff: Staff) -> None:
    admin = await staff.hire("chief", Role.ADMIN)
    clerk = await staff.hire("clerk", permissions=[Scope.PRICES_WRITE])
    assert clerk.user_id is not None
    data = await graph.ask("{ viewer { roleGrants { id } } }", clerk)
    grant = data["viewer"]["roleGrants"][0]
    first = await graph.ask(REVOKE, admin, input={"id": grant["id"]})
    assert codes_of(first["revokeRole"]) == []
    assert first["revokeRole"]["roleGrant"]["revokedAt"] is not None
    authentication = graph.engine.resources.identity.authentication
    await authentication.look()
    assert authentication.is_void(clerk)
    assert Scope.PRICES_WRITE not in (await session_of(graph.engine.resources.database, clerk.user_id)).scopes
    second = await graph.ask(REVOKE, admin, input={"id": grant["id"]})
    assert second["revokeRole"] == {"roleGrant": None, "userErrors": [{"field": ["input", "id"], "code": "NOT_FOUND"}]}
    async with staff.database.transaction() as transaction:
        (entry,) = await audit_of(transaction.connection, clerk.user_id, AuditAction.ROLE_REVOKED)
    assert (entry.before or {})["permissions"] == ["prices:write"]


async def test_lesser_staff_do_not_take_an_admins_role(graph: Graph, staff: Staff) -> None:
    lead = await staff.hire("lead", permissions=LEAD)
    chief = await staff.hire("chief", permissions=())
    assert chief.user_id is not None
    grant = await staff.promote(chief.user_id, Role.ADMIN)
    data = await graph.ask(REVOKE, lead, input={"id": public_id(PublicIdTag.ROLE_GRANT, grant)})
    assert codes_of(data["revokeRole"]) == ["NOT_GRANTED"]


@pytest.mark.parametrize(
    ("input", "code"),
    [
        ({"username": "nobody-here"}, "NOT_FOUND"),
        ({"userId": public_id(PublicIdTag.USER, UUID(int=7))}, "NOT_FOUND"),
        ({"userId": public_id(PublicIdTag.ITEM, 7)}, "NOT_FOUND"),
        ({"userId": "???"}, "NOT_FOUND"),
        ({}, "INVALID_INPUT"),
        ({"username": "clerk", "userId": public_id(PublicIdTag.USER, UUID(int=7))}, "INVALID_INPUT"),
        ({"username": "clerk", "reason": " "}, "INVALID_INPUT"),
        ({"username": "clerk", "reason": "r" * 501}, "INVALID_INPUT"),
        ({"username": "clerk", "permissions": []}, "INVALID_INPUT"),
        ({"username": "clerk", "permissions": None}, "INVALID_INPUT"),
        ({"username": "clerk", "permissions": ["ACCOUNT_READ"]}, "INVALID_INPUT"),
        ({"username": "clerk", "expiresAt": "2020-01-01T00:00:00Z"}, "INVALID_INPUT"),
    ],
)
async def test_a_grant_that_cannot_be_is_refused(graph: Graph, staff: Staff, input: dict[str, Any], code: str) -> None:
    lead = await staff.hire("lead", permissions=LEAD)
    await staff.hire("clerk", permissions=())
    payload = await granted(graph, lead, **({"permissions": ["PRICES_WRITE"]} | input))
    assert codes_of(payload) == [code]
    assert payload["roleGrant"] is None


async def test_who_may_not_write_roles_is_refused_before_anything_is_read(
    graph: Graph, staff: Staff, api_database: Database
) -> None:
    reader = await staff.hire("reader", permissions=[Scope.ACCOUNTS_READ])
    lead = await staff.hire("lead", permissions=LEAD)
    assert lead.user_id is not None
    late = await session_of(api_database, lead.user_id, proved_ago=timedelta(minutes=16))
    program = Viewer(user_id=lead.user_id, credential_id=lead.credential_id, scopes=lead.scopes)
    for viewer in (reader, late, program):
        refusal = await graph.refusal(
            GRANT, viewer, input={"username": "partner", "role": "SUPPORT", "reason": "They help."}
        )
        assert refusal["extensions"]["code"] == "FORBIDDEN"


async def test_a_session_that_still_says_so_gives_nothing_once_the_database_knows_better(
    graph: Graph, staff: Staff
) -> None:
    admin = await staff.hire("chief", Role.ADMIN)
    await staff.hire("clerk", permissions=())
    async with staff.database.transaction() as transaction:
        await transaction.connection.execute(
            update(RoleGrant).where(RoleGrant.user_id == admin.user_id).values(revoked_at=admin.issued_at)
        )
    assert codes_of(await granted(graph, admin, username="clerk", permissions=["PRICES_WRITE"])) == ["NOT_GRANTED"]
