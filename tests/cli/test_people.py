"""`trove people` as a program of its own: the operator's way to a first administrator and to a partner's token."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from app.cli import people as commands
from app.core.attempts import Attempts
from app.core.database import Database
from app.core.errors import Refusal
from app.core.ids import PublicIdTag, public_id
from app.core.settings import Settings
from app.identity.actions import AuditAction
from app.identity.commands.sessions import OpenSession
from app.identity.models import AuditEntry, Role
from app.identity.passwords import Passwords
from app.identity.scopes import GRANTABLE, OWN, Scope
from app.identity.sign_in import SignIn
from app.identity.viewer import Caller
from tests.conftest import Server, environment_of
from tests.identity.builders import SECRETS, add_person

PASSWORD = "sorrel-kettle-ninety-harbour"  # of somebody in a test
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def people(trove_settings: Settings, database: Database) -> Run:
    """Runs `trove people …`; gives its exit code, its standard output, and what it said."""

    def run(*arguments: str, input: str = "") -> tuple[int, str, str]:
        finished = subprocess.run(
            [sys.executable, "-m", "app.cli.main", "people", *arguments],
            env=environment_of(trove_settings) | {"COLUMNS": "200"},
            input=input,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert "Traceback" not in finished.stderr
        return finished.returncode, finished.stdout, " ".join(finished.stderr.split())

    return run


async def test_the_first_administrator_signs_in_by_what_the_operator_gave_them(
    people: Run, database: Database, api_database: Database, trove_settings: Settings
) -> None:
    added = people("add", "chief", "--email", "Chief@Example.org", "--password-stdin", input=f"{PASSWORD}\n")
    assert (added[0], added[1]) == (0, "")
    assert PASSWORD not in added[2]
    code, grant, _ = people("grant", "CHIEF", "--role", "admin", "--reason", "Runs this server.")
    assert code == 0
    passwords, attempts = Passwords(), Attempts(trove_settings.redis_url or "")
    try:
        outcome = await SignIn(api_database, SECRETS, passwords, attempts).with_password(
            email="chief@example.org", password=PASSWORD, caller=Caller(), device=None
        )
    finally:
        passwords.close()
        await attempts.close()
    assert isinstance(outcome, OpenSession)
    assert outcome.scopes == OWN | GRANTABLE
    _, listed, _ = people("list")
    assert "chief  Chief@example.org  0 API tokens" in listed
    assert f"(grant {grant.strip()})" in listed
    async with database.transaction() as transaction:
        granted = (
            await transaction.connection.execute(
                select(AuditEntry.actor_id, AuditEntry.user_agent).where(
                    AuditEntry.action == AuditAction.ROLE_GRANTED.value
                )
            )
        ).one()
    assert tuple(granted) == (None, "trove people")


def test_a_partner_sends_prices_with_the_token_until_the_grant_is_taken_back(people: Run, live_server: Server) -> None:
    assert people("add", "shop")[0] == 0
    _, grant, _ = people(
        *("grant", "shop", "--role", "user", "--permission", "prices:write", "--reason", "Our partner.")
    )
    code, token, said = people("token", "shop", "--name", "Nightly", "--scope", "prices:write", "--allow", "127.0.0.1")
    assert code == 0
    assert token.strip() not in said

    def sent() -> int:
        line = b'{"item": "nothing", "source": "shop", "currency": "USD", "price": "1"}'
        headers = {"Authorization": f"Bearer {token.strip()}"}
        return httpx.post(f"{live_server.url}/ingest/prices", content=line, headers=headers).status_code

    assert sent() == 202
    assert people("revoke", grant.strip())[0] == 0
    deadline = time.monotonic() + 20
    while (status := sent()) == 202:
        assert time.monotonic() < deadline, "the token still holds"
        time.sleep(0.1)
    assert status == 403


REFUSED: dict[str, tuple[Callable[[], None], str]] = {
    "a reserved name": (lambda: commands.add("admin"), "This username is reserved"),
    "a short name": (lambda: commands.add("ab"), "A username has 3 to 30"),
    "a name that is taken": (lambda: commands.add("Kate"), "Somebody has this username"),
    "no address": (lambda: commands.add("shop", "nowhere"), "no e-mail address"),
    "a password alone": (lambda: commands.add("shop", password_stdin=True), "give the address too, with --email"),
    "a weak password": (lambda: commands.add("shop", "shop@example.org", password_stdin=True), "password"),
    "nobody": (lambda: commands.grant("nobody", Role.ADMIN, "Because."), "There is nobody called nobody"),
    "no reason": (lambda: commands.grant("kate", Role.ADMIN, " "), "Say in 1 to 500 characters why"),
    "an empty role": (lambda: commands.grant("kate", Role.USER, "Because."), "the role user carries nothing by itself"),
    "what is everybody's": (
        lambda: commands.grant("kate", Role.USER, "Because.", [Scope.ACCOUNT_READ]),
        "account:read is everybody's own",
    ),
    "no time": (lambda: commands.grant("kate", Role.ADMIN, "Because.", None, "soon"), "--expires is a day such as"),
    "a time that has passed": (
        lambda: commands.grant("kate", Role.ADMIN, "Because.", None, "2020-01-01"),
        "has passed",
    ),
    "no id": (lambda: commands.revoke("QQ"), "no id of a grant"),
    "no grant": (lambda: commands.revoke(public_id(PublicIdTag.ROLE_GRANT, UUID(int=7))), "no such grant"),
    "a scope too many": (
        lambda: commands.token("kate", "Prices", [Scope.PRICES_WRITE]),
        "They may not do prices:write themselves",
    ),
    "no network": (
        lambda: commands.token("kate", "Mine", [Scope.ACCOUNT_READ], allow=["home"]),
        "An address is such as 192.0.2.7",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_cannot_be_done_is_said_in_a_sentence(
    what: str,
    database: Database,
    trove_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("app.cli.people.current_settings", lambda: trove_settings)
    monkeypatch.setattr("sys.stdin", StringIO("short\n"))
    async with database.transaction() as transaction:
        await add_person(transaction.connection, username="kate")
    command, sentence = REFUSED[what]
    with pytest.raises(Refusal, match=re.escape(sentence)):
        await asyncio.to_thread(command)
    assert capsys.readouterr().out == ""
