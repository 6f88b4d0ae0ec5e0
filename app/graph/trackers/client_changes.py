"""The mutations by which clients, their members, brands and production runs are kept."""

from dataclasses import dataclass
from datetime import datetime

import strawberry

from app.core.ids import PublicIdTag
from app.graph.context import Info
from app.graph.fields import attribute
from app.graph.reads.fields import Reference, refer
from app.graph.scalars import URL
from app.graph.trackers.clients import Brand, Client, Membership, ProductionRun
from app.graph.trackers.errors import TRACKERS_WRITE, TrackerError, tracker_changes
from app.graph.trackers.inputs import EXPECTED_VERSION, IDEMPOTENCY_KEY, given, own_key, sent
from app.graph.user_errors import USER_ERRORS, Done
from app.trackers.commands.brands import MOST_BRANDS, create_brand, delete_brand, edit_brand
from app.trackers.commands.clients import (
    LONGEST_SILENCE,
    MOST_CLIENTS,
    SHORTEST_SILENCE,
    SILENT_AFTER_MINUTES,
    create_client,
    delete_client,
    edit_client,
)
from app.trackers.commands.members import MOST_MEMBERS, add_member, remove_member, set_member_role
from app.trackers.commands.production_runs import (
    LONGEST_DESCRIPTION,
    MOST_RUNS,
    create_production_run,
    delete_production_run,
    edit_production_run,
)
from app.trackers.given import LONGEST_NAME
from app.trackers.models import MembershipRole

_NAME = f"The name, of {LONGEST_NAME} characters at most."
_LOGO = "The address of its logo, which begins with `https://`; null for none."
_SILENCE = (
    f"After how many minutes without a fix a tracker of it is silent, from {SHORTEST_SILENCE} to {LONGEST_SILENCE:,}."
)
_DESCRIPTION = f"What it is, in {LONGEST_DESCRIPTION} characters at most."
_IMAGE = "The address of a picture, which begins with `https://`; null for none."
_ENDED = "When it ended; null while it goes on."


@strawberry.input(description="A new client.")
class CreateClientInput:
    name: str = strawberry.field(description=_NAME)
    logo_url: URL | None = strawberry.field(default=None, description=_LOGO)
    silent_after_minutes: int = strawberry.field(default=SILENT_AFTER_MINUTES, description=_SILENCE)
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="What to change of a client. What is left out stays as it is.")
class EditClientInput:
    id: strawberry.ID = strawberry.field(description="The client.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)
    name: str | None = given(_NAME)
    logo_url: URL | None = given(_LOGO)
    silent_after_minutes: int | None = given(_SILENCE)


@strawberry.input(description="The client to delete with all that is its own.")
class DeleteClientInput:
    id: strawberry.ID = strawberry.field(description="The client.")
    confirm_name: str = strawberry.field(description="Its name, to say that all it has may go.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(description="Somebody who is to belong to a client.")
class AddMemberInput:
    client_id: strawberry.ID = strawberry.field(description="The client.")
    username: str = strawberry.field(description="Their username, in any case.")
    role: MembershipRole = strawberry.field(default=MembershipRole.VIEWER, description="What they may do.")


@strawberry.input(description="What a member of a client may do from now on.")
class SetMemberRoleInput:
    id: strawberry.ID = strawberry.field(description="The membership.")
    role: MembershipRole = strawberry.field(description="Their new role.")


@strawberry.input(description="Who is to belong to a client no more.")
class RemoveMemberInput:
    id: strawberry.ID = strawberry.field(description="The membership.")


@strawberry.input(description="A new brand.")
class CreateBrandInput:
    client_id: strawberry.ID = strawberry.field(description="Whose it is.")
    name: str = strawberry.field(description=f"{_NAME} No other brand of the client has it.")
    logo_url: URL | None = strawberry.field(default=None, description=_LOGO)
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="What to change of a brand. What is left out stays as it is.")
class EditBrandInput:
    id: strawberry.ID = strawberry.field(description="The brand.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)
    name: str | None = given(f"{_NAME} No other brand of the client has it.")
    logo_url: URL | None = given(_LOGO)


@strawberry.input(description="The brand to delete.")
class DeleteBrandInput:
    id: strawberry.ID = strawberry.field(description="The brand, which has no production runs any more.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.input(description="A production run to record.")
class CreateProductionRunInput:
    brand_id: strawberry.ID = strawberry.field(description="The brand that it is of.")
    description: str = strawberry.field(description=_DESCRIPTION)
    started_at: datetime = strawberry.field(description="When it began.")
    ended_at: datetime | None = strawberry.field(default=None, description=_ENDED)
    image_url: URL | None = strawberry.field(default=None, description=_IMAGE)
    idempotency_key: str | None = strawberry.field(default=None, description=IDEMPOTENCY_KEY)


@strawberry.input(description="What to change of a production run. What is left out stays as it is.")
class EditProductionRunInput:
    id: strawberry.ID = strawberry.field(description="The production run.")
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)
    brand_id: strawberry.ID | None = given("Another brand of the same client.")
    description: str | None = given(_DESCRIPTION)
    started_at: datetime | None = given("When it began.")
    ended_at: datetime | None = given(_ENDED)
    image_url: URL | None = given(_IMAGE)


@strawberry.input(description="The production run to delete.")
class DeleteProductionRunInput:
    id: strawberry.ID = strawberry.field(
        description="The production run, to which no tracker belongs any more, and no place alone."
    )
    expected_version: int | None = strawberry.field(default=None, description=EXPECTED_VERSION)


@strawberry.type(description="What became of the new client.")
class CreateClientPayload:
    client: Client | None = attribute("The client; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the client.")
class EditClientPayload:
    client: Client | None = attribute("The client as it is now; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="The client that was deleted.")
class DeleteClientPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="Who belongs to the client now.")
class AddMemberPayload:
    membership: Membership | None = attribute("The membership; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="What the member may do now.")
class SetMemberRolePayload:
    membership: Membership | None = attribute("The membership as it is now; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="Who belongs to the client no more.")
class RemoveMemberPayload:
    deleted_id: strawberry.ID | None = attribute("The id of the membership; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the new brand.")
class CreateBrandPayload:
    brand: Brand | None = attribute("The brand; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the brand.")
class EditBrandPayload:
    brand: Brand | None = attribute("The brand as it is now; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="The brand that was deleted.")
class DeleteBrandPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the new production run.")
class CreateProductionRunPayload:
    production_run: ProductionRun | None = attribute("The production run; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="What became of the production run.")
class EditProductionRunPayload:
    production_run: ProductionRun | None = attribute("The production run as it is now; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@strawberry.type(description="The production run that was deleted.")
class DeleteProductionRunPayload:
    deleted_id: strawberry.ID | None = attribute("The id that it had; null when refused.")
    user_errors: list[TrackerError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class ClientChanged(Done):
    """The payload of a client that was made or changed."""

    client: Reference


@dataclass(frozen=True, slots=True)
class MembershipChanged(Done):
    """The payload of a membership that was made or changed."""

    membership: Reference


@dataclass(frozen=True, slots=True)
class MemberRemoved(Done):
    """The payload of a membership that ended."""

    deleted_id: str


@dataclass(frozen=True, slots=True)
class BrandChanged(Done):
    """The payload of a brand that was made or changed."""

    brand: Reference


@dataclass(frozen=True, slots=True)
class RunChanged(Done):
    """The payload of a production run that was made or changed."""

    production_run: Reference


@dataclass(frozen=True, slots=True)
class Deleted(Done):
    """The payload of something that was deleted."""

    deleted_id: str


@strawberry.type
class ClientMutations:
    @tracker_changes(
        f"Make a client, whose owner one is; {MOST_CLIENTS} at most.", type=CreateClientPayload, access=TRACKERS_WRITE
    )
    @staticmethod
    async def create_client(info: Info, input: CreateClientInput) -> ClientChanged:
        async with info.context.transaction() as transaction:
            client_id = await create_client(
                transaction,
                sent(input, "idempotency_key"),
                user_id=info.context.viewer.own_id,
                idempotency_key=input.idempotency_key,
            )
        return ClientChanged(refer(Client, client_id))

    @tracker_changes(
        "Change a client, whose owner one is. Another silence has the histories of its trackers made anew.",
        type=EditClientPayload,
        access=TRACKERS_WRITE,
    )
    @staticmethod
    async def edit_client(info: Info, input: EditClientInput) -> ClientChanged:
        client_id = own_key(input.id, PublicIdTag.CLIENT, "client", "id")
        async with info.context.transaction() as transaction:
            await edit_client(
                transaction,
                client_id,
                sent(input, "id", "expected_version"),
                user_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return ClientChanged(refer(Client, client_id))

    @tracker_changes(
        "Delete a client, whose owner one is, with its brands, production runs, places, trackers, and all that was "
        "reported of them. Refused while a tracker of it is in use.",
        type=DeleteClientPayload,
        access=TRACKERS_WRITE,
    )
    @staticmethod
    async def delete_client(info: Info, input: DeleteClientInput) -> Deleted:
        client_id = own_key(input.id, PublicIdTag.CLIENT, "client", "id")
        async with info.context.transaction() as transaction:
            await delete_client(
                transaction,
                client_id,
                user_id=info.context.viewer.own_id,
                confirm_name=input.confirm_name,
                expected_version=input.expected_version,
            )
        return Deleted(input.id)

    @tracker_changes(
        f"Add somebody to a client, whose owner one is; {MOST_MEMBERS} at most.",
        type=AddMemberPayload,
        access=TRACKERS_WRITE,
    )
    @staticmethod
    async def add_member(info: Info, input: AddMemberInput) -> MembershipChanged:
        client_id = own_key(input.client_id, PublicIdTag.CLIENT, "client", "clientId")
        async with info.context.transaction() as transaction:
            membership_id = await add_member(
                transaction,
                client_id,
                user_id=info.context.viewer.own_id,
                username=input.username,
                role=input.role,
            )
        return MembershipChanged(refer(Membership, membership_id))

    @tracker_changes(
        "Give a member of a client, whose owner one is, another role. At least one owner stays.",
        type=SetMemberRolePayload,
        access=TRACKERS_WRITE,
    )
    @staticmethod
    async def set_member_role(info: Info, input: SetMemberRoleInput) -> MembershipChanged:
        membership_id = own_key(input.id, PublicIdTag.MEMBERSHIP, "member", "id")
        async with info.context.transaction() as transaction:
            await set_member_role(transaction, membership_id, user_id=info.context.viewer.own_id, role=input.role)
        return MembershipChanged(refer(Membership, membership_id))

    @tracker_changes(
        "Remove a member from a client, whose owner one is, or go oneself. At least one owner stays. No tracker of "
        "the client rides with what is theirs any more.",
        type=RemoveMemberPayload,
        access=TRACKERS_WRITE,
    )
    @staticmethod
    async def remove_member(info: Info, input: RemoveMemberInput) -> MemberRemoved:
        membership_id = own_key(input.id, PublicIdTag.MEMBERSHIP, "member", "id")
        async with info.context.transaction() as transaction:
            await remove_member(transaction, membership_id, user_id=info.context.viewer.own_id)
        return MemberRemoved(input.id)

    @tracker_changes(
        f"Make a brand of a client, whose operator one is; {MOST_BRANDS:,} at most.",
        type=CreateBrandPayload,
        access=TRACKERS_WRITE,
    )
    @staticmethod
    async def create_brand(info: Info, input: CreateBrandInput) -> BrandChanged:
        client_id = own_key(input.client_id, PublicIdTag.CLIENT, "client", "clientId")
        async with info.context.transaction() as transaction:
            brand_id = await create_brand(
                transaction,
                client_id,
                sent(input, "client_id", "idempotency_key"),
                user_id=info.context.viewer.own_id,
                idempotency_key=input.idempotency_key,
            )
        return BrandChanged(refer(Brand, brand_id))

    @tracker_changes("Change a brand.", type=EditBrandPayload, access=TRACKERS_WRITE)
    @staticmethod
    async def edit_brand(info: Info, input: EditBrandInput) -> BrandChanged:
        brand_id = own_key(input.id, PublicIdTag.BRAND, "brand", "id")
        async with info.context.transaction() as transaction:
            await edit_brand(
                transaction,
                brand_id,
                sent(input, "id", "expected_version"),
                user_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return BrandChanged(refer(Brand, brand_id))

    @tracker_changes("Delete a brand without production runs.", type=DeleteBrandPayload, access=TRACKERS_WRITE)
    @staticmethod
    async def delete_brand(info: Info, input: DeleteBrandInput) -> Deleted:
        brand_id = own_key(input.id, PublicIdTag.BRAND, "brand", "id")
        async with info.context.transaction() as transaction:
            await delete_brand(
                transaction,
                brand_id,
                user_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return Deleted(input.id)

    @tracker_changes(
        f"Record a production run of a brand; {MOST_RUNS:,} of a client at most.",
        type=CreateProductionRunPayload,
        access=TRACKERS_WRITE,
    )
    @staticmethod
    async def create_production_run(info: Info, input: CreateProductionRunInput) -> RunChanged:
        brand_id = own_key(input.brand_id, PublicIdTag.BRAND, "brand", "brandId")
        async with info.context.transaction() as transaction:
            run_id = await create_production_run(
                transaction,
                brand_id,
                sent(input, "brand_id", "idempotency_key"),
                user_id=info.context.viewer.own_id,
                idempotency_key=input.idempotency_key,
            )
        return RunChanged(refer(ProductionRun, run_id))

    @tracker_changes("Change a production run.", type=EditProductionRunPayload, access=TRACKERS_WRITE)
    @staticmethod
    async def edit_production_run(info: Info, input: EditProductionRunInput) -> RunChanged:
        run_id = own_key(input.id, PublicIdTag.PRODUCTION_RUN, "production run", "id")
        changes = sent(input, "id", "expected_version")
        brand_id = changes.pop("brand_id", None)
        if brand_id is not None:
            changes["brand_id"] = own_key(brand_id, PublicIdTag.BRAND, "brand", "brandId")
        async with info.context.transaction() as transaction:
            await edit_production_run(
                transaction,
                run_id,
                changes,
                user_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return RunChanged(refer(ProductionRun, run_id))

    @tracker_changes(
        "Delete a production run to which no tracker belongs.", type=DeleteProductionRunPayload, access=TRACKERS_WRITE
    )
    @staticmethod
    async def delete_production_run(info: Info, input: DeleteProductionRunInput) -> Deleted:
        run_id = own_key(input.id, PublicIdTag.PRODUCTION_RUN, "production run", "id")
        async with info.context.transaction() as transaction:
            await delete_production_run(
                transaction,
                run_id,
                user_id=info.context.viewer.own_id,
                expected_version=input.expected_version,
            )
        return Deleted(input.id)
