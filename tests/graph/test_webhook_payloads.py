"""What webhooks ask for is answered as their owner, with no more than they chose, and asks for nothing else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import orjson
import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook as Receiver

from app.alerts.models import Severity
from app.core.clock import utc_now
from app.core.database import Database
from app.core.errors import BadUserInput
from app.core.ids import new_id
from app.core.settings import Settings
from app.graph.execution import Engine
from app.graph.webhook_payloads import (
    CONNECTIONS,
    LARGEST_ANSWER_BYTES,
    WebhookPayloads,
    check_webhook_document,
    open_webhook_payloads,
)
from app.identity.scopes import Scope
from app.notifications.commands.trials import Destination, send_trial
from app.notifications.commands.webhooks import LONGEST_DOCUMENT
from app.notifications.models import ChannelKind, Delivery, Notification, Webhook
from app.notifications.retry_plans import pause_after
from app.notifications.sealed import new_webhook_secret
from app.notifications.senders.configured import senders_of
from app.notifications.senders.service import ServiceProcess
from app.notifications.senders.webhook import AnswerDocument, WebhookSender
from app.notifications.sending import DocumentNotAnswered, PayloadNotMade
from app.notifications.webhook_scopes import ALWAYS, scopes_of_webhook
from app.portfolios.models import Portfolio
from tests.graph.conftest import Graph
from tests.identity.builders import SECRETS, add_person
from tests.lock_waits import until_somebody_waits
from tests.notifications.outbox_builders import moved_back
from tests.notifications.sender_builders import add_webhook, client, listening, rows
from workers.deliveries import ChannelRunner
from workers.webhook_documents import WebhookDocuments

PORTFOLIOS = """
query Told($notificationId: ID!) { item(id: $notificationId) { id } viewer { portfolios { nodes { name } } } }
"""
WAITING = """
SELECT count(DISTINCT pid) FROM pg_locks
WHERE NOT granted AND relation = CAST('portfolios.portfolios' AS regclass)
"""
CHOSEN = ("account:read", "portfolios:read")


@pytest.mark.parametrize(
    "document",
    [
        "{ viewer { username } }",
        "query { __typename }",
        PORTFOLIOS,
        "query A($notificationId: ID!) { ...F } fragment F on Query { node(id: $notificationId) { id } }",
    ],
)
def test_one_query_about_the_notification_is_taken(document: str) -> None:
    assert check_webhook_document(document) == document


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("", "Syntax Error"),
        ("{ viewer {", "Syntax Error"),
        ("{ nothing }", "Cannot query field 'nothing'"),
        ("mutation { signOut { userErrors { message } } }", "is a query"),
        ("subscription { priceUpdates(slugs: []) { __typename } }", "is a query"),
        ("query A { __typename } query B { __typename }", "one query"),
        ("fragment F on Query { __typename }", "F"),
        ("query ($id: ID!) { node(id: $id) { id } }", "one variable"),
        ("query ($notificationId: ID) { __typename }", "notificationId"),
        ("query ($notificationId: String!) { node(id: $notificationId) { id } }", "notificationId"),
        ("query ($notificationId: ID!, $first: Int) { node(id: $notificationId) { id } }", "first"),
        ("query ($notificationId: ID!) { __typename }", "never used"),
        ("{ __schema { types { name } } }", "introspection"),
        ("{ " + " ".join(f"a{number}: __typename" for number in range(20)) + " }", "aliases"),
        ("{ viewer " + "{ a " * 20 + "}" * 20 + "}", "levels"),
        ("{ __typename }" + " " * LONGEST_DOCUMENT, "characters"),
    ],
)
def test_another_document_is_refused_with_what_is_wrong(document: str, why: str) -> None:
    with pytest.raises(BadUserInput, match=why) as refused:
        check_webhook_document(document)
    assert refused.value.argument == "document"


async def owner_of_a_portfolio(database: Database, name: str) -> UUID:
    """Somebody with one portfolio of this name."""
    async with database.transaction() as transaction:
        owner_id = await add_person(transaction.connection)
        await transaction.connection.execute(
            insert(Portfolio).values(id=new_id(), owner_id=owner_id, name=name, base_currency="EUR")
        )
    return owner_id


async def ask(payloads: AnswerDocument, owner_id: UUID, document: str, *chosen: str) -> bytes:
    """The answer to a document with the scopes that somebody chose."""
    return await payloads(
        document,
        owner_id=owner_id,
        webhook_id=new_id(),
        notification_id=new_id(),
        scopes=scopes_of_webhook(chosen),
    )


async def test_a_document_reads_what_is_its_owners_and_what_was_chosen(database: Database, graph: Graph) -> None:
    payloads = WebhookPayloads(graph.engine)
    owner_id = await owner_of_a_portfolio(database, "Mine")
    await owner_of_a_portfolio(database, "Theirs")
    document = "{ viewer { portfolios { nodes { name } } } }"
    answer = orjson.loads(await ask(payloads, owner_id, document, *CHOSEN))
    assert answer == {"data": {"viewer": {"portfolios": {"nodes": [{"name": "Mine"}]}}}}
    refused = orjson.loads(await ask(payloads, owner_id, document, "account:read"))
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["FORBIDDEN"]
    assert b"Mine" not in orjson.dumps(refused)


async def test_a_document_never_reads_more_than_webhooks_may(graph: Graph, database: Database) -> None:
    payloads = WebhookPayloads(graph.engine)
    async with database.transaction() as transaction:
        owner_id = await add_person(transaction.connection, permissions=[Scope.OPERATIONS_READ])
    answer = orjson.loads(await ask(payloads, owner_id, "{ jobs { nodes { name } } }", "operations:read"))
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


async def test_a_document_that_no_longer_fits_the_schema_is_given_up(graph: Graph) -> None:
    with pytest.raises(DocumentNotAnswered) as failed:
        await ask(WebhookPayloads(graph.engine), new_id(), "{ formerly }")
    assert failed.value.is_permanent


async def test_an_answer_that_is_too_large_is_not_sent(database: Database, graph: Graph) -> None:
    owner_id = await owner_of_a_portfolio(database, "M" * 100)
    names = " ".join(f"{'n' * 200}{number}: name" for number in range(15))
    async with database.transaction() as transaction:
        await transaction.connection.execute(
            insert(Portfolio),
            [
                {"id": new_id(), "owner_id": owner_id, "name": f"{number:0100}", "base_currency": "EUR"}
                for number in range(90)
            ],
        )
    document = f"{{ viewer {{ portfolios(first: 100) {{ nodes {{ {names} }} }} }} }}"
    assert LARGEST_ANSWER_BYTES < 91 * 15 * 300
    with pytest.raises(DocumentNotAnswered, match="ask for less") as failed:
        await ask(WebhookPayloads(graph.engine), owner_id, document, *CHOSEN)
    assert failed.value.is_permanent


@asynccontextmanager
async def portfolios_held(owner: AsyncEngine) -> AsyncIterator[None]:
    """Portfolios that nobody can read meanwhile, as if to read them were dear."""
    async with owner.begin() as connection:
        await connection.execute(text("LOCK TABLE portfolios.portfolios"))
        yield


async def test_a_document_that_takes_too_long_is_asked_three_times_at_most(
    database: Database, partner: None, owner: AsyncEngine, trove_settings: Settings
) -> None:
    owner_id = await owner_of_a_portfolio(database, "Mine")
    settings = trove_settings.model_copy(update={"operation_timeout_seconds": 0.5})
    async with open_webhook_payloads(settings) as payloads:
        async with portfolios_held(owner):
            with pytest.raises(DocumentNotAnswered, match=r"longer than 0\.5 seconds.*ask for less") as failed:
                await ask(payloads, owner_id, PORTFOLIOS, *CHOSEN)
        assert b"Mine" in await ask(payloads, owner_id, PORTFOLIOS, *CHOSEN)
    pauses = [
        pause_after(ChannelKind.WEBHOOK, failed.value, attempt=attempt, age=timedelta(0)) for attempt in (1, 2, 3)
    ]
    assert [pause is None for pause in pauses] == [False, False, True]


async def test_the_documents_of_one_owner_take_the_database_from_nobody_else(
    database: Database, graph: Graph, owner: AsyncEngine
) -> None:
    resources = graph.engine.resources
    settings = resources.settings.model_copy(update={"operation_timeout_seconds": 120})
    payloads = WebhookPayloads(Engine(replace(resources, settings=settings)))
    ada, bob = [await owner_of_a_portfolio(database, name) for name in ("Ada", "Bob")]
    async with portfolios_held(owner):
        dear = [asyncio.create_task(ask(payloads, ada, PORTFOLIOS, *CHOSEN)) for _ in range(2 * CONNECTIONS)]
        await until_somebody_waits(database)
        answer = orjson.loads(await ask(payloads, bob, "{ viewer { username } }", "account:read"))
        assert answer["data"]["viewer"] is not None
        async with database.transaction() as transaction:
            assert await transaction.connection.scalar(text(WAITING)) == 1
        for task in dear:
            task.cancel()
        await asyncio.gather(*dear, return_exceptions=True)


async def test_a_document_that_waited_too_long_for_others_is_not_to_blame(
    database: Database, graph: Graph, owner: AsyncEngine
) -> None:
    owner_id = await owner_of_a_portfolio(database, "Mine")
    payloads = WebhookPayloads(graph.engine, longest_wait_seconds=0.3)
    async with portfolios_held(owner):
        first = asyncio.create_task(ask(payloads, owner_id, PORTFOLIOS, *CHOSEN))
        await until_somebody_waits(database)
        with pytest.raises(PayloadNotMade, match="Other documents") as failed:
            await ask(payloads, owner_id, "{ viewer { username } }", "account:read")
    assert not failed.value.is_permanent
    assert b"Mine" in await first


@pytest.mark.parametrize("is_dear", [True, False], ids=["dear", "unknown"])
async def test_a_webhook_whose_document_is_never_answered_is_disabled_after_a_day(
    database: Database, partner: None, owner: AsyncEngine, trove_settings: Settings, is_dear: bool
) -> None:
    owner_id = await owner_of_a_portfolio(database, "Mine")
    settings = trove_settings.model_copy(update={"operation_timeout_seconds": 0.3})
    async with listening() as shop, client() as http, open_webhook_payloads(settings) as payloads:
        one = await add_webhook(
            database,
            shop.url(),
            owner_id=owner_id,
            document=PORTFOLIOS if is_dear else "{ formerly }",
            scopes=list(CHOSEN),
            failing_since=utc_now() - timedelta(days=1),
        )
        assert one.destination_id is not None
        async with database.transaction() as transaction:
            await send_trial(
                transaction,
                owner_id=owner_id,
                severity=Severity.INFO,
                now=utc_now(),
                destination=Destination(ChannelKind.WEBHOOK, one.destination_id),
            )
        async with portfolios_held(owner):
            runner = ChannelRunner(
                database,
                ChannelKind.WEBHOOK,
                WebhookSender(database, SECRETS, http, answer_document=payloads),
            )
            await runner.send_all()
            await moved_back(database, timedelta(hours=1))
            await runner.send_all()
        assert shop.taken == []
    (webhook,) = await rows(database, Webhook)
    assert not webhook.is_enabled
    (told,) = [row for row in await rows(database, Notification) if row.title == "The webhook My shop was disabled"]
    assert ("took longer than 0.3 seconds" if is_dear else "can no longer be asked") in str(told.body)
    (sent,) = await rows(database, Delivery)
    assert str(sent.last_error) in str(told.body)
    assert (sent.status, sent.attempts) == (("waiting", 2) if is_dear else ("failed", 1))


async def test_a_webhook_gets_the_signed_answer_to_its_document(
    database: Database, partner: None, trove_settings: Settings
) -> None:
    owner_id = await owner_of_a_portfolio(database, "Mine")
    secret = new_webhook_secret()
    documents, services = WebhookDocuments(trove_settings), ServiceProcess(trove_settings)
    async with listening() as shop, client() as http:
        one = await add_webhook(
            database, shop.url(), secret=secret, owner_id=owner_id, document=PORTFOLIOS, scopes=list(CHOSEN)
        )
        senders = senders_of(
            database,
            SECRETS,
            trove_settings,
            http=http,
            answer_document=documents,
            services=services,
        )
        assert set(senders) == {ChannelKind.WEB_PUSH, ChannelKind.WEBHOOK, ChannelKind.SERVICE}
        await senders[ChannelKind.WEBHOOK].send([one])
        (taken,) = shop.taken
    await documents.close()
    answer = Receiver(secret).verify(taken.body, dict(taken.headers))
    assert answer == {"data": {"item": None, "viewer": {"portfolios": {"nodes": [{"name": "Mine"}]}}}}


async def test_a_worker_without_the_apis_login_answers_no_documents_and_blames_no_webhook(
    trove_settings: Settings,
) -> None:
    settings = trove_settings.model_copy(
        update={"database_url": None, "worker_database_url": "postgresql://worker@host"}
    )
    async with open_webhook_payloads(settings) as answer_document:
        with pytest.raises(PayloadNotMade, match="TROVE_API_DATABASE_URL") as failed:
            await answer_document(
                PORTFOLIOS, owner_id=new_id(), webhook_id=new_id(), notification_id=new_id(), scopes=ALWAYS
            )
    assert not failed.value.is_permanent
