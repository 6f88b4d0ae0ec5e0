"""Which items a viewer finds and lists."""

from typing import Any

from sqlalchemy import Boolean, func, not_, or_, select
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import ColumnElement

from app.catalogue.models import Item, SearchDocument

# Asked once a statement, and only where there is an item that not everybody sees.
_SEES_NSFW = select(func.identity.viewer_sees_nsfw(type_=Boolean())).scalar_subquery()


def _shown(is_nsfw: ColumnElement[bool] | InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    return or_(not_(is_nsfw), _SEES_NSFW)


IS_SHOWN_TO_VIEWER: ColumnElement[bool] = _shown(Item.is_nsfw)
IS_FOUND_BY_VIEWER: ColumnElement[bool] = _shown(SearchDocument.is_nsfw)
