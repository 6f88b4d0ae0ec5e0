"""Calls to outside services by HTTP: bounded in time and in size, encrypted, and without telling tales when they fail."""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import version
from typing import Any

import httpx
import orjson

CONNECT_SECONDS = 5.0
TOTAL_SECONDS = 10.0
LARGEST_ANSWER_BYTES = 1024 * 1024
USER_AGENT = f"Trove/{version('trove')}"


class OutsideFailure(StrEnum):
    """What went wrong."""

    UNREACHABLE = "cannot be reached"
    TIMED_OUT = "did not answer in time"
    REFUSED = "answered with a status that is no success"
    TOO_LARGE = "answered with more than is read"
    NOT_JSON = "answered with something that is not JSON"
    NOT_HTTP = "did not answer by HTTP, or not as it should"


class OutsideServiceFailed(Exception):
    """An outside service did not do what it was asked for; the message has its host and nothing else of the request.

    `status` is that of the answer, if there was one; `answer` is the answer, where one was read to its end.
    """

    def __init__(
        self, failure: OutsideFailure, *, host: str, status: int | None = None, answer: "OutsideAnswer | None" = None
    ) -> None:
        super().__init__(f"{host} {failure.value}{'' if status is None else f' ({status})'}.")
        self.failure = failure
        self.host = host
        self.status = status
        self.answer = answer


@dataclass(frozen=True, slots=True)
class OutsideAnswer:
    """What an outside service answered."""

    host: str
    status: int
    headers: httpx.Headers = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The content as UTF-8; what is none is replaced."""
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """The content read as JSON; raises OutsideServiceFailed when it is none."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            raise OutsideServiceFailed(
                OutsideFailure.NOT_JSON, host=self.host, status=self.status, answer=self
            ) from None
