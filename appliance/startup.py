"""Starts the parts of the box, in the order in which they rely on one another.

Theory of operation. Each part is entered on one exit stack, after what it needs and before what
needs it, so that leaving the stack stops the doors first, suspends the fills next and closes the
store last. What cannot be had is either said and done without (a default port), or a fault with a
hint, and nothing that was started before it is left behind.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from addons.inline import Inline, find_trouble
from addons.intercept import Intercept
from addons.internals import MitmproxyChangedError
from addons.master import Proxy
from addons.origin import OriginRoute
from addons.registry import RegistryAddon
from addons.tunnel import ProxyDoor
from appliance import __version__
from appliance.announce.standing import why_silent
from appliance.assembly import (
    LeafKeeper,
    find_roots,
    make_admission,
    make_blob_place,
    make_cache,
    make_dns_settings,
    make_origin,
    make_proxy_rules,
    make_pseudonym,
    make_registry,
    make_resolver,
    names_of,
    read_servers,
)
from appliance.audit import Audit
from appliance.blob_host import BlobHost
from appliance.cache.pulls import Cache
from appliance.certs import AUTHORITY_FOLDER, Authority, AuthorityError, open_authority
from appliance.checkup import make_checkup, make_door_watch
from appliance.config import Config
from appliance.delivery.pump import Pumps
from appliance.dns.responder import DnsResponder, DnsUnavailableError
from appliance.doorwatch import DoorWatch
from appliance.health import Checkup
from appliance.interfaces import read_gateways, read_interfaces
from appliance.listeners import Listener, PortUnavailableError, open_listener
from appliance.policy.blob_addresses import choose_announced
from appliance.policy.turnstile import Turnstile
from appliance.private_files import SecretDamagedError, open_secret
from appliance.registry.registry import Registry
from appliance.store.faults import StoreError
from appliance.store.store import Store, open_store
from appliance.surroundings import Surroundings
from appliance.token_desk import make_tokens
from appliance.tokens import Tokens
from appliance.upkeep import Upkeep
from appliance.upstream.builtin import BuiltinSource
from appliance.upstream.origin import Origin
from appliance.upstream.resolver import Resolver
from appliance.upstream.tunnel import Outlet
from appliance.web.access import Access
from appliance.web.app import Parts, make_app
from appliance.web.bounds import Site
from appliance.web.clear import ClearDoor
from appliance.web.deeds import Deeds
from appliance.web.facts import Facts
from appliance.web.login import Login
from appliance.web.metrics import Metrics

# Where the ports that nobody chose go when they cannot be had.
DNS_PORT_FALLBACK, TLS_PORT_FALLBACK = 10053, 8443


class StateUnusableError(Exception):
    """The state directory cannot be worked in; `hint` says what to type."""

    def __init__(self, state_dir: Path, error: OSError) -> None:
        super().__init__(f"{state_dir.absolute()} cannot be used: {error}")
        self.hint = "set box.state_dir to a directory that this user may write to"


# What can keep the box from starting; each has a `hint`.
START_FAULTS = (
    AuthorityError,
    DnsUnavailableError,
    MitmproxyChangedError,
    PortUnavailableError,
    SecretDamagedError,
    StateUnusableError,
    StoreError,
)

type Say = Callable[[str], None]


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


@dataclass(frozen=True, slots=True)
class Engine:
    """What answers pulls, whichever door they come by."""

    responder: DnsResponder | None
    blob_host: BlobHost
    resolver: Resolver
    origin: Origin
    cache: Cache
    pumps: Pumps
    registry: Registry
    pseudonym: str
    inline_trouble: str


@dataclass(frozen=True, slots=True)
class Box:
    """The running box, for whoever keeps it going, changes it or tells of it."""

    ground: Ground
    engine: Engine
    checkup: Checkup
    doors: DoorWatch
    facts: Facts
    upkeep: Upkeep
    tokens: Tokens
    audit: Audit

    def truth(self) -> tuple[str, ...]:
        """The registry's true addresses as last known."""
        return self.engine.resolver.last_known(self.ground.config.origin.name)


async def start(stack: AsyncExitStack, config: Config, say: Say) -> Box:
    """Enter every part of a box on `stack`. Raises one of START_FAULTS."""
    ground = await asyncio.to_thread(_lay_ground, config, say)
    stack.callback(ground.store.close)
    for listener in ground.listeners:
        stack.callback(listener.close)
    engine = await _start_engine(stack, ground, say)
    doors = make_door_watch(
        config, ground.authority, tls=ground.tls, proxy=ground.proxy, web=ground.web
    )
    checkup = make_checkup(
        config,
        store=ground.store,
        origin=engine.origin,
        authority=ground.authority,
        leaf=ground.leaf,
        responder=engine.responder,
        surroundings=ground.surroundings,
        blob_host=engine.blob_host,
        tls_port=ground.tls.port,
        budget=engine.cache.janitor.budget,
        is_known=lambda: bool(engine.resolver.last_known(config.origin.name)),
        inline_trouble=engine.inline_trouble,
        doors=doors,
    )
    audit = Audit(ground.store.root, now=time.time)
    stack.callback(audit.close)
    box = Box(
        ground,
        engine,
        checkup,
        doors,
        _make_facts(ground, engine, checkup),
        Upkeep(ground.store, engine.cache.janitor, engine.cache.scrubber),
        make_tokens(ground.store, ground.secret, time.time),
        audit,
    )
    await _open_doors(stack, box)
    return box


def _lay_ground(config: Config, say: Say) -> Ground:
    """Open what is on disk, then the ports. Blocks; closes what it opened if it raises."""
    names = (config.origin.name, config.blobs.host)
    surroundings = Surroundings(
        read_interfaces, allow=config.access.allow, configured=str(config.box.address or "")
    )
    try:
        with ExitStack() as undo:
            store = open_store(config.state_dir)
            undo.callback(store.close)
            for sentence in store.recovery:
                say(f"recovery: {sentence}")
            authority = open_authority(store.root / AUTHORITY_FOLDER, names, now=datetime.now(UTC))
            secret = open_secret(store.root / "secret")
            leaf = LeafKeeper(authority, names)
            tls, web = _open_listeners(config, say)
            for listener in (tls, *web):
                undo.callback(listener.close)
            proxy = _open_proxy_listener(config, say)
            undo.pop_all()
    except OSError as error:
        raise StateUnusableError(config.state_dir, error) from error
    return Ground(config, surroundings, store, authority, leaf, secret, tls, proxy, web)


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


async def _start_engine(stack: AsyncExitStack, ground: Ground, say: Say) -> Engine:
    config, builtin = ground.config, BuiltinSource()
    responder, servers = await _start_dns(stack, ground, say)
    resolver = make_resolver(config, ground.surroundings, servers)
    pseudonym = make_pseudonym(ground.secret)
    origin = await stack.enter_async_context(make_origin(config, resolver, pseudonym))
    for digest in builtin.digests:  # So that the first self-pull is a miss, and tries a fill.
        ground.store.discard_blob(digest)
    cache = make_cache(config, ground.store, origin, builtin, time.time)
    await stack.enter_async_context(cache)
    pumps = await stack.enter_async_context(Pumps())
    blob_host = _make_blob_host(ground, responder)
    if trouble := find_trouble():
        say(f"note: {trouble}")
    registry = make_registry(
        config,
        cache,
        ground.secret,
        web_port=ground.web[0].port,
        tls_port=ground.tls.port,
        proxy_port=ground.proxy.port if ground.proxy else None,
        is_blob_host_offered=lambda request: blob_host.is_offered(
            request.client_address, request.dialled
        ),
        can_send_inline=not trouble,
        now=time.time,
    )
    return Engine(
        responder, blob_host, resolver, origin, cache, pumps, registry, pseudonym, trouble
    )


def _make_blob_host(ground: Ground, responder: DnsResponder | None) -> BlobHost:
    config = ground.config
    place = make_blob_place(config, ground.secret)
    return BlobHost(
        place,
        ground.surroundings.interfaces,
        answered_at=lambda: responder.answered_at if responder else None,
        refuse_private_from=str(config.raw("blobs", "refuse_private_from")),
        announcing=lambda: why_silent(config.state_dir, place.announced),
        announceable=choose_announced(config.blobs.address, ground.secret),
        proxy_port=ground.proxy.port if ground.proxy else None,
        read_gateways=read_gateways,
    )


async def _start_dns(
    stack: AsyncExitStack, ground: Ground, say: Say
) -> tuple[DnsResponder | None, tuple[tuple[str, int], ...]]:
    """Start DNS, and say which servers it and the box ask."""
    config, port = ground.config, ground.config.dns.port
    if not config.dns.enabled:
        return None, read_servers(config, ground.surroundings, 0)
    try:
        return await _try_dns(stack, ground, port)
    except DnsUnavailableError as fault:
        if not config.is_default("dns", "port"):
            raise
        say(f"note: port {port} cannot be had ({fault.reason}); DNS is on {DNS_PORT_FALLBACK}")
    return await _try_dns(stack, ground, DNS_PORT_FALLBACK)


async def _try_dns(
    stack: AsyncExitStack, ground: Ground, port: int
) -> tuple[DnsResponder, tuple[tuple[str, int], ...]]:
    servers = read_servers(ground.config, ground.surroundings, port)
    place = make_blob_place(ground.config, ground.secret)
    settings = make_dns_settings(ground.config, place, ground.surroundings, servers, port)
    return await stack.enter_async_context(DnsResponder(settings)), servers


def _make_facts(ground: Ground, engine: Engine, checkup: Checkup) -> Facts:
    config, authority = ground.config, ground.authority
    listening = engine.responder.listening if engine.responder else ()
    return Facts(
        version=__version__,
        started_at=time.time(),
        state_dir=str(ground.store.root),
        registry_name=config.origin.name,
        blob_host=config.blobs.host,
        refuse_private_from=engine.blob_host.refuse_private_from,
        recipes=lambda: engine.blob_host.recipes() if engine.blob_host.is_needed() else (),
        ca_pem=authority.certificate_pem,
        ca_fingerprint=authority.fingerprint,
        dns_port=listening[0][1] if listening else None,
        tls_port=ground.tls.port,
        proxy_port=ground.proxy.port if ground.proxy else None,
        web_port=ground.web[0].port,
        addresses=ground.surroundings.dialled_addresses,
        checks=checkup.checks,
        cache=engine.cache,
        now=time.time,
    )


def _make_web(box: Box, turnstile: Turnstile) -> Parts:
    config, engine = box.ground.config, box.engine
    return Parts(
        facts=box.facts,
        clear=ClearDoor(engine.registry, engine.pumps),
        access=Access(box.tokens, config.web.names),
        login=Login(
            box.tokens,
            config.web.admin_password_file,
            lambda who, where, outcome: box.audit.note(who, where, "login", {}, outcome),
        ),
        deeds=Deeds(box.upkeep.deeds(), box.audit.note),
        metrics=Metrics(box.facts, engine.registry.meters, lambda: read_gauges(box, turnstile)),
    )


def read_gauges(box: Box, turnstile: Turnstile) -> dict[str, float]:
    """What `/metrics` tells of parts that only the roof knows."""
    ground, engine = box.ground, box.engine
    return {
        "connections": turnstile.connection_count,
        "connections_max": turnstile.connections_max,
        "connections_refused": turnstile.refused_count,
        "bodies": engine.pumps.job_count,
        "ca_not_after_timestamp_seconds": ground.authority.not_after.timestamp(),
        "leaf_not_after_timestamp_seconds": ground.leaf.current().not_after.timestamp(),
        "dns_leads_here": float(engine.responder is not None and box.checkup.is_sound),
        "origin_reached": float(engine.origin.is_reached and engine.origin.trouble is None),
    }


async def _open_doors(stack: AsyncExitStack, box: Box) -> None:
    ground, engine, config = box.ground, box.engine, box.ground.config
    admission = make_admission(ground.surroundings)
    app = make_app(_make_web(box, admission.turnstile))
    sockets = [each for listener in ground.web for each in listener.sockets]
    site = await stack.enter_async_context(Site(app, sockets, admission))
    route = OriginRoute(
        config.origin.url,
        config.origin.name,
        engine.resolver.resolve,
        engine.pseudonym,
        config.origin.proxy,
    )
    inline = Inline(engine.pumps)
    proxy = await stack.enter_async_context(
        Proxy(
            ground.tls.sockets,
            Intercept(names_of(config), ground.leaf.current, admission.is_allowed),
            RegistryAddon(engine.registry, route, inline),
            inline,
            admission.turnstile,
            trusted_roots=find_roots(config),
        )
    )
    if ground.proxy is not None:
        ports = frozenset(listener.port for listener in ground.web)
        rules = make_proxy_rules(config, ground.surroundings, admission, ports, engine.pseudonym)
        outlet = Outlet(engine.resolver.resolve, config.origin.proxy)
        await stack.enter_async_context(
            ProxyDoor(ground.proxy.sockets, rules, outlet, proxy, site.take)
        )
