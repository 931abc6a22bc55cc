"""The ground that everything of a box stands on: its state directory, its identity, its sockets.

What is opened here is opened before anything runs, and closed again where the rest cannot be had.
"""

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.assembly import (
    LeafKeeper,
)
from appliance.certs import AUTHORITY_FOLDER, Authority, open_authority
from appliance.config import Config
from appliance.interfaces import read_interfaces
from appliance.listeners import Listener, PortUnavailableError, open_listener
from appliance.private_files import open_secret
from appliance.store.faults import StoreFullError
from appliance.store.store import Store, open_store
from appliance.surroundings import Surroundings

# Where the https port that nobody chose goes when it cannot be had.
TLS_PORT_FALLBACK = 8443

type Say = Callable[[str], None]


# What a disk says that is broken, or that the system has made read-only because it is.
DISK_FAILURES = frozenset(
    {errno.EIO, errno.EROFS, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.EUCLEAN}
)


# Without so much a box cannot even take its locks: an index's pages, an audit line, a new leaf.
ROOM_BYTES_MIN = 4 * 1024 * 1024


def free_bytes(state_dir: Path) -> int:
    """What may still be written there. Raises OSError."""
    system = os.statvfs(state_dir)
    return system.f_bavail * system.f_frsize


def has_room(state_dir: Path) -> bool:
    """Whether a box can work there at all; models want far more, and pass uncached else."""
    return free_bytes(state_dir) >= ROOM_BYTES_MIN


class StateUnusableError(Exception):
    """The state directory cannot be worked in; `hint` says what to type."""

    def __init__(self, state_dir: Path, error: OSError) -> None:
        super().__init__(f"{state_dir.absolute()} cannot be used: {error}")
        self.hint = "set box.state_dir to a directory that this user may write to"


class DiskFailedError(StateUnusableError):
    """The state directory's disk is there, and fails."""

    def __init__(self, state_dir: Path, error: OSError) -> None:
        super().__init__(state_dir, error)
        self.hint = "see what the kernel says of that disk (dmesg), then restart the box"


@dataclass(frozen=True, slots=True)
class Ground:
    """What everything stands on: the state directory, the box's identity, its sockets."""

    config: Config
    surroundings: Surroundings
    store: Store
    authority: Authority
    leaf: LeafKeeper
    secret: bytes
    tls: Listener
    proxy: Listener | None
    web: tuple[Listener, ...]

    @property
    def listeners(self) -> tuple[Listener, ...]:
        proxies = () if self.proxy is None else (self.proxy,)
        return (self.tls, *proxies, *self.web)


def lay_ground(config: Config, say: Say) -> Ground:
    """Open what is on disk, then the ports. Blocks; closes what it opened if it raises."""
    names = (config.origin.name, config.blobs.host)
    surroundings = make_surroundings(config)
    try:
        with ExitStack() as undo:
            store = open_store(config.state_dir, mount_point=config.box.mount_point)
            undo.callback(store.close)
            if not has_room(store.root):
                raise StoreFullError(store.root, ROOM_BYTES_MIN, free_bytes(store.root))
            for sentence in store.recovery:
                say(f"recovery: {sentence}")
            authority = open_authority(store.root / AUTHORITY_FOLDER, names, now=datetime.now(UTC))
            secret = open_secret(store.root / "secret")
            leaf = LeafKeeper(authority, names)
            tls, proxy, web = open_listeners(config, say)
            undo.pop_all()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreFullError(config.state_dir.absolute(), ROOM_BYTES_MIN, 0) from error
        is_disk = error.errno in DISK_FAILURES
        kind = DiskFailedError if is_disk else StateUnusableError
        raise kind(config.state_dir, error) from error
    return Ground(config, surroundings, store, authority, leaf, secret, tls, proxy, web)


def make_surroundings(config: Config) -> Surroundings:
    """The network around the box."""
    return Surroundings(
        read_interfaces, allow=config.access.allow, configured=str(config.box.address or "")
    )


def open_listeners(
    config: Config, say: Say
) -> tuple[Listener, Listener | None, tuple[Listener, ...]]:
    """Open the ports for https, the proxy way and http. Raises PortUnavailableError."""
    with ExitStack() as undo:
        tls, web = _open_listeners(config, say)
        for listener in (tls, *web):
            undo.callback(listener.close)
        proxy = _open_proxy_listener(config, say)
        undo.pop_all()
    return tls, proxy, web


def _open_listeners(config: Config, say: Say) -> tuple[Listener, tuple[Listener, ...]]:
    addresses = tuple(map(str, config.box.listen))
    try:
        tls = open_listener(addresses, config.tls.port, key="tls.port")
    except PortUnavailableError as fault:
        if not config.is_default("tls", "port"):
            raise
        say(f"note: {fault}; https is on {TLS_PORT_FALLBACK} instead")
        tls = open_listener(addresses, TLS_PORT_FALLBACK, key="tls.port")
    web: list[Listener] = []
    faults: list[PortUnavailableError] = []
    for port in config.web.ports:
        try:
            web.append(open_listener(addresses, port, key="web.ports"))
        except PortUnavailableError as fault:
            faults.append(fault)
    if faults and not (web and config.is_default("web", "ports")):
        for listener in (tls, *web):
            listener.close()
        raise faults[0]
    for missed in faults:
        say(f"note: {missed}; http is on {web[0].port} only")
    return tls, tuple(web)


def _open_proxy_listener(config: Config, say: Say) -> Listener | None:
    if not config.proxy.enabled:
        return None
    try:
        return open_listener(
            tuple(map(str, config.box.listen)), config.proxy.port, key="proxy.port"
        )
    except PortUnavailableError as fault:
        if not config.is_default("proxy", "port"):
            raise
        say(f"note: {fault}; there is no proxy way until proxy.port names another")
    return None
