"""The documents in GraphiQL's tabs: something to run at once, over the demo world."""

from app.core.settings import Settings
from app.graph.graphiql.page import DemoSignIn, Example, GraphiQL

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


WHO = """\
# Who am I? Everything that is mine
# hangs below `viewer`; the token in the
# headers below says who asks.
query WhoAmI {
  viewer {
    username
    displayName
    email
    preferences {
      currency
      timezone
      locale
    }
    sessions(first: 3) {
      totalCount
      nodes {
        device
        address
        lastSeenAt
      }
    }
    apiTokens(first: 3) {
      nodes {
        name
        prefix
        scopes
        lastUsedAt
      }
    }
    auditLog(first: 5) {
      nodes {
        occurredAt
        action
      }
    }
  }
}
"""


OWNED = """\
# What do I own, and what did it cost?
# Lots follow from trades; the token in
# the headers below says who asks.
query WhatIOwn {
  portfolios(first: 5) {
    nodes {
      name
      baseCurrency
      method
      visibility
      holdings(first: 5) {
        totalCount
        nodes {
          variant {
            name
            item {
              name
              price {
                amount
                currency
              }
            }
          }
          quantity
          cost {
            amount
            currency
          }
          realizedGain {
            amount
          }
          details {
            condition
            grade
            grader
            place
          }
          lots(first: 3) {
            nodes {
              acquiredAt
              remainingQuantity
            }
          }
        }
      }
    }
  }
}
"""


TRACKED = """\
# Where are my boxes, and where were they?
# Only members of a client see anything
# of it; the token in the headers below
# says who asks.
query WhereThingsAre {
  clients(first: 3) {
    nodes {
      name
      productionRuns(first: 3) {
        nodes {
          description
          brand {
            name
          }
          places {
            name
            kind
            shape
          }
          trackers(first: 10) {
            nodes {
              name
              status
              statusSince
              place {
                name
              }
              lastFix {
                bucket
                position {
                  latitude
                  longitude
                }
                accuracyMeters
              }
              visits(first: 5) {
                nodes {
                  place {
                    name
                  }
                  arrivedAt
                  departedAt
                }
              }
            }
          }
        }
      }
    }
  }
}
"""


TOLD = """\
# What do I want to be told of, and what was
# I told? The demo's feed moves a coin across
# the level of the first rule: run it again
# after a minute. As it happens, in a new tab:
# subscription { alertFired { alert { title } } }
query WhatIAmTold {
  alertRules(first: 10) {
    nodes {
      notes
      condition
      threshold
      currency
      state
      item {
        name
      }
      portfolio {
        name
      }
      productionRun {
        description
      }
      lastEvaluation {
        at
        value
      }
      firedCount
    }
  }
  alerts(first: 10) {
    nodes {
      title
      severity
      oldValue
      newValue
      currency
      observedAt
      source {
        name
      }
    }
  }
  viewer {
    notificationCounts {
      unread
      critical
    }
    notifications(first: 10) {
      nodes {
        title
        body
        severity
        eventType
        createdAt
        isUnread
      }
    }
  }
}
"""


def graphiql_page(settings: Settings) -> GraphiQL:
    """Seven tabs, five of them with the demo's token, and a click that gives it to all."""
    token = settings.demo_token.get_secret_value() if settings.demo_token else ""
    authorization = f"Bearer {token}" if token else ""
    return GraphiQL(
        examples=example_documents(authorization),
        demo=DemoSignIn(label="Sign in as the demo collector", authorization=authorization) if authorization else None,
    )


def example_documents(authorization: str = "") -> list[Example]:
    """Queries that walk, also through what is one's own, a mutation, and a subscription; some need signing in."""
    headers = {"Authorization": authorization} if authorization else {}
    return [
        Example(name="A walk", query=WALK),
        Example(name="Who am I", query=WHO, headers=headers),
        Example(name="What I own", query=OWNED, headers=headers),
        Example(name="Where things are", query=TRACKED, headers=headers),
        Example(name="What I am told", query=TOLD, headers=headers),
        Example(name="Send a price", query=SEND, headers=headers),
        Example(name="Watch prices", query=WATCH, variables={"slugs": list(WATCHED)}),
    ]
