"""The audit log: what was done to an account."""

from datetime import datetime
from enum import Enum

import strawberry

from app.core.ids import PublicIdTag
from app.graph.access import Privacy, private
from app.graph.fields import show_enum
from app.graph.reads.arguments import Orders, narrow
from app.graph.reads.fields import column, shows
from app.graph.relay import Node
from app.graph.scalars import JSON
from app.identity.actions import MEANINGS, AuditAction
from app.identity.models import AuditEntry as Entry
from app.identity.queries.expressions import AUDIT_ADDRESS, AUDIT_AFTER, AUDIT_BEFORE
from app.identity.scopes import Scope

show_enum(AuditAction, "What was done.", MEANINGS)


class AuditOrder(Enum):
    """What the audit log is ordered by."""

    OCCURRED_AT = "occurred_at"


AUDIT_ORDERS = Orders("audit", {AuditOrder.OCCURRED_AT: Entry.occurred_at}, tie=Entry.id, newest_first=True)


@strawberry.input(description="What of the log to list; what is left out does not narrow it.")
class AuditFilter:
    action: AuditAction | None = narrow(
        "Only where this was done.", Entry.action, lambda action: Entry.action == action
    )
    from_: datetime | None = narrow(
        "Only what was done at this time or after.", Entry.occurred_at, lambda at: Entry.occurred_at >= at, name="from"
    )
    to: datetime | None = narrow(
        "Only what was done before this time.", Entry.occurred_at, lambda at: Entry.occurred_at < at
    )


@strawberry.type(
    description="Something that was done to an account. Never removed; once an account is erased, what told of its "
    "person is gone."
)
@private(Privacy(f"whose account it was about, who did it, and staff with `{Scope.AUDIT_READ}`"))
@shows(Entry, PublicIdTag.AUDIT_ENTRY)
class AuditEntry(Node):
    occurred_at: datetime = column(Entry.occurred_at, "When it was done.")
    action: AuditAction = column(Entry.action, "What was done.")
    address: str | None = column(AUDIT_ADDRESS, "The network address it was done from; null where there was none.")
    user_agent: str | None = column(Entry.user_agent, "The program it was done with, as it named itself.")
    before: JSON | None = column(AUDIT_BEFORE, "What was so before, where that is told; never anything secret.")
    after: JSON | None = column(AUDIT_AFTER, "What is so since, where that is told; never anything secret.")
