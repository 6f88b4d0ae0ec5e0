"""The fixes of a tracker over time, as a list, as a line on a map and as a distance."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.core.errors import BadUserInput
from app.graph.reads.arguments import OperationContext, graphql_argument
from app.graph.reads.fields import RefusedRows, keyed_rows
from app.trackers.models import Tracker
from app.trackers.queries.fixes import DEFAULT_SPAN, FIXES, MOST_FIXES, TRACKER_IDS, AskedFixes, too_many_fixes

COARSEST_METERS = 1_000_000
OF_A_TIME = f"from `from` until before `to`, of the last {DEFAULT_SPAN.days} days unless told otherwise"
EARLIEST = datetime.min.replace(tzinfo=UTC)


def check_times(since: datetime | None, until: datetime | None) -> None:
    """Refuse a time that ends before it begins."""
    if since is not None and until is not None and until < since:
        raise BadUserInput(
            "`to` lies before `from`; a time ends after it begins.", argument="to", allowed=["an instant after `from`"]
        )


def asked_fixes(
    since: datetime | None,
    until: datetime | None,
    *,
    now: datetime,
    simplify_meters: float | None = None,
    has_anomalies: bool = False,
) -> AskedFixes:
    """The fixes that are asked for; refuses a time that ends before it begins, and a tolerance beyond the earth."""
    check_times(since, until)
    if simplify_meters is not None and not 0 <= simplify_meters <= COARSEST_METERS:
        raise BadUserInput(
            f"`simplifyMeters` must be from 0 to {COARSEST_METERS:,}, and is {simplify_meters}.",
            argument="simplifyMeters",
            allowed=[f"0..{COARSEST_METERS}"],
        )
    ends = until or now
    begins = since or (ends - DEFAULT_SPAN if ends - EARLIEST > DEFAULT_SPAN else EARLIEST)
    return AskedFixes(begins, ends, simplify_meters, has_anomalies)


def _values(arguments: Mapping[str, Any], context: OperationContext) -> dict[str, Any]:
    asked = asked_fixes(
        arguments.get("from"),
        arguments.get("to"),
        now=context.now,
        simplify_meters=arguments.get("simplifyMeters"),
        has_anomalies=arguments["includeAnomalies"],
    )
    return asked.values


def fixes_of_tracker() -> Any:
    """The field of a tracker that lists where it was."""
    return keyed_rows(
        f"Where it was, the oldest first: its fixes {OF_A_TIME}. More than {MOST_FIXES:,} are refused: ask for a "
        "shorter time. With `simplifyMeters` only those that the line through them needs, so that no other lies "
        "farther from it than that (Douglas and Peucker, on a map in the projection of Mercator); the first and the "
        "last are among them.",
        on=Tracker.id,
        to=FIXES.c.tracker_id,
        keys=TRACKER_IDS,
        order=[FIXES.c.bucket],
        values=_values,
        refused=RefusedRows(FIXES.c.is_too_much, too_many_fixes),
        arguments=[
            graphql_argument("from", datetime | None, "Since when."),
            graphql_argument("to", datetime | None, "Until before when; now where it is left out."),
            graphql_argument("simplifyMeters", float | None, "How far others may lie from the line, in metres."),
            graphql_argument("includeAnomalies", bool, "Whether with those of impossible speed.", default=False),
        ],
    )
