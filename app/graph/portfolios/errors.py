"""What is refused of portfolios, as payloads show it, and who sees what is somebody's own."""

import strawberry

from app.graph.access import Privacy
from app.graph.fields import attribute, show_enum
from app.graph.user_errors import CODE, REFUSAL, Mutations, UserError
from app.identity.access import needs
from app.identity.scopes import Scope
from app.portfolios.errors import PortfolioErrorCode, PortfolioRefused

PORTFOLIOS_READ = needs(Scope.PORTFOLIOS_READ)
PORTFOLIOS_WRITE = needs(Scope.PORTFOLIOS_WRITE)
OWNER_ALONE = Privacy("its owner alone", PORTFOLIOS_READ)

show_enum(
    PortfolioErrorCode,
    "Why something about a portfolio was refused.",
    {
        PortfolioErrorCode.INVALID_INPUT: "A value is outside of what is allowed.",
        PortfolioErrorCode.NOT_FOUND: "There is no such thing among one's own.",
        PortfolioErrorCode.CONFLICT: "Another client was faster: look at it again.",
        PortfolioErrorCode.TOO_MANY: "There are as many as there may be.",
        PortfolioErrorCode.NAME_TAKEN: "Another one of one's own has the name.",
        PortfolioErrorCode.NOT_EMPTY: "Something is in it or refers to it, and would go with it or forget it.",
        PortfolioErrorCode.INSUFFICIENT_QUANTITY: "There would be less than is disposed of, now or in a later trade.",
        PortfolioErrorCode.AMBIGUOUS_HOLDING: "Several holdings are meant; name one by its id.",
        PortfolioErrorCode.UNKNOWN_LOT: "The holding has no such lot at that time.",
        PortfolioErrorCode.IN_THE_FUTURE: "The time has not come yet.",
        PortfolioErrorCode.NO_EXCHANGE_RATE: "No rate leads to the base currency on that day.",
        PortfolioErrorCode.HAS_BAD_ROWS: "The import has rows that cannot be; put them right, and preview it again.",
        PortfolioErrorCode.IDEMPOTENCY_KEY_REUSED: "The idempotency key was used for something else.",
        PortfolioErrorCode.ALREADY_LISTED: "It is in the list, or among one's wants, already.",
        PortfolioErrorCode.ILLEGAL_STATE: "It is not in a state in which that can be done.",
    },
)


@strawberry.type(description=REFUSAL)
class PortfolioError(UserError):
    code: PortfolioErrorCode = attribute(CODE)


# A mutation of what is one's own.
portfolio_changes = Mutations(PortfolioRefused, PortfolioError)
