"""The whole stage: the Internet in small, a real box, and clients of either."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from appliance.demo.box import BoxProcess
from appliance.demo.client import Client
from appliance.demo.conversation import Identity
from appliance.demo.habits import Habits
from appliance.demo.outside import Outside
from appliance.protocol.digest import Digest


class Stage:
    """Set while its context is open; everything on it lies in `directory`.

    `now` is the wall clock; `settings`, `environment` and `launcher` are the box's, as in
    BoxProcess.
    """

    def __init__(
        self,
        directory: Path,
        now: Callable[[], float],
        *,
        total_bytes_per_second: int | None = None,
        connection_bytes_per_second: int | None = None,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        launcher: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self._settings = settings
        self._environment = environment
        self._launcher = launcher
        self.outside = Outside(
            directory,
            now,
            total_bytes_per_second=total_bytes_per_second,
            connection_bytes_per_second=connection_bytes_per_second,
        )
        self._box: BoxProcess | None = None
        self._held = AsyncExitStack()

    @property
    def box(self) -> BoxProcess:
        assert self._box is not None, "the stage is set"
        return self._box

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as held:
            await held.enter_async_context(self.outside)
            box = BoxProcess(
                self.directory, self.outside, self._settings, self._environment, self._launcher
            )
            self._box = await held.enter_async_context(box)
            self._held = held.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._held.__aexit__(kind, error, trace)

    def client(
        self,
        name: str,
        habits: Habits | None = None,
        identity: Identity | None = None,
        originals: Mapping[Digest, Path] | None = None,
    ) -> Client:
        """A client behind the box, with a model store of its own under `name`."""
        return Client(self.directory / name, self.box.surroundings, habits, identity, originals)
