"""The live streams of what people are told."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial
from uuid import UUID

import strawberry

from app.alerts.models import Alert as AlertRow
from app.alerts.models import Severity
from app.core.database import Database, DatabaseViewer
from app.core.errors import BadUserInput, NotFound
from app.core.ids import PublicIdTag
from app.core.paging import decode_cursor
from app.graph.access import private
from app.graph.alerts.alerts import Alert
from app.graph.alerts.errors import ALERTS_READ
from app.graph.context import Info
from app.graph.fields import streamed
from app.graph.notifications.errors import NOTIFICATIONS_READ, OWNER_ALONE
from app.graph.notifications.notifications import Notification
from app.graph.reads.fields import Reference, column, edge, refer, shows
from app.graph.reads.wire import cursor_text
from app.graph.relay import key_of
from app.notifications.models import Notification as NotificationRow
from app.notifications.queries.told import AlertsWatched, may_be_told, told_between, visible_rules

TOLD_ORDER = "told"
MOST_RULES_FOLLOWED = 250
CURSOR = cursor_text(TOLD_ORDER, [NotificationRow.position])
OF_THE_STREAM = "The position of this update; give it as `since` to go on from here after a reconnect."
LOSES_NOTHING = (
    "With `since`, a `cursor` of this stream, first what came after it: no gap and nothing twice. Nothing is left out: "
    "a reader that falls far behind is told so, and goes on by `since`."
)


@strawberry.type(description="A new notification.")
@private(OWNER_ALONE)
@shows(NotificationRow, key=NotificationRow.position)
class NotificationReceived:
    cursor: str = column(CURSOR, OF_THE_STREAM)
    notification: Notification | None = edge("What is told.", on=NotificationRow.id, to=NotificationRow.id)


@strawberry.type(description="A new alert, with the notification that tells of it.")
@private(OWNER_ALONE)
@shows(NotificationRow, key=NotificationRow.position)
class AlertFired:
    cursor: str = column(CURSOR, OF_THE_STREAM)
    alert: Alert | None = edge("The alert.", on=NotificationRow.alert_id, to=AlertRow.id, access=ALERTS_READ)
    notification: Notification | None = edge(
        "What is told of it.", on=NotificationRow.id, to=NotificationRow.id, access=NOTIFICATIONS_READ
    )


@strawberry.type
class NotificationSubscriptions:
    @streamed(
        f"Each thing that one is told, as it is told. {LOSES_NOTHING}",
        type=NotificationReceived,
        access=NOTIFICATIONS_READ,
    )
    @staticmethod
    async def notification_received(info: Info, since: str | None = None) -> AsyncIterator[Reference]:
        return _follow(info, NotificationReceived, None, since)

    @streamed(
        f"Each new alert of one's own: of some rules ({MOST_RULES_FOLLOWED} at most), of one severity, or all. Rules "
        "that are not there any more keep none of the others back; where none is there, it is refused. "
        f"{LOSES_NOTHING}",
        type=AlertFired,
        access=ALERTS_READ,
    )
    @staticmethod
    async def alert_fired(
        info: Info,
        rule_ids: list[strawberry.ID] | None = None,
        severity: Severity | None = None,
        since: str | None = None,
    ) -> AsyncIterator[Reference]:
        rules = None if rule_ids is None else await _rules(info, rule_ids)
        return _follow(info, AlertFired, AlertsWatched(rules, severity), since)


async def _rules(info: Info, ids: Sequence[str]) -> frozenset[UUID]:
    if not 1 <= len(ids) <= MOST_RULES_FOLLOWED:
        raise BadUserInput(
            f"`ruleIds` must hold 1 to {MOST_RULES_FOLLOWED} ids, and holds {len(ids)}.",
            argument="ruleIds",
            allowed=[f"1..{MOST_RULES_FOLLOWED} ids"],
        )
    keys = [key_of(id_, PublicIdTag.ALERT_RULE, argument="ruleIds") for id_ in ids]
    asked = frozenset(key for key in keys if isinstance(key, UUID))
    seen = await info.context.snapshot.read(visible_rules, asked)
    if None in keys:
        raise NotFound("`ruleIds` holds an id of what is no rule; `alertRules` lists yours.")
    if not seen:
        raise NotFound("None of `ruleIds` is a rule of yours, or is there any more; `alertRules` lists yours.")
    # Who comes back may not know yet that a rule was deleted, and is to miss nothing of the others.
    return frozenset(seen)


async def _follow(info: Info, shown: type, alerts: AlertsWatched | None, since: str | None) -> AsyncIterator[Reference]:
    """What the viewer is told, or what of it is of these alerts, as it is told."""
    owner_id = info.context.viewer.own_id
    position = None if since is None else _position(since)
    database, viewer = info.context.resources.database, info.context.viewer.in_database
    changes = info.context.resources.feeds.notifications.subscribe(
        [owner_id],
        since=position,
        missed=partial(told_between, owner_id=owner_id, alerts=alerts),
        viewer=viewer,
        wants=None if alerts is None else lambda told: told.alert_id is not None,
        loses_nothing=True,
    )
    # Closed with this stream, not some time after it: until then the feed would keep its place.
    async with aclosing(changes):
        async for told in changes:
            if await _may_be_told(database, viewer, told.position, alerts):
                yield refer(shown, told.position)


async def _may_be_told(
    database: Database, viewer: DatabaseViewer | None, position: int, alerts: AlertsWatched | None
) -> bool:
    snapshot = database.snapshot(viewer=viewer)
    try:
        return await snapshot.read(may_be_told, position=position, alerts=alerts)
    finally:
        await snapshot.close()


def _position(since: str) -> int:
    (position,) = decode_cursor(since, order=TOLD_ORDER, argument="since", types=[int])
    return int(position or 0)
