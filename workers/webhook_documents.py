"""Answers the documents of webhooks by the graph, which is loaded with the first of them."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from importlib import import_module
from uuid import UUID

from app.core.settings import Settings
from app.identity.scopes import Scope
from app.notifications.senders.webhook import AnswerDocument

Opens = Callable[[Settings], AbstractAsyncContextManager[AnswerDocument]]


class WebhookDocuments:
    """Answers documents as `app.graph.webhook_payloads` does.

    To load the graph takes seconds and some 70 MB, and most workers never need it.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open = AsyncExitStack()
        self._answer_document: AnswerDocument | None = None
        self._opening = asyncio.Lock()

    async def __call__(
        self, document: str, *, owner_id: UUID, webhook_id: UUID, notification_id: UUID, scopes: frozenset[Scope]
    ) -> bytes:
        """The JSON of the answer, with its errors; raises NotDelivered."""
        answer_document = await self._opened()
        return await answer_document(
            document, owner_id=owner_id, webhook_id=webhook_id, notification_id=notification_id, scopes=scopes
        )

    async def close(self) -> None:
        """Let go of what was opened."""
        await self._open.aclose()

    async def _opened(self) -> AnswerDocument:
        async with self._opening:
            if self._answer_document is None:
                module = await asyncio.to_thread(import_module, "app.graph.webhook_payloads")
                opens: Opens = module.open_webhook_payloads
                self._answer_document = await self._open.enter_async_context(opens(self._settings))
        return self._answer_document
