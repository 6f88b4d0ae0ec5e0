"""What its owner did with what they were told of an alert."""

from sqlalchemy.sql.elements import ColumnElement

from app.notifications.models import Notification

IS_READ: ColumnElement[bool] = Notification.read_at.is_not(None)
IS_UNREAD: ColumnElement[bool] = Notification.read_at.is_(None)
IS_DISMISSED: ColumnElement[bool] = Notification.dismissed_at.is_not(None)
