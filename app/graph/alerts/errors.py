"""What is refused of rules, as payloads show it, and who sees rules and alerts."""

import strawberry

from app.alerts.errors import AlertErrorCode, AlertRefused
from app.graph.access import Privacy
from app.graph.fields import attribute, show_enum
from app.graph.user_errors import CODE, REFUSAL, Mutations, UserError
from app.identity.access import needs
from app.identity.scopes import Scope

ALERTS_READ = needs(Scope.ALERTS_READ)
ALERTS_WRITE = needs(Scope.ALERTS_WRITE)
OWNER_ALONE = Privacy("its owner alone", ALERTS_READ)

show_enum(
    AlertErrorCode,
    "Why something about rules or alerts was refused.",
    {
        AlertErrorCode.INVALID_INPUT: "A value is outside of what is allowed.",
        AlertErrorCode.NOT_FOUND: "There is no such thing among one's own, or that one sees.",
        AlertErrorCode.CONFLICT: "Another client was faster: look at it again.",
        AlertErrorCode.TOO_MANY: "There are as many as there may be, or too many came at once.",
        AlertErrorCode.ILLEGAL_STATE: "It is not in a state in which that can be done.",
        AlertErrorCode.IDEMPOTENCY_KEY_REUSED: "The idempotency key was used for something else.",
    },
)


@strawberry.type(description=REFUSAL)
class AlertError(UserError):
    code: AlertErrorCode = attribute(CODE)


# A mutation of one's own rules.
alert_changes = Mutations(AlertRefused, AlertError)
