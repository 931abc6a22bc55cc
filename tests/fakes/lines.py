"""A registry as a worker sees it: asked over lines, within one process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from appliance.registry.requests import Answering
from appliance.workers.desk import Desk
from appliance.workers.lines import Line, open_line
from appliance.workers.remote import RemoteRegistry


@asynccontextmanager
async def across_lines(
    registry: Answering, resolve: Callable[[str], Awaitable[tuple[str, ...]]]
) -> AsyncIterator[RemoteRegistry]:
    """`registry` at the other end; every line has ended once this is left."""
    desk = Desk(registry, resolve)
    async with asyncio.TaskGroup() as group:

        async def opened() -> Line:
            here, there = open_line()
            group.create_task(desk.serve(Line(there)))
            return here

        remote = RemoteRegistry(opened)
        try:
            yield remote
        finally:
            remote.close()
