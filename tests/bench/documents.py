"""What is asked of the reads: the documents for Trove's graph, and those that ask PostGraphile for the same leaves."""

_PRICE = "price { amount currency kind source observedAt }"
LIST = f"query List {{ items(first: 50) {{ nodes {{ name slug imageUrl {_PRICE} }} }} }}"
# Sixteen leaves along each walk: six of an item, four of its variant, three of its series, three of the latest price.
_WALKED = """
    id slug name imageUrl kind createdAt
    variants { id key name isDefault series(kind: SALE) { id kind currency latest { amount quantity observedAt } } }
"""
WALK = f"query Walk {{ items(first: 100) {{ nodes {{ {_WALKED} }} }} }}"
POINT = f"query Point($id: ID!) {{ node(id: $id) {{ id ... on Item {{ name slug imageUrl {_PRICE} }} }} }}"
# Sixteen leaves of each holding: two of its own, three of its variant, six of the item, five of the best price.
_HELD = f"""
    id quantity
    variant {{ id key name item {{ id slug name imageUrl kind createdAt }} {_PRICE} }}
"""
HOLDINGS = f"""
    query Holdings($id: ID!) {{
        node(id: $id) {{ ... on Portfolio {{ name holdings(first: 100) {{ nodes {{ {_HELD} }} }} }} }}
    }}
"""
_CANDLE = "start open high low close volume"
_LAST_YEAR = "resolution: ONE_HOUR, last: 8760"
CANDLES = f"""
    query Candles($id: ID!) {{
        node(id: $id) {{ ... on PriceSeries {{ candles({_LAST_YEAR}) {{ {_CANDLE} }} }} }}
    }}
"""
CANDLE_COLUMNS = f"""
    query CandleColumns($id: ID!) {{
        node(id: $id) {{ ... on PriceSeries {{ candleColumns({_LAST_YEAR}) {{ {_CANDLE} }} }} }}
    }}
"""

_POSTGRAPHILE_ORDER = "orderBy: [NAME_ASC, ROW_ID_ASC]"
_POSTGRAPHILE_PRICE = "bestPrice { nodes { amount currency kind source observedAt } }"
POSTGRAPHILE_LIST = f"""
    query List {{
        allItems(first: 50, {_POSTGRAPHILE_ORDER}) {{ nodes {{ name slug imageUrl {_POSTGRAPHILE_PRICE} }} }}
    }}
"""
POSTGRAPHILE_WALK = f"""
    query Walk {{
        allItems(first: 100, {_POSTGRAPHILE_ORDER}) {{
            nodes {{
                rowId slug name imageUrl kind createdAt
                itemVariantsByItemId {{
                    nodes {{
                        rowId key name isDefault
                        priceSeriesByVariantId(condition: {{kind: "sale"}}) {{
                            nodes {{ rowId kind currency latestPrice latestQuantity latestObservedAt }}
                        }}
                    }}
                }}
            }}
        }}
    }}
"""
POSTGRAPHILE_HOLDINGS = f"""
    query Holdings($rowId: UUID!) {{
        portfolioByRowId(rowId: $rowId) {{
            name
            holdingsByPortfolioIdAndOwnerId(first: 100, orderBy: [POSITION_ASC, ROW_ID_ASC]) {{
                nodes {{
                    rowId quantity
                    itemVariantByVariantId {{
                        rowId key name
                        itemByItemId {{ rowId slug name imageUrl kind createdAt }}
                        {_POSTGRAPHILE_PRICE}
                    }}
                }}
            }}
        }}
    }}
"""
# By the primary key: `node(id:)` does the same there, and more, for it must first take the type out of the id.
POSTGRAPHILE_POINT = f"""
    query Point($rowId: UUID!) {{ itemByRowId(rowId: $rowId) {{ rowId name slug imageUrl {_POSTGRAPHILE_PRICE} }} }}
"""
POSTGRAPHILE_CANDLES = """
    query Candles($seriesId: Int!) {
        allCandles(condition: {seriesId: $seriesId, resolution: 3600}, orderBy: BUCKET_ASC, last: 8760) {
            nodes { bucket open high low close volume }
        }
    }
"""


def pages_of_walks(pages: int) -> str:
    """So many pages of a hundred walks in one document; all but the first begin after a cursor, `$after1` and on."""
    variables = ", ".join(f"$after{number}: String" for number in range(1, pages))
    fields = [f"page0: items(first: 100) {{ nodes {{ {_WALKED} }} }}"] + [
        f"page{number}: items(first: 100, after: $after{number}) {{ nodes {{ {_WALKED} }} }}"
        for number in range(1, pages)
    ]
    return f"query Walks({variables}) {{ {' '.join(fields)} }}"


def walks(items: int) -> str:
    """One page of walks."""
    return f"query Walk {{ items(first: {items}) {{ nodes {{ {_WALKED} }} }} }}"


def pages_of_holdings(pages: int, size: int) -> str:
    """So many pages of holdings of a portfolio, `$id`; all but the first begin after a cursor, `$after1` and on."""
    variables = "".join(f", $after{number}: String" for number in range(1, pages))
    fields = [f"page0: holdings(first: {size}) {{ nodes {{ {_HELD} }} }}"] + [
        f"page{number}: holdings(first: {size}, after: $after{number}) {{ nodes {{ {_HELD} }} }}"
        for number in range(1, pages)
    ]
    return f"query Holdings($id: ID!{variables}) {{ node(id: $id) {{ ... on Portfolio {{ {' '.join(fields)} }} }} }}"


HOLDING_CURSORS = """
    query Cursors($id: ID!, $after: String) {
        node(id: $id) { ... on Portfolio { holdings(first: 100, after: $after) { pageInfo { endCursor } } } }
    }
"""


def minutes(points: int) -> str:
    """So many candles of a minute, as columns."""
    columns = f"candleColumns(resolution: ONE_MINUTE, last: {points}) {{ {_CANDLE} }}"
    return f"query Minutes($id: ID!) {{ node(id: $id) {{ ... on PriceSeries {{ {columns} }} }} }}"


CURSORS = "query Cursors($after: String) { items(first: 100, after: $after) { pageInfo { endCursor } } }"
