"""The documents of webhooks: what somebody may ask to be sent, and the answers, asked as the webhook's owner."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NoReturn
from uuid import UUID
from weakref import WeakValueDictionary

import orjson
import structlog
from graphql import DocumentNode, NonNullTypeNode, OperationDefinitionNode, OperationType, VariableDefinitionNode

from app.core.database import Database, DatabaseRole, create_engine
from app.core.errors import BadUserInput, ErrorCode
from app.core.events import EventBus
from app.core.ids import PublicIdTag, public_id
from app.core.jobs import JobQueue, connect_redis
from app.core.settings import Settings
from app.graph.context import Resources
from app.graph.documents import CheckedDocuments
from app.graph.execution import Engine, Request, RequestRefused, Response
from app.graph.feeds import Feeds
from app.identity.scopes import Scope
from app.identity.services import identity_services
from app.identity.viewer import Caller, Viewer
from app.notifications.commands.webhooks import LONGEST_DOCUMENT
from app.notifications.senders.webhook import AnswerDocument
from app.notifications.sending import DocumentNotAnswered, PayloadNotMade

logger = structlog.get_logger(__name__)

LARGEST_ANSWER_BYTES = 256 * 1024
VARIABLE = "notificationId"
CONNECTIONS = 4
# Of one document, unless the API gives less; and of the wait for those that were asked before.
LONGEST_ANSWER_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 45.0
# What takes too long may have met a busy moment; hardly again and again.
ATTEMPTS_AT_WHAT_TAKES_TOO_LONG = 3

# Its own, so that what webhooks ask for drives nothing out of the API's memory.
_documents = CheckedDocuments()


def check_webhook_document(text: str) -> str:
    """The document of a webhook, if it is one query that can be asked with the variable `$notificationId: ID!` alone.

    The schema and the limits are those of the API; introspection is left out. Raises BadUserInput with what is wrong.
    """
    if len(text) > LONGEST_DOCUMENT:
        _refuse(f"The document has {len(text):,} characters, and may have {LONGEST_DOCUMENT:,}.")
    checked = _documents.check(text, False)
    if checked.document is None:
        _refuse(" ".join(str(error["message"]) for error in checked.errors[:3]))
    definition = _only_operation(checked.document)
    if definition.operation is not OperationType.QUERY:
        _refuse("The document of a webhook is a query; it changes nothing, and follows nothing.")
    if not all(_is_the_variable(variable) for variable in definition.variable_definitions or ()):
        _refuse(f"The document may have one variable, `${VARIABLE}: ID!`; write other values into it.")
    return text


def _only_operation(document: DocumentNode) -> OperationDefinitionNode:
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if len(operations) != 1:
        _refuse("The document of a webhook has one query, so that it is clear which one is asked.")
    return operations[0]


def _is_the_variable(definition: VariableDefinitionNode) -> bool:
    wanted = definition.type
    is_id = isinstance(wanted, NonNullTypeNode) and getattr(getattr(wanted.type, "name", None), "value", None) == "ID"
    return definition.variable.name.value == VARIABLE and is_id


def _refuse(message: str) -> NoReturn:
    raise BadUserInput(message, argument="document")


class WebhookPayloads:
    """Answers documents over the API's role in the database, so that it sees what the owner sees and nothing else.

    One at a time for each owner, and four in all: what is dear takes the database from nobody else.
    """

    def __init__(self, engine: Engine, *, longest_wait_seconds: float = LONGEST_WAIT_SECONDS) -> None:
        self._engine = engine
        self._longest_wait_seconds = longest_wait_seconds
        self._places = asyncio.Semaphore(CONNECTIONS)
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    async def __call__(
        self, document: str, *, owner_id: UUID, webhook_id: UUID, notification_id: UUID, scopes: frozenset[Scope]
    ) -> bytes:
        """The JSON that a client would get: `data`, and `errors` where there are some. Raises NotDelivered."""
        notification = public_id(PublicIdTag.NOTIFICATION, notification_id)
        try:
            check_webhook_document(document)
            operation = self._engine.prepare(Request(document, {VARIABLE: notification}))
        except (BadUserInput, RequestRefused) as refused:
            # The schema, or a limit, has changed since it was taken.
            raise DocumentNotAnswered(f"The document can no longer be asked: {refused}", is_permanent=True) from None
        viewer = Viewer(user_id=owner_id, credential_id=webhook_id, scopes=scopes)
        try:
            async with self._turn_of(owner_id):
                response = await self._engine.run(operation, Caller(viewer))
        except PayloadNotMade:
            raise
        except Exception:
            logger.exception("webhook_document_not_answered", webhook=str(webhook_id))
            raise PayloadNotMade("The document could not be answered, by a mistake of ours.") from None
        _refuse_what_says_nothing(response)
        answer = orjson.dumps({part: response[part] for part in ("data", "errors") if part in response})
        if len(answer) > LARGEST_ANSWER_BYTES:
            raise DocumentNotAnswered(
                f"The answer has more than {LARGEST_ANSWER_BYTES // 1024} KiB; ask for less.", is_permanent=True
            )
        return answer

    @asynccontextmanager
    async def _turn_of(self, owner_id: UUID) -> AsyncIterator[None]:
        """Wait for the owner's other documents and for a place; it is not this document's time that passes."""
        turn = self._turns.setdefault(owner_id, asyncio.Lock())
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._longest_wait_seconds):
                    await held.enter_async_context(turn)
                    await held.enter_async_context(self._places)
            except TimeoutError:
                raise PayloadNotMade("Other documents took so long that this one was not asked.") from None
            yield


def _refuse_what_says_nothing(response: Response) -> None:
    """Raise NotDelivered for an answer that says nothing of what was asked for."""
    errors: list[Mapping[str, Any]] = response.get("errors", [])
    messages = {str(error["extensions"]["code"]): str(error["message"]) for error in errors}
    if ErrorCode.SERVICE_UNAVAILABLE in messages:
        raise PayloadNotMade("The document could not be answered.")
    if ErrorCode.TIMEOUT in messages:
        raise DocumentNotAnswered(
            f"The document was not answered: {messages[ErrorCode.TIMEOUT]}",
            most_attempts=ATTEMPTS_AT_WHAT_TAKES_TOO_LONG,
        )
    if "data" not in response and ErrorCode.QUERY_TOO_COMPLEX in messages:
        message = messages[ErrorCode.QUERY_TOO_COMPLEX]
        raise DocumentNotAnswered(f"The document was not answered: {message}", is_permanent=True)


@asynccontextmanager
async def open_webhook_payloads(settings: Settings) -> AsyncIterator[AnswerDocument]:
    """What answers documents in a worker, with a few connections as the API's role.

    Where the settings give none, no document is answered until they do; other webhooks are told all the same.
    """
    url = settings.api_database_url or settings.database_url
    if url is None or settings.redis_url is None:
        logger.warning("webhook_documents_not_answered", missing="TROVE_API_DATABASE_URL")
        yield _without_database
        return
    redis = connect_redis(settings.redis_url)
    seconds = min(settings.operation_timeout_seconds, LONGEST_ANSWER_SECONDS)
    settings = settings.model_copy(update={"operation_timeout_seconds": seconds})
    engine = create_engine(url, role=DatabaseRole.API, pool_size=CONNECTIONS, application_name="trove-worker-payloads")
    events = EventBus(redis)
    database = Database(engine, jobs=JobQueue(redis), events=events)
    identity = identity_services(settings, database, events)
    try:
        # Nobody signs in or follows anything here: neither identity nor the feeds are started.
        yield WebhookPayloads(Engine(Resources(database, settings, Feeds(database, events), identity)))
    finally:
        await identity.stop()
        await database.close()
        await redis.aclose()


async def _without_database(
    document: str, *, owner_id: UUID, webhook_id: UUID, notification_id: UUID, scopes: frozenset[Scope]
) -> bytes:
    raise PayloadNotMade("This server cannot answer documents: its operator gives the worker TROVE_API_DATABASE_URL.")
