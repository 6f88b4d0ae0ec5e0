"""What is refused of notifications, as payloads show it, and who sees what is somebody's own."""

import strawberry

from app.graph.access import Privacy
from app.graph.fields import attribute, show_enum
from app.graph.user_errors import CODE, REFUSAL, Mutations, UserError
from app.identity.access import needs
from app.identity.scopes import Scope
from app.notifications.errors import NotificationErrorCode, NotificationRefused

NOTIFICATIONS_READ = needs(Scope.NOTIFICATIONS_READ)
NOTIFICATIONS_WRITE = needs(Scope.NOTIFICATIONS_WRITE)
OWNER_ALONE = Privacy("its owner alone", NOTIFICATIONS_READ)

show_enum(
    NotificationErrorCode,
    "Why something about notifications was refused.",
    {
        NotificationErrorCode.INVALID_INPUT: "A value is outside of what is allowed.",
        NotificationErrorCode.NOT_FOUND: "There is no such thing among one's own.",
        NotificationErrorCode.NOT_GRANTED: "Nobody has granted it to the viewer.",
        NotificationErrorCode.CONFLICT: "Another client was faster: look at it again.",
        NotificationErrorCode.TOO_MANY: "There are as many as there may be.",
        NotificationErrorCode.IDEMPOTENCY_KEY_REUSED: "The idempotency key was used for something else.",
    },
)


@strawberry.type(description=REFUSAL)
class NotificationError(UserError):
    code: NotificationErrorCode = attribute(CODE)


# A mutation of what is one's own.
notification_changes = Mutations(NotificationRefused, NotificationError)
