"""A server that knows its own address, and people who sign in to it over HTTP."""

import base64
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from sqlalchemy import func, select, update

from app.core.database import Database
from app.identity.models import AuditEntry, Challenge, Passkey, TotpSecret
from tests.identity.software_authenticator import Json, SoftwarePasskey, create, get

PASSWORD_OF_ALL = "correct horse battery staple"
STEP_SECONDS = 30

SIGNED_IN = """
    session { accessToken refreshToken viewer { id username } }
    secondFactor { challenge methods }
    userErrors { field message code }
"""
DOCUMENTS = {
    "signIn": ("SignInInput", SIGNED_IN),
    "completeSignIn": ("CompleteSignInInput", SIGNED_IN),
    "signInWithPasskey": ("SignInWithPasskeyInput", SIGNED_IN),
    "beginPasskeySecondFactor": ("BeginPasskeySecondFactorInput", "options userErrors { field message code }"),
    "beginPasskeySignIn": ("BeginPasskeySignInInput", "challenge options userErrors { field message code }"),
    "enableTotp": (None, "secret uri userErrors { field message code }"),
    "confirmTotp": (
        "ConfirmTotpInput",
        "recoveryCodes account { totp { confirmedAt } } userErrors { field message code }",
    ),
    "disableTotp": ("DisableTotpInput", "account { totp { confirmedAt } } userErrors { field message code }"),
    "createRecoveryCodes": ("CreateRecoveryCodesInput", "recoveryCodes userErrors { field message code }"),
    "beginPasskeyRegistration": (None, "challenge options userErrors { field message code }"),
    "registerPasskey": (
        "RegisterPasskeyInput",
        "passkey { id name isBackedUp lastUsedAt } userErrors { field message code }",
    ),
    "renamePasskey": ("RenamePasskeyInput", "passkey { id name } userErrors { field message code }"),
    "removePasskey": ("RemovePasskeyInput", "account { passkeys { id } } userErrors { field message code }"),
}


def document_of(mutation: str) -> str:
    """The document that asks for everything of a mutation."""
    input_type, selection = DOCUMENTS[mutation]
    if input_type is None:
        return f"mutation {{ {mutation} {{ {selection} }} }}"
    return f"mutation ($input: {input_type}!) {{ {mutation}(input: $input) {{ {selection} }} }}"


@dataclass(slots=True)
class PublicServer:
    """A running API that is known by its own address; `log` is what it writes, `answers` what it said in one test."""

    url: str
    log: Path
    http: httpx.AsyncClient
    database: Database
    answers: list[tuple[str, str]] = field(default_factory=list)

    async def response(self, mutation: str, token: str | None = None, **given: Any) -> Json:
        """The whole response to a mutation with this input."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        body = {"query": document_of(mutation), "variables": {"input": given}}
        answer = await self.http.post(f"{self.url}/graphql", json=body, headers=headers)
        self.answers.append((mutation, answer.text))
        response: Json = answer.json()
        return response

    async def ask(self, mutation: str, token: str | None = None, **given: Any) -> Json:
        """The payload of a mutation that was answered."""
        response = await self.response(mutation, token, **given)
        assert "errors" not in response, response["errors"]
        payload: Json = response["data"][mutation]
        return payload

    async def done(self, mutation: str, token: str | None = None, **given: Any) -> Json:
        """The payload of a mutation that was not refused."""
        payload = await self.ask(mutation, token, **given)
        assert payload["userErrors"] == []
        return payload

    async def refusal(self, mutation: str, token: str | None = None, **given: Any) -> Json:
        """The one error of a mutation that was refused; everything else in its payload is null."""
        payload = await self.ask(mutation, token, **given)
        (error,) = payload.pop("userErrors")
        assert set(payload.values()) == {None}
        refusal: Json = error
        return refusal

    async def reasons(self, user_id: UUID | None) -> list[str]:
        """Why the log says that somebody was refused, the oldest first."""
        async with self.database.transaction() as transaction:
            rows = await transaction.connection.execute(
                select(AuditEntry.after)
                .where(AuditEntry.subject_id == user_id, AuditEntry.action.like("%refused"))
                .order_by(AuditEntry.occurred_at, AuditEntry.id)
            )
        return [after["reason"] for (after,) in rows if after is not None]

    async def actions(self, user_id: UUID) -> list[str]:
        """What the log says was done to an account, the oldest first."""
        async with self.database.transaction() as transaction:
            rows = await transaction.connection.execute(
                select(AuditEntry.action)
                .where(AuditEntry.subject_id == user_id)
                .order_by(AuditEntry.occurred_at, AuditEntry.id)
            )
        return list(rows.scalars())

    async def expire_challenges(self) -> None:
        """Have the time of all that was begun run out."""
        async with self.database.transaction() as transaction:
            await transaction.connection.execute(update(Challenge).values(expires_at=func.now()))

    async def kept_count(self, passkey: SoftwarePasskey) -> int:
        """The count that was kept of a passkey."""
        async with self.database.transaction() as transaction:
            count: int = (
                await transaction.connection.execute(
                    select(Passkey.sign_count).where(Passkey.credential_id == passkey.credential_id)
                )
            ).scalar_one()
        return count


@dataclass(slots=True)
class Person:
    """Somebody with a password, who is signed in; with a seed once one-time codes are on."""

    server: PublicServer
    id: UUID
    email: str
    token: str = ""
    seed: bytes = b""
    recovery_codes: list[str] = field(default_factory=list)

    async def first_factor(self) -> str:
        """The challenge that a right password gives, of who has a second factor."""
        payload = await self._sign_in()
        assert payload["session"] is None
        challenge: str = payload["secondFactor"]["challenge"]
        return challenge

    async def sign_in(self) -> None:
        """Take a session by password alone."""
        self.token = (await self._sign_in())["session"]["accessToken"]

    async def enable_totp(self) -> None:
        """Turn one-time codes on; the code of this moment is spent by that."""
        payload = await self.server.done("enableTotp", self.token)
        self.seed = base32(payload["secret"])
        confirmed = await self.server.done("confirmTotp", self.token, code=self.code())
        self.recovery_codes = confirmed["recoveryCodes"]

    def code(self, steps: int = 0) -> str:
        """The code that the app shows so many steps of time from now."""
        return code_of(self.seed, steps)

    async def forget_step(self) -> None:
        """Have the codes of this moment be fresh again, as they are half a minute later."""
        async with self.server.database.transaction() as transaction:
            await transaction.connection.execute(
                update(TotpSecret).where(TotpSecret.user_id == self.id).values(last_step=None)
            )

    async def add_passkey(self, **how: Any) -> tuple[SoftwarePasskey, str]:
        """Register a passkey; gives it and its id in the graph."""
        begun = await self.server.done("beginPasskeyRegistration", self.token)
        passkey, response = create(begun["options"], origin=self.server.url, **how)
        payload = await self.server.done(
            "registerPasskey", self.token, challenge=begun["challenge"], response=response, name="Key"
        )
        return passkey, payload["passkey"]["id"]

    async def asked_for_second_factor(self) -> tuple[str, Json]:
        """A challenge, and what a browser is asked for to complete it by a passkey."""
        challenge = await self.first_factor()
        payload = await self.server.done("beginPasskeySecondFactor", challenge=challenge)
        return challenge, payload["options"]

    async def _sign_in(self) -> Json:
        return await self.server.done("signIn", email=self.email, password=PASSWORD_OF_ALL, deliver="BODY")


async def answer_alone(server: PublicServer, passkey: SoftwarePasskey, **how: Any) -> Json:
    """The input of `signInWithPasskey` by this passkey; `how` is what its authenticator does."""
    begun = await server.done("beginPasskeySignIn")
    response = get(begun["options"], passkey, origin=how.pop("origin", server.url), **how)
    return {"challenge": begun["challenge"], "response": response, "deliver": "BODY"}


def base32(shown: str) -> bytes:
    """The seed behind the text that is shown."""
    text = shown.replace(" ", "")
    return base64.b32decode(text + "=" * (-len(text) % 8))


def code_of(seed: bytes, steps: int = 0) -> str:
    """The code of a seed, so many steps of time from now."""
    return TOTP(seed, 6, SHA1(), STEP_SECONDS).generate(int(time.time()) + steps * STEP_SECONDS).decode()
