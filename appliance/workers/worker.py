"""A worker's life: take the sockets and the leaf from the box, serve https, drain, end."""

import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack, suppress
from ipaddress import ip_network

from addons.inline import Inline
from addons.intercept import Intercept
from addons.master import Proxy
from addons.origin import OriginRoute
from addons.registry import RegistryAddon
from appliance.accepting import SHARED_ACCEPTED_MAX
from appliance.certs import Leaf, parse_leaf
from appliance.delivery.pump import Pumps
from appliance.descriptors import raise_descriptor_limit
from appliance.interfaces import read_interfaces
from appliance.logs import configure_logs
from appliance.policy.turnstile import Turnstile
from appliance.surroundings import Surroundings
from appliance.workers.lines import Line, LineGoneError, open_line
from appliance.workers.remote import RemoteRegistry
from appliance.workers.words import WorkerSettings, parse_settings


class Worker:
    """What the box has told this process so far, and its way to ask."""

    def __init__(self, control: Line) -> None:
        self._control = control
        self._opening = asyncio.Lock()
        self._leaf: Leaf | None = None
        self._sockets: list[socket.socket] = []
        self.registry = RemoteRegistry(self._open_line)

    async def run(self) -> None:
        """Serve until told to stop, until SIGTERM, or until the box is gone."""
        settings = await self._learn_settings()
        configure_logs(level=settings.log_level, timestamps=True)
        raise_descriptor_limit()
        async with AsyncExitStack() as stack:
            stack.callback(self.registry.close)
            await self._open_doors(stack, settings)
            await self._control.send({"listening": os.getpid()})
            await self._follow()

    async def _learn_settings(self) -> WorkerSettings:
        while True:
            message = await self._control.receive()
            if "settings" in message.words:
                return parse_settings(message.words)
            if "socket" in message.words:
                self._sockets.append(socket.socket(fileno=message.take_fd()))
            else:
                self._leaf = parse_leaf(message.content)

    async def _open_doors(self, stack: AsyncExitStack, settings: WorkerSettings) -> None:
        networks = tuple(map(ip_network, settings.networks))
        surroundings = Surroundings(read_interfaces, allow=networks, configured="")
        pumps = await stack.enter_async_context(Pumps())
        inline = Inline(pumps)
        route = OriginRoute(
            settings.origin_url,
            settings.origin_name,
            self.registry.resolve,
            settings.pseudonym,
            settings.origin_proxy,
        )
        proxy = Proxy(
            self._sockets,
            Intercept(frozenset(settings.names), self._current_leaf, surroundings.is_allowed),
            RegistryAddon(self.registry, route, inline),
            inline,
            Turnstile(surroundings.is_own, connections_max=settings.connections_max),
            trusted_roots=settings.trusted_roots,
            accepted_max=SHARED_ACCEPTED_MAX,
        )
        await stack.enter_async_context(proxy)

    async def _follow(self) -> None:
        """Hear what else the box has to say, until it is that we stop."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None, "this is one"
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
        with suppress(LineGoneError, asyncio.CancelledError):
            while "stop" not in (message := await self._control.receive()).words:
                self._leaf = parse_leaf(message.content)

    def _current_leaf(self) -> Leaf:
        assert self._leaf is not None, "it came before the settings"
        return self._leaf

    async def _open_line(self) -> Line:
        here, there = open_line()
        with there:
            async with self._opening:
                await self._control.send({"line": True}, fd=there.fileno())
        return here


async def run_worker(control: Line) -> None:
    """Be a worker of the box at the other end of `control`."""
    with suppress(LineGoneError):  # The box went before we began.
        await Worker(control).run()
