"""The mutations by which trackers, their keys, and what they ride with are kept."""

from dataclasses import dataclass

import strawberry

from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.portfolios.errors import PORTFOLIOS_READ
from app.graph.reads.fields import Reference, refer
from app.graph.trackers.errors import TRACKERS_WRITE, TrackerError, tracker_changes
from app.graph.trackers.inputs import EXPECTED_VERSION, IDEMPOTENCY_KEY, given, key_if_given, own_key, sent
from app.graph.trackers.trackers import Tracker, TrackerAttachment, TrackerKey
from app.graph.user_errors import USER_ERRORS, Done
from app.trackers.commands.attachments import Ride, attach_tracker, detach_tracker
from app.trackers.commands.trackers import (
    MOST_KEYS,
    MOST_TRACKERS,
    NewTracker,
    add_tracker_key,
    create_trackers,
    edit_tracker,
    restore_tracker,
    retire_tracker,
    retire_tracker_key,
)
from app.trackers.given import LONGEST_NAME, MOST_AT_ONCE

_NAME = f"The name, of {LONGEST_NAME} characters at most."
_PRIVATE_KEY = "base64 of the 28 bytes of a private key on P-224. It is kept encrypted, and shown to nobody again."


@strawberry.input(description="One of the new trackers.")
class NewTrackerInput:
    name: str = strawberry.field(description=_NAME)
    private_keys: list[str] = strawberry.field(
        default_factory=list,
        description=f"The keys that it has, {MOST_KEYS} at most, each the {_PRIVATE_KEY} None: it gets a fresh one.",
    )


@strawberry.input(description="New trackers of a client; all are made, or none.")
class CreateTrackersInput:
    client_id: strawberry.ID = strawberry.field(description="Whose they are.")
    production_run_id: strawberry.ID | None = strawberry.field(
        default=None, description="The production run that they belong to."
    )
    trackers: list[NewTrackerInput] = strawberry.field(description=f"From 1 to {MOST_AT_ONCE} trackers.")
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="What to change of a tracker. What is left out stays as it is.")
class EditTrackerInput:
    id: strawberry.ID = strawberry.field(description="The tracker.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)
    name: str | None = given(_NAME)
    production_run_id: strawberry.ID | None = given(
        "The production run that it belongs to, null for none; its history is made anew with the places of that."
    )


@strawberry.input(description="The tracker to put away.")
class RetireTrackerInput:
    id: strawberry.ID = strawberry.field(description="The tracker.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(description="The tracker to take into use again.")
class RestoreTrackerInput:
    id: strawberry.ID = strawberry.field(description="The tracker.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(description="A further key of a tracker.")
class AddTrackerKeyInput:
    tracker_id: strawberry.ID = strawberry.field(description="The tracker.")
    private_key: str | None = strawberry.field(default=None, description=f"The {_PRIVATE_KEY} Default: a fresh one.")


@strawberry.input(description="The key that is used no more.")
class RetireTrackerKeyInput:
    id: strawberry.ID = strawberry.field(description="The key.")


@strawberry.input(description="What a tracker is to ride with: a holding or preorder of one's own, or a parcel.")
class AttachTrackerInput:
    tracker_id: strawberry.ID = strawberry.field(description="The tracker.")
    holding_id: strawberry.ID | None = strawberry.field(default=None, description="A holding of one's own.")
    preorder_id: strawberry.ID | None = strawberry.field(default=None, description="A preorder of one's own.")
    production_run_id: strawberry.ID | None = strawberry.field(
        default=None, description="The production run that the parcel is of."
    )
    parcel: str | None = strawberry.field(
        default=None, description=f"What the parcel is called, in {LONGEST_NAME} characters at most."
    )


@strawberry.input(description="The tracker that is to ride with nothing.")
class DetachTrackerInput:
    tracker_id: strawberry.ID = strawberry.field(description="The tracker.")


@strawberry.type(description="What became of the new trackers.")
class CreateTrackersPayload:
    trackers: list[Tracker] | None = attribute("The trackers in the order of the input; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the tracker.")
class EditTrackerPayload:
    tracker: Tracker | None = attribute("The tracker as it is now; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="The tracker that was put away.")
class RetireTrackerPayload:
    tracker: Tracker | None = attribute("The tracker as it is now; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="The tracker that is in use again.")
class RestoreTrackerPayload:
    tracker: Tracker | None = attribute("The tracker as it is now; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the new key.")
class AddTrackerKeyPayload:
    tracker_key: TrackerKey | None = attribute("The key; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="The key that is used no more.")
class RetireTrackerKeyPayload:
    tracker_key: TrackerKey | None = attribute("The key as it is now; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="What the tracker rides with.")
class AttachTrackerPayload:
    attachment: TrackerAttachment | None = attribute("What it rides with now; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="The tracker that rides with nothing.")
class DetachTrackerPayload:
    tracker: Tracker | None = attribute("The tracker as it is now; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class TrackersMade(Done):
    """The payload of trackers that were made."""

    trackers: list[Reference]


@dataclass(frozen=True, slots=True)
class TrackerChanged(Done):
    """The payload of a tracker that was changed."""

    tracker: Reference


@dataclass(frozen=True, slots=True)
class KeyChanged(Done):
    """The payload of a key that was added or retired."""

    tracker_key: Reference


@dataclass(frozen=True, slots=True)
class Attached(Done):
    """The payload of a tracker that was attached."""

    attachment: Reference


@strawberry.type
class TrackerMutations:
    @tracker_changes(
        f"Make trackers of a client, whose operator one is, up to {MOST_AT_ONCE} at once and {MOST_TRACKERS:,} in all. "
        "What was reported of a given key before is taken in then.",
        type=CreateTrackersPayload,
        access=TRACKERS_WRITE,
    )
    @staticmethod
    async def create_trackers(info: Info, input: CreateTrackersInput) -> TrackersMade:
        client_id = own_key(input.client_id, PublicIdTag.CLIENT, "client", "clientId")
        run_id = key_if_given(input.production_run_id, PublicIdTag.PRODUCTION_RUN, "production run", "productionRunId")
        async with info.context.transaction() as transaction:
            made = await create_trackers(
                transaction,
                info.context.resources.identity.secrets,
                client_id,
                [NewTracker(each.name, each.private_keys) for each in input.trackers],
                user_id=info.context.viewer.own_id,
                production_run_id=run_id,
                idempotency_key=input.idempotency_key,
            )
        return TrackersMade([refer(Tracker, tracker_id) for tracker_id in made])

    @tracker_changes("Change a tracker.", type=EditTrackerPayload, access=TRACKERS_WRITE)
    @staticmethod
    async def edit_tracker(info: Info, input: EditTrackerInput) -> TrackerChanged:
        tracker_id = own_key(input.id, PublicIdTag.TRACKER, "tracker", "id")
        changes = sent(input, "id", "expected_version")
        if "production_run_id" in changes:
            changes["production_run_id"] = key_if_given(
                changes["production_run_id"], PublicIdTag.PRODUCTION_RUN, "production run", "productionRunId"
            )
        async with info.context.transaction() as transaction:
            await edit_tracker(
                transaction,
                tracker_id,
                changes,
                user_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return TrackerChanged(refer(Tracker, tracker_id))

    @tracker_changes("Put a tracker away; it stays with its history.", type=RetireTrackerPayload, access=TRACKERS_WRITE)
    @staticmethod
    async def retire_tracker(info: Info, input: RetireTrackerInput) -> TrackerChanged:
        tracker_id = own_key(input.id, PublicIdTag.TRACKER, "tracker", "id")
        async with info.context.transaction() as transaction:
            await retire_tracker(
                transaction,
                tracker_id,
                user_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return TrackerChanged(refer(Tracker, tracker_id))

    @tracker_changes("Take a tracker into use again.", type=RestoreTrackerPayload, access=TRACKERS_WRITE)
    @staticmethod
    async def restore_tracker(info: Info, input: RestoreTrackerInput) -> TrackerChanged:
        tracker_id = own_key(input.id, PublicIdTag.TRACKER, "tracker", "id")
        async with info.context.transaction() as transaction:
            await restore_tracker(
                transaction,
                tracker_id,
                user_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return TrackerChanged(refer(Tracker, tracker_id))

    @tracker_changes(
        f"Give a tracker a further key; {MOST_KEYS} at most.", type=AddTrackerKeyPayload, access=TRACKERS_WRITE
    )
    @staticmethod
    async def add_tracker_key(info: Info, input: AddTrackerKeyInput) -> KeyChanged:
        tracker_id = own_key(input.tracker_id, PublicIdTag.TRACKER, "tracker", "trackerId")
        async with info.context.transaction() as transaction:
            key_id = await add_tracker_key(
                transaction,
                info.context.resources.identity.secrets,
                tracker_id,
                user_id=info.context.viewer.own_id,
                private_key=input.private_key,
            )
        return KeyChanged(refer(TrackerKey, key_id))

    @tracker_changes(
        "Stop asking for the reports of a key; what comes of it all the same still counts.",
        type=RetireTrackerKeyPayload,
        access=TRACKERS_WRITE,
    )
    @staticmethod
    async def retire_tracker_key(info: Info, input: RetireTrackerKeyInput) -> KeyChanged:
        key_id = own_key(input.id, PublicIdTag.TRACKER_KEY, "key", "id")
        async with info.context.transaction() as transaction:
            await retire_tracker_key(transaction, key_id, user_id=info.context.viewer.own_id)
        return KeyChanged(refer(TrackerKey, key_id))

    @tracker_changes(
        "Have a tracker ride with something, of one's own or a parcel of its client. What is of one's own needs "
        "`portfolios:read` too.",
        type=AttachTrackerPayload,
        access=TRACKERS_WRITE,
    )
    @staticmethod
    async def attach_tracker(info: Info, input: AttachTrackerInput) -> Attached:
        if input.holding_id is not None or input.preorder_id is not None:
            PORTFOLIOS_READ.check(info.context.viewer, info.context.now)
        tracker_id = own_key(input.tracker_id, PublicIdTag.TRACKER, "tracker", "trackerId")
        ride = Ride(
            key_if_given(input.holding_id, PublicIdTag.HOLDING, "holding", "holdingId"),
            key_if_given(input.preorder_id, PublicIdTag.PREORDER, "preorder", "preorderId"),
            key_if_given(input.production_run_id, PublicIdTag.PRODUCTION_RUN, "production run", "productionRunId"),
            input.parcel,
        )
        async with info.context.transaction() as transaction:
            attachment_id = await attach_tracker(transaction, tracker_id, ride, user_id=info.context.viewer.own_id)
        return Attached(refer(TrackerAttachment, attachment_id))

    @tracker_changes(
        "Have a tracker ride with nothing, whoever's that was.", type=DetachTrackerPayload, access=TRACKERS_WRITE
    )
    @staticmethod
    async def detach_tracker(info: Info, input: DetachTrackerInput) -> TrackerChanged:
        tracker_id = own_key(input.tracker_id, PublicIdTag.TRACKER, "tracker", "trackerId")
        async with info.context.transaction() as transaction:
            await detach_tracker(transaction, tracker_id, user_id=info.context.viewer.own_id)
        return TrackerChanged(refer(Tracker, tracker_id))
