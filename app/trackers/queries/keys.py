"""How keys of trackers are told: standard base64, as the networks of finders write them."""

from sqlalchemy import func
from sqlalchemy.sql.elements import ColumnElement

from app.trackers.models import TrackerKey

ADVERTISED_KEY: ColumnElement[str] = func.encode(TrackerKey.advertised_key, "base64")
HASHED_KEY: ColumnElement[str] = func.encode(TrackerKey.hashed_key, "base64")
