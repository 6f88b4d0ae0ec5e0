"""What follows from the columns of a rule alone."""

from typing import Any

from sqlalchemy import Boolean, Interval, and_, case, func, literal_column, or_, type_coerce
from sqlalchemy.sql.elements import ColumnElement

from app.alerts.models import Rule
from app.core.database import OPERATION_TIME

_MINUTE = literal_column("interval '1 minute'", Interval())


def _length(minutes: Any) -> ColumnElement[Any]:
    return type_coerce(minutes * _MINUTE, Interval())


COOLDOWN = _length(Rule.cooldown_minutes)
WINDOW = _length(Rule.window_minutes)
DURATION = _length(Rule.duration_minutes)
# Whether anything is held against it: neither paused nor ended, nor past its expiry, whoever has noticed that.
IS_WATCHING: ColumnElement[bool] = and_(
    Rule.is_active, or_(Rule.expires_at.is_(None), Rule.expires_at > OPERATION_TIME)
)
# Whether it ended because of its expiry, and not because it fired.
HAS_EXPIRED: ColumnElement[bool] = case(
    (Rule.expires_at.is_not(None), Rule.expires_at <= func.coalesce(Rule.ended_at, OPERATION_TIME)),
    else_=literal_column("false", Boolean()),
)
