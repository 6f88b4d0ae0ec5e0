"""One's own wishes and stores by themselves, for tokens that may read portfolios and nothing of the account."""

import strawberry

from app.graph.portfolios.errors import PORTFOLIOS_READ
from app.graph.portfolios.holdings import STORE_ORDERS, Store
from app.graph.reads.fields import connection
from app.graph.relay import Connection
from app.graph.wishes.preorders import PREORDER_ORDERS, Preorder, PreorderFilter
from app.graph.wishes.wants import WANT_ORDERS, Want, WantFilter
from app.graph.wishes.watchlists import WATCHLIST_ORDERS, Watchlist


@strawberry.type
class WishQueries:
    stores: Connection[Store] | None = connection(
        "Where one acquires things, by name.", orders=STORE_ORDERS, access=PORTFOLIOS_READ
    )
    watchlists: Connection[Watchlist] | None = connection(
        "One's own lists of what one watches, in their order.", orders=WATCHLIST_ORDERS, access=PORTFOLIOS_READ
    )
    wants: Connection[Want] | None = connection(
        "What one wishes to own and does not, the most wanted first. What one owns that meets a want fulfils it, and "
        "`filter` shows such wants too.",
        orders=WANT_ORDERS,
        filter=WantFilter,
        access=PORTFOLIOS_READ,
    )
    preorders: Connection[Preorder] | None = connection(
        "What one has ordered ahead, the newest first.",
        orders=PREORDER_ORDERS,
        filter=PreorderFilter,
        access=PORTFOLIOS_READ,
    )
