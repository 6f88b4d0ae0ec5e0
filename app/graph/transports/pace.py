"""How patient the transports are."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Times in seconds; a test may shorten them."""

    body_within: float = 30.0
    initialised_within: float = 3.0
    ping_every: float = 25.0
    pong_within: float = 15.0
    heartbeat_every: float = 12.0
    stalled_after: float = 30.0
    farewell_within: float = 5.0


PACE = Pace()
