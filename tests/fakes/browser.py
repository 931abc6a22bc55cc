"""A headless Chromium, driven by its own debugging protocol: what a visitor sees and hears of."""

import asyncio
import base64
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

BROWSER = "chromium-headless-shell"  # Debian's, without a desktop's libraries.
START_SECONDS = 30.0
CALL_SECONDS = 20.0


class BrowserError(AssertionError):
    """The browser will not do what it was asked."""


class Tab:
    """One page. `complaints` are the console's errors and the policy's violations."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []

    async def listen(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if told.get("id") in self._waiting:
                self._waiting.pop(told["id"]).set_result(told)
            elif told.get("method") == "Log.entryAdded":
                entry = told["params"]["entry"]
                if entry["level"] == "error":
                    self.complaints.append(f"{entry['text']} {entry.get('url', '')}")
            elif told.get("method") == "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(told["params"]["exceptionDetails"]))

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(CALL_SECONDS):
            told = await self._waiting[number]
        if "error" in told:
            raise BrowserError(told["error"]["message"])
        result: dict[str, Any] = told["result"]
        return result

    async def open(self, url: str) -> None:
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'")

    async def evaluate(self, script: str, *, is_pressed: bool = False) -> Any:
        """What `script` comes to, a promise's end too. `is_pressed`: as if the visitor did it."""
        told = await self.call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=True,
            userGesture=is_pressed,
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, script: str) -> None:
        """Wait until `script` is true in the page; one that gives way to another is not yet it."""
        async with asyncio.timeout(CALL_SECONDS):
            while not await self._is_so(script):  # noqa: ASYNC110  # A page tells nobody.
                await asyncio.sleep(0.05)

    async def _is_so(self, script: str) -> bool:
        try:
            return bool(await self.evaluate(script))
        except BrowserError:
            return False

    async def resize(self, width: int, height: int, *, scheme: str) -> None:
        """Have a window of that size, and a visitor who likes it dark or light."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.call("Emulation.setEmulatedMedia", features=features)
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def look(self, width: int, height: int, *, scheme: str) -> bytes:
        """The page as PNG, as such a window has it."""
        await self.resize(width, height, scheme=scheme)
        shot = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])


@asynccontextmanager
async def browse(program: Path, directory: Path, *options: str) -> AsyncIterator[Tab]:
    """A tab of a browser of its own, whose profile is in `directory`."""
    process = await asyncio.create_subprocess_exec(
        program,
        *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
        *("--remote-debugging-port=0", f"--user-data-dir={directory}", *options, "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        port = await _read_port(directory / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [each for each in await answer.json() if each["type"] == "page"]
            url = pages[0]["webSocketDebuggerUrl"]
            async with session.ws_connect(url, max_msg_size=0) as socket:
                tab = Tab(socket)
                listening = group.create_task(tab.listen())
                yield tab
                listening.cancel()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _read_port(path: Path) -> int:
    async with asyncio.timeout(START_SECONDS):
        while True:
            with suppress(FileNotFoundError, IndexError, ValueError):
                return int((await asyncio.to_thread(path.read_text)).splitlines()[0])
            await asyncio.sleep(0.05)
