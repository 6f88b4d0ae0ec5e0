"""Asks a provider: at the pace it allows, once for all who want to know the same, and again where that may help."""

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from time import monotonic
from typing import Any, TypeVar
from uuid import UUID
from weakref import WeakValueDictionary

import httpx
import structlog

from app.core.clock import utc_now
from app.core.database import Database
from app.core.outbound import OutsideFailure, OutsideServiceFailed, client_options, host_of, json_of
from app.core.retrying import ONCE, Retries, is_idempotent, retry_after_of, retrying
from app.providers.commands.ledger import LONGEST_CALL, Booked, CallOutcome, book_call, finish_call
from app.providers.commands.lookups import KeptAnswer, keep_answer, keep_answer_longer, kept_answer
from app.providers.errors import ProviderBusy
from app.providers.rate_limit_headers import rate_limits_of

logger = structlog.get_logger(__name__)

Read = TypeVar("Read")

# Lists of prices have some megabytes.
LARGEST_ANSWER_BYTES = 64 * 1024 * 1024
TOTAL_SECONDS = 30.0
PATIENCE_SECONDS = 60.0
# While calls are under way nobody knows when the first of them ends, so it is looked for.
FIRST_LOOK_SECONDS = 0.02
LONGEST_LOOK_SECONDS = 1.0
NOT_MODIFIED = 304


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask a provider for.

    `endpoint` is our word for it, which stands in the ledger. `path` is appended to the provider's address. With
    `kept_for` an answer is good for so long, whoever asks; so it must be the same for everybody. A POST that only asks
    `is_idempotent`, as GraphQL is.
    """

    endpoint: str
    path: str
    method: str = "GET"
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: Any = field(default=None, repr=False)
    is_idempotent: bool | None = None
    kept_for: timedelta | None = None
    user_id: UUID | None = None
    credential_id: UUID | None = None

    def __post_init__(self) -> None:
        if not self.path.startswith("/"):
            raise ValueError("the path of a question begins with /, or it could lead to another host")
        if self.kept_for is not None and (self.user_id is not None or self.credential_id is not None):
            raise ValueError("what is asked for a person is not kept, or others would be shown it")

    @property
    def may_be_repeated(self) -> bool:
        """Whether asking twice does no more than asking once."""
        return is_idempotent(self.method) if self.is_idempotent is None else self.is_idempotent

    @property
    def key(self) -> str:
        """What its answer is kept under."""
        asked = json.dumps([self.method, self.path, sorted(self.params.items()), self.body], sort_keys=True)
        return f"{self.endpoint} {hashlib.sha256(asked.encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class _Turn:
    """A call that is booked, and an answer from before that its answer may say to hold still."""

    booked: Booked
    kept: KeptAnswer | None


def provider_http() -> httpx.AsyncClient:
    """The HTTP client of all providers in a process; whoever makes it closes it."""
    return httpx.AsyncClient(
        **client_options(total_seconds=TOTAL_SECONDS, largest_answer_bytes=LARGEST_ANSWER_BYTES, reads_compressed=True)
    )


class ProviderClient:
    """Asks one provider, over the ledger that all processes share.

    `http` ends every call within a minute; `provider_http` gives one that does. `patience_seconds` is how long a
    question waits for its turn, all tries together. The database's role is the worker's, which alone may book.
    """

    def __init__(
        self,
        database: Database,
        code: str,
        http: httpx.AsyncClient,
        *,
        retries: Retries | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        total = http.timeout.read
        if total is None or total > LONGEST_CALL.total_seconds() / 2:
            raise ValueError("a call that may take longer than the ledger counts it would break the pace of all")
        self._database = database
        self._code = code
        self._http = http
        self._retries = retries or Retries()
        self._patience_seconds = patience_seconds
        # One of this process waits at the ledger at a time, and they come in the order in which they asked.
        self._turn = asyncio.Lock()
        # Of those who want to know the same, one asks; the others find its answer kept. Gone when nobody asks.
        self._same: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def ask_json(self, question: Question) -> Any:
        """The JSON that answers a question.

        Raises OutsideServiceFailed where the provider fails or answers nonsense, ProviderBusy where it may not be asked
        in time, ProviderUnknown and ProviderDisabled.
        """
        return await self._ask(question, json_of)

    async def ask_exact_json(self, question: Question) -> Any:
        """As `ask_json`, with every number as the decimal that it is spelled as."""
        return await self._ask(question, _exact_json_of)

    async def ask(self, question: Question) -> bytes:
        """The bytes that answer a question; raises as `ask_json` does, but takes any answer that is not empty."""
        return await self._ask(question, _some_bytes)

    async def _ask(self, question: Question, read: Callable[[httpx.Response], Read]) -> Read:
        kept = await self._kept(question)
        if kept is not None and kept.is_fresh:
            return read(_response_of(kept, self._code))
        until = monotonic() + self._patience_seconds
        retries = self._retries if question.may_be_repeated else ONCE
        return await retrying(lambda: self._try(question, read, until), retries)

    async def _try(self, question: Question, read: Callable[[httpx.Response], Read], until: float) -> Read:
        async with self._alone_with(question, until):
            turn = await self._wait_for_turn(question, until)
            if isinstance(turn, KeptAnswer):
                return read(_response_of(turn, self._code))
            return await self._call(turn, question, read)

    async def _call(self, turn: _Turn, question: Question, read: Callable[[httpx.Response], Read]) -> Read:
        booked, kept = turn.booked, turn.kept
        try:
            answer = await self._send(booked, question, kept)
            if answer.status_code == NOT_MODIFIED and kept is not None:
                found, is_new = read(_response_of(kept, self._code)), False
            else:
                found, is_new = _read_success(answer, read), True
        except OutsideServiceFailed as failure:
            # Cancelled, nothing is written down: the call may have been made, and so it counts.
            await self._finish(booked, _outcome_of(failure.answer, failure))
            raise
        # Kept first: who waits until the call has ended looks for its answer then.
        await self._keep(question, answer if is_new else None)
        await self._finish(booked, _outcome_of(answer))
        return found

    @asynccontextmanager
    async def _alone_with(self, question: Question, until: float) -> AsyncIterator[None]:
        """Nobody else of this process asks the same meanwhile, where the answer is kept."""
        if question.kept_for is None:
            yield
            return
        same = self._same.setdefault(question.key, asyncio.Lock())
        try:
            async with asyncio.timeout(until - monotonic()):
                await same.acquire()
        except TimeoutError:
            raise ProviderBusy(self._code, retry_after_seconds=1) from None
        try:
            yield
        finally:
            same.release()

    async def _wait_for_turn(self, question: Question, until: float) -> _Turn | KeptAnswer:
        """A booked call, or the fresh answer that somebody else has got meanwhile."""
        look_seconds = FIRST_LOOK_SECONDS
        async with self._turn:
            while True:
                kept = await self._kept(question)
                if kept is not None and kept.is_fresh:
                    return kept
                async with self._database.transaction() as transaction:
                    booked = await book_call(
                        transaction,
                        self._code,
                        endpoint=question.endpoint,
                        user_id=question.user_id,
                        credential_id=question.credential_id,
                    )
                if isinstance(booked, Booked):
                    return _Turn(booked, kept)
                left = until - monotonic()
                if left <= 0 or (booked.seconds > left and not booked.may_be_sooner):
                    # The call that made the window full may have been for the same, and have ended since the look.
                    kept = await self._kept(question)
                    if kept is not None and kept.is_fresh:
                        return kept
                    raise ProviderBusy(self._code, retry_after_seconds=max(1, round(booked.seconds)))
                wait = min(booked.seconds, look_seconds) if booked.may_be_sooner else booked.seconds
                # Not at one moment with the other processes.
                await asyncio.sleep(wait + random.random() * FIRST_LOOK_SECONDS)  # noqa: S311  # no secret
                look_seconds = min(look_seconds * 2, LONGEST_LOOK_SECONDS)

    async def _send(self, booked: Booked, question: Question, kept: KeptAnswer | None) -> httpx.Response:
        headers = {"Accept": "application/json", **question.headers}
        if kept is not None and kept.etag is not None:
            headers["If-None-Match"] = kept.etag
        return await self._http.request(
            question.method,
            booked.base_url.rstrip("/") + question.path,
            params=dict(question.params) or None,
            headers=headers,
            json=question.body,
        )

    async def _finish(self, booked: Booked, outcome: CallOutcome) -> None:
        if outcome.error is not None:
            logger.warning("provider_call_failed", provider=self._code, status=outcome.status, reason=outcome.error)
        async with self._database.transaction() as transaction:
            await finish_call(transaction, booked, outcome)

    async def _kept(self, question: Question) -> KeptAnswer | None:
        if question.kept_for is None:
            return None
        async with self._database.transaction() as transaction:
            return await kept_answer(transaction, self._code, question.key)

    async def _keep(self, question: Question, answer: httpx.Response | None) -> None:
        """Keep an answer, or where there is none the one from before."""
        if question.kept_for is None:
            return
        async with self._database.transaction() as transaction:
            if answer is None:
                await keep_answer_longer(transaction, self._code, question.key, kept_for=question.kept_for)
            else:
                await keep_answer(
                    transaction,
                    self._code,
                    question.key,
                    answer.content,
                    etag=answer.headers.get("ETag"),
                    kept_for=question.kept_for,
                )


def _read_success(answer: httpx.Response, read: Callable[[httpx.Response], Read]) -> Read:
    if not answer.is_success:
        raise OutsideServiceFailed(OutsideFailure.REFUSED, host=host_of(answer.request), answer=answer)
    return read(answer)


def _some_bytes(answer: httpx.Response) -> bytes:
    if not answer.content:
        raise OutsideServiceFailed(OutsideFailure.EMPTY, host=host_of(answer.request), answer=answer)
    return answer.content


def _exact_json_of(answer: httpx.Response) -> Any:
    try:
        return json.loads(answer.content, parse_float=_decimal, parse_int=_decimal, parse_constant=_no_number)
    except (ValueError, RecursionError):
        failure = OutsideServiceFailed(OutsideFailure.NOT_JSON, host=host_of(answer.request), answer=answer)
    raise failure


def _decimal(spelled: str) -> Decimal:
    try:
        return Decimal(spelled)
    except InvalidOperation as error:
        raise ValueError from error


def _no_number(spelled: str) -> Decimal:
    # Python would read NaN and Infinity, which are no JSON.
    raise ValueError(spelled)


def _response_of(kept: KeptAnswer, code: str) -> httpx.Response:
    """The answer as it came, so that it is read as a new one is."""
    return httpx.Response(200, content=kept.content, request=httpx.Request("GET", f"https://{code}.invalid/"))


def _outcome_of(answer: httpx.Response | None, failure: OutsideServiceFailed | None = None) -> CallOutcome:
    """What to write down; the words of a failure are ours, and hold nothing of the request."""
    error = None if failure is None else failure.failure.value
    if answer is None:
        return CallOutcome(error=error)
    now = utc_now()
    return CallOutcome(
        status=answer.status_code,
        error=error,
        retry_after_seconds=retry_after_of(answer.headers, now=now),
        limits=rate_limits_of(answer.headers, now=now),
    )
