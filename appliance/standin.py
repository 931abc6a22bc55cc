"""What stands in for the box while its disk is missing, failing or full: no pull fails for that.

Theory of operation. All that the box is lies on that disk: what it holds, its CA, its secrets. So
the stand-in has no certificate and writes nothing. Its DNS has failed open; at the https and the
proxy port connections for the registry are carried to it, sealed; in the clear the registry's own
answers are handed on; the page and `/health` say what is missing. Once a second it looks whether
that has changed: then it makes way for the box itself.
"""

import asyncio
import os
import secrets
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from addons.sealed import SealedDoor
from addons.tunnel import ProxyDoor
from appliance import __version__
from appliance.assembly import (
    find_roots,
    make_admission,
    make_proxy_rules,
    make_pseudonym,
    make_resolver,
    read_servers,
)
from appliance.config import Config
from appliance.dns.responder import DnsResponder, DnsUnavailableError
from appliance.ground import (
    DiskFailedError,
    Say,
    has_room,
    make_surroundings,
    open_listeners,
)
from appliance.notify import Notifier
from appliance.policy.addresses import AddressRefusedError
from appliance.policy.blob_addresses import BlobPlace
from appliance.startup import start_dns
from appliance.store.faults import (
    DiskUnmountedError,
    StoreError,
    StoreFullError,
    StoreUnmarkedError,
)
from appliance.store.layout import Layout
from appliance.store.marker import read_marker
from appliance.store.opening import look_for_store
from appliance.upstream.dialling import Dialling
from appliance.upstream.passing import Passage
from appliance.upstream.resolver import NameUnresolvableError, Resolver
from appliance.upstream.tunnel import Outlet
from appliance.web.bounds import Site
from appliance.web.standin import Plight, make_standin_app

LOOK_SECONDS = 1.0  # A look is a few questions to the file system.
TRUTH_SECONDS = 30.0  # How old the registry's address may be when DNS comes to need it.
HTTPS_PORT = 443
MEMORY = Path("/dev/shm")  # noqa: S108  # Where a lock can lie if every disk is full.

# What is said once all doors are open.
STANDS_IN = "passing all on to the registry until the disk is there"

# A box that meets one of these is stood in for.
DISK_FAULTS = (DiskFailedError, DiskUnmountedError, StoreFullError, StoreUnmarkedError)

type DiskFault = DiskFailedError | DiskUnmountedError | StoreFullError | StoreUnmarkedError


@dataclass(frozen=True, slots=True)
class Eyes:
    """Sees whether the state directory is another one than it was."""

    config: Config
    before: tuple[object, ...]

    def see_change(self) -> bool:
        """Whether it is, and a box may start there. Blocks."""
        layout = Layout(self.config.state_dir.absolute())
        try:
            look_for_store(layout, self.config.box.mount_point)
        except (StoreError, OSError):
            return False
        return look_at(self.config.state_dir) != self.before


def look_at(state_dir: Path) -> tuple[object, ...]:
    """What tells one state of a directory from another: whose it is, on which disk, and room."""
    try:
        device, is_roomy = state_dir.stat().st_dev, has_room(state_dir)
    except OSError:
        device, is_roomy = None, None
    return read_marker(Layout(state_dir.absolute())), device, is_roomy


async def stand_in(
    config: Config, fault: DiskFault, say: Say, manager: Notifier, stopping: asyncio.Event
) -> None:
    """Stand in for a box that `fault` keeps from starting, until it may start, or is to stop.

    Raises PortUnavailableError.
    """
    eyes = Eyes(config, await asyncio.to_thread(look_at, config.state_dir))
    say(f"without its disk: {fault}")
    say(f"  {fault.hint}")
    truth_at = float("-inf")
    async with AsyncExitStack() as stack:
        responder, resolver = await _open_doors(stack, config, fault, say)
        say(STANDS_IN)
        manager.tell("READY=1", f"STATUS={fault}")
        while not stopping.is_set():
            manager.tell("WATCHDOG=1")
            if time.monotonic() - truth_at >= TRUTH_SECONDS:
                truth_at = time.monotonic()
                await _tell_truth(config, responder, resolver)
            if await asyncio.to_thread(eyes.see_change):
                say("the disk is there")
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await stopping.wait()


async def _tell_truth(config: Config, responder: DnsResponder | None, resolver: Resolver) -> None:
    """Have DNS know the registry's true address, where that can be known."""
    if responder is None or config.cache.offline:
        return
    with suppress(NameUnresolvableError, AddressRefusedError):
        await resolver.resolve(config.origin.name)
    responder.beat(is_healthy=False, truth=resolver.last_known(config.origin.name))


async def _open_doors(
    stack: AsyncExitStack, config: Config, fault: DiskFault, say: Say
) -> tuple[DnsResponder | None, Resolver]:
    """Enter DNS and the doors on `stack`, which closes them."""
    surroundings = make_surroundings(config)
    tls, proxy, web = open_listeners(config, say)
    for listener in (tls, *web, *(() if proxy is None else (proxy,))):
        stack.callback(listener.close)
    scratch = MEMORY if os.access(MEMORY, os.W_OK) else None
    lock_dir = stack.enter_context(tempfile.TemporaryDirectory(dir=scratch, prefix="dns-"))
    try:
        responder, servers = await start_dns(
            stack, config, surroundings, BlobPlace(), say, lock_dir=Path(lock_dir)
        )
    except DnsUnavailableError as unavailable:  # Perhaps a killed box's, which has failed open.
        say(f"note: {unavailable}: {unavailable.hint}")
        responder, servers = None, read_servers(config, surroundings, config.dns.port)
    resolver = make_resolver(config, surroundings, servers)
    pseudonym = make_pseudonym(secrets.token_bytes(32))
    origin, name = urlsplit(config.origin.url), config.origin.name
    port = origin.port if origin.port and origin.hostname == name else HTTPS_PORT
    outlet = Outlet(resolver.resolve, config.origin.proxy, {name: port})
    admission = make_admission(surroundings)
    dialling = Dialling(resolver.resolve, find_roots(config), config.origin.proxy)
    passage = await stack.enter_async_context(Passage(config.origin.url, dialling, via=pseudonym))
    plight = Plight(
        version=__version__,
        state_dir=str(config.state_dir.absolute()),
        trouble=str(fault),
        hint=fault.hint,
        pseudonym=pseudonym,
        now=time.time,
    )
    app = make_standin_app(plight, passage)
    sockets = [each for listener in web for each in listener.sockets]
    site = await stack.enter_async_context(Site(app, sockets, admission))
    await stack.enter_async_context(
        SealedDoor(
            tls.sockets,
            name,
            port,
            outlet,
            is_allowed=admission.is_allowed,
            turnstile=admission.turnstile,
        )
    )
    if proxy is not None:
        ports = frozenset(listener.port for listener in web)
        rules = replace(
            make_proxy_rules(config, surroundings, admission, ports, pseudonym),
            opened=frozenset(),
            tunnelled=(*config.proxy.tunnel, name),
        )
        await stack.enter_async_context(ProxyDoor(proxy.sockets, rules, outlet, None, site.take))
    return responder, resolver
