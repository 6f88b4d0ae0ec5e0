"""Browsers and mail clients for tests of signing in: HTTP with a cookie jar, and the mails that people get."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from types import TracebackType
from typing import Any

import httpx
from sqlalchemy import select

from app.core.database import Database
from app.core.mail import SmtpPostman
from app.core.mail_server import parse_sender
from app.identity.models import AuditEntry
from tests.core.mail_builders import Mailbox, mail_server, server_at
from tests.identity.builders import SECRETS
from workers.mail import send_waiting_mails

ADA = "ada@example.com"
ADAS_PASSWORD = "marzipan ladder violet"
OTHER_PASSWORD = "quiet harbour umbrella"
SESSION = "session { accessToken accessTokenExpiresAt refreshToken refreshableUntil viewer { id username email } }"
ERRORS = "userErrors { field code message }"
OUTCOME = f"{{ {SESSION} secondFactor {{ challenge methods }} {ERRORS} }}"
SIGN_UP = f"mutation ($input: SignUpInput!) {{ signUp(input: $input) {{ {ERRORS} }} }}"
CONFIRM = f"mutation ($input: ConfirmSignUpInput!) {{ confirmSignUp(input: $input) {OUTCOME} }}"
SIGN_IN = f"mutation ($input: SignInInput!) {{ signIn(input: $input) {OUTCOME} }}"
REQUEST_LINK = (
    f"mutation ($input: RequestMagicLinkInput!) {{ requestMagicLink(input: $input) {{ browserToken {ERRORS} }} }}"
)
OPEN_LINK = f"mutation ($input: SignInWithMagicLinkInput!) {{ signInWithMagicLink(input: $input) {OUTCOME} }}"
REFRESH = f"mutation ($input: RefreshSessionInput) {{ refreshSession(input: $input) {OUTCOME} }}"
SIGN_OUT = f"mutation {{ signOut {{ endedSessions {ERRORS} }} }}"
VIEWER = "{ viewer { username } }"


class Browser:
    """An HTTP client with a cookie jar, as one person uses it."""

    def __init__(self, url: str, **headers: str) -> None:
        self.http = httpx.AsyncClient(base_url=url, headers=headers, timeout=20)
        self.token: str | None = None

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.aclose()

    async def post(self, query: str, *, url: str = "", headers: dict[str, str] | None = None, **variables: Any) -> Any:
        """The response to an operation, sent with the access token where there is one."""
        sent = dict(headers or {})
        if self.token is not None:
            sent["Authorization"] = f"Bearer {self.token}"
        return await self.http.post(f"{url}/graphql", json={"query": query, "variables": variables}, headers=sent)

    async def ask(self, query: str, **variables: Any) -> Any:
        """The only field of a response without errors."""
        response = (await self.post(query, **variables)).json()
        assert "errors" not in response, response["errors"]
        (value,) = response["data"].values()
        return value

    async def refusal(self, query: str, **variables: Any) -> dict[str, Any]:
        """The only error of a response."""
        (error,) = (await self.post(query, **variables)).json()["errors"]
        return dict(error)

    async def change(self, mutation: str, **given: Any) -> Any:
        """The payload of a mutation with this input."""
        return await self.ask(mutation, input=given)

    async def sign_in(self, mutation: str = SIGN_IN, **given: Any) -> Any:
        """The session that a mutation gives; its access token is sent from now on."""
        payload = await self.change(mutation, **given)
        assert payload["userErrors"] == [], payload
        self.token = payload["session"]["accessToken"]
        return payload["session"]

    def cookie(self, name: str) -> str | None:
        """The value of a cookie in the jar."""
        return self.http.cookies.get(name)


@dataclass(frozen=True, slots=True)
class Mails:
    """What people get, by SMTP."""

    database: Database
    mailbox: Mailbox = field(default_factory=Mailbox)

    async def fetch(self) -> Sequence[EmailMessage]:
        """The mails that have come since the last time."""
        seen = len(self.mailbox.envelopes)
        async with mail_server(self.mailbox) as port:
            postman = SmtpPostman(server_at(port), parse_sender("Trove <no-reply@trove.example>"))
            await send_waiting_mails(self.database, SECRETS, postman)
        return self.mailbox.messages()[seen:]

    async def link(self) -> str:
        """Path and query of the link in the only mail that has come."""
        (message,) = await self.fetch()
        return link_in(message)


def link_in(message: EmailMessage) -> str:
    """Path and query of the link in a mail."""
    found = re.search(r"https?://[^/\s]+(/\S+)", message.get_content())
    assert found is not None, message.get_content()
    return found.group(1)


def token_in(link: str) -> str:
    """The token of a link."""
    return link.partition("token=")[2]


async def audited(database: Database) -> list[tuple[str, Any]]:
    """What was written into the audit log, in its order: the action and what came of it."""
    async with database.transaction() as transaction:
        rows = await transaction.connection.execute(
            select(AuditEntry.action, AuditEntry.after).order_by(AuditEntry.occurred_at, AuditEntry.id)
        )
        return [(row.action, row.after) for row in rows]


def codes(payload: Any) -> list[str]:
    """The codes of a payload's errors."""
    return [error["code"] for error in payload["userErrors"]]
