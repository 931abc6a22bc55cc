"""A real box in a process of its own, on loopback ports that nobody else has."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import ClientError, ClientSession, ClientTimeout

import appliance
from appliance.demo.habits import Surroundings
from appliance.demo.outside import Outside
from appliance.demo.ports import choose_port

READY_SECONDS = 60.0  # It makes keys, opens its index and pulls a model; on a small machine, too.
STOP_SECONDS = 30.0  # It drains what is under way.
CA_SECONDS = 10.0
READY = "ready"
LINES_KEPT = 30  # Enough to see why it would not start.

_ADDRESS = "127.0.0.1"


class BoxFailedError(Exception):
    """The box did not start, or did not stop as it should. The text ends with what it said."""

    hint = "read what the box said; `ollama-appliance run` by hand says it, too"


class BoxProcess:
    """`ollama-appliance run` with `outside` for its Internet, from entering to leaving the context.

    State and log lie in `directory`. `settings` are more configuration keys, in the spelling of
    the environment without its prefix: `CACHE_FRESH_SECONDS`. Of the environment that this
    process runs in the box sees nothing but `environment`. `launcher` is a command that runs the
    command after it, in its own process, as `nice` does.
    """

    def __init__(
        self,
        directory: Path,
        outside: Outside,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        self._directory = directory
        self._environment = dict(environment or {})
        self._launcher = launcher
        self.dns_port, self.tls_port = choose_port(), choose_port()
        self.web_port, self.proxy_port = choose_port(), choose_port()
        self._settings = self._own_settings(outside) | dict(settings or {})
        self.state_directory = directory / "state"
        self.ca_file = directory / "box-ca.pem"
        self.log_file = directory / "box.log"
        self._process: Process | None = None
        self._said: deque[str] = deque(maxlen=LINES_KEPT)
        self._listening = asyncio.TaskGroup()

    @property
    def surroundings(self) -> Surroundings:
        """The network of a client whose DNS is the box."""
        return Surroundings(
            dns=(_ADDRESS, self.dns_port),
            ca_file=self.ca_file,
            ports={443: self.tls_port, 80: self.web_port},
        )

    @property
    def web_url(self) -> str:
        return f"http://{_ADDRESS}:{self.web_port}"

    @property
    def pid(self) -> int:
        """The process, for those who want to see what happens when it dies."""
        assert self._process is not None, "it was started"
        return self._process.pid

    @property
    def said(self) -> tuple[str, ...]:
        """The last lines of its standard output, since its last start."""
        return tuple(self._said)

    async def __aenter__(self) -> Self:
        await self._listening.__aenter__()
        try:
            await self._start()
        except BaseException:
            await self._kill()
            await self._listening.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._stop()
        except BoxFailedError:
            if error is None:
                raise
        finally:
            await self._kill()
            await self._listening.__aexit__(None, None, None)

    async def wait(self) -> int:
        """Wait until the process has ended, by whatever cause; returns its exit status."""
        assert self._process is not None, "it was started"
        return await self._process.wait()

    async def crash(self, *, with_dns: bool = False) -> None:
        """Kill -9 the box; its DNS, which outlives that, only where `with_dns`."""
        kill = os.killpg if with_dns else os.kill
        with contextlib.suppress(ProcessLookupError):
            kill(self.pid, signal.SIGKILL)
        await self.wait()

    async def restart(self, until: str = READY) -> None:
        """Start a box that has ended, on the ports and the state that it had.

        It has started once it says the line `until`. Raises BoxFailedError.
        """
        assert self._process is not None, "it was started"
        assert self._process.returncode is not None, "it has ended"
        self._said.clear()
        await self._start(until)

    def _own_settings(self, outside: Outside) -> dict[str, str]:
        return {
            "BOX_STATE_DIR": str(self._directory / "state"),
            "BOX_ADDRESS": _ADDRESS,
            "BOX_LISTEN": _ADDRESS,
            "DNS_PORT": str(self.dns_port),
            "DNS_UPSTREAM": f"{outside.names.address}:{outside.names.port}",
            "TLS_PORT": str(self.tls_port),
            "PROXY_PORT": str(self.proxy_port),
            "WEB_PORTS": str(self.web_port),
            "ORIGIN_URL": outside.registry.url,
            "ORIGIN_CA_FILE": str(outside.ca_file),
            "ORIGIN_ALLOW_PRIVATE": "true",
        }

    async def _start(self, until: str = READY) -> None:
        no_settings = self._directory / "appliance.conf"
        no_settings.touch()
        variables = {f"OLLAMA_APPLIANCE_{name}": value for name, value in self._settings.items()}
        variables["OLLAMA_APPLIANCE_CONFIG"] = str(no_settings)
        variables["PYTHONPATH"] = str(Path(appliance.__file__).parent.parent)
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(*self._launcher, sys.executable, "-m", "appliance", "run"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=PIPE,
                stderr=log,
                cwd=self._directory,
                env=self._environment | variables,
                start_new_session=True,
            )
        ready = asyncio.Event()
        self._listening.create_task(self._listen(self._process, ready, until))
        try:
            async with asyncio.timeout(READY_SECONDS):
                await ready.wait()
        except TimeoutError as error:
            raise self._failure(f"the box was not ready in {READY_SECONDS:.0f} s") from error
        if until not in self._said:
            raise self._failure(f"the box ended with status {await self._process.wait()}")
        if until == READY:
            await self._fetch_ca()

    async def _listen(self, process: Process, ready: asyncio.Event, until: str) -> None:
        """Read what the box says to its end; `ready` is set when it is, or when it says no more."""
        assert process.stdout is not None, "it is a pipe"
        async for line in process.stdout:
            self._said.append(line.decode("utf-8", "replace").rstrip())
            if self._said[-1] == until:
                ready.set()
        ready.set()

    async def _fetch_ca(self) -> None:
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=CA_SECONDS)) as session,
                session.get(f"{self.web_url}/ca.pem", raise_for_status=True) as answer,
            ):
                self.ca_file.write_bytes(await answer.read())
        except (ClientError, TimeoutError) as error:
            raise self._failure(f"the box gave no CA: {error}") from error

    async def _stop(self) -> None:
        assert self._process is not None, "it was started"
        if self._process.returncode is None:
            # Not `send_signal`: that takes the status of a box that has just died from asyncio.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                status = await self._process.wait()
        except TimeoutError as error:
            raise self._failure(f"the box did not stop in {STOP_SECONDS:.0f} s") from error
        if status != 0:
            raise self._failure(f"the box ended with status {status}")

    async def _kill(self) -> None:
        """End what is left: the box itself, and its DNS, which outlives a box that died."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    def _failure(self, what: str) -> BoxFailedError:
        log = self.log_file.read_text("utf-8", "replace").splitlines()[-LINES_KEPT:]
        return BoxFailedError("\n  ".join([f"{what}; it said:", *self._said, *log]))
