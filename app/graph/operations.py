"""What the server says of itself."""

from datetime import datetime
from importlib.metadata import version

import strawberry

from app.core.paging import MAXIMUM_PAGE_SIZE
from app.graph.context import Info
from app.graph.fields import attribute, resolved
from app.identity.access import ANYBODY


@strawberry.type(description="The server and the limits it keeps.")
class ServerInfo:
    version: str = attribute("The version of Trove.")
    environment: str = attribute("`development` or `production`.")
    time: datetime = attribute("The server's clock at this operation.")
    maximum_page_size: int = attribute("The most entries that `first` and `last` may ask for.")


@strawberry.type
class OperationsQueries:
    @resolved("The server and its limits.", access=ANYBODY)
    @staticmethod
    def server_info(info: Info) -> ServerInfo:
        return ServerInfo(
            version=version("trove"),
            environment=info.context.resources.settings.environment,
            time=info.context.now,
            maximum_page_size=MAXIMUM_PAGE_SIZE,
        )
