"""`/api/v1` over `control.sock`: how the verbs reach a running box.

The socket is the state directory's, mode 0600: who may write there may ask here.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

SOCKET_NAME = "control.sock"
PREFIX = "/api/v1/"
CALL_SECONDS = 10.0  # A status takes milliseconds; past this the box hangs.

type Ask = Callable[[], Awaitable[Any]]


class BoxNotRunningError(Exception):
    """Nothing answers on the control socket."""

    hint = "start it: ollama-appliance run"


class Control:
    """Serves questions about the box, each by its name. Use with `async with`."""

    def __init__(self, state_dir: Path, questions: Mapping[str, Ask]) -> None:
        self._path = state_dir / SOCKET_NAME
        self._questions = questions

    async def __aenter__(self) -> "Control":
        self._path.unlink(missing_ok=True)  # Of a box that was killed: we hold the lock now.
        app = web.Application(client_max_size=1)
        app.router.add_get(PREFIX + "{question}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        mask = os.umask(0o177)
        try:
            await web.UnixSite(self._runner, str(self._path)).start()
        finally:
            os.umask(mask)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        self._path.unlink(missing_ok=True)

    async def _answer(self, request: web.Request) -> web.Response:
        ask = self._questions.get(request.match_info["question"])
        if ask is None:
            raise web.HTTPNotFound(text=f"this box answers: {', '.join(self._questions)}\n")
        return web.json_response(await ask())


async def ask_box(state_dir: Path, question: str) -> Any:
    """Ask the running box; its answer as parsed JSON.

    Raises:
        BoxNotRunningError: no box runs on this state directory, or it hangs.
    """
    connector = aiohttp.UnixConnector(str(state_dir / SOCKET_NAME))
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(f"http://box{PREFIX}{question}") as reply,
        ):
            reply.raise_for_status()
            return json.loads(await reply.read())
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise BoxNotRunningError(f"no box answers at {state_dir / SOCKET_NAME}") from error


def call_box(state_dir: Path, question: str) -> Any:
    """`ask_box` for callers without a loop."""
    return asyncio.run(ask_box(state_dir, question))
