"""The documents in GraphiQL's tabs: something to run at once, over the demo world."""

from app.core.settings import Settings
from app.graph.graphiql.page import Example

WATCHED = (
    "demo-harbourcoin",
    "demo-lanternium",
    "demo-quillnet",
    "demo-mossgrid",
    "demo-pennywhistle",
    "demo-steady-dollar",
    "demo-orbitless",
    "demo-saltmarsh",
)

WALK = """\
# Click ▶ to walk through the catalogue:
# one request, one consistent picture.
query Walk {
  items(first: 5, filter: { kind: COIN }) {
    totalCount
    nodes {
      id
      slug
      name
      ... on Coin {
        symbol
      }
      price {
        amount
        currency
        kind
        source
        staleness
      }
      series {
        kind
        currency
        source {
          name
        }
        candles(resolution: ONE_WEEK, last: 4) {
          start
          open
          high
          low
          close
          isComplete
        }
      }
    }
  }
}
"""

SEND = """\
# Send a price, as a partner would.
# The token stands in the headers below.
# A worker processes it within moments.
mutation SendAPrice {
  ingestPrices(
    input: {
      points: [
        { slug: "demo-harbourcoin", source: "graphiql", kind: MARKET, currency: USD, price: "41234.56" }
      ]
    }
  ) {
    batch {
      id
      status
      rowCount
    }
    userErrors {
      field
      message
    }
  }
}
"""

WATCH = """\
# Watch prices as they move.
# One that you send from another window
# appears here too.
subscription WatchPrices($slugs: [String!]!) {
  priceUpdates(slugs: $slugs) {
    cursor
    item {
      slug
    }
    price {
      amount
      currency
      kind
      source
      observedAt
    }
  }
}
"""


def example_documents(settings: Settings) -> list[Example]:
    """A query that walks, a mutation with the token it needs, and a live subscription."""
    token = settings.demo_token.get_secret_value() if settings.demo_token else ""
    return [
        Example(name="A walk", query=WALK, variables={}, headers={}),
        Example(
            name="Send a price",
            query=SEND,
            variables={},
            headers={"Authorization": f"Bearer {token}"} if token else {},
        ),
        Example(name="Watch prices", query=WATCH, variables={"slugs": list(WATCHED)}, headers={}),
    ]
