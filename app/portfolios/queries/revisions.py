"""What is shown of revisions where a column does not say it itself."""

from sqlalchemy import Text, cast

from app.portfolios.models import TradeRevision

BEFORE = cast(TradeRevision.before, Text())
