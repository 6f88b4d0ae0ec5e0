"""Passwords: hashing, checking, decoys, bounds on the work, and what is too easy to guess."""

import asyncio
import logging
import sys
import threading
import unicodedata
from collections.abc import AsyncIterator, Iterator

import pytest
from argon2 import Parameters, PasswordHasher, Type, extract_parameters
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from app.core.errors import ErrorCode
from app.core.outbound import outside_client
from app.identity.breached_passwords import BreachedPasswordRanges
from app.identity.passwords import (
    PasswordBreached,
    PasswordCheck,
    PasswordNotChecked,
    PasswordRefused,
    Passwords,
    PasswordsBusy,
    PasswordTooWeak,
)
from tests.identity.breached_ranges import Mood, RangeServer, range_server

STRONG = "seven llamas waltz in Oslo"
RIGHT = PasswordCheck(is_right=True, needs_new_hash=False)
RIGHT_BUT_OLD = PasswordCheck(is_right=True, needs_new_hash=True)
WRONG = PasswordCheck(is_right=False, needs_new_hash=False)


class WatchedHasher(PasswordHasher):
    """Hashes as it should, and notes which parameters each check had and on which thread it ran."""

    __slots__ = ("checks", "threads")

    def __init__(self, *, time_cost: int = 2, memory_cost: int = 19_456) -> None:
        super().__init__(time_cost=time_cost, memory_cost=memory_cost, parallelism=1)
        self.checks: list[Parameters] = []
        self.threads: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]  # Literal[True]
        """Check as it should."""
        self.checks.append(extract_parameters(hash.decode() if isinstance(hash, bytes) else hash))
        self.threads.append(threading.current_thread().name)
        return super().verify(hash, password)


@pytest.fixture
def hasher() -> WatchedHasher:
    """A hasher that is watched."""
    return WatchedHasher()


@pytest.fixture
def passwords(hasher: WatchedHasher) -> Iterator[Passwords]:
    """Passwords with nothing but the defaults."""
    passwords = Passwords(hasher=hasher)
    yield passwords
    passwords.close()


@pytest.fixture
def server() -> Iterator[RangeServer]:
    """A list of stolen passwords that is empty yet."""
    with range_server() as state:
        yield state


@pytest.fixture
async def wary(server: RangeServer) -> AsyncIterator[Passwords]:
    """Passwords that are looked up in the list."""
    async with outside_client() as client:
        ranges = BreachedPasswordRanges(server.url, client=client, deadline_seconds=0.5)
        passwords = Passwords(breached=ranges)
        yield passwords
        passwords.close()


async def test_the_right_password_is_right_and_another_is_wrong(passwords: Passwords) -> None:
    password_hash = await passwords.hash(STRONG)
    assert await passwords.verify(STRONG, password_hash) == RIGHT
    assert await passwords.verify(STRONG + " ", password_hash) == WRONG
    assert await passwords.verify(STRONG.upper(), password_hash) == WRONG


async def test_by_default_a_hash_is_argon2id_with_19_mib_two_passes_and_one_lane() -> None:
    passwords = Passwords()
    parameters = extract_parameters(await passwords.hash(STRONG))
    passwords.close()
    assert parameters.type is Type.ID
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19_456, 2, 1)
    assert (parameters.salt_len, parameters.hash_len) == (16, 32)


async def test_two_hashes_of_one_password_differ(passwords: Passwords) -> None:
    assert await passwords.hash(STRONG) != await passwords.hash(STRONG)


async def test_a_hash_of_other_parameters_is_right_and_to_be_made_anew(passwords: Passwords) -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(STRONG)
    assert await passwords.verify(STRONG, old) == RIGHT_BUT_OLD
    assert await passwords.verify("something else", old) == WRONG


async def test_without_a_hash_the_same_work_is_done_on_a_decoy(passwords: Passwords, hasher: WatchedHasher) -> None:
    password_hash = await passwords.hash(STRONG)
    assert await passwords.verify(STRONG, password_hash) == RIGHT
    assert await passwords.verify(STRONG, None) == WRONG
    assert hasher.checks[0] == hasher.checks[1] == extract_parameters(password_hash)


async def test_passwords_are_checked_on_threads_of_their_own(passwords: Passwords, hasher: WatchedHasher) -> None:
    await passwords.verify(STRONG, None)
    assert [name.rpartition("_")[0] for name in hasher.threads] == ["passwords"]


async def test_one_letter_composed_in_two_ways_is_one_password(passwords: Passwords) -> None:
    composed, decomposed = (unicodedata.normalize(form, "drei gelbe Vögel") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert await passwords.verify(decomposed, await passwords.hash(composed)) == RIGHT


async def test_letters_that_only_look_alike_are_two_passwords(passwords: Passwords) -> None:
    assert await passwords.verify("１２３４５６７８９", await passwords.hash("123456789")) == WRONG


@pytest.mark.parametrize("password", ["", "7 chars", "é" * 7, "e\u0301" * 7, "x" * 257, "x" * 1_000_000, "\ud800" * 10])
async def test_what_cannot_be_a_password_is_refused_and_never_right(passwords: Passwords, password: str) -> None:
    for refused in (passwords.hash(password), passwords.check_strength(password)):
        with pytest.raises(PasswordRefused) as error:
            await refused
        assert error.value.argument == "password"
    assert await passwords.verify(password, await passwords.hash(STRONG)) == WRONG


@pytest.mark.parametrize("password", ["8 chars.", "é" * 8, "🦙" * 256, "e\u0301" * 256, "  spaces  ", "nul\0 is text"])
async def test_any_text_of_8_to_256_characters_is_hashed_whole(passwords: Passwords, password: str) -> None:
    password_hash = await passwords.hash(password)
    assert await passwords.verify(password, password_hash) == RIGHT
    assert await passwords.verify(password[:-1] + "?", password_hash) == WRONG


@pytest.mark.parametrize(
    "damaged", ["", "plain", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1$!!$!!", "$2b$12$x", "ü"]
)
async def test_a_damaged_hash_is_said_to_be_uncheckable_and_logged_without_it(damaged: str) -> None:
    passwords = Passwords()
    with capture_logs() as logs, pytest.raises(PasswordNotChecked) as error:
        await passwords.verify(STRONG, damaged)
    passwords.close()
    assert error.value.code is ErrorCode.SERVICE_UNAVAILABLE
    assert [entry["event"] for entry in logs] == ["password_not_checked"]
    assert STRONG not in str(logs)


async def test_a_flood_is_refused_and_those_before_it_are_served() -> None:
    passwords = Passwords(threads=1, waiting=2)
    password_hash = await passwords.hash(STRONG)
    answers = await asyncio.gather(
        *(passwords.verify(STRONG, password_hash) for _ in range(100)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, PasswordsBusy)]
    assert answers[:3] == [RIGHT] * 3
    assert refused
    assert len(refused) + answers.count(RIGHT) == 100
    assert refused[0].code is ErrorCode.SERVICE_UNAVAILABLE
    assert await passwords.verify(STRONG, password_hash) == RIGHT
    passwords.close()


async def test_who_hangs_up_while_waiting_leaves_room_for_others() -> None:
    passwords = Passwords(threads=1, waiting=2)
    for _ in range(10):
        waiting = [asyncio.ensure_future(passwords.verify(STRONG, None)) for _ in range(3)]
        await asyncio.sleep(0)
        for task in waiting[1:]:
            task.cancel()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [
            PasswordCheck,
            asyncio.CancelledError,
            asyncio.CancelledError,
        ]
    passwords.close()


async def test_after_closing_nothing_is_taken_on() -> None:
    passwords = Passwords()
    passwords.close()
    for _ in range(100):
        with pytest.raises(PasswordsBusy, match="shutting down"):
            await passwords.verify(STRONG, None)


@pytest.mark.parametrize(
    "password",
    [
        STRONG,
        "Tr0ub4dor&3 and 9 more",
        "zmzgrakfoexj",
        "перелётные воробьи танцуют",
        "四頭のラマが踊る夜に",
        "🦙🎷🌋🧦🛰🥁🪁🧲🐙",
    ],
)
async def test_a_password_that_is_hard_to_guess_is_taken(passwords: Passwords, password: str) -> None:
    await passwords.check_strength(password, own_words=["ada@example.com", "ada", "Ada Lovelace"])


@pytest.mark.parametrize(
    ("password", "advice"),
    [
        ("password", "This is a top-10 common password."),
        ("P4ssw0rd!", "Add another word or two."),
        ("aaaaaaaaaaaa", 'Repeats like "aaa" are easy to guess.'),
        ("qwertyuiop", "common password"),
        ("abcdefghijkl", "easy to guess"),
        ("12.05.1987", "Dates are often easy to guess."),
        ("trovetrove", "Repeats"),
        ("aaaaaaaa" * 30, "Repeats"),
    ],
)
async def test_a_password_that_is_easy_to_guess_is_refused_with_advice(
    passwords: Passwords, password: str, advice: str
) -> None:
    with pytest.raises(PasswordTooWeak) as error:
        await passwords.check_strength(password)
    assert error.value.message.startswith("This password is too easy to guess. ")
    assert advice in error.value.message
    assert error.value.argument == "password"


async def test_a_password_of_ones_own_words_is_refused(passwords: Passwords) -> None:
    password = "wintermothquillfeather"
    await passwords.check_strength(password)
    for own_words in (["wintermoth@quillfeather.example"], ["Wintermoth Quillfeather"], ["quillfeather", "wintermoth"]):
        with pytest.raises(PasswordTooWeak):
            await passwords.check_strength(password, own_words=own_words)


async def test_the_words_of_one_person_say_nothing_of_another_who_asks_at_the_same_time() -> None:
    password = "wintermothquillfeather"
    both = Passwords(waiting=100), Passwords(waiting=100)
    words = ["Ada Lovelace"], ["Wintermoth Quillfeather"]
    asked = [
        passwords.check_strength(password, own_words=own_words)
        for _ in range(50)
        for passwords, own_words in zip(both, words, strict=True)
    ]
    interval = sys.getswitchinterval()
    # Threads take turns so often that they would meet where they share anything.
    sys.setswitchinterval(1e-5)
    try:
        answers = await asyncio.gather(*asked, return_exceptions=True)
    finally:
        sys.setswitchinterval(interval)
        for passwords in both:
            passwords.close()
    assert [type(answer) for answer in answers] == [type(None), PasswordTooWeak] * 50


@settings(max_examples=30, deadline=None)
@given(
    password=st.text(min_size=8, max_size=256),
    own_words=st.lists(st.text(max_size=300), max_size=50),
)
def test_any_text_is_judged(password: str, own_words: list[str]) -> None:
    async def judge() -> None:
        passwords = Passwords(hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        try:
            await passwords.check_strength(password, own_words=own_words)
        except PasswordRefused as refused:
            said = refused.message
        else:
            said = ""
        finally:
            passwords.close()
        assert password not in said

    asyncio.run(judge())


async def test_a_stolen_password_is_refused_however_strong_it_looks(wary: Passwords, server: RangeServer) -> None:
    await wary.check_strength(STRONG)
    server.stolen[STRONG] = 1
    with pytest.raises(PasswordBreached, match="stolen"):
        await wary.check_strength(STRONG)


async def test_a_weak_password_is_refused_without_asking_anybody(wary: Passwords, server: RangeServer) -> None:
    with pytest.raises(PasswordTooWeak):
        await wary.check_strength("password")
    assert server.paths == []


@pytest.mark.parametrize("mood", [Mood.FAILING, Mood.SILENT, Mood.A_PAGE])
async def test_while_the_list_is_down_a_password_is_taken_and_a_warning_logged_without_any_part_of_it(
    wary: Passwords, server: RangeServer, mood: Mood, caplog: pytest.LogCaptureFixture
) -> None:
    server.mood = mood
    server.stolen[STRONG] = 1
    with capture_logs() as logs, caplog.at_level(logging.INFO):
        await wary.check_strength(STRONG)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("breached_passwords_unavailable", "warning")]
    digits = server.paths[0].removeprefix("/range/")
    for secret in (STRONG, digits):
        assert secret not in f"{logs} {caplog.text}"


async def test_a_decoy_is_of_the_parameters_in_force() -> None:
    hasher = WatchedHasher(time_cost=3, memory_cost=32_768)
    passwords = Passwords(hasher=hasher)
    assert await passwords.verify(STRONG, None) == WRONG
    passwords.close()
    assert [(check.time_cost, check.memory_cost) for check in hasher.checks] == [(3, 32_768)]
