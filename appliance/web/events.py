"""`/api/events`: what the page shows live, as Server-Sent Events.

Each watcher gets the whole document as one event, at most once a second and only when it is another
one; a comment now and then keeps what lies between from closing a quiet connection.
"""

import asyncio
import json
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from aiohttp import web

from appliance.web.access import refuse
from appliance.web.live import Live

WATCHERS_MAX = 64  # Each is a connection and a second's JSON; who leaves the page open is few.
LOOK_SECONDS = 1.0
QUIET_SECONDS_MAX = 15.0  # Middle boxes close what says nothing for a minute.
WRITE_SECONDS_MAX = 10.0  # A watcher that takes nothing for so long is let go of; it comes again.
RETRY_MILLISECONDS = 3000  # How soon it does.


class Events:
    """The route, and the watchers that it has."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self._watcher_count = 0
        self._closing = asyncio.Event()
        self._document: dict[str, Any] = {}
        self._made_at = float("-inf")

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """GET: a stream that ends when the watcher leaves or the box stops."""
        if self._watcher_count >= WATCHERS_MAX or self._closing.is_set():
            hint = "ask /api/sessions now and then instead, or close another page"
            return refuse(HTTPStatus.SERVICE_UNAVAILABLE, "too many watch this box", hint)
        self._watcher_count += 1
        try:
            return await self._tell(request)
        finally:
            self._watcher_count -= 1

    async def close(self, app: web.Application) -> None:
        """End every stream: the box stops."""
        self._closing.set()

    async def _tell(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await self._write(response, f"retry: {RETRY_MILLISECONDS}\n\n")
        told, told_at = "", time.monotonic()
        while not self._closing.is_set():
            document = json.dumps(await self._current(), ensure_ascii=False)
            if document != told:
                await self._write(response, f"event: state\ndata: {document}\n\n")
                told, told_at = document, time.monotonic()
            elif time.monotonic() - told_at >= QUIET_SECONDS_MAX:
                await self._write(response, ": still here\n\n")
                told_at = time.monotonic()
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._closing.wait()
        return response

    async def _write(self, response: web.StreamResponse, text: str) -> None:
        try:
            async with asyncio.timeout(WRITE_SECONDS_MAX):
                await response.write(text.encode())
        except TimeoutError as error:
            raise ConnectionResetError("a watcher takes nothing") from error

    async def _current(self) -> dict[str, Any]:
        """The document, shared by all who watch."""
        if time.monotonic() - self._made_at >= LOOK_SECONDS / 2:
            self._made_at = time.monotonic()
            self._document = await self.live.describe()
        return self._document or await self.live.describe()
