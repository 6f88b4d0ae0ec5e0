"""What is shown of revisions where a column does not say it itself."""

from sqlalchemy import Text, cast

from app.catalogue.models import ItemRevision

CHANGES = cast(ItemRevision.changes, Text())
