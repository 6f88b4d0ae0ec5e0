"""Servers of tests, which end at once: hundreds of them come and go in a run."""

import asyncio
import socket

import uvicorn

LOOK_EVERY_SECONDS = 0.005


class PromptServer(uvicorn.Server):
    """Ends as uvicorn does, but without its rests of a tenth of a second before and after it takes leave of clients."""

    async def main_loop(self) -> None:
        """Serve until it is told to end."""
        while not await self.on_tick(0):  # noqa: ASYNC110  # it is told by a plain attribute
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take leave of clients, wait for what is under way, within the time that the configuration gives, and end."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110  # they tell nobody
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
        except TimeoutError:
            for task in self.server_state.tasks:
                task.cancel()
        await self.lifespan.shutdown()
