"""Passwords: how they are hashed and checked, and which are too easy to guess.

By NIST SP 800-63B (revision 4) a password is any Unicode text, normalised to NFC so that two keyboards that compose a
letter differently type the same; every code point counts as one character, nothing is cut off or trimmed, and no kinds
of characters are asked for. What a password must be is hard to guess.
"""

import asyncio
import os
import re
import threading
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import HashingError, VerificationError, VerifyMismatchError
from zxcvbn import zxcvbn

from app.core.errors import BadUserInput, ServiceUnavailable
from app.identity.breached_passwords import BreachedPasswords, BreachedPasswordsUnavailable

SHORTEST_PASSWORD = 8
# In characters; in UTF-8 no password has more than four times as many bytes.
LONGEST_PASSWORD = 256
# Composing shortens a text at most to a third; what is longer than this need not be composed to be too long.
LONGEST_UNCOMPOSED = 4 * LONGEST_PASSWORD
MEMORY_KIB = 19_456
PASSES = 2
LANES = 1
# zxcvbn's scale goes from 0 to 4; 3 withstands whoever has stolen the hashes for a while.
LEAST_SCORE = 3
# Its work grows with more than the square of the length; more characters only make a password harder to guess.
SCORED_CHARACTERS = 32
OWN_WORDS = 32
LONGEST_OWN_WORD = 64
SHORTEST_OWN_WORD = 3
WAITING_AT_MOST = 32

T = TypeVar("T")
logger = structlog.get_logger(__name__)

_NOT_TEXT = re.compile("[\ud800-\udfff]")
_BETWEEN_WORDS = re.compile(r"[\W_]+")
# zxcvbn keeps the words of whoever asks in a dictionary that all its callers share.
_scoring = threading.Lock()


class PasswordRefused(BadUserInput):
    """A text cannot be a password: it is too short, too long, or no text."""


class PasswordTooWeak(PasswordRefused):
    """A password is too easy to guess; the message says why and what would be better."""


class PasswordBreached(PasswordRefused):
    """A password is among those that were stolen elsewhere."""


class PasswordsBusy(ServiceUnavailable):
    """More passwords wait to be checked than this process takes on; try again in a moment."""


class PasswordNotChecked(ServiceUnavailable):
    """A password could not be hashed or compared, for want of memory or because the stored hash is damaged."""


@dataclass(frozen=True, slots=True)
class PasswordCheck:
    """Whether a password is right, and if so whether to hash it anew because the parameters have changed since."""

    is_right: bool
    needs_new_hash: bool


class Passwords:
    """Hashes and judges passwords on threads of its own, a bounded number at a time.

    Every hash takes 19 MiB while it is made, so floods must neither pile up threads nor wait without end: `threads`
    passwords are worked on, `waiting` more may wait, and the next one is refused with PasswordsBusy.
    """

    def __init__(
        self,
        *,
        hasher: PasswordHasher | None = None,
        breached: BreachedPasswords | None = None,
        threads: int | None = None,
        waiting: int = WAITING_AT_MOST,
    ) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._breached = breached
        self._decoy = self._hasher.hash(os.urandom(32))
        self._hashing = _BoundedThreads("passwords", threads=threads or _half_of_the_cores(), waiting=waiting)
        # Judging is plain Python and holds the interpreter: one at a time, and none in the way of those who sign in.
        self._judging = _BoundedThreads("password-strength", threads=1, waiting=waiting)

    async def hash(self, password: str) -> str:
        """The Argon2id hash to keep; raises PasswordRefused for what cannot be a password, and PasswordsBusy."""
        secret = _composed(password).encode()
        return await self._hashing.run(partial(self._hash, secret))

    async def verify(self, password: str, password_hash: str | None) -> PasswordCheck:
        """Whether the password is the one behind the hash; raises PasswordsBusy.

        Without a hash (nobody has that name, or they have no password) the same work is done on a decoy, so that the
        time it takes does not tell who has an account.
        """
        try:
            secret = _composed(password).encode()
        except PasswordRefused:
            return PasswordCheck(is_right=False, needs_new_hash=False)
        return await self._hashing.run(partial(self._verify, secret, password_hash))

    async def check_strength(self, password: str, *, own_words: Iterable[str] = ()) -> None:
        """Raise PasswordRefused, PasswordTooWeak, PasswordBreached or PasswordsBusy where a password may not be chosen.

        `own_words` are what others know of the person: address, username, display name.
        """
        text = _composed(password)
        objection = await self._judging.run(partial(_objection_to, text, list(own_words)))
        if objection is not None:
            raise PasswordTooWeak(objection, argument="password")
        if self._breached is None:
            return
        try:
            count = await self._breached.count(text)
        except BreachedPasswordsUnavailable as unavailable:
            # People must be able to sign up while a service of others is down.
            logger.warning("breached_passwords_unavailable", reason=unavailable.reason)
            return
        if count > 0:
            raise PasswordBreached(
                "This password is in lists of stolen passwords; choose one that you use nowhere else.",
                argument="password",
            )

    def close(self) -> None:
        """Take no more work; what waits is cancelled."""
        self._hashing.close()
        self._judging.close()

    def _hash(self, secret: bytes) -> str:
        try:
            return self._hasher.hash(secret)
        except HashingError as error:
            raise _not_checked(error) from None

    def _verify(self, secret: bytes, password_hash: str | None) -> PasswordCheck:
        try:
            self._hasher.verify(self._decoy if password_hash is None else password_hash, secret)
        except VerifyMismatchError:
            return PasswordCheck(is_right=False, needs_new_hash=False)
        except (VerificationError, ValueError) as error:
            raise _not_checked(error) from None
        if password_hash is None:
            return PasswordCheck(is_right=False, needs_new_hash=False)
        return PasswordCheck(is_right=True, needs_new_hash=self._hasher.check_needs_rehash(password_hash))


class _BoundedThreads:
    """Threads that take on so much work and no more."""

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._slots = threading.BoundedSemaphore(threads + waiting)

    async def run(self, work: Callable[[], T]) -> T:
        """What the work returns or raises; raises PasswordsBusy where too much of it waits already."""
        if not self._slots.acquire(blocking=False):
            raise PasswordsBusy("Too many passwords are being checked at the moment; try again in a few seconds.")
        try:
            future = self._executor.submit(work)
        except RuntimeError:
            self._slots.release()
            raise PasswordsBusy("This server is shutting down; try again in a few seconds.") from None
        # A slot is free when its work has ended, which may be long after its caller has hung up.
        future.add_done_callback(self._release)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _release(self, _: Future[T]) -> None:
        self._slots.release()


def _composed(password: str) -> str:
    if len(password) > LONGEST_UNCOMPOSED:
        raise _wrong_length()
    if _NOT_TEXT.search(password):
        raise PasswordRefused("A password is Unicode text; this one holds half a character.", argument="password")
    text = unicodedata.normalize("NFC", password)
    if not SHORTEST_PASSWORD <= len(text) <= LONGEST_PASSWORD:
        raise _wrong_length()
    return text


def _wrong_length() -> PasswordRefused:
    return PasswordRefused(
        f"A password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; a few uncommon words do well.",
        argument="password",
    )


def _not_checked(error: Exception) -> PasswordNotChecked:
    logger.error("password_not_checked", reason=type(error).__name__)
    return PasswordNotChecked("The password could not be checked; try again in a moment.")


def _objection_to(password: str, own_words: list[str]) -> str | None:
    words = list(islice(_parts_of(own_words), OWN_WORDS))
    with _scoring:
        result = zxcvbn(password[:SCORED_CHARACTERS], user_inputs=words, max_length=SCORED_CHARACTERS)
    if result["score"] >= LEAST_SCORE:
        return None
    feedback = result["feedback"]
    advice = [sentence for sentence in (feedback["warning"], *feedback["suggestions"]) if sentence]
    return " ".join(["This password is too easy to guess.", *advice])


def _parts_of(own_words: list[str]) -> Iterator[str]:
    yield "trove"
    for word in own_words:
        whole = word[:LONGEST_OWN_WORD]
        for part in (whole, *_BETWEEN_WORDS.split(whole)):
            if len(part) >= SHORTEST_OWN_WORD:
                yield part


def _half_of_the_cores() -> int:
    return max(1, (os.cpu_count() or 1) // 2)
