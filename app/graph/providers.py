"""Outside services: their limits for everybody, people's own keys for them, and for staff the calls that were made."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

import strawberry

from app.core.ids import PublicIdTag
from app.graph.access import Privacy, private
from app.graph.context import Info
from app.graph.fields import attribute, show_enum
from app.graph.reads.arguments import Orders, equals
from app.graph.reads.fields import Reference, column, connection, edge, refer, shows
from app.graph.relay import Connection, Node, key_of
from app.graph.scalars import URL
from app.graph.user_errors import CODE, REFUSAL, USER_ERRORS, Done, Mutations, UserError
from app.identity.access import ANYBODY, OWN_SESSIONS, needs
from app.identity.scopes import Scope
from app.providers import models
from app.providers.commands.credentials import add_credential, no_such_credential, remove_credential
from app.providers.errors import ProviderErrorCode, ProviderRefused
from app.providers.models import AuthMethod
from app.providers.queries import BLOCKED_UNTIL, IS_BLOCKED

OWNER_ALONE = Privacy("its owner alone")
CALLS_READ = Privacy(f"whom the call was made for, and staff with `{Scope.PROVIDERS_READ}`")

show_enum(
    AuthMethod,
    "What a provider wants to see of who asks.",
    {
        AuthMethod.NONE: "Nothing.",
        AuthMethod.QUERY_KEY: "A key in the address.",
        AuthMethod.HEADER_KEY: "A key in a header.",
        AuthMethod.BASIC: "A name and a secret.",
    },
    name="ProviderAuthMethod",
)
show_enum(
    ProviderErrorCode,
    "Why something about a credential was refused.",
    {
        ProviderErrorCode.INVALID_INPUT: "A value is outside of what is allowed.",
        ProviderErrorCode.NOT_FOUND: "There is no such provider, or no such credential among one's own.",
        ProviderErrorCode.TOO_MANY: "There are as many as there may be.",
    },
)


class ProviderOrder(Enum):
    """What providers are ordered by."""

    CODE = "code"


class CallOrder(Enum):
    """What calls are ordered by."""

    STARTED_AT = "started_at"


PROVIDER_ORDERS = Orders("providers", {ProviderOrder.CODE: models.Provider.code}, tie=models.Provider.code)
CALL_ORDERS = Orders(
    "provider-usage",
    {CallOrder.STARTED_AT: models.ProviderCall.started_at},
    tie=models.ProviderCall.id,
    newest_first=True,
)


@strawberry.type(description="An outside service that Trove asks, and the pace at which it does.")
@shows(models.Provider, key=models.Provider.code)
class Provider:
    code: str = column(models.Provider.code, "Its short name, unique.")
    name: str = column(models.Provider.name, "Its name.")
    docs_url: URL | None = column(models.Provider.docs_url, "Where it documents its interface.")
    auth_method: AuthMethod = column(models.Provider.auth_method, "What it wants to see of who asks.")
    window_seconds: int = column(models.Provider.window_seconds, "The length of the window that its limit is for.")
    count: int = column(models.Provider.request_count, "How many calls it is asked for in any window at most.")
    learned_window_seconds: int | None = column(
        models.Provider.learned_window_seconds, "The window of the limit that its own answers tell, which holds, too."
    )
    learned_count: int | None = column(
        models.Provider.learned_count, "How many calls its own answers allow in that window; null where they say none."
    )
    is_enabled: bool = column(models.Provider.is_enabled, "Whether it is asked at all.")
    is_blocked: bool = column(IS_BLOCKED, "Whether it is left alone for now, because it refused or has had enough.")
    blocked_until: datetime | None = column(BLOCKED_UNTIL, "Until when it is left alone; null where it is not.")


@strawberry.type(description="A key of one's own for an outside service. The key itself is never shown.")
@private(OWNER_ALONE)
@shows(models.ProviderCredential, PublicIdTag.PROVIDER_CREDENTIAL)
class ProviderCredential(Node):
    provider: Provider | None = edge(
        "The service that it is for.", on=models.ProviderCredential.provider, to=models.Provider.code
    )
    label: str = column(models.ProviderCredential.label, "What its owner calls it.")
    masked_secret: str = column(
        models.ProviderCredential.shown_as, "How the key ends, four characters at most, to recognise it by."
    )
    created_at: datetime = column(models.ProviderCredential.created_at, "When it was added.")
    last_used_at: datetime | None = column(models.ProviderCredential.last_used_at, "When it was last used.")


@strawberry.type(description="One call to an outside service.")
@private(CALLS_READ)
@shows(models.ProviderCall, key=models.ProviderCall.id)
class ProviderCall:
    provider: Provider | None = edge(
        "The service that was asked.", on=models.ProviderCall.provider, to=models.Provider.code
    )
    endpoint: str = column(models.ProviderCall.endpoint, "What it was asked for, in a word of ours.")
    started_at: datetime = column(models.ProviderCall.started_at, "When the call was booked.")
    duration_milliseconds: int | None = column(
        models.ProviderCall.duration_ms, "How long it took; null while it is under way, or where its process died."
    )
    status: int | None = column(models.ProviderCall.status, "The HTTP status of the answer; null where there was none.")
    error: str | None = column(models.ProviderCall.error, "What went wrong; null where nothing did.")


@strawberry.type
class ProviderQueries:
    providers: Connection[Provider] | None = connection(
        "The outside services that Trove asks, by their codes.", orders=PROVIDER_ORDERS, access=ANYBODY
    )
    provider_usage: Connection[ProviderCall] | None = connection(
        "The calls to outside services of the last 30 days, the newest first; of one service if given.",
        orders=CALL_ORDERS,
        arguments=[equals("provider", str | None, models.ProviderCall.provider)],
        access=needs(Scope.PROVIDERS_READ),
    )


@strawberry.type(description=REFUSAL)
class ProviderError(UserError):
    code: ProviderErrorCode = attribute(CODE)


@strawberry.input(description="A key for an outside service.")
class AddProviderCredentialInput:
    provider: str = strawberry.field(description="The code of the service; `providers` lists them.")
    label: str = strawberry.field(description="What to know it by, in 80 characters at most.")
    secret: str = strawberry.field(description="The key. It is kept encrypted, and nobody can read it back.")


@strawberry.input(description="The credential to forget.")
class RemoveProviderCredentialInput:
    id: strawberry.ID = strawberry.field(description="The credential.")


@strawberry.type(description="The credential that was added.")
class AddProviderCredentialPayload:
    provider_credential: ProviderCredential | None = attribute("The credential; null when refused.")
    user_errors: list[ProviderError] = attribute(USER_ERRORS)


@strawberry.type(description="The credential that was forgotten.")
class RemoveProviderCredentialPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[ProviderError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class Added(Done):
    """The payload of a credential that was added."""

    provider_credential: Reference


@dataclass(frozen=True, slots=True)
class Removed(Done):
    """The payload of a credential that was forgotten."""

    deleted_id: str


_changes = Mutations(ProviderRefused, ProviderError)


@strawberry.type
class ProviderMutations:
    @_changes(
        "Give Trove a key of one's own for an outside service; 20 at most.",
        type=AddProviderCredentialPayload,
        access=OWN_SESSIONS,
    )
    @staticmethod
    async def add_provider_credential(info: Info, input: AddProviderCredentialInput) -> Added:
        async with info.context.transaction() as transaction:
            credential_id = await add_credential(
                transaction,
                info.context.resources.identity.secrets,
                caller=info.context.caller,
                provider=input.provider,
                label=input.label,
                secret=input.secret,
            )
        return Added(refer(ProviderCredential, credential_id))

    @_changes("Have Trove forget a key.", type=RemoveProviderCredentialPayload, access=OWN_SESSIONS)
    @staticmethod
    async def remove_provider_credential(info: Info, input: RemoveProviderCredentialInput) -> Removed:
        credential_id = key_of(input.id, PublicIdTag.PROVIDER_CREDENTIAL, argument="id")
        if not isinstance(credential_id, UUID):
            raise no_such_credential()
        async with info.context.transaction() as transaction:
            await remove_credential(transaction, credential_id, caller=info.context.caller)
        return Removed(input.id)
