"""When a delivery that failed is tried again, and when it is given up."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from app.notifications.models import ChannelKind
from app.notifications.sending import NotDelivered, ProviderAway

# What was to be told so long ago is given up, whatever stands in its way.
KEPT_FOR = timedelta(days=3)
# While nothing can be sent at all, each is tried that often at least: it is to go soon after that has passed.
LONGEST_PAUSE_WHILE_AWAY = timedelta(minutes=10)
# Nobody is asked to wait for longer by a destination.
LONGEST_WAIT_ASKED_FOR = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """The pauses before the first retry, the second and so on.

    After the last of them it is given up, unless that is repeated for as long as it is kept.
    """

    pauses: Sequence[timedelta]
    repeats_last: bool = False

    def pause(self, attempt: int) -> timedelta | None:
        """How long to wait after an attempt, counted from 1, that failed; None where it is given up."""
        if attempt <= len(self.pauses):
            return self.pauses[attempt - 1]
        return self.pauses[-1] if self.repeats_last else None


def _minutes(*pauses: float) -> Sequence[timedelta]:
    return [timedelta(minutes=pause) for pause in pauses]


# Eight retries over four hours.
FOUR_HOURS = RetryPlan(_minutes(0.5, 1.5, 4, 9, 20, 40, 70, 95))
# Mail servers put off what they do not know, and are mended by people. By time alone: a server that was away for a
# night has cost more attempts than any plan has.
FOR_DAYS = RetryPlan(_minutes(1, 4, 10, 15, 30, 60), repeats_last=True)
PLANS: Mapping[ChannelKind, RetryPlan] = {
    ChannelKind.EMAIL: FOR_DAYS,
    ChannelKind.WEB_PUSH: FOUR_HOURS,
    ChannelKind.WEBHOOK: FOUR_HOURS,
    ChannelKind.SERVICE: FOUR_HOURS,
}


def pause_after(
    channel: ChannelKind,
    failure: NotDelivered,
    *,
    attempt: int,
    age: timedelta,
    chance: Callable[[], float] = random.random,
) -> timedelta | None:
    """How long to wait after an attempt, counted from 1, of a delivery that is so old; None where it is given up.

    Up to a tenth more than planned, so that those which failed together do not come again together. Who is asked to
    wait for longer does, within bounds.
    """
    if failure.is_permanent or failure.is_gone or age >= KEPT_FOR:
        return None
    if failure.most_attempts is not None and attempt >= failure.most_attempts:
        return None
    planned = PLANS[channel].pause(attempt)
    if isinstance(failure, ProviderAway):
        planned = min(planned or LONGEST_PAUSE_WHILE_AWAY, LONGEST_PAUSE_WHILE_AWAY)
    if planned is None:
        return None
    asked = min(failure.retry_after or timedelta(0), LONGEST_WAIT_ASKED_FOR)
    return max(planned, asked) * (1 + chance() / 10)
