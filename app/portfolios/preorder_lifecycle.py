"""The states of a preorder, and which may follow which."""

from collections.abc import Mapping, Sequence

from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused
from app.portfolios.wish_models import PreorderStatus

# What is skipped in between was not seen. A cancelled preorder can be taken up again; a received one is at its end.
NEXT_STATES: Mapping[PreorderStatus, Sequence[PreorderStatus]] = {
    PreorderStatus.ANNOUNCED: (PreorderStatus.OPEN, PreorderStatus.PREORDERED, PreorderStatus.CANCELLED),
    PreorderStatus.OPEN: (PreorderStatus.PREORDERED, PreorderStatus.CANCELLED),
    PreorderStatus.PREORDERED: (
        PreorderStatus.IN_PRODUCTION,
        PreorderStatus.RELEASED,
        PreorderStatus.SHIPPED,
        PreorderStatus.CANCELLED,
    ),
    PreorderStatus.IN_PRODUCTION: (PreorderStatus.RELEASED, PreorderStatus.SHIPPED, PreorderStatus.CANCELLED),
    PreorderStatus.RELEASED: (PreorderStatus.SHIPPED, PreorderStatus.RECEIVED, PreorderStatus.CANCELLED),
    PreorderStatus.SHIPPED: (PreorderStatus.RECEIVED, PreorderStatus.CANCELLED),
    PreorderStatus.RECEIVED: (),
    PreorderStatus.CANCELLED: (PreorderStatus.ANNOUNCED, PreorderStatus.OPEN, PreorderStatus.PREORDERED),
}
# In which a new preorder may be.
FIRST_STATES = (
    PreorderStatus.ANNOUNCED,
    PreorderStatus.OPEN,
    PreorderStatus.PREORDERED,
    PreorderStatus.IN_PRODUCTION,
    PreorderStatus.RELEASED,
    PreorderStatus.SHIPPED,
)
# Which have a balance that falls due; what is shipped was paid for.
AWAITING_PAYMENT = (PreorderStatus.PREORDERED, PreorderStatus.IN_PRODUCTION, PreorderStatus.RELEASED)
# Which were paid for.
PAID = (PreorderStatus.SHIPPED, PreorderStatus.RECEIVED)


def refuse_illegal_step(current: PreorderStatus, wanted: PreorderStatus, *, field: str = "status") -> None:
    """Refuse a state that does not follow; raises PortfolioRefused (ILLEGAL_STATE) that names those that do."""
    following = NEXT_STATES[current]
    if wanted in following:
        return
    allowed = ", ".join(status.name for status in following) or "nothing, for it is at its end"
    raise PortfolioRefused(
        PortfolioErrorCode.ILLEGAL_STATE,
        f"After {current.name} comes {allowed}; not {wanted.name}.",
        field=[field],
    )
