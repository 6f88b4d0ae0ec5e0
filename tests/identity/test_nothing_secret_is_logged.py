"""Nothing that proves who somebody is, and nothing that was decrypted, stands in a log or an exception."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import insert, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole
from app.core.events import EventBus
from app.core.ids import new_id
from app.core.jobs import connect_redis
from app.core.mail import Mail
from app.core.secrets import KeyRing
from app.core.settings import Settings
from app.identity.commands.api_tokens import create_api_token
from app.identity.commands.challenges import begin_challenge
from app.identity.commands.people import PASSWORD, WayIn, create_person
from app.identity.commands.post_mail import post_mail
from app.identity.commands.sessions import SignInMethod, begin_session
from app.identity.models import ChallengeKind, Credential, Identity, OutgoingMail, User
from app.identity.scopes import Scope
from app.identity.services import identity_services
from app.identity.sign_in import SignInRefused, store_password_hash
from app.identity.viewer import Caller
from tests.conftest import environment_of
from tests.core.mail_builders import Mailbox, mail_server
from tests.identity.builders import KEY_RING, SECRETS
from tests.outages_builders import eventually

EMAIL = "zyrkonia@example.com"
DISPLAY_NAME = "Zyrkonia Quibbelix"
RIGHT_PASSWORD = "Grumbelsnatch-7-plomberry"
WRONG_PASSWORD = "Wibblefroth-9-tangleweed"
ASK = """mutation { exportMyData { export { id } userErrors { code } } }"""
NOT_OURS = ("mail.log", "httpx", "httpcore")
LINK = "mutation ($id: ID!) { createExportDownload(input: {id: $id}) { url } }"


@contextmanager
def speaking(arguments: Sequence[str], settings: Settings, log: Path, **more: str) -> Iterator[None]:
    """`trove …` as a process of its own that logs all there is into a file, ended with the block."""
    environment = environment_of(settings) | {"TROVE_LOG_LEVEL": "DEBUG"} | more
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli.main", *arguments], env=environment, stdout=file, stderr=file
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """Everything that this process logs, at every level, as text with its tracebacks.

    But for what the mail server and the browser say of themselves: they are no part of Trove.
    """
    lines: list[str] = []

    class Listener(logging.Handler):
        """Keeps what it hears."""

        def emit(self, record: logging.LogRecord) -> None:
            """Write it as any log would."""
            if not record.name.startswith(NOT_OURS):
                lines.append(self.format(record))

    root, listener = logging.getLogger(), Listener()
    before = root.level
    root.addHandler(listener)
    root.setLevel(logging.DEBUG)
    yield lines
    root.setLevel(before)
    root.removeHandler(listener)


@asynccontextmanager
async def nothing_begins(owner: AsyncEngine) -> AsyncIterator[None]:
    """PostgreSQL refuses every challenge, and the server fails over it."""
    async with owner.begin() as connection:
        await connection.execute(text("ALTER TABLE identity.challenges ADD CONSTRAINT never CHECK (false) NOT VALID"))
    try:
        yield
    finally:
        async with owner.begin() as connection:
            await connection.execute(text("ALTER TABLE identity.challenges DROP CONSTRAINT never"))


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def is_there(client: httpx.AsyncClient) -> bool:
    """Whether the server answers."""
    try:
        return (await client.get("/healthz")).is_success
    except httpx.TransportError:
        return False


def leaks(said: str, hidden: Sequence[str]) -> list[str]:
    """Which of the hidden words are said."""
    return [word for word in hidden if word in said]


async def test_whatever_is_done_no_log_of_any_process_tells_a_secret(
    api_database: Database,
    database: Database,
    owner: AsyncEngine,
    trove_settings: Settings,
    tmp_path: Path,
    logged: list[str],
) -> None:
    public_url = "https://trove.example"
    settings = trove_settings.model_copy(update={"public_url": public_url})
    api_log, worker_log, keys_log = (tmp_path / f"{name}.log" for name in ("api", "worker", "keys"))
    hidden = [EMAIL, DISPLAY_NAME, RIGHT_PASSWORD, WRONG_PASSWORD]
    redis = connect_redis(str(settings.redis_url))
    identity = identity_services(settings, api_database, EventBus(redis))
    caller, mailbox = Caller(), Mailbox()
    password_hash = await identity.passwords.hash(RIGHT_PASSWORD)
    async with api_database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        person = await create_person(
            transaction,
            caller=caller,
            username="zyrk",
            way_in=WayIn(PASSWORD, "", EMAIL, email=EMAIL),
            email=EMAIL,
            email_verified_at=utc_now(),
            display_name=DISPLAY_NAME,
        )
        await store_password_hash(transaction, SECRETS, person, password_hash)
        token = await create_api_token(
            transaction, caller=caller, user_id=person, name="Reads", scopes=[Scope.ACCOUNT_READ]
        )
        challenge = await begin_challenge(
            transaction, SECRETS, ChallengeKind.MAGIC_LINK, content={"email": EMAIL}, user_id=person
        )
        link = f"https://trove.example/sign-in?token={challenge}"
        mail = Mail(to=EMAIL, subject="Sign in", text=f"Open {link}\n")
        await post_mail(transaction, SECRETS, mail, user_id=person)
        session = await begin_session(transaction, user_id=person, method=SignInMethod.PASSWORD, caller=caller)
    for password in (WRONG_PASSWORD, RIGHT_PASSWORD):
        outcome = await identity.sign_in.with_password(email=EMAIL, password=password, caller=caller, device=None)
        assert isinstance(outcome, SignInRefused) == (password == WRONG_PASSWORD)
        hidden.append(getattr(outcome, "refresh_token", session.refresh_token))
    access_token = (await identity.authentication.access_token(session)).text
    hidden += [password_hash, token.text, challenge, link, session.refresh_token, access_token]
    hidden.append(access_token.rpartition(".")[2])
    url = f"http://127.0.0.1:{free_port()}"
    async with mail_server(mailbox) as port, httpx.AsyncClient(base_url=url, timeout=60) as client:
        more = {"TROVE_SMTP_URL": f"smtp://127.0.0.1:{port}", "TROVE_MAIL_FROM": "Trove <no-reply@trove.example>"}
        with (
            speaking(["api", "--port", url.rpartition(":")[2]], settings, api_log, TROVE_PUBLIC_URL=public_url),
            speaking(["worker"], settings, worker_log, **more),
        ):
            await eventually("the server answers", lambda: is_there(client), within=120)
            for shown, status in ((token.text, 200), (access_token, 200), (access_token[:-3], 401)):
                answer = await client.post(
                    "/graphql",
                    json={"query": "{ viewer { email displayName } }"},
                    headers={"Authorization": f"Bearer {shown}"},
                )
                assert (answer.status_code == 200) == (status == 200), answer.text
            headers = {"Authorization": f"Bearer {access_token}"}
            asked = (await client.post("/graphql", json={"query": ASK}, headers=headers)).json()
            export_id = asked["data"]["exportMyData"]["export"]["id"]

            async def all_is_sent() -> bool:
                # The link, and that the export is ready.
                return len(mailbox.envelopes) == 2

            await eventually("the mails are sent", all_is_sent, within=90)
            request = {"query": LINK, "variables": {"id": export_id}}
            made = (await client.post("/graphql", json=request, headers=headers)).json()
            download = made["data"]["createExportDownload"]["url"]
            hidden += [download, download.rpartition("=")[2]]
            async with nothing_begins(owner):
                failed = (await client.post("/graphql", json=request, headers=headers)).json()
                assert failed["errors"][0]["extensions"]["code"] == "INTERNAL_SERVER_ERROR"
            archive = await client.get(download.replace("https://trove.example", url))
            assert archive.content.startswith(b"PK")
            assert (await client.get(f"{download.replace('https://trove.example', url)}x")).status_code == 404
    logging.getLogger("test").debug("that this is heard")
    await identity.stop()
    await redis.aclose()
    rings = await _rotate(settings, database, keys_log)
    hidden += [key for ring in rings for key in _written_keys(ring)]
    said = {
        "this": "\n".join(logged),
        "api": api_log.read_text(),
        "worker": worker_log.read_text(),
        "keys": keys_log.read_text(),
    }
    # What is to be found was said, so that silence proves nothing else.
    assert "mail_sent" in said["worker"]
    assert "export_ready" in said["worker"]
    assert "secrets encrypted anew" in said["keys"]
    assert "operation_failed" in said["api"]
    assert "CheckViolation" in said["api"]
    assert "that this is heard" in said["this"]
    assert {name: leaks(text_, hidden) for name, text_ in said.items()} == {name: [] for name in said}
    # The audit log and what is kept of mails and exports are read by many more than logs are.
    private = [word for word in hidden if word not in {EMAIL, DISPLAY_NAME}]
    async with database.transaction() as transaction:
        for table in ("audit_log", "data_exports", "outgoing_mails", "sessions", "revocations"):
            rows = await transaction.connection.execute(text(f"SELECT t::text FROM identity.{table} t"))
            assert leaks("\n".join(rows.scalars()), private) == []


async def _rotate(settings: Settings, database: Database, log: Path) -> list[KeyRing]:
    """Bring all secrets under a new key by a process of its own, and back again; gives the rings."""
    both = KEY_RING.with_new_key("another")
    for ring in (both, both.using(KEY_RING.current)):
        changed = settings.model_copy(update={"secret_keys": SecretStr(ring.text())})
        environment = environment_of(changed) | {"TROVE_LOG_LEVEL": "DEBUG"}
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "app.cli.main", "keys", "rotate", env=environment, stdout=file, stderr=file
            )
            assert await process.wait() == os.EX_OK, log.read_text()
    return [both]


def _written_keys(ring: KeyRing) -> list[str]:
    """The keys as the settings have them, and in hexadecimal."""
    written = [part for part in ring.text().split('"') if len(part) == 44]
    assert len(written) == len(ring.keys)
    return written + [key.hex() for key in ring.keys.values()]


SECRET = "Snorkelwump-4-secret"


@pytest.fixture
async def authenticator(api_database: Database, database: Database) -> Database:
    """The API's database with somebody in it."""
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(User).values(id=new_id(), username="ada", email=f"{SECRET}@example.com", email_verified_at=utc_now())
        )
    return api_database


def wrong_statements() -> dict[str, Any]:
    """Statements that PostgreSQL or its driver refuse, each with a secret among their values."""
    address = f"{SECRET}@example.com"
    return {
        "nobody's password": insert(Credential).values(user_id=new_id(), password_hash=SECRET.encode()),
        "an address twice": insert(User).values(
            id=new_id(), username="eve", email=address, email_verified_at=utc_now()
        ),
        "a name that is none": insert(User).values(id=new_id(), username=f"{SECRET} {SECRET}"),
        "nothing where something must be": insert(Identity).values(
            id=new_id(), user_id=None, provider="github", subject=SECRET, email=address
        ),
        "a status that is none": insert(OutgoingMail).values(id=new_id(), content=SECRET.encode(), status=SECRET),
        "a text with a zero": insert(User).values(id=new_id(), username="eve", display_name=f"{SECRET}\0"),
        "a kind that is none": text("INSERT INTO identity.challenges (id, kind) VALUES (:id, :kind)").bindparams(
            id=new_id(), kind=SECRET
        ),
    }


@pytest.mark.parametrize("what", wrong_statements())
@pytest.mark.parametrize("role", [DatabaseRole.AUTHENTICATOR, DatabaseRole.WORKER])
async def test_a_database_error_about_a_secret_does_not_tell_it(
    authenticator: Database, database: Database, role: DatabaseRole, what: str, logged: list[str]
) -> None:
    acting = database if role is DatabaseRole.WORKER else authenticator
    with pytest.raises(DBAPIError) as caught:
        async with acting.transaction(role=role) as transaction:
            await transaction.connection.execute(wrong_statements()[what])
    logging.getLogger("test").error("it failed", exc_info=caught.value)
    said = "\n".join([*logged, str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)])
    assert "it failed" in said
    assert leaks(said, [SECRET, SECRET.encode().hex()]) == []
