"""Which items a viewer finds and lists."""

from sqlalchemy import Boolean, func, not_, or_, select
from sqlalchemy.sql.elements import ColumnElement

from app.catalogue.models import Item

# Asked once a statement, and only where there is an item that not everybody sees.
_SEES_NSFW = select(func.identity.viewer_sees_nsfw(type_=Boolean())).scalar_subquery()
IS_SHOWN_TO_VIEWER: ColumnElement[bool] = or_(not_(Item.is_nsfw), _SEES_NSFW)
