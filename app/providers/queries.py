"""What is shown of providers where a column does not say it itself."""

from sqlalchemy import ColumnElement, case

from app.core.database import OPERATION_TIME
from app.providers.models import Provider

IS_BLOCKED: ColumnElement[bool] = Provider.blocked_until.is_not(None) & (Provider.blocked_until > OPERATION_TIME)
BLOCKED_UNTIL = case((Provider.blocked_until > OPERATION_TIME, Provider.blocked_until))
