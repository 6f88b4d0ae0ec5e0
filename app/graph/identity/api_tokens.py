"""API tokens, made and ended by their owners: the text of each is shown once, in the answer to who made it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import strawberry

from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.identity.accounts import ApiToken
from app.graph.identity.errors import IdentityError, changes
from app.graph.reads.fields import Reference, refer
from app.graph.relay import key_of
from app.graph.user_errors import USER_ERRORS, Done
from app.identity.access import OWN_CREDENTIALS, OWN_SESSIONS
from app.identity.commands.api_tokens import (
    IssuedApiToken,
    create_api_token,
    no_such_token,
    revoke_api_token,
    rotate_api_token,
)
from app.identity.scopes import Scope


@strawberry.input(description="A token for a program.")
class CreateApiTokenInput:
    name: str = strawberry.field(description="What to know it by, in 80 characters at most.")
    scopes: list[Scope] = strawberry.field(description="What it is to allow; nothing that one may not do oneself.")
    expires_at: datetime | None = strawberry.field(
        default=None, description="When it ends by itself, within ten years; null for a token that does not."
    )
    allowed_addresses: list[str] = strawberry.field(
        default_factory=list,
        description="The addresses or networks (CIDR) it may be used from, 20 at most; none for anywhere.",
    )


@strawberry.input(description="The token to replace by another.")
class RotateApiTokenInput:
    id: strawberry.ID = strawberry.field(description="The token.")
    overlap: timedelta = strawberry.field(
        default=timedelta(0), description="How long the old one is still good for, 30 days at most."
    )


@strawberry.input(description="The token to end.")
class RevokeApiTokenInput:
    id: strawberry.ID = strawberry.field(description="The token.")


@dataclass(frozen=True, slots=True)
class Issued(Done):
    """The payload of a new token."""

    api_token: Reference
    text: str = field(repr=False)

    @classmethod
    def of(cls, issued: IssuedApiToken) -> "Issued":
        """The payload that shows the token, once."""
        return cls(refer(ApiToken, issued.id), issued.text)


@dataclass(frozen=True, slots=True)
class Revoked(Done):
    """The payload of a token that has ended."""

    api_token: Reference


@strawberry.type(description="The new token.")
class CreateApiTokenPayload:
    api_token: ApiToken | None = attribute("The token; null when refused.")
    text: str | None = attribute("What to send as `Authorization: Bearer …`. It is shown this once; keep it.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="The token that takes the place of the old one.")
class RotateApiTokenPayload:
    api_token: ApiToken | None = attribute("The new token; null when refused.")
    text: str | None = attribute("What to send as `Authorization: Bearer …`. It is shown this once; keep it.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="The token that has ended.")
class RevokeApiTokenPayload:
    api_token: ApiToken | None = attribute("The token; null when refused.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


def _token_id(id: str) -> UUID:
    key = key_of(id, PublicIdTag.API_TOKEN, argument="id")
    if not isinstance(key, UUID):
        raise no_such_token()
    return key


@strawberry.type
class ApiTokenMutations:
    @changes(
        "Make a token for a program. Its text is in the answer, and nowhere else afterwards.",
        type=CreateApiTokenPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def create_api_token(info: Info, input: CreateApiTokenInput) -> Issued:
        user_id = info.context.viewer.own_id
        async with info.context.authentication() as transaction:
            issued = await create_api_token(
                transaction,
                caller=info.context.caller,
                user_id=user_id,
                name=input.name,
                scopes=input.scopes,
                expires_at=input.expires_at,
                allowed_addresses=input.allowed_addresses,
            )
        return Issued.of(issued)

    @changes(
        "Replace a token by one that allows the same, and holds as long from now on as it did.",
        type=RotateApiTokenPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def rotate_api_token(info: Info, input: RotateApiTokenInput) -> Issued:
        user_id, token_id = info.context.viewer.own_id, _token_id(input.id)
        async with info.context.authentication() as transaction:
            issued = await rotate_api_token(
                transaction, token_id, caller=info.context.caller, user_id=user_id, overlap=input.overlap
            )
        return Issued.of(issued)

    @changes("End a token at once.", type=RevokeApiTokenPayload, access=OWN_SESSIONS)
    @staticmethod
    async def revoke_api_token(info: Info, input: RevokeApiTokenInput) -> Revoked:
        user_id, token_id = info.context.viewer.own_id, _token_id(input.id)
        async with info.context.authentication() as transaction:
            await revoke_api_token(transaction, token_id, caller=info.context.caller, user_id=user_id)
        return Revoked(refer(ApiToken, token_id))
