"""The history of an item, for those who write it."""

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import strawberry

from app.catalogue.models import ItemRevision as Stored
from app.catalogue.models import RevisionAction
from app.catalogue.queries.revisions import CHANGES
from app.graph.access import Privacy, private
from app.graph.fields import show_enum
from app.graph.reads.arguments import Orders
from app.graph.reads.fields import column, edge, shows
from app.graph.scalars import JSON
from app.identity.models import public_profiles
from app.identity.scopes import Scope

if TYPE_CHECKING:
    from app.graph.identity.accounts import User

show_enum(
    RevisionAction,
    "What staff did to an item.",
    {
        RevisionAction.CREATED: "They made it.",
        RevisionAction.EDITED: "They changed it, or a variant of it.",
        RevisionAction.MERGED: "They merged another item into it; `merged` in the changes tells what that was.",
    },
)


class RevisionOrder(Enum):
    """What revisions are ordered by."""

    NUMBER = "number"


REVISION_ORDERS = Orders("item-revisions", {RevisionOrder.NUMBER: Stored.number}, tie=Stored.id, newest_first=True)


@strawberry.type(
    description="Something that staff changed of an item. What importers change, and its photos, are not written down."
)
@private(Privacy(f"who changed it, and staff with `{Scope.CATALOGUE_WRITE}`"))
@shows(Stored, key=Stored.id)
class ItemRevision:
    number: int = column(Stored.number, "Its place in the history of the item, from 1.")
    action: RevisionAction = column(Stored.action, "What was done.")
    created_at: datetime = column(Stored.created_at, "When it was done.")
    changes: JSON = column(
        CHANGES, "By the name of each field that was changed, as an item has it, its value `before` and `after`."
    )
    editor: Annotated["User", strawberry.lazy("app.graph.identity.accounts")] | None = edge(
        "Who did it; null for an operator, and once the account is erased.",
        on=Stored.user_id,
        to=public_profiles.c.id,
    )
