"""Trackers of clients and their keys, kept by the operators.

A private key is encrypted as it comes in, and nothing here gives it back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID, uuid5

from sqlalchemy import Row, func, insert, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.database import Transaction
from app.core.ids import new_id
from app.core.secrets import Secrets, place_of
from app.trackers.commands.creation_keys import claim_key
from app.trackers.commands.held import changed, count_of, hold_client, hold_of_client
from app.trackers.commands.orphans import ATTACH_ORPHANS
from app.trackers.commands.production_runs import require_run
from app.trackers.commands.remake_histories import FROM_THE_START, REMAKE_HISTORIES
from app.trackers.errors import TrackerErrorCode, TrackerRefused
from app.trackers.find_my import BadKey, KeyPair, make_key_pair, read_private_key
from app.trackers.given import Given, read_name, refuse_long_list, refused, too_many
from app.trackers.models import Tracker, TrackerKey

MOST_TRACKERS = 200_000
MOST_KEYS = 100


@dataclass(frozen=True, slots=True)
class NewTracker:
    """A tracker to make: its name, and its private keys in base64; without any it gets a key of its own."""

    name: str
    private_keys: Sequence[str] = field(default=(), repr=False)


async def create_trackers(
    transaction: Transaction,
    secrets: Secrets,
    client_id: UUID,
    trackers: Sequence[NewTracker],
    *,
    user_id: UUID,
    production_run_id: UUID | None = None,
    idempotency_key: str | None = None,
) -> Sequence[UUID]:
    """Make up to 250 trackers of a client, all or none; gives their keys in the same order.

    Raises TrackerRefused with the path to the tracker that cannot be made.
    """
    connection = transaction.connection
    refuse_long_list(trackers, "trackers")
    if not trackers:
        raise refused("Name one tracker at least.", "trackers")
    names = [read_name(each.name, "trackers", str(at), "name") for at, each in enumerate(trackers)]
    await hold_client(connection, client_id, user_id=user_id)
    request = {"client": client_id, "run": production_run_id, "names": names, "keys": _digests(trackers)}
    first = new_id()
    made = await claim_key(connection, idempotency_key, request, user_id=user_id, made=Tracker.id, new_id=first)
    if made != first:
        return _keys_of_request(made, len(names))
    # One key for each tracker is made by now, so that what is wrong about one is told before anything is written.
    pairs = [_pairs_of_list(each.private_keys, "trackers", str(at), "privateKeys") for at, each in enumerate(trackers)]
    if production_run_id is not None:
        await require_run(connection, production_run_id, client_id, "productionRunId")
    if await count_of(connection, Tracker, Tracker.client_id == client_id) + len(names) > MOST_TRACKERS:
        raise too_many(f"The client may have {MOST_TRACKERS:,} trackers, retired ones among them.", "clientId")
    tracker_ids = _keys_of_request(first, len(names))
    await connection.execute(
        insert(Tracker),
        [
            {"id": tracker_id, "client_id": client_id, "production_run_id": production_run_id, "name": name}
            for tracker_id, name in zip(tracker_ids, names, strict=True)
        ],
    )
    for at, (tracker_id, own) in enumerate(zip(tracker_ids, pairs, strict=True)):
        await _add_keys(
            connection, secrets, own, client_id, tracker_id, where=("trackers", str(at), "privateKeys"), is_list=True
        )
    transaction.enqueue(ATTACH_ORPHANS)
    return tracker_ids


async def edit_tracker(
    transaction: Transaction, tracker_id: UUID, given: Given, *, user_id: UUID, expected_version: int | None = None
) -> None:
    """Change a tracker's `name` or `production_run_id`, whichever is given.

    With another production run its history is made anew, because other places count. Raises TrackerRefused.
    """
    connection = transaction.connection
    values: dict[str, object] = {"name": read_name(given["name"], "name")} if "name" in given else {}
    held = await _hold_tracker(connection, tracker_id, user_id=user_id, expected_version=expected_version)
    if "production_run_id" in given and given["production_run_id"] != held.production_run_id:
        run_id = given["production_run_id"]
        if run_id is not None:
            await require_run(connection, run_id, held.client_id, "productionRunId")
        values |= {"production_run_id": run_id, "recompute_from": FROM_THE_START}
        transaction.enqueue(REMAKE_HISTORIES)
    await connection.execute(update(Tracker).where(Tracker.id == tracker_id).values(**values, **changed(Tracker)))


async def retire_tracker(
    transaction: Transaction, tracker_id: UUID, *, user_id: UUID, expected_version: int | None = None
) -> None:
    """Put a tracker away: it stays with its history. Raises TrackerRefused for one that is retired."""
    held = await _hold_tracker(transaction.connection, tracker_id, user_id=user_id, expected_version=expected_version)
    if held.retired_at is not None:
        raise TrackerRefused(TrackerErrorCode.ILLEGAL_STATE, "The tracker is retired already.", field=["id"])
    await _set_retired(transaction.connection, tracker_id, is_retired=True)


async def restore_tracker(
    transaction: Transaction, tracker_id: UUID, *, user_id: UUID, expected_version: int | None = None
) -> None:
    """Take a tracker that was put away into use again; raises TrackerRefused for one that is in use."""
    held = await _hold_tracker(transaction.connection, tracker_id, user_id=user_id, expected_version=expected_version)
    if held.retired_at is None:
        raise TrackerRefused(TrackerErrorCode.ILLEGAL_STATE, "The tracker is in use.", field=["id"])
    await _set_retired(transaction.connection, tracker_id, is_retired=False)


async def add_tracker_key(
    transaction: Transaction, secrets: Secrets, tracker_id: UUID, *, user_id: UUID, private_key: str | None = None
) -> UUID:
    """Give a tracker a key: the private one in base64, or one that is made now; gives the key's own key.

    Raises TrackerRefused: KEY_TAKEN where a tracker has it.
    """
    connection = transaction.connection
    pairs = [make_key_pair() if private_key is None else _pair(private_key, "privateKey")]
    held = await _hold_tracker(connection, tracker_id, user_id=user_id, field="trackerId")
    if await count_of(connection, TrackerKey, TrackerKey.tracker_id == tracker_id) >= MOST_KEYS:
        raise too_many(f"The tracker has {MOST_KEYS} keys, as many as it may.", "trackerId")
    (key_id,) = await _add_keys(connection, secrets, pairs, held.client_id, tracker_id, where=("privateKey",))
    transaction.enqueue(ATTACH_ORPHANS)
    return key_id


async def retire_tracker_key(transaction: Transaction, key_id: UUID, *, user_id: UUID) -> None:
    """Stop asking for the reports of a key; those that come of it all the same still count.

    Raises TrackerRefused for one that is retired.
    """
    connection = transaction.connection
    held = await hold_of_client(connection, TrackerKey, key_id, "key", user_id=user_id)
    if held.retired_at is not None:
        raise TrackerRefused(TrackerErrorCode.ILLEGAL_STATE, "The key is retired already.", field=["id"])
    await connection.execute(update(TrackerKey).where(TrackerKey.id == key_id).values(retired_at=func.now()))


async def _hold_tracker(
    connection: AsyncConnection,
    tracker_id: UUID,
    *,
    user_id: UUID,
    expected_version: int | None = None,
    field: str = "id",
) -> Row[tuple[object, ...]]:
    return await hold_of_client(
        connection, Tracker, tracker_id, "tracker", user_id=user_id, expected_version=expected_version, field=[field]
    )


async def _set_retired(connection: AsyncConnection, tracker_id: UUID, *, is_retired: bool) -> None:
    retired_at = func.now() if is_retired else None
    await connection.execute(
        update(Tracker).where(Tracker.id == tracker_id).values(retired_at=retired_at, **changed(Tracker))
    )


def _keys_of_request(first: UUID, count: int) -> Sequence[UUID]:
    """The keys of the trackers that a request makes, which follow from that of the first one."""
    return [first, *(uuid5(first, str(number)) for number in range(1, count))]


def _digests(trackers: Sequence[NewTracker]) -> Sequence[Sequence[str]]:
    """What tells the private keys of two requests apart, and nothing of them."""
    return [[sha256(key.encode()).hexdigest() for key in each.private_keys] for each in trackers]


def _pairs_of_list(private_keys: Sequence[str], *where: str) -> Sequence[KeyPair]:
    """The key pairs of the given private keys, or a fresh one where none is given."""
    if len(private_keys) > MOST_KEYS:
        raise too_many(f"A tracker has {MOST_KEYS} keys at most.", *where)
    if not private_keys:
        return [make_key_pair()]
    return [_pair(text, *where, str(at)) for at, text in enumerate(private_keys)]


def _pair(text: str, *where: str) -> KeyPair:
    try:
        return read_private_key(text)
    except BadKey as bad:
        raise refused(str(bad), *where) from None


async def _add_keys(
    connection: AsyncConnection,
    secrets: Secrets,
    pairs: Sequence[KeyPair],
    client_id: UUID,
    tracker_id: UUID,
    *,
    where: Sequence[str],
    is_list: bool = False,
) -> Sequence[UUID]:
    added = []
    for at, pair in enumerate(pairs):
        key_id = new_id()
        inserted = await connection.execute(
            postgresql.insert(TrackerKey)
            .values(
                id=key_id,
                client_id=client_id,
                tracker_id=tracker_id,
                advertised_key=pair.advertised_key,
                hashed_key=pair.hashed_key,
                private_key=secrets.encrypt(pair.private_key, place_of(TrackerKey.private_key, key_id)),
            )
            .on_conflict_do_nothing(index_elements=[TrackerKey.hashed_key])
            .returning(TrackerKey.id)
        )
        if inserted.one_or_none() is None:
            raise TrackerRefused(
                TrackerErrorCode.KEY_TAKEN,
                "A tracker has this key already; each key is of one tracker.",
                field=[*where, str(at)] if is_list else where,
            )
        added.append(key_id)
    return added
