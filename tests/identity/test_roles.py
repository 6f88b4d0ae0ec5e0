"""Roles in the database: what a command forgot, row-level security still refuses."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import ProgrammingError

from app.core.database import Database, DatabaseViewer
from app.core.ids import new_id
from app.identity.commands.roles import grant_role, revoke_role
from app.identity.errors import IdentityErrorCode, IdentityRefused
from app.identity.models import Role, RoleGrant
from app.identity.scopes import GRANTABLE, Scope
from app.identity.viewer import Caller, Viewer
from tests.identity.builders import add_person


@pytest.fixture
async def people(database: Database) -> tuple[UUID, UUID]:
    """A lead who may write roles, and a clerk who may nothing."""
    async with database.transaction() as transaction:
        lead = await add_person(transaction.connection, permissions=[Scope.ROLES_WRITE, Scope.ACCOUNTS_READ])
        return lead, await add_person(transaction.connection)


def grant_to(user_id: UUID, granted_by: UUID) -> Any:
    """The bare statement of a grant."""
    return insert(RoleGrant).values(
        id=new_id(), user_id=user_id, role="user", permissions=["prices:write"], reason="None.", granted_by=granted_by
    )


@pytest.mark.parametrize("claims", [(), ("roles:write",)])
async def test_a_credential_alone_grants_nothing_without_a_grant_in_the_database(
    api_database: Database, people: tuple[UUID, UUID], claims: tuple[str, ...]
) -> None:
    lead, clerk = people
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with api_database.transaction(viewer=DatabaseViewer(clerk, claims)) as transaction:
            await transaction.connection.execute(grant_to(lead, granted_by=clerk))


async def test_a_grant_in_the_database_grants_nothing_without_the_credential(
    api_database: Database, people: tuple[UUID, UUID]
) -> None:
    lead, clerk = people
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with api_database.transaction(viewer=DatabaseViewer(lead)) as transaction:
            await transaction.connection.execute(grant_to(clerk, granted_by=lead))


async def test_nobody_grants_in_the_name_of_somebody_else(api_database: Database, people: tuple[UUID, UUID]) -> None:
    lead, clerk = people
    with pytest.raises(ProgrammingError, match="row-level security"):
        async with api_database.transaction(viewer=DatabaseViewer(lead, ("roles:write",))) as transaction:
            await transaction.connection.execute(grant_to(clerk, granted_by=clerk))


async def test_nothing_of_a_grant_changes_but_its_end(api_database: Database, people: tuple[UUID, UUID]) -> None:
    lead, _ = people
    with pytest.raises(ProgrammingError, match="permission denied"):
        async with api_database.transaction(viewer=DatabaseViewer(lead, ("roles:write",))) as transaction:
            await transaction.connection.execute(update(RoleGrant).values(permissions=["audit:read"]))


async def test_staff_who_cannot_see_grants_find_none(
    api_database: Database, database: Database, people: tuple[UUID, UUID]
) -> None:
    lead, clerk = people
    scopes = frozenset({Scope.ROLES_WRITE})
    blind = Viewer(user_id=lead, credential_id=new_id(), scopes=scopes, is_session=True)
    async with database.transaction() as transaction:
        grant_id = await grant_role(
            transaction, caller=Caller(), user_id=clerk, role=Role.SUPPORT, reason="They help people."
        )
    with pytest.raises(IdentityRefused) as refused:
        async with api_database.transaction(viewer=blind.in_database) as transaction:
            await revoke_role(transaction, grant_id, caller=Caller(blind))
    assert refused.value.reason is IdentityErrorCode.NOT_FOUND


async def test_the_operator_makes_the_first_admin_and_unmakes_them(
    database: Database, people: tuple[UUID, UUID]
) -> None:
    _, clerk = people
    async with database.transaction() as transaction:
        grant_id = await grant_role(
            transaction, caller=Caller(), user_id=clerk, role=Role.ADMIN, reason="Runs this server."
        )
        row = (await transaction.connection.execute(RoleGrant.__table__.select().where(RoleGrant.id == grant_id))).one()
        assert row.permissions == sorted(scope.value for scope in GRANTABLE)
        assert row.granted_by is None
    async with database.transaction() as transaction:
        assert await revoke_role(transaction, grant_id, caller=Caller()) == clerk
