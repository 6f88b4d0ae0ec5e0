"""Rotation over a real database: everything ends up under the new key, and nobody's write is lost by it."""

import asyncio
import os
import random
import threading
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import rotation
from app.core.database import Base, Database, DatabaseRole, create_engine
from app.core.ids import new_id
from app.core.rotation import Outcome, check, count_secrets, encrypted_columns, keys_in_use, rotate
from app.core.secrets import ENCRYPTED, KeyRing, SecretPlace, Secrets, key_id_of, place_of
from app.core.settings import Settings
from app.identity.models import Challenge, ChallengeKind, Credential, OutgoingMail, SigningKey, TotpSecret, User
from app.providers.models import ProviderCredential

OLD_RING = KeyRing("old", {}).with_new_key("old")
NEW_RING = OLD_RING.with_new_key("new")
OLD, NEW = Secrets(OLD_RING), Secrets(NEW_RING)
COLUMNS = encrypted_columns(Base.metadata)


def mail(key: UUID, content: bytes, secrets: Secrets = OLD) -> dict[str, object]:
    """A row of a mail that waits."""
    return {"id": key, "content": secrets.encrypt(content, place_of(OutgoingMail.content, key))}


async def saved_mails(database: Database, count: int, secrets: Secrets = OLD) -> dict[UUID, bytes]:
    """So many mails, by their ids, with what they say."""
    contents = {new_id(): os.urandom(20) for _ in range(count)}
    async with database.transaction() as transaction:
        rows = [mail(key, content, secrets) for key, content in contents.items()]
        await transaction.connection.execute(insert(OutgoingMail), rows)
    return contents


async def mails(database: Database) -> dict[UUID, bytes]:
    """The ciphertexts of all mails."""
    async with database.engine.connect() as connection:
        rows = await connection.execute(
            select(OutgoingMail.id, OutgoingMail.content).where(OutgoingMail.content.is_not(None))
        )
        return {row.id: row.content for row in rows}


async def read_mails(database: Database, secrets: Secrets = NEW) -> dict[UUID, bytes]:
    """What all mails say."""
    return {
        key: secrets.decrypt(content, place_of(OutgoingMail.content, key))
        for key, content in (await mails(database)).items()
    }


async def save_one_of_each(database: Database) -> None:
    """A secret in each kind of row that a person has, and rows without any."""
    async with database.transaction() as transaction:
        execute = transaction.connection.execute
        user, challenge, key = new_id(), new_id(), "2026-a"
        await execute(insert(User), {"id": user, "username": "somebody"})
        password = OLD.encrypt(b"password", place_of(Credential.password_hash, user))
        await execute(insert(Credential), {"user_id": user, "password_hash": password})
        seed = OLD.encrypt(b"seed", place_of(TotpSecret.secret, user))
        await execute(insert(TotpSecret), {"user_id": user, "secret": seed})
        signing = {"id": key, "private_key": OLD.encrypt(b"private", place_of(SigningKey.private_key, key))}
        period = {"signs_from": func.now(), "signs_until": func.now() + text("interval '1 day'")}
        await execute(insert(SigningKey).values(public_key=b"public", **period), signing)
        content = OLD.encrypt(b"challenge", place_of(Challenge.content, challenge))
        begun = {"kind": ChallengeKind.SIGN_UP, "token_hash": b"hash", "expires_at": func.now()}
        await execute(insert(Challenge).values(id=challenge, content=content, **begun))
        await execute(insert(OutgoingMail), {"id": new_id(), "content": None})


def test_every_encrypted_column_is_found() -> None:
    assert [f"{column.table.fullname}.{column.name}" for column in COLUMNS] == [
        "identity.challenges.content",
        "identity.credentials.password_hash",
        "identity.data_exports.archive",
        "identity.outgoing_mails.content",
        "identity.signing_keys.private_key",
        "identity.totp_secrets.secret",
        "notifications.push_subscriptions.subscription",
        "notifications.services.address",
        "notifications.vapid_keys.private_key",
        "notifications.webhooks.secret",
        "portfolios.exports.content",
        f"{ProviderCredential.__table__}.secret",
        "trackers.tracker_keys.private_key",
    ]


async def test_every_kind_of_secret_comes_under_the_new_key_and_the_old_one_is_no_longer_needed(
    database: Database,
) -> None:
    await save_one_of_each(database)
    assert await count_secrets(database.engine, COLUMNS, besides=NEW) == 4
    outcome = await rotate(database.engine, NEW, COLUMNS)
    assert outcome == Outcome(done=4, keys_in_use={"new": 4})
    alone = Secrets(NEW_RING.without("old"))
    assert (await check(database.engine, alone, COLUMNS)).done == 4
    async with database.engine.connect() as connection:
        row = (await connection.execute(select(Credential))).one()
    assert alone.decrypt(row.password_hash, place_of(Credential.password_hash, row.user_id)) == b"password"


async def test_what_is_under_the_current_key_is_left_as_it_is(database: Database) -> None:
    await saved_mails(database, 10, NEW)
    before = await mails(database)
    seen: list[int] = []
    outcome = await rotate(database.engine, NEW, COLUMNS, on_progress=seen.append)
    assert (outcome.done, seen) == (0, [])
    assert await mails(database) == before


async def test_more_rows_than_a_batch_and_rows_larger_than_one_are_all_done_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BYTES_AT_ONCE", 2_000)
    monkeypatch.setattr(rotation, "ROWS_AT_ONCE", 50)
    contents = await saved_mails(database, 230)
    large = {new_id(): os.urandom(5_000) for _ in range(3)}
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(OutgoingMail), [mail(key, large[key]) for key in large])
    batches: list[int] = []
    outcome = await rotate(database.engine, NEW, COLUMNS, on_progress=batches.append)
    assert outcome.done == sum(batches) == 233
    assert max(batches) < 50
    assert await read_mails(database, Secrets(NEW_RING.without("old"))) == contents | large


async def test_what_cannot_be_read_is_told_left_alone_and_keeps_nothing_else_from_being_done(
    database: Database,
) -> None:
    contents = await saved_mails(database, 5)
    moved, foreign, garbage = new_id(), new_id(), new_id()
    stranger = Secrets(KeyRing.fresh())
    ciphertexts = await mails(database)
    spoiled = {
        moved: next(iter(ciphertexts.values())),
        foreign: stranger.encrypt(b"x", place_of(OutgoingMail.content, foreign)),
        garbage: b"",
    }
    async with database.transaction() as transaction:
        rows = [{"id": key, "content": content} for key, content in spoiled.items()]
        await transaction.connection.execute(insert(OutgoingMail), rows)
    outcome = await rotate(database.engine, NEW, COLUMNS)
    assert (outcome.done, outcome.unreadable, outcome.outstanding) == (5, 3, 3)
    assert {example.place.row for example in outcome.examples} == {str(key) for key in spoiled}
    foreign_id = key_id_of(spoiled[foreign])
    assert outcome.keys_in_use == {"new": 5, "old": 1, foreign_id: 1, rotation.NO_KEY: 1}
    after = await mails(database)
    assert {key: after[key] for key in spoiled} == spoiled
    checked = await check(database.engine, NEW, COLUMNS)
    assert (checked.done, checked.unreadable, checked.outstanding) == (5, 3, 3)
    readable = {key: NEW.decrypt(after[key], place_of(OutgoingMail.content, key)) for key in contents}
    assert readable == contents


async def test_two_rotations_at_once_do_each_row_once(database: Database) -> None:
    contents = await saved_mails(database, 1_500)
    begun = asyncio.Queue[int]()
    first = asyncio.create_task(rotate(database.engine, NEW, COLUMNS, on_progress=begun.put_nowait))
    assert 0 < await begun.get() < 1_500
    outcomes = await asyncio.gather(first, rotate(database.engine, NEW, COLUMNS))
    assert sum(outcome.done for outcome in outcomes) == 1_500
    assert [outcome.outstanding for outcome in outcomes] == [0, 0]
    assert await read_mails(database, Secrets(NEW_RING.without("old"))) == contents


async def test_a_row_that_somebody_holds_is_waited_for_by_nobody_and_done_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "SECONDS_BETWEEN_PASSES", 0.05)
    contents = await saved_mails(database, 20)
    held = next(iter(contents))
    done = asyncio.Queue[int]()
    async with database.transaction() as transaction:
        await transaction.connection.execute(select(OutgoingMail.id).where(OutgoingMail.id == held).with_for_update())
        task = asyncio.create_task(rotate(database.engine, NEW, COLUMNS, on_progress=done.put_nowait))
        assert await asyncio.wait_for(done.get(), 10) == 19
        contents[held] = b"changed meanwhile"
        await transaction.connection.execute(
            update(OutgoingMail).where(OutgoingMail.id == held).values(mail(held, contents[held]))
        )
    outcome = await task
    assert (outcome.done, outcome.outstanding) == (20, 0)
    assert await read_mails(database, Secrets(NEW_RING.without("old"))) == contents


async def test_a_row_that_is_held_for_good_is_told_as_outstanding(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "SECONDS_BETWEEN_PASSES", 0.0)
    held = next(iter(await saved_mails(database, 3)))
    async with database.transaction() as transaction:
        await transaction.connection.execute(select(OutgoingMail.id).where(OutgoingMail.id == held).with_for_update())
        outcome = await asyncio.wait_for(rotate(database.engine, NEW, COLUMNS), 30)
    assert (outcome.done, outcome.outstanding, outcome.unreadable) == (2, 1, 0)
    assert outcome.keys_in_use == {"new": 2, "old": 1}


async def write_on(database: Database, contents: dict[UUID, bytes], secrets: Secrets, mine: list[UUID]) -> int:
    """Change, delete and add mails of one's own until told to stop; `contents` is what has been committed."""
    dice, written = random.Random(len(mine)), 0
    while mine:
        place = dice.randrange(len(mine))
        key, content = mine[place], os.urandom(16)
        fresh = new_id() if dice.random() < 0.2 else key
        async with database.transaction() as transaction:
            execute = transaction.connection.execute
            if fresh == key:
                await execute(update(OutgoingMail).where(OutgoingMail.id == key).values(mail(key, content, secrets)))
            else:
                await execute(delete(OutgoingMail).where(OutgoingMail.id == key))
                await execute(insert(OutgoingMail), mail(fresh, content, secrets))
        del contents[key]
        contents[fresh] = content
        if mine:
            mine[place] = fresh
        written += 1
    return written


async def test_no_write_is_lost_while_programs_with_the_old_and_the_new_ring_go_on_writing(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "SECONDS_BETWEEN_PASSES", 0.05)
    contents = await saved_mails(database, 1_000)
    keys = list(contents)
    of_new, of_old = keys[::2], keys[1::2]
    writers = [
        asyncio.create_task(write_on(database, contents, NEW, of_new)),
        asyncio.create_task(write_on(database, contents, OLD, of_old)),
    ]
    rotated = await rotate(database.engine, NEW, COLUMNS)
    # Without mails of their own they stop.
    of_new.clear()
    of_old.clear()
    assert min(await asyncio.gather(*writers)) > 10
    assert rotated.unreadable == 0
    assert await read_mails(database) == contents
    last = await rotate(database.engine, NEW, COLUMNS)
    assert last.outstanding == 0
    assert await read_mails(database, Secrets(NEW_RING.without("old"))) == contents


class Intruded(Secrets):
    """Has somebody else try to change the row between the moment it was read and the moment it is written."""

    def __init__(self, url: str) -> None:
        super().__init__(NEW_RING)
        self.url = url
        self.refusals: list[str] = []

    def encrypt(self, secret: bytes, place: SecretPlace) -> bytes:
        """Encrypt, after the intruder has had their turn."""
        intruder = threading.Thread(target=lambda: asyncio.run(self.intrude(UUID(place.row))))
        intruder.start()
        intruder.join()
        return super().encrypt(secret, place)

    async def intrude(self, key: UUID) -> None:
        """Write a mail anew, unless it is held."""
        engine = create_engine(self.url, role=DatabaseRole.WORKER, pool_size=1, application_name="tests-intruder")
        try:
            async with engine.begin() as connection:
                await connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
                await connection.execute(update(OutgoingMail).where(OutgoingMail.id == key).values(mail(key, b"new")))
        except DBAPIError as error:
            self.refusals.append(str(error.orig))
        finally:
            await engine.dispose()


async def test_nobody_can_write_between_the_reading_and_the_writing_of_a_row(
    database: Database, trove_settings: Settings
) -> None:
    contents = await saved_mails(database, 3)
    intruded = Intruded(trove_settings.database_url or "")
    outcome = await rotate(database.engine, intruded, COLUMNS)
    assert ["lock timeout" in refusal for refusal in intruded.refusals] == [True] * 3
    assert outcome.done == 3
    assert await read_mails(database) == contents


@pytest.fixture
async def parts(_owner: AsyncEngine) -> AsyncIterator[Table]:
    """A table with a longer primary key, and a column that changes with every update."""
    table = Table(
        "parts",
        MetaData(),
        Column("name", Text, primary_key=True),
        Column("number", Integer, primary_key=True),
        Column("secret", LargeBinary, info={ENCRYPTED: True}),
        Column("updated_at", DateTime(timezone=True), server_default=func.now(), onupdate=func.now()),
        schema="identity",
    )
    async with _owner.begin() as connection:
        await connection.run_sync(table.create)
        await connection.execute(text("GRANT ALL ON identity.parts TO trove_worker"))
    yield table
    async with _owner.begin() as connection:
        await connection.run_sync(table.drop)


async def test_rows_with_a_longer_key_are_done_and_do_not_count_as_changed(
    database: Database, parts: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "ROWS_AT_ONCE", 7)
    column = parts.columns["secret"]
    rows = [
        {
            "name": name,
            "number": number,
            "secret": OLD.encrypt(f"{name}{number}".encode(), place_of(column, name, number)),
        }
        for name in ("a", "b", "c")
        for number in range(10)
    ]
    async with database.transaction() as transaction:
        await transaction.connection.execute(insert(parts), rows)
    async with database.engine.connect() as connection:
        before = (await connection.execute(select(parts.columns["updated_at"]).distinct())).scalars().all()
    outcome = await rotate(database.engine, NEW, encrypted_columns(parts.metadata))
    assert outcome == Outcome(done=30, keys_in_use={"new": 30})
    async with database.engine.connect() as connection:
        after = (await connection.execute(select(parts))).all()
    for row in after:
        assert NEW.decrypt(row.secret, place_of(column, row.name, row.number)) == f"{row.name}{row.number}".encode()
    assert {row.updated_at for row in after} == set(before)


async def test_ids_that_begin_alike_are_told_apart(database: Database) -> None:
    short, long = Secrets(KeyRing("k", {"k": bytes(32)})), KeyRing("kk", {"k": bytes(32), "kk": bytes([1]) * 32})
    await saved_mails(database, 3, short)
    assert (await rotate(database.engine, Secrets(long), COLUMNS)).done == 3
    assert await keys_in_use(database.engine, COLUMNS) == {"kk": 3}
    assert (await rotate(database.engine, Secrets(long.using("k")), COLUMNS)).done == 3
