"""What mutations of one's own account give, where several give the same."""

from dataclasses import dataclass

from app.graph.reads.fields import Reference
from app.graph.user_errors import Done


@dataclass(frozen=True, slots=True)
class AccountChanged(Done):
    """The payload of what changes an account and gives nothing else."""

    account: Reference


@dataclass(frozen=True, slots=True)
class ViewerChanged(Done):
    """The same, named after who asks; null where nobody is signed in."""

    viewer: Reference | None
