"""What a webhook's document may read: what its maker chose, and no more than somebody may read of their own."""

from collections.abc import Collection, Iterable

from app.core.errors import BadUserInput
from app.identity.scopes import Scope

# What a notification itself takes.
ALWAYS = frozenset({Scope.ALERTS_READ, Scope.NOTIFICATIONS_READ})
CHOOSABLE = frozenset({Scope.ACCOUNT_READ, Scope.PORTFOLIOS_READ, Scope.TRACKERS_READ})


def check_webhook_scopes(chosen: Iterable[str], own: Collection[Scope]) -> list[str]:
    """The scopes to keep with a webhook, sorted and each once; raises BadUserInput.

    `own` are those of the credential that makes it: nobody gives a webhook what they, or their token, do not have.
    """
    lacking = sorted(scope.value for scope in ALWAYS.difference(own))
    if lacking:
        raise BadUserInput(
            f"A webhook reads alerts and notifications, and your token does not: it lacks {', '.join(lacking)}.",
            argument="scopes",
        )
    kept = set(chosen) - {scope.value for scope in ALWAYS}
    allowed = sorted(scope.value for scope in CHOOSABLE.intersection(own))
    if not kept.issubset(allowed):
        raise BadUserInput(
            "Choose among what a webhook may read and you may read yourself"
            f"{': ' if allowed else '; with this token it is nothing more'}{', '.join(allowed)}.",
            argument="scopes",
            allowed=allowed,
        )
    return sorted(kept)


def scopes_of_webhook(kept: Iterable[str]) -> frozenset[Scope]:
    """With which scopes a document is asked; what no webhook may have any longer counts for nothing."""
    return ALWAYS | set(kept_scopes(kept))


def kept_scopes(kept: Iterable[str]) -> Collection[Scope]:
    """The chosen ones of a webhook that still may be chosen."""
    values = set(kept)
    return [scope for scope in CHOOSABLE if scope.value in values]
