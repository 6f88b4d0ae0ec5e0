"""The process in which Apprise tells services: one of its own for each message, which ends in time whatever happens.

Apprise waits for every byte of an answer and keeps all of them, and no thread can be ended from outside. So a process
that has loaded Apprise forks for each message: the kernel ends that one after its seconds, and gives it no more memory
than its own. What is said to it comes by its standard input, a line of JSON each; what it says goes the same way back.
"""

import os
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

import orjson
from apprise import Apprise, NotifyFormat, NotifyType

from app.core.errors import BadUserInput
from app.notifications.service_addresses import service_of

# Some 50 are what Apprise itself takes.
MOST_MEMORY_BYTES = 160 * 1024 * 1024
READY = b"ready\n"


class Outcome(StrEnum):
    """What became of a message: `late` where nothing was heard of it in its time."""

    TAKEN = "taken"
    REFUSED = "refused"
    NOT_ALLOWED = "not_allowed"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Lists:
    """What operators allow, as far as addresses of services depend on it."""

    notification_services: tuple[str, ...]
    notification_hosts: tuple[str, ...]


def main() -> None:
    """Load Apprise, say that it is ready, and tell what is asked for until nobody can ask any more."""
    # What plugins print is no answer.
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    lists = Lists(*(tuple(part) for part in orjson.loads(sys.stdin.buffer.readline())))
    with suppress(BadUserInput):
        # It reads all that it knows with the first address.
        service_of("ntfys://warm-up", Lists(("ntfys",), ()))
    # Those that have ended are waited for by nobody.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.write(answers, READY)
    while line := sys.stdin.buffer.readline():
        if os.fork() == 0:
            _answer(orjson.loads(line), lists, answers)


def _answer(asked: Mapping[str, Any], lists: Lists, answers: int) -> NoReturn:
    """Tell a service in this process, say whether it took it, and end."""
    outcome = Outcome.REFUSED
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, asked["seconds"])
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
        outcome = _outcome(asked, lists)
    except BaseException:  # noqa: BLE001  # a hundred plugins; what they say may hold the address
        outcome = Outcome.REFUSED
    finally:
        # In one piece: several processes answer here. And nothing of what was loaded is to be cleaned up twice.
        with suppress(BaseException):
            os.write(answers, orjson.dumps({"id": asked["id"], "outcome": outcome}) + b"\n")
        os._exit(0)


def _outcome(asked: Mapping[str, Any], lists: Lists) -> Outcome:
    try:
        service = service_of(asked["address"], lists)
    except BadUserInput:
        return Outcome.NOT_ALLOWED
    told = Apprise(asset=service.asset)
    told.add(service)
    was_taken = told.notify(
        title=asked["title"],
        body=asked["body"],
        notify_type=NotifyType(asked["type"]),
        body_format=NotifyFormat.TEXT,
    )
    return Outcome.TAKEN if was_taken else Outcome.REFUSED


if __name__ == "__main__":
    main()
