"""One's own data: having it all as an archive, and having it erased."""

from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

import strawberry

from app.core.ids import PublicIdTag, public_id
from app.graph.context import Context, Info
from app.graph.fields import attribute
from app.graph.identity.accounts import Account, DataExport
from app.graph.identity.errors import IdentityError, changes
from app.graph.identity.payloads import AccountChanged
from app.graph.reads.fields import Reference, refer
from app.graph.relay import key_of
from app.graph.scalars import URL
from app.graph.user_errors import USER_ERRORS, Done
from app.identity.access import OWN_CREDENTIALS, OWN_SESSIONS
from app.identity.commands.deletion import cancel_deletion, request_deletion
from app.identity.commands.exports import create_download, request_export
from app.identity.errors import IdentityErrorCode, IdentityRefused


@strawberry.type(description="The account, which will be erased.")
class RequestAccountDeletionPayload:
    account: Account | None = attribute("The account; `deletion` says until when it can be cancelled.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="The account, which stays.")
class CancelAccountDeletionPayload:
    account: Account | None = attribute("The account.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.type(description="The archive that was asked for.")
class ExportMyDataPayload:
    export: DataExport | None = attribute("The archive, which is put together within moments; look again by its id.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@strawberry.input(description="An archive to fetch.")
class CreateExportDownloadInput:
    id: strawberry.ID = strawberry.field(description="One of one's own exports that is ready.")


@strawberry.type(description="A link that fetches the archive.")
class CreateExportDownloadPayload:
    url: URL | None = attribute("Where a browser fetches it. Whoever has this link has the archive.")
    expires_at: datetime | None = attribute("Until when the link holds: 15 minutes at most.")
    user_errors: list[IdentityError] = attribute(USER_ERRORS)


@dataclass(frozen=True, slots=True)
class Exported(Done):
    """The payload of `exportMyData`."""

    export: Reference


@dataclass(frozen=True, slots=True)
class Download(Done):
    """The payload of `createExportDownload`."""

    url: str = field(repr=False)
    expires_at: datetime


def _account_of(context: Context) -> AccountChanged:
    return AccountChanged(refer(Account, context.viewer.user_id))


@strawberry.type
class DataMutations:
    @changes(
        "Have one's account erased, with everything in it, after 30 days; until then it can be cancelled.",
        type=RequestAccountDeletionPayload,
        access=OWN_CREDENTIALS,
    )
    @staticmethod
    async def request_account_deletion(info: Info) -> AccountChanged:
        async with info.context.authentication() as transaction:
            await request_deletion(transaction, info.context.resources.identity.secrets, caller=info.context.caller)
        return _account_of(info.context)

    @changes(
        "Keep one's account after all.",
        type=CancelAccountDeletionPayload,
        access=OWN_SESSIONS,
    )
    @staticmethod
    async def cancel_account_deletion(info: Info) -> AccountChanged:
        async with info.context.authentication() as transaction:
            await cancel_deletion(transaction, info.context.resources.identity.secrets, caller=info.context.caller)
        return _account_of(info.context)

    @changes(
        "Have an archive made of everything that is kept of one: JSON files in a zip, kept for 7 days. Once a day.",
        type=ExportMyDataPayload,
        access=OWN_SESSIONS,
    )
    @staticmethod
    async def export_my_data(info: Info) -> Exported:
        async with info.context.transaction() as transaction:
            export_id = await request_export(transaction, caller=info.context.caller)
        return Exported(refer(DataExport, export_id))

    @changes(
        "Make a link that fetches an archive, for 15 minutes.",
        type=CreateExportDownloadPayload,
        access=OWN_SESSIONS,
    )
    @staticmethod
    async def create_export_download(info: Info, input: CreateExportDownloadInput) -> Download:
        identity = info.context.resources.identity
        public_url = identity.require_public_url()
        key = key_of(input.id, PublicIdTag.DATA_EXPORT, argument="id")
        if not isinstance(key, UUID):
            raise IdentityRefused(IdentityErrorCode.NOT_FOUND, "This is no id of an export.", field=["id"])
        async with info.context.authentication() as transaction:
            download = await create_download(transaction, identity.secrets, key, caller=info.context.caller)
        link = f"{public_url}/exports/{public_id(PublicIdTag.DATA_EXPORT, key)}?{urlencode({'token': download.token})}"
        return Download(link, download.expires_at)
