"""What is refused of rules, as payloads show it, and who sees rules and alerts."""

from collections.abc import Mapping

import strawberry

from app.alerts.errors import AlertErrorCode, AlertRefused
from app.alerts.models import RuleTarget
from app.graph.access import Privacy
from app.graph.fields import attribute, show_enum
from app.graph.portfolios.errors import PORTFOLIOS_READ
from app.graph.trackers.errors import TRACKERS_READ
from app.graph.user_errors import CODE, REFUSAL, Mutations, UserError
from app.identity.access import Access, needs
from app.identity.scopes import Scope
from app.identity.viewer import Viewer

ALERTS_READ = needs(Scope.ALERTS_READ)
ALERTS_WRITE = needs(Scope.ALERTS_WRITE)
OWNER_ALONE = Privacy("its owner alone", ALERTS_READ)
# What a rule over these tells, a token with another scope alone reads.
ACCESS_TO_TARGETS: Mapping[RuleTarget, Access] = {
    **dict.fromkeys(
        (RuleTarget.PORTFOLIO, RuleTarget.WATCHLIST, RuleTarget.PREORDER, RuleTarget.WANT, RuleTarget.WANTS),
        PORTFOLIOS_READ,
    ),
    **dict.fromkeys((RuleTarget.TRACKER, RuleTarget.PLACE, RuleTarget.PRODUCTION_RUN), TRACKERS_READ),
}


def may_see(viewer: Viewer, target: RuleTarget) -> bool:
    """Whether a viewer may be told what a rule over such a target tells."""
    access = ACCESS_TO_TARGETS.get(target)
    return access is None or not viewer.scopes.isdisjoint(access.scopes)


show_enum(
    AlertErrorCode,
    "Why something about rules or alerts was refused.",
    {
        AlertErrorCode.INVALID_INPUT: "A value is outside of what is allowed.",
        AlertErrorCode.NOT_FOUND: "There is no such thing among one's own, or that one sees.",
        AlertErrorCode.CONFLICT: "Another client was faster: look at it again.",
        AlertErrorCode.TOO_MANY: "There are as many as there may be.",
        AlertErrorCode.RATE_LIMITED: "Too many came at once: go on after the seconds that the message says.",
        AlertErrorCode.ILLEGAL_STATE: "It is not in a state in which that can be done.",
        AlertErrorCode.IDEMPOTENCY_KEY_REUSED: "The idempotency key was used for something else.",
    },
)


@strawberry.type(description=REFUSAL)
class AlertError(UserError):
    code: AlertErrorCode = attribute(CODE)


# A mutation of one's own rules.
alert_changes = Mutations(AlertRefused, AlertError)
