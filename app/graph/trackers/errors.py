"""What is refused of trackers, as payloads show it, and who sees what is a client's own."""

import strawberry

from app.graph.access import Privacy
from app.graph.fields import attribute, show_enum
from app.graph.user_errors import CODE, REFUSAL, Mutations, UserError
from app.identity.access import needs
from app.identity.scopes import Scope
from app.trackers.errors import TrackerErrorCode, TrackerRefused

TRACKERS_READ = needs(Scope.TRACKERS_READ)
TRACKERS_WRITE = needs(Scope.TRACKERS_WRITE)
MEMBERS_ALONE = Privacy("the members of its client alone", TRACKERS_READ)

show_enum(
    TrackerErrorCode,
    "Why something about trackers was refused.",
    {
        TrackerErrorCode.INVALID_INPUT: "A value is outside of what is allowed.",
        TrackerErrorCode.NOT_FOUND: "There is no such thing among those of one's clients.",
        TrackerErrorCode.CONFLICT: "Another client was faster: look at it again.",
        TrackerErrorCode.TOO_MANY: "There are as many as there may be.",
        TrackerErrorCode.NAME_TAKEN: "Another one has the name.",
        TrackerErrorCode.NOT_EMPTY: "Something belongs to it still.",
        TrackerErrorCode.NOT_ALLOWED: "It takes another role in the client.",
        TrackerErrorCode.LAST_OWNER: "A client keeps at least one owner.",
        TrackerErrorCode.KEY_TAKEN: "A tracker has the key already.",
        TrackerErrorCode.INVALID_SHAPE: "It is no shape of a place: see the message.",
        TrackerErrorCode.ALREADY_ATTACHED: "The tracker rides with something already; detach it first.",
        TrackerErrorCode.ILLEGAL_STATE: "It is not in a state in which that can be done.",
        TrackerErrorCode.IDEMPOTENCY_KEY_REUSED: "The idempotency key was used for something else.",
    },
)


@strawberry.type(description=REFUSAL)
class TrackerError(UserError):
    code: TrackerErrorCode = attribute(CODE)


# A mutation of what belongs to clients.
tracker_changes = Mutations(TrackerRefused, TrackerError)
