"""Signing in by password: what is refused is refused alike, tries are counted, and everything is written down."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

import pytest
from argon2 import PasswordHasher
from redis.asyncio import Redis
from sqlalchemy import select, update

from app.core.attempts import AttemptLimit, Attempts
from app.core.clock import utc_now
from app.core.database import Database, DatabaseRole
from app.core.errors import TooManyAttempts
from app.core.secrets import Secrets, place_of
from app.core.settings import Settings
from app.identity import sign_in as room
from app.identity.commands.people import PASSWORD, create_person, way_in_by
from app.identity.commands.sessions import OpenSession
from app.identity.models import Credential, User
from app.identity.names import normalise_email
from app.identity.own_credentials import OwnCredentials
from app.identity.passwords import PasswordCheck, Passwords
from app.identity.sign_in import SecondFactorNeeded, SignIn, SignInRefused, open_password_hash, store_password_hash
from app.identity.viewer import Caller, ClientInfo, Viewer
from tests.identity.builders import KEY_RING, SECRETS
from tests.identity.sign_in.browsers import (
    ADA,
    ADAS_PASSWORD,
    OTHER_PASSWORD,
    SIGN_IN,
    Browser,
    Mails,
    audited,
    codes,
)
from tests.identity.sign_in.conftest import Browsers, signed_up

# A port on which nothing answers.
NO_REDIS = "redis://127.0.0.1:1/0"
SOMEWHERE = Caller(client=ClientInfo("192.0.2.7", "test"))


@dataclass
class CountingHasher(PasswordHasher):
    """Argon2id as ever, and how often it ran."""

    verified: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=1024, parallelism=1)

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self.verified.append(str(hash))
        return bool(super().verify(hash, password))


async def person_with_password(database: Database, passwords: Passwords) -> None:
    """Somebody with Ada's address and password."""
    email = normalise_email(ADA)
    password_hash = await passwords.hash(ADAS_PASSWORD)
    async with database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
        user_id = await create_person(
            transaction, caller=SOMEWHERE, username="ada", way_in=way_in_by(PASSWORD, email), email=ADA
        )
        await store_password_hash(transaction, SECRETS, user_id, password_hash)


async def test_wrong_passwords_and_unknown_addresses_get_the_same_answer(
    browser: Browser, browsers: Browsers, mails: Mails, database: Database
) -> None:
    await signed_up(browser, mails)
    stranger = await browsers.open()
    wrong = await stranger.post(SIGN_IN, input={"email": ADA, "password": OTHER_PASSWORD})
    others = [{"email": "nobody@example.com", "password": OTHER_PASSWORD}]
    others.append({"email": "no address at all", "password": OTHER_PASSWORD})
    others.append({"email": ADA, "password": "x"})
    others.append({"email": ADA, "password": "x" * 5000})
    answers = [await stranger.post(SIGN_IN, input=given) for given in others]
    assert wrong.json()["data"]["signIn"]["userErrors"][0]["code"] == "INVALID_CREDENTIALS"
    assert {(answer.status_code, answer.text) for answer in answers} == {(wrong.status_code, wrong.text)}
    assert all("set-cookie" not in answer.headers for answer in [wrong, *answers])
    refused = [after["reason"] for action, after in await audited(database) if action == "sign_in_refused"]
    assert refused == ["wrong password", "unknown address", "unknown address", "wrong password", "wrong password"]


async def test_the_same_work_is_done_for_a_known_and_for_an_unknown_address(
    api_database: Database, database: Database, redis_url: str, site: object
) -> None:
    hasher = CountingHasher()
    passwords = Passwords(hasher=hasher)
    attempts = Attempts(redis_url)
    await person_with_password(database, passwords)
    sign_in = SignIn(api_database, SECRETS, passwords, attempts)
    counts = []
    for email in (ADA, "nobody@example.com"):
        before = len(hasher.verified)
        outcome = await sign_in.with_password(email=email, password=OTHER_PASSWORD, caller=SOMEWHERE, device=None)
        assert outcome == SignInRefused()
        counts.append(len(hasher.verified) - before)
    assert counts == [1, 1]
    passwords.close()
    await attempts.close()


async def test_a_hash_of_older_parameters_is_made_anew_when_its_owner_signs_in(
    api_database: Database, database: Database, redis_url: str, site: object
) -> None:
    older = Passwords(hasher=PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    newer = Passwords(hasher=PasswordHasher(time_cost=2, memory_cost=1024, parallelism=1))
    attempts = Attempts(redis_url)
    await person_with_password(database, older)
    sign_in = SignIn(api_database, SECRETS, newer, attempts)
    outcome = await sign_in.with_password(email=ADA, password=ADAS_PASSWORD, caller=SOMEWHERE, device=None)
    assert isinstance(outcome, OpenSession)
    async with database.transaction() as transaction:
        row = (await transaction.connection.execute(select(Credential.user_id, Credential.password_hash))).one()
    assert ",t=2," in open_password_hash(SECRETS, row.user_id, row.password_hash)
    older.close()
    newer.close()
    await attempts.close()


async def test_of_two_devices_that_sign_in_at_once_after_new_parameters_both_are_let_in_and_nothing_was_changed(
    api_database: Database, database: Database, redis_url: str, site: object
) -> None:
    older = Passwords(hasher=PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    attempts = Attempts(redis_url)
    await person_with_password(database, older)
    both_have_checked = asyncio.Barrier(2)

    class Together(Passwords):
        """Goes on when the other one has checked the password, too."""

        async def verify(self, password: str, password_hash: str | None) -> PasswordCheck:
            check = await super().verify(password, password_hash)
            await both_have_checked.wait()
            return check

    newer = Together(hasher=PasswordHasher(time_cost=2, memory_cost=1024, parallelism=1))
    sign_in = SignIn(api_database, SECRETS, newer, attempts)
    changed_at = await changed_at_of_the_password(database)
    outcomes = await asyncio.gather(
        *(
            sign_in.with_password(email=ADA, password=ADAS_PASSWORD, caller=SOMEWHERE, device=device)
            for device in ("phone", "tablet")
        )
    )
    assert [type(outcome) for outcome in outcomes] == [OpenSession, OpenSession]
    # Else a second factor that is being given would be void, and an export would tell of a change that nobody made.
    assert await changed_at_of_the_password(database) == changed_at
    for used in (older, newer):
        used.close()
    await attempts.close()


async def changed_at_of_the_password(database: Database) -> datetime:
    """When the only password was changed last."""
    async with database.transaction() as transaction:
        return (await transaction.connection.execute(select(Credential.changed_at))).scalar_one()


async def test_a_password_that_is_encrypted_anew_while_it_is_checked_is_right(
    api_database: Database, database: Database, redis_url: str, site: object
) -> None:
    attempts = Attempts(redis_url)
    rotated = Secrets(KEY_RING.with_new_key("another"))

    class RotatedMeanwhile(Passwords):
        """`trove keys rotate` comes by as soon as the password has been checked."""

        async def verify(self, password: str, password_hash: str | None) -> PasswordCheck:
            check = await super().verify(password, password_hash)
            async with database.transaction() as transaction:
                row = (await transaction.connection.execute(select(Credential.user_id, Credential.password_hash))).one()
                opened = open_password_hash(rotated, row.user_id, row.password_hash)
                sealed = rotated.encrypt(opened.encode(), place_of(Credential.password_hash, row.user_id))
                await transaction.connection.execute(update(Credential).values(password_hash=sealed))
            return check

    passwords = RotatedMeanwhile(hasher=PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    await person_with_password(database, passwords)
    sign_in = SignIn(api_database, rotated, passwords, attempts)
    session = await sign_in.with_password(email=ADA, password=ADAS_PASSWORD, caller=SOMEWHERE, device=None)
    assert isinstance(session, OpenSession)
    async with database.transaction() as transaction:
        await transaction.connection.execute(update(User).values(email_verified_at=utc_now()))
    own = OwnCredentials(api_database, rotated, passwords, attempts, sign_in)
    caller = Caller(Viewer(session.user_id, session.id, is_session=True))
    await own.change_password(
        current=ADAS_PASSWORD, new=OTHER_PASSWORD, caller=caller, public_url="https://trove.example"
    )
    passwords.close()
    await attempts.close()


async def test_a_password_that_is_changed_while_it_is_checked_lets_nobody_in(
    api_database: Database, database: Database, redis_url: str, site: object
) -> None:
    passwords = Passwords(hasher=PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    attempts = Attempts(redis_url)
    await person_with_password(database, passwords)

    class ChangedMeanwhile(Passwords):
        """Another process changes the password as soon as this one has checked it."""

        async def verify(self, password: str, password_hash: str | None) -> PasswordCheck:
            check = await super().verify(password, password_hash)
            new_hash = await passwords.hash(OTHER_PASSWORD)
            async with database.transaction(role=DatabaseRole.AUTHENTICATOR) as transaction:
                user_id = (await transaction.connection.execute(select(Credential.user_id))).scalar_one()
                await store_password_hash(transaction, SECRETS, user_id, new_hash)
            return check

    slow = ChangedMeanwhile(hasher=PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    sign_in = SignIn(api_database, SECRETS, slow, attempts)
    outcome = await sign_in.with_password(email=ADA, password=ADAS_PASSWORD, caller=SOMEWHERE, device=None)
    assert outcome == SignInRefused()
    for used in (passwords, slow):
        used.close()
    await attempts.close()


async def test_tries_on_an_account_are_limited_from_wherever_they_come(
    browser: Browser, browsers: Browsers, mails: Mails, database: Database
) -> None:
    await signed_up(browser, mails)
    stranger = await browsers.open()
    for _ in range(room.SIGN_INS_BY_ACCOUNT.tries):
        assert codes(await stranger.change(SIGN_IN, email=ADA, password=OTHER_PASSWORD)) == ["INVALID_CREDENTIALS"]
    # Not even the right one, in another spelling of the address.
    answer = await stranger.post(SIGN_IN, input={"email": "ADA@EXAMPLE.com", "password": ADAS_PASSWORD})
    (refusal,) = answer.json()["errors"]
    assert refusal["extensions"]["code"] == "RATE_LIMITED"
    assert 0 < refusal["extensions"]["retryAfter"] <= room.SIGN_INS_BY_ACCOUNT.seconds
    assert answer.headers["Retry-After"] == str(refusal["extensions"]["retryAfter"])
    # Another account is another matter.
    assert codes(await stranger.change(SIGN_IN, email="bob@example.com", password=OTHER_PASSWORD))


async def test_a_success_forgets_the_tries_before(browser: Browser, mails: Mails) -> None:
    await signed_up(browser, mails)
    browser.token = None
    for _ in range(2):
        for _ in range(room.SIGN_INS_BY_ACCOUNT.tries - 1):
            assert codes(await browser.change(SIGN_IN, email=ADA, password=OTHER_PASSWORD))
        assert codes(await browser.change(SIGN_IN, email=ADA, password=ADAS_PASSWORD)) == []


@pytest.mark.parametrize("is_redis_there", [True, False])
async def test_tries_from_an_address_are_limited_with_redis_and_without(
    api_database: Database,
    redis_url: str,
    site: object,
    monkeypatch: pytest.MonkeyPatch,
    is_redis_there: bool,
) -> None:
    monkeypatch.setattr(room, "SIGN_INS_BY_IP", AttemptLimit("sign-in-address", tries=3, seconds=900))
    passwords = Passwords(hasher=CountingHasher())
    attempts = Attempts(redis_url if is_redis_there else NO_REDIS)
    sign_in = SignIn(api_database, SECRETS, passwords, attempts)
    for number in range(3):
        email = f"person-{number}@example.com"
        await sign_in.with_password(email=email, password=OTHER_PASSWORD, caller=SOMEWHERE, device=None)
    with pytest.raises(TooManyAttempts):
        await sign_in.with_password(email=ADA, password=OTHER_PASSWORD, caller=SOMEWHERE, device=None)
    elsewhere = Caller(client=ClientInfo("192.0.2.8", "test"))
    outcome = await sign_in.with_password(email=ADA, password=OTHER_PASSWORD, caller=elsewhere, device=None)
    assert outcome == SignInRefused()
    passwords.close()
    await attempts.close()


async def test_nothing_typed_stands_in_what_counts_tries(
    browser: Browser, trove_settings: Settings, database: Database
) -> None:
    await browser.change(SIGN_IN, email=ADA, password=OTHER_PASSWORD)
    assert trove_settings.redis_url is not None
    redis = Redis.from_url(trove_settings.redis_url)
    keys = [key async for key in redis.scan_iter("trove:attempts*")]
    await redis.aclose()
    assert keys
    # Three letters of an address may stand in a hash by chance; the whole address cannot.
    assert not any(ADA.encode() in key or b"127.0.0.1" in key for key in keys)


def test_outcomes_do_not_show_their_secrets() -> None:
    assert "trove_challenge" not in repr(SecondFactorNeeded("trove_challenge_abc", has_passkey=False))
